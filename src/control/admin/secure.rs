//! A connection to the admin listener, plain or over TLS; its handshake is part of the first read, so that nobody waits for it who
//! accepts others.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::shard::{TlsListener, TlsSetup};

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where from.
    pub address: SocketAddr,
    certificate: Arc<OnceLock<Box<[u8]>>>,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, stream: &Stream) -> Self {
        Self {
            address,
            certificate: Arc::clone(&stream.certificate),
        }
    }

    /// The certificate, in DER, that it has shown and TLS has verified; none: it has shown none, or speaks plain HTTP.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.get().map(AsRef::as_ref)
    }
}

enum State {
    Plain(TcpStream),
    Handshake(Box<Accept<TcpStream>>, Arc<TlsSetup>),
    Secure(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Failed,
}

/// One connection.
pub(super) struct Stream {
    state: State,
    certificate: Arc<OnceLock<Box<[u8]>>>,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, tls: Option<&TlsListener>) -> Self {
        let state = match tls.map(TlsListener::setup) {
            None => State::Plain(stream),
            Some(setup) => {
                let acceptor = TlsAcceptor::from(Arc::clone(&setup.config));
                State::Handshake(Box::new(acceptor.accept(stream)), setup)
            }
        };
        Self {
            state,
            certificate: Arc::default(),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Handshake(accept, setup) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let accepted = ready!(Pin::new(accept).poll(cx)).and_then(|stream| {
            let (_, connection) = stream.get_ref();
            let certificates = connection.peer_certificates();
            setup
                .check_resumed(connection.handshake_kind(), certificates)
                .map_err(io::Error::other)?;
            if let Some([leaf, ..]) = certificates {
                // Only here, and once.
                let _ = self.certificate.set(leaf.as_ref().into());
            }
            Ok(stream)
        });
        match accepted {
            Ok(stream) => {
                self.state = State::Secure(Box::new(stream));
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake with the admin listener failed");
                self.state = State::Failed;
                Poll::Ready(Err(error))
            }
        }
    }

    /// The way on, once there is one.
    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        plain: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
        secure: impl FnOnce(Pin<&mut TlsStream<TcpStream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        ready!(self.poll_handshake(cx))?;
        match &mut self.state {
            State::Plain(stream) => plain(Pin::new(stream), cx),
            State::Secure(stream) => secure(Pin::new(stream), cx),
            State::Handshake(..) | State::Failed => {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(cx))?;
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            State::Secure(stream) => Pin::new(stream).poll_read(cx, buffer),
            State::Handshake(..) | State::Failed => {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(
            cx,
            |stream, cx| stream.poll_write(cx, bytes),
            |stream, cx| stream.poll_write(cx, bytes),
        )
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(cx, AsyncWrite::poll_flush, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            // There is nobody to say goodbye to.
            State::Handshake(..) | State::Failed => Poll::Ready(Ok(())),
            State::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
