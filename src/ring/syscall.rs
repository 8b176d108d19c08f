//! The few plain system calls on sockets that have no operation worth queueing.

use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The address of the other end.
pub(super) fn peer(fd: RawFd) -> Option<SocketAddr> {
    // SAFETY: the descriptor is open for the length of this call: the driver asks only for sockets whose close has
    // not begun; and the stream is not dropped, so it stays open.
    let stream = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) });
    stream.peer_addr().ok()
}

/// A descriptor that becomes readable when it is signalled.
pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let fd = result(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } as isize);
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call above made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The result of a system call that says -1 and sets `errno`, as io_uring would say it.
pub(super) fn result(value: isize) -> i32 {
    if value < 0 {
        -io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO)
    } else {
        value.min(i32::MAX as isize) as i32
    }
}
