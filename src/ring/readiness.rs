//! A descriptor's readability as the thread's tokio runtime sees it: how a sleeping shard learns of its ring, and how a task
//! waits for what is no socket.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime at the first poll, because that is when there is one.
///
/// Whoever holds it declares it before what owns the descriptor, so that it is dropped first.
#[derive(Default)]
pub(super) struct Readiness {
    registered: Option<AsyncFd<Borrowed>>,
}

struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// A descriptor that becomes readable once and stays so: a process's end (`pidfd_open`), for one.
pub struct OneEvent(AsyncFd<OwnedFd>);

impl OneEvent {
    /// Registers the descriptor with the runtime that this is called in.
    ///
    /// Errors: there is no runtime with I/O, or the descriptor is of a kind that cannot be waited for.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the registration owns the descriptor and nobody can reach it through this type, so it stays open and
        // the same until the registration is dropped.
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        registered.map(Self).map_err(io::Error::from)
    }

    /// Waits until it is readable; at once if it is already.
    ///
    /// Errors: the runtime is shutting down.
    pub async fn happened(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}

impl Readiness {
    /// Ready once for each edge; the edge is consumed.
    pub(super) fn poll_edge(&mut self, fd: RawFd, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let registered = match &self.registered {
            Some(registered) => registered,
            None => {
                // SAFETY: the descriptor stays open and the same until this registration is dropped: the owners,
                // `Uring` and `Epoll`, hold both and declare this field first.
                let registered =
                    unsafe { AsyncFd::register_with_interest(Borrowed(fd), Interest::READABLE) };
                self.registered.insert(registered.map_err(io::Error::from)?)
            }
        };
        let mut guard = ready!(registered.poll_read_ready(cx))?;
        guard.clear_ready();
        Poll::Ready(Ok(()))
    }
}
