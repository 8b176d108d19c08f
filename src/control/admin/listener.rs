//! A listener that silent clients cannot use up: a bound on connections, and a deadline for each exchange on them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use super::secure::{Peer, Stream};
use crate::shard::TlsListener;

/// A TCP listener with at most so many connections at one time.
pub(super) struct Bounded {
    listener: TcpListener,
    tls: Option<Arc<TlsListener>>,
    places: Arc<Semaphore>,
    deadline: Duration,
}

impl Bounded {
    /// Connections beyond `connection_count_max` wait in the kernel's queue; one that is silent for `deadline` is closed.
    pub(super) fn new(
        listener: TcpListener,
        connection_count_max: usize,
        deadline: Duration,
    ) -> Self {
        Self {
            listener,
            tls: None,
            places: Arc::new(Semaphore::new(connection_count_max)),
            deadline,
        }
    }

    /// The same over TLS, or not.
    pub(super) fn with_tls(self, tls: Option<Arc<TlsListener>>) -> Self {
        Self { tls, ..self }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .expect("invariant: the semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream: Stream::new(stream, self.tls.as_deref()),
            expiry: Box::pin(sleep(self.deadline)),
            deadline: self.deadline,
            _place: place,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when nothing was written to it for the deadline. Reading does not move the deadline, so a request that
/// arrives a byte at a time has no more time than another.
pub(super) struct Connection {
    stream: Stream,
    expiry: Pin<Box<Sleep>>,
    deadline: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(incoming: IncomingStream<'_, Bounded>) -> Self {
        Self::new(*incoming.remote_addr(), &incoming.io().stream)
    }
}

impl Connection {
    fn poll_expired<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.expiry
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let expired @ Poll::Ready(_) = self.poll_expired(cx) {
            return expired;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        match written {
            Poll::Ready(Ok(_)) => {
                let until = Instant::now() + self.deadline;
                self.expiry.as_mut().reset(until);
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => self.poll_expired(cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use axum::Router;
    use axum::routing::get;

    use super::*;

    const DEADLINE: Duration = Duration::from_millis(300);

    fn serve(connection_count_max: usize) -> (SocketAddr, tokio::runtime::Runtime) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let bounded = Bounded::new(listener, connection_count_max, DEADLINE);
        let router = Router::new()
            .route("/", get(|| async { "x" }))
            .route("/large", get(|| async { "x".repeat(64 << 20) }));
        runtime.spawn(async move { axum::serve(bounded, router).await });
        (address, runtime)
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    fn ask(stream: &mut TcpStream) -> String {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }

    /// Whether the other side ended the connection, rather than the test's patience.
    fn ends(stream: &mut TcpStream) -> bool {
        let read = stream.read_to_end(&mut Vec::new());
        !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn silent_and_slow_clients_are_closed_and_their_places_serve_others() {
        let (address, _runtime) = serve(3);
        let mut silent = connect(address);
        let mut half = connect(address);
        half.write_all(b"GET / HT").unwrap();
        let mut slow = connect(address);
        let dripping = std::thread::spawn(move || {
            let begun = Instant::now();
            while slow.write_all(b"G").is_ok() && begun.elapsed() < 20 * DEADLINE {
                std::thread::sleep(DEADLINE / 20);
            }
            begun.elapsed()
        });
        assert!(ask(&mut connect(address)).starts_with("HTTP/1.1 200"));
        assert!(ends(&mut silent) && ends(&mut half));
        assert!(dripping.join().unwrap() < 20 * DEADLINE);
    }

    #[test]
    fn a_client_that_asks_again_in_time_stays() {
        let (address, _runtime) = serve(1);
        let mut client = connect(address);
        let begun = Instant::now();
        while begun.elapsed() < 3 * DEADLINE {
            assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
            std::thread::sleep(DEADLINE / 10);
        }
    }

    #[test]
    fn a_client_that_does_not_read_its_answer_is_closed() {
        let (address, _runtime) = serve(1);
        let mut deaf = connect(address);
        deaf.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        assert!(ask(&mut connect(address)).starts_with("HTTP/1.1 200"));
    }
}
