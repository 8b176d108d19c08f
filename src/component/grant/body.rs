//! Bodies that are counted as they pass, and that do not wait for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming, SizeHint};
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::Gate;
use super::http::{Frame, Sleep};

/// A body, and whose budget it is on.
pub(super) struct Counted<B> {
    inner: B,
    gate: Arc<Gate>,
    /// How long one frame may take, and until when this one may.
    between: Option<(Duration, Sleep)>,
    /// What it is to have too much of it.
    too_much: fn() -> Error,
}

impl Counted<WasiBody> {
    /// What a guest sends.
    pub(super) fn request(inner: WasiBody, gate: Arc<Gate>) -> Self {
        Self {
            inner,
            gate,
            between: None,
            too_much: || Error::HttpRequestBodySize(None),
        }
    }
}

impl Counted<Incoming> {
    /// What a guest is sent.
    pub(super) fn answer(inner: Incoming, gate: Arc<Gate>, between: Duration) -> Self {
        Self {
            inner,
            gate,
            between: Some((between, Box::pin(sleep(between)))),
            too_much: || Error::HttpResponseBodySize(None),
        }
    }
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Frame> {
        let this = &mut *self;
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                let Some((_, sleep)) = &mut this.between else {
                    return Poll::Pending;
                };
                let over = sleep.as_mut().poll(context);
                return over.map(|()| Some(Err(Error::ConnectionReadTimeout)));
            }
        };
        if let Some((between, sleep)) = &mut this.between {
            sleep.as_mut().reset(Instant::now() + *between);
        }
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if this.gate.spend_bytes(bytes).is_err() {
            return Poll::Ready(Some(Err((this.too_much)())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
