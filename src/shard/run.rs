//! A shard's thread: a current-thread tokio runtime whose one task turns the shard.
//!
//! The runtime is there for what components need (timers, WASI); sockets are the ring's. The task never stays ready for longer than
//! [`TURNS_PER_POLL`] turns without giving the runtime a look at its own events.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::limits::{
    RING_COMPLETION_ENTRIES, RING_COMPLETION_ENTRIES_MAX, RING_CONNECT_COUNT_MAX, TIMER_TICK,
};
use crate::ring::{EpollRing, Ring, RingOptions, UringRing};

use super::{Service, ServiceOptions, Shard, Shared, Turn};

/// Turns of the loop before other tasks of the thread get theirs.
const TURNS_PER_POLL: u32 = 64;
/// Sockets beside the counted connections: those that are refused at the limit, until they are closed.
const CONNECTIONS_SPARE: usize = 64;
/// Connections that may wait in the kernel for one listener.
const BACKLOG: i32 = 4096;

/// Which kernel interface the shards use for their sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoKind {
    /// io_uring, whose rings the kernel restricts to what they are made for.
    #[default]
    Uring,
    /// io_uring without these restrictions.
    UringUnrestricted,
    /// epoll, for hosts that forbid io_uring; chosen by the operator, never silently.
    Epoll,
}

/// A running shard.
#[derive(Debug)]
pub struct ShardThread {
    thread: JoinHandle<io::Result<()>>,
}

impl ShardThread {
    /// Starts shard `index` on its own thread.
    ///
    /// Errors: the thread or its ring cannot be made; known before this returns.
    pub fn start(
        index: usize,
        io: IoKind,
        shared: Arc<Shared>,
        listeners: Vec<TcpListener>,
        options: ServiceOptions,
    ) -> io::Result<Self> {
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(async move {
                    let mut ring_options = ring_options(&shared);
                    ring_options.restricted = io == IoKind::Uring;
                    match io {
                        IoKind::Uring | IoKind::UringUnrestricted => {
                            let made = UringRing::new(ring_options);
                            report(&ready, &made)?;
                            serve(made?, index, shared, listeners, options).await
                        }
                        IoKind::Epoll => {
                            let made = EpollRing::new(ring_options);
                            report(&ready, &made)?;
                            serve(made?, index, shared, listeners, options).await
                        }
                    }
                })
            })?;
        match started.recv() {
            Ok(None) => Ok(Self { thread }),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(thread.join().map_or_else(
                |_| io::Error::other("the shard's thread panicked"),
                |result| {
                    result
                        .err()
                        .unwrap_or_else(|| io::Error::other("the shard's thread ended at once"))
                },
            )),
        }
    }

    /// Waits for the shard to finish draining.
    ///
    /// Errors: its ring broke, or it panicked.
    pub fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the shard's thread panicked")))
    }

    /// Whether the thread has ended, drained or broken.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Tells the starting thread whether the ring could be made.
fn report<R>(
    ready: &std::sync::mpsc::SyncSender<Option<io::Error>>,
    made: &io::Result<R>,
) -> io::Result<()> {
    let outcome = made
        .as_ref()
        .err()
        .map(|error| io::Error::new(error.kind(), error.to_string()));
    ready
        .send(outcome)
        .map_err(|_| io::Error::other("nobody waits for this shard"))
}

/// A ring on which every connection of the process may land, and each may receive and send at the same time without the
/// completion queue ever being too small.
fn ring_options(shared: &Shared) -> RingOptions {
    let socket_count_max = shared.limits.connection_count_max + CONNECTIONS_SPARE;
    let connect_count_max = match shared.upstreams() {
        Some(_) => RING_CONNECT_COUNT_MAX,
        None => 0,
    };
    let operations = 2 * (socket_count_max + connect_count_max) + CONNECTIONS_SPARE;
    let operations = u32::try_from(operations).unwrap_or(u32::MAX);
    let completion_entries = operations
        .clamp(RING_COMPLETION_ENTRIES, RING_COMPLETION_ENTRIES_MAX)
        .next_power_of_two();
    RingOptions {
        socket_count_max,
        connect_count_max,
        completion_entries,
        operations_max: completion_entries as usize,
        ..RingOptions::default()
    }
}

async fn serve<R: Ring>(
    ring: R,
    index: usize,
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    options: ServiceOptions,
) -> io::Result<()> {
    let service = Service::new(index, Arc::clone(&shared), options);
    let mut shard = Shard::new(ring, service);
    for listener in listeners {
        shard.listen(listener)?;
    }
    let mut tick = interval(TIMER_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let drained = poll_fn(|cx| poll_turns(&mut shard, &shared, index, &mut tick, cx)).await?;
        if drained {
            return Ok(());
        }
        // Not a wake-up of ourselves: that would cost two system calls where this costs one look at the reactor.
        tokio::task::yield_now().await;
    }
}

/// Turns until there is nothing to do (pending), the thread's other tasks are due (false), or the drain is over (true).
fn poll_turns<R: Ring>(
    shard: &mut Shard<R>,
    shared: &Shared,
    index: usize,
    tick: &mut Interval,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    for _ in 0..TURNS_PER_POLL {
        match shard.turn(shared.now_ms())? {
            Turn::Drained => return Poll::Ready(Ok(true)),
            Turn::Busy => continue,
            Turn::Idle => {}
        }
        if shard.rest() {
            continue;
        }
        // The order matters: first ask to be woken, then look once more.
        shared.ports[index].register(cx.waker());
        if shared.ports[index].has_mail() || shard.service().has_finished() || shard.sees_news() {
            continue;
        }
        if tick.poll_tick(cx).is_ready() {
            continue;
        }
        match shard.ring_mut().poll_ready(cx) {
            Poll::Ready(ready) => ready?,
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(false))
}

/// Socket options of the data listeners.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Send small answers at once (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Probe silent connections at this interval (`SO_KEEPALIVE`); none: never.
    pub keep_alive: Option<Duration>,
}

/// Binds one listening socket per shard to the same address; the kernel spreads connections over them.
///
/// Port 0 is chosen once and used by all.
/// Errors: the address is in use or not this host's.
pub fn bind_listeners(
    address: SocketAddr,
    count: usize,
    options: ListenOptions,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    // A first socket without SO_REUSEPORT finds out whether somebody else has the port: with it, a second server of the same
    // user would silently take half of the connections.
    let exclusive = socket(address, options)?;
    exclusive.bind(&address.into())?;
    let actual = exclusive
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("not an internet address"))?;
    drop(exclusive);
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = socket(actual, options)?;
        socket.set_reuse_port(true)?;
        socket.bind(&actual.into())?;
        socket.listen(BACKLOG)?;
        listeners.push(socket.into());
    }
    Ok((actual, listeners))
}

/// A socket with the options that its connections inherit.
fn socket(address: SocketAddr, options: ListenOptions) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(options.nodelay)?;
    if let Some(interval) = options.keep_alive {
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(interval)
                .with_interval(interval),
        )?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}
