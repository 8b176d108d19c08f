//! What each error number of each operation means for the driver.
//!
//! One function per operation, one arm per number that its manual page or the kernel's source names. The last arm
//! of each is for numbers that should not occur; they break the one socket, never the shard.

use super::SocketError;

/// What to do after a failed receive or send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing happened: do it again.
    Again,
    /// The buffer group was empty: wait for a buffer.
    Starved,
    /// The socket is broken.
    Broken(SocketError),
}

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptVerdict {
    /// Go on without a word: nothing happened.
    Again,
    /// One connection was lost before we had it: report, go on.
    Lost,
    /// A resource is used up: report, and wait for some to come back.
    Exhausted,
    /// The listener is unusable: report, and stop.
    Broken,
}

pub(super) fn receive(errno: i32) -> Verdict {
    match errno {
        libc::ENOBUFS => Verdict::Starved,
        // Cancelled by a pause, or by the kernel on its own: the driver arms again if it still wants to receive.
        libc::ECANCELED => Verdict::Again,
        libc::EINTR => Verdict::Again,
        libc::EAGAIN => Verdict::Again,
        libc::ECONNRESET => Verdict::Broken(SocketError::Reset),
        libc::ECONNABORTED => Verdict::Broken(SocketError::Reset),
        libc::EPIPE => Verdict::Broken(SocketError::BrokenPipe),
        libc::ENOTCONN => Verdict::Broken(SocketError::BrokenPipe),
        libc::ESHUTDOWN => Verdict::Broken(SocketError::BrokenPipe),
        libc::ETIMEDOUT => Verdict::Broken(SocketError::TimedOut),
        libc::EHOSTUNREACH | libc::EHOSTDOWN => Verdict::Broken(SocketError::Unreachable),
        libc::ENETUNREACH | libc::ENETDOWN => Verdict::Broken(SocketError::Unreachable),
        libc::ECONNREFUSED => Verdict::Broken(SocketError::Refused),
        libc::ENOMEM => Verdict::Broken(SocketError::OutOfMemory),
        libc::EACCES | libc::EPERM => Verdict::Broken(SocketError::Forbidden),
        // EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP: defects of ours.
        other => Verdict::Broken(SocketError::Unexpected(other)),
    }
}

pub(super) fn send(errno: i32) -> Verdict {
    match errno {
        // A send that moved any byte reports the count instead, so nothing was sent.
        libc::ECANCELED => Verdict::Again,
        libc::EINTR => Verdict::Again,
        libc::EAGAIN => Verdict::Again,
        libc::EPIPE => Verdict::Broken(SocketError::BrokenPipe),
        libc::ENOTCONN => Verdict::Broken(SocketError::BrokenPipe),
        libc::ESHUTDOWN => Verdict::Broken(SocketError::BrokenPipe),
        libc::ECONNRESET => Verdict::Broken(SocketError::Reset),
        libc::ECONNABORTED => Verdict::Broken(SocketError::Reset),
        libc::ETIMEDOUT => Verdict::Broken(SocketError::TimedOut),
        libc::EHOSTUNREACH | libc::EHOSTDOWN => Verdict::Broken(SocketError::Unreachable),
        libc::ENETUNREACH | libc::ENETDOWN => Verdict::Broken(SocketError::Unreachable),
        libc::ECONNREFUSED => Verdict::Broken(SocketError::Refused),
        libc::ENOMEM => Verdict::Broken(SocketError::OutOfMemory),
        libc::ENOBUFS => Verdict::Broken(SocketError::OutOfMemory),
        libc::EACCES | libc::EPERM => Verdict::Broken(SocketError::Forbidden),
        // EBADF, EFAULT, EINVAL, EMSGSIZE, ENOTSOCK, EOPNOTSUPP: defects of ours.
        other => Verdict::Broken(SocketError::Unexpected(other)),
    }
}

/// What a failed connect means; `None`: it is connected all the same.
pub(super) fn connect(errno: i32) -> Option<Verdict> {
    Some(match errno {
        // The attempt before was interrupted, and went on without us.
        libc::EISCONN => return None,
        libc::ECANCELED => Verdict::Again,
        libc::EINTR => Verdict::Again,
        libc::EAGAIN => Verdict::Again,
        libc::EINPROGRESS => Verdict::Again,
        libc::ECONNREFUSED => Verdict::Broken(SocketError::Refused),
        libc::ETIMEDOUT => Verdict::Broken(SocketError::TimedOut),
        libc::EHOSTUNREACH | libc::EHOSTDOWN => Verdict::Broken(SocketError::Unreachable),
        libc::ENETUNREACH | libc::ENETDOWN => Verdict::Broken(SocketError::Unreachable),
        libc::EADDRNOTAVAIL | libc::EADDRINUSE => Verdict::Broken(SocketError::NoLocalPort),
        libc::ECONNRESET | libc::ECONNABORTED => Verdict::Broken(SocketError::Reset),
        libc::ENOMEM | libc::ENOBUFS => Verdict::Broken(SocketError::OutOfMemory),
        libc::EACCES | libc::EPERM => Verdict::Broken(SocketError::Forbidden),
        // EALREADY: an interrupted attempt still goes on; asking again would be asking all the time.
        // EAFNOSUPPORT, EBADF, EFAULT, EINVAL, ENOTSOCK, EPROTOTYPE: defects of ours, or a host without that family.
        other => Verdict::Broken(SocketError::Unexpected(other)),
    })
}

pub(super) fn accept(errno: i32) -> AcceptVerdict {
    match errno {
        libc::ECANCELED => AcceptVerdict::Again,
        libc::EINTR => AcceptVerdict::Again,
        libc::EAGAIN => AcceptVerdict::Again,
        // accept(2): pending network errors of the new connection are reported here, and are not the listener's.
        libc::ECONNABORTED => AcceptVerdict::Lost,
        libc::EPROTO | libc::ENOPROTOOPT => AcceptVerdict::Lost,
        libc::ENETDOWN | libc::ENETUNREACH => AcceptVerdict::Lost,
        libc::EHOSTDOWN | libc::EHOSTUNREACH => AcceptVerdict::Lost,
        libc::ENONET | libc::ETIMEDOUT => AcceptVerdict::Lost,
        libc::EPERM => AcceptVerdict::Lost,
        libc::EMFILE => AcceptVerdict::Exhausted,
        libc::ENFILE => AcceptVerdict::Exhausted,
        libc::ENOBUFS => AcceptVerdict::Exhausted,
        libc::ENOMEM => AcceptVerdict::Exhausted,
        // EBADF, EFAULT, EINVAL (not listening), ENOTSOCK, EOPNOTSUPP: defects of ours.
        _ => AcceptVerdict::Broken,
    }
}

/// Whether a cancellation found what it was to cancel, and that will end soon.
pub(super) fn cancel_took(result: i32) -> bool {
    match result {
        0.. => true,
        // It ended by itself, or is between two states where the kernel does not see it.
        code if code == -libc::ENOENT => false,
        // It runs now and cannot be stopped; it may block, so the driver shuts the socket down.
        code if code == -libc::EALREADY => false,
        // EINVAL: defects of ours; shutting down is the way out here too.
        _ => false,
    }
}
