//! An internet address as the kernel reads it, at a place that stays.

use std::net::SocketAddr;
use std::ptr::NonNull;

use socket2::{SockAddr, SockAddrStorage};

/// A socket address that an operation points to. Behind a raw pointer, not a box, because the kernel reads it while the
/// driver moves and borrows everything around it.
pub(super) struct Address {
    storage: NonNull<SockAddrStorage>,
    len: u32,
}

impl Address {
    pub(super) fn new(address: SocketAddr) -> Self {
        let address = SockAddr::from(address);
        let len = address.len();
        let storage = Box::new(address.as_storage());
        Self {
            storage: NonNull::from(Box::leak(storage)),
            len,
        }
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr_storage {
        self.storage.as_ptr().cast()
    }

    /// Bytes that count.
    pub(super) fn len(&self) -> u32 {
        self.len
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box in `new` and is freed only here. The driver drops an address only when its
        // connect is not in flight, so the kernel does not read it any more.
        drop(unsafe { Box::from_raw(self.storage.as_ptr()) });
    }
}
