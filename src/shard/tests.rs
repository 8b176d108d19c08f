//! The real connection code on a simulated kernel with a simulated clock: every fault that a kernel or a network may show, from a
//! seed that replays it.

use std::sync::{Arc, OnceLock};

use crate::catalog::Catalog;
use crate::component::{Component, Runtime, RuntimeOptions};
use crate::limits::Limits;
use crate::mcp::{HostRules, Principal, SessionId, Sessions};
use crate::mem::ByteBudget;
use crate::ring::sim::Random;
use crate::ring::{Faults, Ring, RingOptions, SimClient, SimNetwork, SimRing};

use super::{Message, Service, ServiceOptions, Shard, Shared, Snapshot, Turn, Word};

mod mail;
mod streams;
mod tls;

// The tests of components use more of it, and keep it.
#[allow(dead_code, clippy::duplicate_mod)]
#[path = "../component/tests/hosted.rs"]
mod hosted;

#[path = "../../tests/harness/guests.rs"]
mod guests;

/// One runtime for all tests: making one reserves address space.
fn runtime() -> &'static (Arc<Runtime>, Vec<Arc<Component>>) {
    static RUNTIME: OnceLock<(Arc<Runtime>, Vec<Arc<Component>>)> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = Runtime::new(&Limits::default(), RuntimeOptions::default()).unwrap();
        let mut components = runtime.load_demo().unwrap();
        components.push(runtime.load("everything", &guests::everything()).unwrap());
        (runtime, components)
    })
}

struct World {
    shard: Shard<SimRing>,
    network: SimNetwork,
    now_ms: u64,
}

impl World {
    fn new(seed: u64, faults: Faults, limits: Limits) -> Self {
        Self::of(0, seed, faults, Self::shared(limits, 1))
    }

    fn shared(limits: Limits, shard_count: usize) -> Arc<Shared> {
        let (runtime, components) = runtime();
        let sessions = Sessions::of(&limits);
        let snapshot = Snapshot {
            catalog: Catalog::build(components, 1, 500),
            hosts: HostRules::loopback(),
        };
        Arc::new(Shared::new(
            limits,
            snapshot,
            sessions,
            Arc::clone(runtime),
            shard_count,
        ))
    }

    /// Shard `index` of those that share this.
    fn of(index: usize, seed: u64, faults: Faults, shared: Arc<Shared>) -> Self {
        // Few and small buffers, so that running out of them is part of the test.
        let ring_options = RingOptions {
            receive_buffer_count: 8,
            receive_buffer_bytes: 256,
            ..RingOptions::default()
        };
        Self::on(index, seed, faults, shared, ring_options)
    }

    fn on(
        index: usize,
        seed: u64,
        faults: Faults,
        shared: Arc<Shared>,
        ring_options: RingOptions,
    ) -> Self {
        let budget = ByteBudget::new(shared.limits.buffer_pool_bytes_max);
        let options = ServiceOptions {
            buffers: budget,
            access_log: None,
            audit: None,
        };
        let mut ring = SimRing::with_options(seed, faults, ring_options);
        let network = ring.network();
        ring.listen_virtual();
        Self {
            shard: Shard::new(ring, Service::new(index, shared, options)),
            network,
            now_ms: 0,
        }
    }

    fn turn(&mut self) -> Turn {
        self.shard
            .turn(self.now_ms)
            .expect("the simulated ring never breaks")
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn();
        }
    }

    fn connect(&mut self) -> SimClient {
        for _ in 0..10_000 {
            if let Some(client) = self.network.connect() {
                return client;
            }
            self.turn();
        }
        panic!("the network takes no connection");
    }

    /// Lets the virtual time pass in steps in which the shard's sweep sees every connection.
    fn pass(&mut self, milliseconds: u64) {
        let until_ms = self.now_ms + milliseconds;
        while self.now_ms < until_ms {
            self.now_ms += 50;
            self.turns(4);
        }
    }
}

fn call(id: u64, text: &str) -> Vec<u8> {
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"text\":\"{text}\"}},\
         \"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}"
    );
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: echo\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Splits what a client got into the texts of its answers; panics on anything that is not one.
fn answers(bytes: &[u8]) -> Vec<(u64, String)> {
    let mut rest = std::str::from_utf8(bytes).unwrap();
    let mut found = Vec::new();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length:"))
            .expect("a length")
            .trim();
        let Some((body, next)) = after.split_at_checked(length.parse().unwrap()) else {
            break;
        };
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        let text = value["result"]["structuredContent"]["result"]
            .as_str()
            .expect(body);
        found.push((value["id"].as_u64().unwrap(), text.to_owned()));
        rest = next;
    }
    found
}

struct Talker {
    client: SimClient,
    unsent: Vec<u8>,
    expected: Vec<(u64, String)>,
}

/// Clients that send their requests in random pieces. Returns what each got and should have got.
fn converse(
    world: &mut World,
    random: &mut Random,
    client_count: u64,
    request_count: u64,
) -> Vec<Talker> {
    let mut talkers: Vec<Talker> = (0..client_count)
        .map(|number| {
            let client = world.connect();
            let mut unsent = Vec::new();
            let mut expected = Vec::new();
            for id in 0..request_count {
                // Everybody uses the same ids: only the text tells whose answer it is.
                let padding = "x".repeat(random.below(700) as usize);
                let text = format!("client {number} request {id} {padding}");
                unsent.extend(call(id, &text));
                expected.push((id, text));
            }
            Talker {
                client,
                unsent,
                expected,
            }
        })
        .collect();
    for _ in 0..200_000 {
        let index = random.below(client_count) as usize;
        let talker = &mut talkers[index];
        if !talker.unsent.is_empty() {
            let piece = 1 + random.below(talker.unsent.len().min(600) as u64) as usize;
            talker.client.write(&talker.unsent[..piece]);
            talker.unsent.drain(..piece);
        }
        world.turn();
        let done = |talker: &Talker| {
            talker.client.is_closed()
                || talker.unsent.is_empty() && answers_len(talker) == talker.expected.len()
        };
        if talkers.iter().all(done) {
            break;
        }
    }
    // The last answers may still be on their way in pieces.
    world.network.set_faults(Faults::none());
    world.turns(2_000);
    talkers
}

fn answers_len(talker: &Talker) -> usize {
    let bytes = talker.client.received();
    bytes
        .windows(9)
        .filter(|window| window == b"HTTP/1.1 ")
        .count()
}

/// Everything is given back once the clients are gone.
fn comes_to_rest(world: &mut World, seed: u64) {
    world.network.set_faults(Faults::none());
    for _ in 0..200 {
        world.pass(1_000);
        if world.shard.open_connections() == 0 {
            break;
        }
    }
    assert_eq!(
        world.shard.open_connections(),
        0,
        "seed {seed}: a connection was never closed"
    );
    world.turns(50);
    let stats = world.shard.ring_mut().stats();
    assert_eq!(
        stats.buffers_out, 0,
        "seed {seed}: a receive buffer is not home"
    );
    assert_eq!(
        world.shard.service().buffers.stats().checked_out,
        0,
        "seed {seed}: a buffer is not home"
    );
    assert_eq!(
        world.shard.service().shared.connections.taken(),
        0,
        "seed {seed}: the gate was not left"
    );
}

/// A host that sleeps, or whose clock is set, is no reason to take a token for longer than it says.
#[test]
fn the_hosts_clock_is_followed_and_not_only_where_it_began() {
    let mut world = World::new(1, Faults::none(), Limits::default());
    world.shard.service.fall_back();
    let before = world.shard.service.unix_s();
    world.pass(1_000);
    let after = world.shard.service.unix_s();
    assert!(after >= before + 3_600, "{before} {after}");
}

#[test]
fn every_request_is_answered_in_order_whatever_the_kernel_does() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, Faults::survivable(seed), Limits::default());
        let talkers = converse(&mut world, &mut random, 5, 6);
        for talker in &talkers {
            assert_eq!(
                answers(&talker.client.received()),
                talker.expected,
                "seed {seed}"
            );
            talker.client.close();
        }
        comes_to_rest(&mut world, seed);
    }
}

#[test]
fn a_broken_connection_never_gets_or_gives_another_ones_answer() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, Faults::all(seed), Limits::default());
        let talkers = converse(&mut world, &mut random, 5, 6);
        for talker in &talkers {
            let got = answers(&talker.client.received());
            assert_eq!(got[..], talker.expected[..got.len()], "seed {seed}");
            talker.client.close();
        }
        comes_to_rest(&mut world, seed);
    }
}

#[test]
fn a_slow_header_client_is_closed_at_its_deadline() {
    let limits = Limits {
        head_deadline: std::time::Duration::from_secs(10),
        ..Limits::default()
    };
    let mut world = World::new(1, Faults::none(), limits);
    let client = world.connect();
    let bytes = call(1, "slow");
    for byte in bytes.iter().take(9) {
        client.write(&[*byte]);
        world.pass(1_000);
        assert!(
            !client.is_closed(),
            "one byte a second is within the deadline for a while"
        );
    }
    world.pass(2_000);
    assert!(
        client.received().starts_with(b"HTTP/1.1 408 "),
        "{:?}",
        String::from_utf8_lossy(&client.received())
    );
    client.close();
    comes_to_rest(&mut world, 1);
}

#[test]
fn an_idle_connection_pins_no_buffer() {
    let mut world = World::new(2, Faults::none(), Limits::default());
    let clients: Vec<SimClient> = (0..100).map(|_| world.connect()).collect();
    for client in &clients {
        client.write(&call(1, "once"));
        world.turns(20);
    }
    world.turns(200);
    assert!(
        clients
            .iter()
            .all(|client| answers(&client.received()).len() == 1)
    );
    assert_eq!(world.shard.ring_mut().stats().buffers_out, 0);
    assert_eq!(world.shard.service().buffers.stats().checked_out, 0);
}

#[test]
fn the_connection_over_the_limit_is_told_so() {
    let limits = Limits {
        connection_count_max: 2,
        ..Limits::default()
    };
    let mut world = World::new(3, Faults::none(), limits);
    let clients: Vec<SimClient> = (0..3).map(|_| world.connect()).collect();
    world.turns(50);
    let refused = clients
        .iter()
        .filter(|client| client.received().starts_with(b"HTTP/1.1 503 "))
        .count();
    assert_eq!(refused, 1);
    for client in &clients {
        client.close();
    }
    comes_to_rest(&mut world, 3);
}

#[test]
fn a_drain_ends_once_everything_is_answered() {
    let mut world = World::new(4, Faults::none(), Limits::default());
    let idle = world.connect();
    let busy = world.connect();
    let bytes = call(7, "last");
    busy.write(&bytes[..40]);
    world.turns(20);
    world.shard.service().shared.drain();
    world.turns(20);
    assert!(
        idle.is_closed(),
        "a connection without a request is closed at once"
    );
    busy.write(&bytes[40..]);
    world.turns(50);
    let text = String::from_utf8(busy.received()).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200 ")
            && text.to_ascii_lowercase().contains("connection: close"),
        "{text}"
    );
    busy.close();
    let drained = (0..100).any(|_| {
        world.now_ms += 50;
        world.turn() == Turn::Drained
    });
    assert!(drained);
}

#[test]
fn a_peer_that_does_not_read_is_closed_at_the_write_deadline() {
    let mut world = World::new(5, Faults::none(), Limits::default());
    let client = world.connect();
    client.set_window(Some(64));
    for id in 0..3 {
        client.write(&call(id, "unread"));
    }
    world.turns(100);
    assert!(!client.is_closed());
    world.pass(31_000);
    assert!(
        client.is_closed(),
        "nothing was taken for longer than limits.write_deadline"
    );
    client.close();
    comes_to_rest(&mut world, 5);
}
