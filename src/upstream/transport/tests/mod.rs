//! A thread with upstreams that a test plays, byte by byte.

mod allocations;
mod backpressure;
mod faults;
mod http;
mod pool;
mod real;
mod streams;
mod times;
mod tls;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::mem::BufferPool;
use crate::policy::{BreakerRules, BudgetRules, OutlierRules, Strategy};
use crate::ring::sim::{Answer, SimServer};
use crate::ring::{Completion, Faults, Ring, SimClient, SimNetwork, SimRing};
use crate::upstream::http::{ClientLimits, PoolRules, Url};
use crate::upstream::naming::NameRules;
use crate::upstream::remote::{Place, Remote};
use crate::upstream::settings::{
    EraChoice, FailMode, HealthCheck, Probe, Replica, Sharing, Timeouts, Upstream,
};
use crate::upstream::tls::{TlsClient, TlsOptions};
use crate::wire::http1::HeadLimits;

/// What was told, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Head(u64, u16),
    Message(u64, String),
    Event(u64, String, String),
    Other(u64, String),
    End(u64, String, Option<u64>),
    Failed(u64, Reached, Failed, String),
    Line(u64, String),
    Ended(u64, String),
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(event: TransportEvent<'_>) -> Told {
    match event {
        TransportEvent::Head { key, head } => Told::Head(key.0, head.status),
        TransportEvent::Message { key, text: t } => Told::Message(key.0, text(t)),
        TransportEvent::Event { key, kind, data } => Told::Event(key.0, text(kind), text(data)),
        TransportEvent::Other { key, text: t } => Told::Other(key.0, text(t)),
        TransportEvent::End {
            key,
            last_event_id,
            retry_ms,
        } => Told::End(key.0, text(last_event_id), retry_ms),
        TransportEvent::Failed {
            key,
            reached,
            failed,
            why,
            ..
        } => Told::Failed(key.0, reached, failed, why.to_owned()),
        TransportEvent::Line { stream, text: t } => Told::Line(stream.0, text(t)),
        TransportEvent::StreamEnded { stream, why } => Told::Ended(stream.0, why.to_owned()),
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

const LINE_BYTES_MAX: usize = 1 << 20;

fn options(buffers: BufferPool) -> TransportOptions {
    TransportOptions::new(
        ClientLimits {
            head: HeadLimits {
                bytes_max: 16 << 10,
                count_max: 100,
            },
            body_bytes_max: LINE_BYTES_MAX,
            chunk_overhead_bytes_max: 16 << 10,
        },
        buffers,
        7,
    )
}

fn settings(name: &str, url: &Url, pool: PoolRules) -> Upstream {
    Upstream {
        name: name.to_owned(),
        transport: crate::upstream::settings::Transport::Http {
            replicas: vec![Replica {
                url: url.clone(),
                weight: 1,
            }],
            headers: Vec::new(),
            tls: TlsOptions::default(),
        },
        era: EraChoice::Auto,
        balance: Strategy::RoundRobin,
        breaker: BreakerRules {
            failure_threshold: 5,
            recovery_ms: 1_000,
            probe_count: 1,
        },
        health: HealthCheck {
            rules: None,
            probe: Probe::Protocol,
            timeout: Duration::from_secs(1),
        },
        outlier: OutlierRules::default(),
        retry: BudgetRules::default(),
        timeouts: Timeouts::default(),
        pool,
        batching: crate::upstream::settings::Batching::default(),
        names: NameRules::default(),
        fail: FailMode::Open,
        sharing: Sharing::Shared,
        fallback: None,
        auth: None,
        tool_timeouts: Vec::new(),
        hedge_after: None,
    }
}

/// An upstream at these ports of this machine, named by its first.
fn remote(index: usize, ports: &[u16], pool: PoolRules, tls: Option<TlsClient>) -> Arc<Remote> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://localhost:{}/mcp", ports[0])).unwrap();
    let place = Place::new(url.clone(), 1, Vec::new(), tls).unwrap();
    place
        .addresses
        .store(Arc::new(ports.iter().map(|port| address(*port)).collect()));
    Arc::new(Remote::new(
        index,
        settings("weather", &url, pool),
        vec![place],
    ))
}

fn post(key: u64, remote: &Arc<Remote>, body: &str) -> Request {
    Request {
        key: ExchangeKey(key),
        remote: Arc::clone(remote),
        place: 0,
        verb: Verb::Post,
        endpoint: None,
        head: HeadFacts::default(),
        body: body.as_bytes().to_vec(),
        is_long: false,
        call_ms: 60_000,
    }
}

fn listen(key: u64, remote: &Arc<Remote>) -> Request {
    Request {
        verb: Verb::Get,
        is_long: true,
        ..post(key, remote, "")
    }
}

/// An answer with a JSON body.
fn json(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head of a stream of events that ends with its connection.
const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// A thread: ring, table, time, and what was told.
struct Thread {
    ring: SimRing,
    network: SimNetwork,
    transport: Transport,
    buffers: BufferPool,
    now_ms: u64,
    told: Vec<Told>,
}

impl Thread {
    fn new() -> Self {
        Self::with(1, Faults::none())
    }

    fn with(seed: u64, faults: Faults) -> Self {
        let ring = SimRing::new(seed, faults);
        let buffers = BufferPool::with_limit(64 << 20);
        Self {
            network: ring.network(),
            ring,
            transport: Transport::new(options(buffers.clone())),
            buffers,
            now_ms: 1_000,
            told: Vec::new(),
        }
    }

    fn begin(&mut self, request: Request) {
        self.transport.begin(&mut self.ring, request, self.now_ms);
    }

    /// One turn, as a shard makes it.
    fn step(&mut self) {
        let mut completions = Vec::new();
        self.ring.turn(&mut completions).unwrap();
        let told_here = &mut self.told;
        let mut sink = |event: TransportEvent<'_>| told_here.push(told(event));
        for completion in completions {
            if self.transport.owns(socket_of(&completion)) {
                self.transport
                    .complete(&mut self.ring, completion, self.now_ms, &mut sink);
            }
        }
        self.transport.flush(&mut self.ring, self.now_ms, &mut sink);
    }

    /// Turns until nothing more happens.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..20_000 {
            self.step();
            // A receive that found no buffer is armed again in a later turn, and may find none again.
            quiet = if self.ring.is_quiescent() {
                quiet + 1
            } else {
                0
            };
            if quiet == 12 {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", self.transport.stats());
    }

    /// Time passes.
    fn wait(&mut self, ms: u64) {
        self.settle();
        self.now_ms += ms;
        let told_here = &mut self.told;
        self.transport
            .sweep(&mut self.ring, self.now_ms, &mut |event| {
                told_here.push(told(event));
            });
        self.settle();
    }

    /// What was told since the last time.
    fn take(&mut self) -> Vec<Told> {
        self.settle();
        std::mem::take(&mut self.told)
    }

    /// Nothing is left: no socket, no buffer, no count.
    fn is_gone(&mut self) {
        self.transport.drain(&mut self.ring, self.now_ms);
        self.settle();
        self.wait(5_000);
        assert!(self.transport.is_idle(), "{:?}", self.transport.stats());
        let stats = self.transport.stats();
        assert_eq!(
            (
                stats.open,
                stats.idle,
                stats.waiting,
                stats.long,
                stats.streams
            ),
            (0, 0, 0, 0, 0)
        );
        assert_eq!(self.transport.pool_counts(), (0, 0));
        assert_eq!(self.ring.open_sockets(), 0);
        assert_eq!(self.network.open_descriptors(), 0);
        assert_eq!(self.buffers.stats().checked_out, 0);
        assert_eq!(self.ring.stats().buffers_out, 0);
    }
}

fn socket_of(completion: &Completion) -> crate::ring::SocketKey {
    match completion {
        Completion::Connected { socket }
        | Completion::Received { socket, .. }
        | Completion::EndOfStream { socket }
        | Completion::Failed { socket, .. }
        | Completion::Sent { socket }
        | Completion::Closed { socket } => *socket,
        other => panic!("{other:?}"),
    }
}

impl Transport {
    /// Connections of pools that are in use, and exchanges that are known.
    fn pool_counts(&self) -> (usize, usize) {
        let in_use = self.origins.iter().map(|origin| origin.pool.in_use()).sum();
        (in_use, self.exchanges.len())
    }
}

/// A descriptor to be adopted; the simulation does not use it.
fn descriptor() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}
