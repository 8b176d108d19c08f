//! The host functions that can wait without end, replaced by ones that also listen to the call's [`Control`](super::call::Control): a
//! guest asleep for a year, or waiting for a server that says nothing, ends at its deadline like any other.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::io::poll::{Host as PollHost, HostPollable};
use wasmtime_wasi::p2::bindings::io::streams::{
    Host as StreamsHost, HostInputStream, HostOutputStream, StreamError as Told,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamResult};

use super::call::Stop;
use super::store::State;

/// The interfaces of wasmtime-wasi; the linker matches any 0.2 version a component asks for.
const POLL_INTERFACE: &str = "wasi:io/poll@0.2.12";
const STREAMS_INTERFACE: &str = "wasi:io/streams@0.2.12";

type Store<'a> = StoreContextMut<'a, State>;
type In = Resource<DynInputStream>;
type Out = Resource<DynOutputStream>;

/// Takes the place of wasmtime's.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    polls(linker)?;
    reads(linker)?;
    writes(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn polls(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut poll = linker.instance(POLL_INTERFACE)?;
    poll.func_wrap_async(
        "poll",
        |mut store: Store<'_>, (pollables,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                let ready = attended(stopped, PollHost::poll(table, pollables)).await?;
                Ok((ready?,))
            })
        },
    )?;
    poll.func_wrap_async(
        "[method]pollable.block",
        |mut store: Store<'_>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                attended(stopped, HostPollable::block(table, pollable)).await?
            })
        },
    )
}

fn reads(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(STREAMS_INTERFACE)?;
    streams.func_wrap_async(
        "[method]input-stream.blocking-read",
        |mut store: Store<'_>, (stream, length): (In, u64)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                let read = HostInputStream::blocking_read(table, stream, length);
                let read = attended(stopped, read).await?;
                told(&mut store, read)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]input-stream.blocking-skip",
        |mut store: Store<'_>, (stream, length): (In, u64)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                let skip = HostInputStream::blocking_skip(table, stream, length);
                let skipped = attended(stopped, skip).await?;
                told(&mut store, skipped)
            })
        },
    )
}

fn writes(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(STREAMS_INTERFACE)?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-and-flush",
        |mut store: Store<'_>, (stream, bytes): (Out, Vec<u8>)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                let write = HostOutputStream::blocking_write_and_flush(table, stream, bytes);
                let written = attended(stopped, write).await?;
                told(&mut store, written)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |mut store: Store<'_>, (stream, length): (Out, u64)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                let write =
                    HostOutputStream::blocking_write_zeroes_and_flush(table, stream, length);
                let written = attended(stopped, write).await?;
                told(&mut store, written)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-flush",
        |mut store: Store<'_>, (stream,): (Out,)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                let flush = HostOutputStream::blocking_flush(table, stream);
                let flushed = attended(stopped, flush).await?;
                told(&mut store, flushed)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-splice",
        |mut store: Store<'_>, (to, from, length): (Out, In, u64)| {
            Box::new(async move {
                let stopped = store.data().stopped();
                let table = store.data_mut().ctx().table;
                let splice = HostOutputStream::blocking_splice(table, to, from, length);
                let spliced = attended(stopped, splice).await?;
                told(&mut store, spliced)
            })
        },
    )
}

/// Waits, unless the call has to stop before.
async fn attended<T>(
    stopped: impl Future<Output = Stop>,
    waiting: impl Future<Output = T>,
) -> wasmtime::Result<T> {
    tokio::select! {
        biased;
        stop = stopped => Err(wasmtime::Error::new(stop)),
        done = waiting => Ok(done),
    }
}

/// What the guest is told of a stream's end or failure.
fn told<T>(store: &mut Store<'_>, result: StreamResult<T>) -> wasmtime::Result<(Result<T, Told>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => {
            let table = store.data_mut().ctx().table;
            Ok((Err(StreamsHost::convert_stream_error(table, error)?),))
        }
    }
}
