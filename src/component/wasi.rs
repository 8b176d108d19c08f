//! WASI 0.2, linked: no arguments, no standard input, and of the environment, files and network what [`super::grant`] lets through.
//!
//! What a guest prints goes to the log, bounded.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::limits::{Limits, PRINT_FLOOD_FACTOR};

use super::grant::{self, Gate, Hooks};
use super::store::State;
use super::waits;

/// Bytes a guest may hand to one write before the stream makes it come again.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Random bytes a guest may ask for at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// What one instance has of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    printed: Arc<AtomicUsize>,
    http: WasiHttpCtx,
    hooks: Hooks,
    gate: Arc<Gate>,
}

impl Wasi {
    /// A context that grants what the gate lets through.
    pub(crate) fn new(component: &Arc<str>, limits: &Limits, gate: Arc<Gate>) -> Box<Self> {
        let printed = Arc::new(AtomicUsize::new(0));
        let print = |stream| Print {
            component: Arc::clone(component),
            stream,
            printed: Arc::clone(&printed),
            bytes_max: limits.print_bytes_max,
        };
        let mut builder = WasiCtx::builder();
        builder
            .stdout(print("stdout"))
            .stderr(print("stderr"))
            .max_random_size(RANDOM_BYTES_MAX);
        grant::fill(&mut builder, &gate);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handle_count_max);
        Box::new(Self {
            ctx: builder.build(),
            table,
            printed,
            http: WasiHttpCtx::new(),
            hooks: Hooks::new(Arc::clone(&gate)),
            gate,
        })
    }

    /// What belonged to one call is let go.
    pub(crate) fn end_call(&mut self) {
        self.printed.store(0, Ordering::Relaxed);
        self.gate.end();
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(crate) fn http_view(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }

    pub(crate) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

/// The guest called `wasi:cli/exit`.
#[derive(Debug)]
pub(crate) struct Exited(pub(crate) i32);

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the tool ended its process with status {} before it answered",
            self.0
        )
    }
}

impl std::error::Error for Exited {}

/// The exit status, if that is how the call ended.
pub(crate) fn exited(error: &wasmtime::Error) -> Option<Exited> {
    error.downcast_ref::<I32Exit>().map(|exit| Exited(exit.0))
}

/// A linker with WASI 0.2.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    grant::link(linker)?;
    waits::link(linker)
}

/// A guest's standard output or error: lines to the log until the call's bound, then only counted.
#[derive(Clone)]
struct Print {
    component: Arc<str>,
    stream: &'static str,
    printed: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Print {
    fn is_flood(&self) -> bool {
        self.printed.load(Ordering::Relaxed) > self.bytes_max.saturating_mul(PRINT_FLOOD_FACTOR)
    }

    fn write_text(&self, bytes: &[u8]) {
        let before = self.printed.fetch_add(bytes.len(), Ordering::Relaxed);
        let room = self.bytes_max.saturating_sub(before);
        if room == 0 {
            return;
        }
        let kept = &bytes[..bytes.len().min(room)];
        let text = String::from_utf8_lossy(kept);
        // Escaped, so that what a guest prints cannot forge log lines or drive a terminal.
        let text = text.trim_end().escape_debug();
        tracing::info!(target: "margay::guest", component = %self.component, stream = self.stream, "{text}");
        if kept.len() < bytes.len() {
            tracing::warn!(
                target: "margay::guest",
                component = %self.component,
                "the guest printed more than limits.print_bytes_max ({} bytes) in one call; the rest is dropped",
                self.bytes_max
            );
        }
    }
}

/// The guest printed far more than a call may.
#[derive(Debug)]
pub(crate) struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tool printed without end")
    }
}

impl std::error::Error for Flood {}

impl IsTerminal for Print {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Print {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl OutputStream for Print {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_text(&bytes);
        if self.is_flood() {
            return Err(StreamError::Trap(wasmtime::Error::new(Flood)));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Print {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Print {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_text(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
