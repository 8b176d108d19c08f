//! The few plain system calls on sockets that have no operation worth queueing.

use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Silence of a peer that we connected to after which the kernel asks whether it still lives. Long-lived event streams need it: they
/// are silent by nature, and a peer that lost power says nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The address of the other end.
pub(super) fn peer(fd: RawFd) -> Option<SocketAddr> {
    // SAFETY: the descriptor is open for the length of this call: the driver asks only for sockets whose close has
    // not begun; and the stream is not dropped, so it stays open.
    let stream = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) });
    stream.peer_addr().ok()
}

/// A TCP socket that is to connect to `address`.
pub(super) fn stream_socket(address: SocketAddr, nonblocking: bool) -> io::Result<RawFd> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_tcp_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE);
    socket.set_tcp_keepalive(&keep_alive)?;
    socket.set_nonblocking(nonblocking)?;
    Ok(socket.into_raw_fd())
}

/// A connected stream socket that somebody else made.
pub(super) fn prepare_stream(stream: OwnedFd, nonblocking: bool) -> io::Result<RawFd> {
    let socket = Socket::from(stream);
    if socket.r#type()? != Type::STREAM {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    socket.set_nonblocking(nonblocking)?;
    Ok(socket.into_raw_fd())
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
