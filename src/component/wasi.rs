//! WASI 0.2, linked and empty-handed: no arguments, no environment, no files, no network, no standard input.
//!
//! What a guest prints goes to the log, bounded. The two host functions that can wait without end are replaced by ones that
//! also listen to the call's [`Control`](super::call::Control), so that a guest asleep for a year ends at its deadline like any other.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::io::poll::{Host as PollHost, HostPollable};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use crate::limits::{Limits, PRINT_FLOOD_FACTOR};

use super::call::Stop;
use super::store::State;

/// Bytes a guest may hand to one write before the stream makes it come again.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Random bytes a guest may ask for at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// The `wasi:io/poll` of wasmtime-wasi; the linker matches any 0.2 version a component asks for.
const POLL_INTERFACE: &str = "wasi:io/poll@0.2.12";

/// What one instance has of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    printed: Arc<AtomicUsize>,
}

impl Wasi {
    /// A context that grants nothing.
    pub(crate) fn new(component: &Arc<str>, limits: &Limits) -> Box<Self> {
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
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handle_count_max);
        Box::new(Self {
            ctx: builder.build(),
            table,
            printed,
        })
    }

    /// What an instance may print is bounded by the call.
    pub(crate) fn begin_call(&mut self) {
        self.printed.store(0, Ordering::Relaxed);
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
    linker.allow_shadowing(true);
    let mut poll = linker.instance(POLL_INTERFACE)?;
    poll.func_wrap_async(
        "poll",
        |mut store: StoreContextMut<'_, State>, (pollables,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                tokio::select! {
                    biased;
                    stop = stopped => Err(stop.into_error()),
                    ready = PollHost::poll(table, pollables) => Ok((ready?,)),
                }
            })
        },
    )?;
    poll.func_wrap_async(
        "[method]pollable.block",
        |mut store: StoreContextMut<'_, State>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                tokio::select! {
                    biased;
                    stop = stopped => Err(stop.into_error()),
                    done = HostPollable::block(table, pollable) => done,
                }
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Stop {
    fn into_error(self) -> wasmtime::Error {
        wasmtime::Error::new(self)
    }
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
