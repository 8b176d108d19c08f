//! TLS on the simulated kernel: what arrives is what was said however it was cut, and who does not speak it, or too slowly, costs
//! nobody anything.

use std::io::{Read, Write};
use std::time::Duration;

use rustls::{AlertDescription, ClientConfig, ClientConnection, Error};

use super::*;
use crate::metrics::Counter;
use crate::shard::{TlsListener, TlsSetup};
use authority::{Authority, server};

#[allow(dead_code, clippy::duplicate_mod)]
#[path = "../../../tests/harness/authority.rs"]
mod authority;

mod certificates;
mod ends;
mod handshakes;
mod memory;

/// A shard that speaks TLS, and who signed its certificate.
struct Secure {
    world: World,
    authority: Authority,
    listener: Arc<TlsListener>,
}

impl Secure {
    fn new(seed: u64, faults: Faults, limits: Limits) -> Self {
        Self::asking(seed, faults, limits, None)
    }

    /// One that asks its clients for certificates of this authority, and perhaps needs them.
    fn asking(
        seed: u64,
        faults: Faults,
        limits: Limits,
        clients: Option<(&Authority, bool)>,
    ) -> Self {
        let authority = Authority::new();
        let listener = Arc::new(TlsListener::new(setup(&authority, clients)));
        let shared = Arc::into_inner(World::shared(limits, 1)).expect("nobody else has it yet");
        let shared = Arc::new(shared.with_tls(Arc::clone(&listener)));
        Self {
            world: World::of(0, seed, faults, shared),
            authority,
            listener,
        }
    }

    fn calm() -> Self {
        Self::new(1, Faults::none(), Limits::default())
    }

    fn connect(&mut self) -> Client {
        let config = self.authority.client();
        self.connect_as(config)
    }

    fn connect_as(&mut self, config: Arc<ClientConfig>) -> Client {
        Client {
            socket: self.world.connect(),
            tls: client(config),
            got: Vec::new(),
            failed: None,
            piece_bytes: usize::MAX,
        }
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.world.shard.service().metrics.counter(counter)
    }

    /// A client whose handshake is over.
    fn connected(&mut self) -> Client {
        let mut client = self.connect();
        client.talk(&mut self.world);
        assert!(!client.tls.is_handshaking());
        client
    }
}

fn setup(authority: &Authority, clients: Option<(&Authority, bool)>) -> TlsSetup {
    let clients = clients.map(|(clients, required)| clients.verifier(required));
    TlsSetup {
        config: Arc::new(server(&authority.sign("localhost"), clients.clone())),
        clients,
        expires_unix_s: None,
    }
}

fn client(config: Arc<ClientConfig>) -> ClientConnection {
    let mut tls = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    tls.set_buffer_limit(None);
    tls
}

/// The client's side of one connection.
struct Client {
    socket: SimClient,
    tls: ClientConnection,
    got: Vec<u8>,
    failed: Option<Error>,
    /// How its bytes are cut.
    piece_bytes: usize,
}

impl Client {
    fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
    }

    /// Takes in what came; what is to be sent.
    fn hear(&mut self) -> Vec<u8> {
        let came = self.socket.take();
        let mut input = came.as_slice();
        while !input.is_empty() && self.failed.is_none() {
            self.tls.read_tls(&mut input).unwrap();
            if let Err(error) = self.tls.process_new_packets() {
                self.failed = Some(error);
            }
            let _ = self.tls.reader().read_to_end(&mut self.got);
        }
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).unwrap();
        }
        out
    }

    /// Moves bytes both ways until nothing moves. A call may have left for a worker, which takes real time.
    fn talk(&mut self, world: &mut World) {
        let mut quiet = 0;
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while quiet < 60 {
            let before = self.got.len();
            let out = self.hear();
            quiet += 1;
            if !out.is_empty() || self.got.len() > before {
                quiet = 0;
            }
            if world.calls() > 0 {
                assert!(std::time::Instant::now() < end, "a call never ends");
                std::thread::sleep(Duration::from_micros(50));
                quiet = 0;
            }
            for piece in out.chunks(self.piece_bytes) {
                self.socket.write(piece);
                world.turns(2);
            }
            world.turns(2);
        }
    }

    fn ask(&mut self, world: &mut World, bytes: &[u8]) -> String {
        self.say(bytes);
        self.talk(world);
        String::from_utf8(std::mem::take(&mut self.got)).unwrap()
    }

    /// Talks until a condition holds.
    fn until(&mut self, world: &mut World, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            assert!(
                std::time::Instant::now() < end,
                "never happened: {what}; {:?}",
                self.failed
            );
            self.talk(world);
        }
    }

    /// Whether the server has said that it will send no more.
    fn is_told_the_end(&mut self) -> bool {
        let state = self.tls.process_new_packets();
        state.is_ok_and(|state| state.peer_has_closed())
    }

    /// Why the server gave it up.
    fn alert(&self) -> Option<AlertDescription> {
        match self.failed {
            Some(Error::AlertReceived(alert)) => Some(alert),
            _ => None,
        }
    }
}

fn texts(count: u64, padding: usize) -> Vec<(u64, String)> {
    let padding = "x".repeat(padding);
    (0..count)
        .map(|id| (id, format!("request {id} {padding}")))
        .collect()
}

#[test]
fn requests_are_answered_however_their_records_are_cut() {
    for version in rustls::ALL_VERSIONS {
        for piece_bytes in [1, 2, 3, 5, 16, 21, 22, 200, 256, 257, 4_000, usize::MAX] {
            let mut secure = Secure::calm();
            let config = secure
                .authority
                .client_with(&[version], &["http/1.1"], None);
            let mut client = secure.connect_as(config);
            client.piece_bytes = piece_bytes;
            for (id, text) in texts(3, 600) {
                let got = client.ask(&mut secure.world, &call(id, &text));
                assert_eq!(
                    answers(got.as_bytes()),
                    [(id, text)],
                    "pieces of {piece_bytes}"
                );
            }
            client.socket.close();
            comes_to_rest(&mut secure.world, 1);
        }
    }
}

#[test]
fn every_request_is_answered_in_order_over_tls_whatever_the_kernel_does() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut secure = Secure::new(seed, Faults::survivable(seed), Limits::default());
        let mut clients: Vec<Client> = (0..4).map(|_| secure.connect()).collect();
        let expected = texts(5, 100 + random.below(900) as usize);
        for client in &mut clients {
            client.piece_bytes = 1 + random.below(700) as usize;
            for (id, text) in &expected {
                client.say(&call(*id, text));
            }
        }
        for _ in 0..4 {
            for client in &mut clients {
                client.talk(&mut secure.world);
            }
        }
        for client in &clients {
            assert_eq!(answers(&client.got), expected, "seed {seed}");
            client.socket.close();
        }
        comes_to_rest(&mut secure.world, seed);
    }
}

#[test]
fn a_broken_connection_over_tls_gives_everything_back() {
    for seed in 0..40 {
        let mut secure = Secure::new(seed, Faults::all(seed), Limits::default());
        let mut clients: Vec<Client> = (0..4).map(|_| secure.connect()).collect();
        let expected = texts(4, 300);
        for client in &mut clients {
            client.piece_bytes = 100;
            for (id, text) in &expected {
                client.say(&call(*id, text));
            }
            client.talk(&mut secure.world);
        }
        for client in &clients {
            let got = answers(&client.got);
            assert_eq!(got[..], expected[..got.len()], "seed {seed}");
            client.socket.close();
        }
        comes_to_rest(&mut secure.world, seed);
    }
}

#[test]
fn large_bodies_and_answers_pass() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    for bytes in [16_000, 16_384, 16_385, 100_000, 1 << 20] {
        let text = "y".repeat(bytes);
        client.say(&call(1, &text));
        client.until(&mut secure.world, "the answer is whole", |client| {
            answers(&client.got).len() == 1
        });
        assert!(answers(&std::mem::take(&mut client.got)) == [(1, text)]);
    }
    assert_eq!(secure.world.shard.service().buffers.stats().checked_out, 0);
}

#[test]
fn pipelined_requests_in_one_record_are_answered_in_order() {
    let mut secure = Secure::calm();
    let mut client = secure.connect();
    let expected = texts(40, 10);
    let bytes: Vec<u8> = expected
        .iter()
        .flat_map(|(id, text)| call(*id, text))
        .collect();
    let got = client.ask(&mut secure.world, &bytes);
    assert_eq!(answers(got.as_bytes()), expected);
}

/// A modern listener's request.
fn listen() -> Vec<u8> {
    let body = r#"{"jsonrpc":"2.0","id":9,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{
        "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n";
    streams::raw_post(headers, body)
}

#[test]
fn a_stream_over_tls_is_whole_and_hears_its_readers_words() {
    for seed in 0..10 {
        let mut secure = Secure::new(seed, Faults::survivable(seed), Limits::default());
        let mut client = secure.connected();
        client.say(&listen());
        client.until(&mut secure.world, "the stream begins", |client| {
            client.got.ends_with(b"\n\n")
        });
        for _ in 0..5 {
            // New keys in the middle of a stream are no request.
            client.tls.refresh_traffic_keys().unwrap();
            client.talk(&mut secure.world);
            secure.world.pass(16_000);
        }
        let shared = Arc::clone(&secure.world.shard.service().shared);
        shared.list_changed(crate::mcp::List::Tools);
        client.talk(&mut secure.world);
        let text = String::from_utf8(client.got.clone()).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert_eq!(text.matches(": keep-alive").count(), 5, "{text}");
        assert_eq!(text.matches("tools/list_changed").count(), 1, "{text}");
        // Its reader's goodbye ends it.
        client.tls.send_close_notify();
        client.until(
            &mut secure.world,
            "the stream ends",
            Client::is_told_the_end,
        );
        client.socket.close();
        comes_to_rest(&mut secure.world, seed);
        assert_eq!(shared.streams.taken(), 0);
    }
}

#[test]
fn a_call_that_speaks_before_its_answer_is_heard_in_order() {
    for seed in 0..10 {
        let mut secure = Secure::new(seed, Faults::survivable(seed), Limits::default());
        let mut client = secure.connect();
        client.say(&streams::modern_call("say", 7, "over TLS"));
        client.until(&mut secure.world, "the answer is there", |client| {
            let text = String::from_utf8_lossy(&client.got);
            text.contains("\"id\":7,\"result\"") && text.ends_with("\n\n")
        });
        let text = String::from_utf8(client.got.clone()).unwrap();
        assert_eq!(text.matches("notifications/progress").count(), 2, "{text}");
        assert!(text.contains("over TLS"), "{text}");
        client.socket.close();
        secure
            .world
            .until("the calls end", |world| world.calls() == 0);
        comes_to_rest(&mut secure.world, seed);
    }
}

#[test]
fn new_keys_are_taken_at_any_time() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    for (id, text) in texts(5, 10) {
        client.tls.refresh_traffic_keys().unwrap();
        let got = client.ask(&mut secure.world, &call(id, &text));
        assert_eq!(answers(got.as_bytes()), [(id, text)]);
    }
}

#[test]
fn an_idle_connection_over_tls_pins_no_buffer() {
    let mut secure = Secure::calm();
    let mut clients: Vec<Client> = (0..50).map(|_| secure.connected()).collect();
    for client in &mut clients {
        let got = client.ask(&mut secure.world, &call(1, "once"));
        assert_eq!(answers(got.as_bytes()).len(), 1);
    }
    assert_eq!(secure.world.shard.ring_mut().stats().buffers_out, 0);
    assert_eq!(secure.world.shard.service().buffers.stats().checked_out, 0);
}
