//! The scripted server over HTTP: one thread for each connection, on loopback.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::brain::{Brain, Outcome, QUEUE_MAX, Voice, acknowledged, tagged};
use super::faults::Fault;
use super::journal::{self, Journal};
use super::wire::{Reply, Request, Wire, whole};
use super::{Script, Speaks};

/// How it treats whatever comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Good,
    /// Connections are reset as soon as a request has come.
    Reset,
    /// Nothing is answered.
    Stall,
    /// This status to everything.
    Status(u16),
    /// What is no HTTP to everything.
    Noise,
}

#[derive(Default)]
struct Shared {
    mode: Mutex<Mode>,
    open: Mutex<HashMap<u64, TcpStream>>,
    accepted: AtomicU64,
    /// Streams of sessions of the old transport, by session.
    old_streams: Mutex<HashMap<String, std::sync::mpsc::SyncSender<Value>>>,
}

/// A running server; it ends, and says what it has to complain of, when it is dropped.
pub struct HttpUpstream {
    pub address: SocketAddr,
    pub brain: Arc<Brain>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl HttpUpstream {
    pub fn start(script: Script) -> Self {
        Self::at(script, 0)
    }

    /// At this port of loopback: where another was before.
    pub fn at(script: Script, port: u16) -> Self {
        let until = Instant::now() + Duration::from_secs(10);
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port)) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < until, "port {port}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let address = listener.local_addr().unwrap();
        let brain = Arc::new(Brain::new(script, Journal::in_memory()));
        let shared = Arc::new(Shared::default());
        let acceptor = {
            let (brain, shared) = (Arc::clone(&brain), Arc::clone(&shared));
            std::thread::spawn(move || accept(&listener, &brain, &shared))
        };
        Self {
            address,
            brain,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let path = if self.brain.script.speaks == Speaks::Old {
            "sse"
        } else {
            "mcp"
        };
        format!("http://{}/{path}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
        // Who waits on a stream or a stalled answer sees it at once.
        if mode != Mode::Good {
            self.cut();
        }
    }

    /// Ends every connection.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn entries(&self) -> Vec<Value> {
        self.brain.journal.entries()
    }

    /// The messages of this method that came.
    pub fn messages(&self, method: &str) -> Vec<Value> {
        journal::messages(&self.entries(), method)
    }

    pub fn notes(&self, note: &str) -> Vec<Value> {
        journal::notes(&self.entries(), note)
    }

    /// Ends it: nobody listens on the port, and every connection is closed.
    pub fn stop(mut self) -> (Script, u16) {
        self.end();
        (self.brain.script.clone(), self.address.port())
    }

    fn end(&mut self) {
        self.brain.stopping.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = TcpStream::connect(self.address);
            acceptor.join().unwrap();
        }
        self.cut();
    }
}

impl Drop for HttpUpstream {
    fn drop(&mut self) {
        self.end();
        let complaints = self.brain.complaints();
        // What broke off a test is worth more than what it left behind.
        assert!(
            std::thread::panicking() || complaints.is_empty(),
            "{}: {complaints:#?}",
            self.brain.script.name
        );
    }
}

fn accept(listener: &TcpListener, brain: &Arc<Brain>, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if brain.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
        if let Ok(copy) = stream.try_clone() {
            shared.open.lock().unwrap().insert(number, copy);
        }
        let (brain, shared) = (Arc::clone(brain), Arc::clone(shared));
        std::thread::spawn(move || {
            serve(&brain, &shared, &mut Wire::new(stream), number);
            shared.open.lock().unwrap().remove(&number);
        });
    }
}

fn serve(brain: &Arc<Brain>, shared: &Shared, wire: &mut Wire, connection: u64) {
    while let Some(request) = wire.request() {
        brain.journal.note(request.entry(connection));
        let mode = *shared.mode.lock().unwrap();
        let goes_on = match mode {
            Mode::Good => answer(brain, shared, wire, &request),
            Mode::Reset => {
                wire.reset();
                false
            }
            Mode::Stall => {
                stall(brain, wire);
                false
            }
            Mode::Status(status) => {
                wire.answer(status, "Content-Type: text/plain\r\n", b"out of order")
            }
            Mode::Noise => {
                wire.write(b"SSH-2.0-this is no HTTP\r\n\r\n");
                false
            }
        };
        if !goes_on {
            break;
        }
    }
}

fn stall(brain: &Brain, wire: &mut Wire) {
    while !brain.stopping.load(Ordering::Relaxed) && !wire.is_gone() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the connection can be used again.
fn answer(brain: &Arc<Brain>, shared: &Shared, wire: &mut Wire, request: &Request) -> bool {
    let path = request.path.split('?').next().unwrap_or_default();
    match (request.method.as_str(), path) {
        ("GET", "/healthz") => wire.answer(200, "", b"well"),
        ("GET", "/sse") if brain.script.speaks == Speaks::Old => old_stream(brain, shared, wire),
        ("POST", "/messages") => old_message(brain, shared, wire, request),
        ("GET", "/mcp") if brain.script.speaks == Speaks::Legacy => stream(brain, wire, request),
        ("DELETE", "/mcp") if brain.script.speaks == Speaks::Legacy => {
            let ended = request
                .header("mcp-session-id")
                .is_some_and(|session| brain.end_session(session));
            wire.answer(if ended { 200 } else { 404 }, "", b"")
        }
        ("POST", "/mcp") if brain.script.speaks != Speaks::Old => post(brain, wire, request),
        _ => wire.answer(405, "", b"not this way"),
    }
}

/// A stream that tells of changes.
fn stream(brain: &Brain, wire: &mut Wire, request: &Request) -> bool {
    let known = request
        .header("mcp-session-id")
        .is_some_and(|session| brain.session(session).is_some());
    if !known {
        return wire.answer(404, "", b"no such session");
    }
    if let Some(last) = request.header("last-event-id") {
        let owed = brain.owed.lock().unwrap().remove(last);
        wire.begin_events("");
        if let Some(owed) = owed {
            wire.event("id: last\n", &owed);
        }
        return wire.end_events();
    }
    wire.begin_events("");
    follow(brain, wire, None);
    false
}

/// Passes on what is told to everybody, until the client is gone.
fn follow(brain: &Brain, wire: &mut Wire, subscription: Option<&Value>) {
    let (_, told) = brain.listen();
    while !brain.stopping.load(Ordering::Relaxed) && !wire.is_gone() {
        if let Ok(message) = told.recv_timeout(Duration::from_millis(10)) {
            wire.event("", &tagged(message, subscription).to_string());
        }
    }
}

fn post(brain: &Brain, wire: &mut Wire, request: &Request) -> bool {
    let Ok(message) = serde_json::from_slice::<Value>(&request.body) else {
        brain.complain(format!(
            "no JSON: {:?}",
            String::from_utf8_lossy(&request.body)
        ));
        return wire.answer(400, "", b"no JSON");
    };
    let accepts = request.header("accept").unwrap_or_default();
    if !accepts.contains("application/json") || !accepts.contains("text/event-stream") {
        brain.complain(format!("accepts only {accepts}: {message}"));
    }
    let json = "Content-Type: application/json\r\n";
    if brain.is_modern() {
        if let Some(wrong) = super::wire_rules::modern(request, &message) {
            let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": wrong.0, "message": wrong.1,
                "data": {"supported": ["2026-07-28"]}}});
            return wire.answer(wrong.2, json, error.to_string().as_bytes());
        }
    } else if message["method"] == "initialize" {
        // No two are the same, also of servers that follow each other on one port.
        let process = std::process::id();
        let session = format!("{process}-{}-{}", next_session(), brain.script.name);
        let Outcome::Answer(answer) = brain.request(&session, &message, &mut Mute) else {
            unreachable!("a handshake is answered");
        };
        let headers = format!("{json}Mcp-Session-Id: {session}\r\n");
        return wire.answer(200, &headers, answer.as_bytes());
    } else if let Some((status, text)) = super::wire_rules::legacy(brain, request, &message) {
        let error =
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": text}});
        return wire.answer(status, json, error.to_string().as_bytes());
    }
    let session = request.header("mcp-session-id").unwrap_or_default();
    if message["method"].is_null() {
        brain.answered(session, &message);
        return wire.answer(202, "", b"");
    }
    if message["id"].is_null() {
        brain.notified(session, &message);
        return wire.answer(202, "", b"");
    }
    if message["method"] == "subscriptions/listen" && brain.is_modern() {
        return subscription(brain, wire, &message);
    }
    let mut reply = Reply {
        wire,
        is_stream: false,
    };
    if brain.script.events {
        reply.stream();
    }
    let outcome = brain.request(session, &message, &mut reply);
    let is_stream = reply.is_stream;
    match outcome {
        Outcome::Answer(answer) if is_stream => wire.event("", &answer) && wire.end_events(),
        Outcome::Answer(answer) => wire.answer(200, json, answer.as_bytes()),
        Outcome::Faulty(answer, fault) => go_wrong(brain, wire, &answer, &fault, is_stream),
        Outcome::Nothing => false,
    }
}

fn next_session() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn subscription(brain: &Brain, wire: &mut Wire, message: &Value) -> bool {
    wire.begin_events("");
    wire.event("", &acknowledged(message).to_string());
    follow(brain, wire, Some(&message["id"]));
    false
}

/// The stream of the old transport, which names where to post to.
fn old_stream(brain: &Brain, shared: &Shared, wire: &mut Wire) -> bool {
    let session = format!("old-{}", brain.number());
    let (sender, said) = std::sync::mpsc::sync_channel(QUEUE_MAX);
    shared
        .old_streams
        .lock()
        .unwrap()
        .insert(session.clone(), sender);
    wire.begin_events("");
    wire.chunk(format!("event: endpoint\ndata: /messages?session={session}\n\n").as_bytes());
    while !brain.stopping.load(Ordering::Relaxed) && !wire.is_gone() {
        if let Ok(message) = said.recv_timeout(Duration::from_millis(5)) {
            // What is text already is text of a message that must come as it is.
            let text = message
                .as_str()
                .map_or_else(|| message.to_string(), str::to_owned);
            wire.event("", &text);
        }
    }
    shared.old_streams.lock().unwrap().remove(&session);
    brain.end_session(&session);
    false
}

fn old_message(brain: &Arc<Brain>, shared: &Shared, wire: &mut Wire, request: &Request) -> bool {
    let session = request.path.split("session=").nth(1).unwrap_or_default();
    let stream = shared.old_streams.lock().unwrap().get(session).cloned();
    let (Some(stream), Ok(message)) = (stream, serde_json::from_slice::<Value>(&request.body))
    else {
        return wire.answer(404, "", b"no such session");
    };
    if !wire.answer(202, "", b"Accepted") {
        return false;
    }
    if message["method"].is_null() {
        brain.answered(session, &message);
    } else if message["id"].is_null() {
        brain.notified(session, &message);
    } else {
        // The answer comes on the stream: this connection is free for whatever else its client says.
        let (brain, session) = (Arc::clone(brain), session.to_owned());
        std::thread::spawn(move || {
            let mut voice = OnStream(stream.clone());
            if let Outcome::Answer(answer) = brain.request(&session, &message, &mut voice) {
                let _ = stream.send(Value::String(answer));
            }
        });
    }
    true
}

/// Nothing is said before the answer to a handshake.
struct Mute;

impl Voice for Mute {
    fn say(&mut self, message: &Value) {
        panic!("said in a handshake: {message}");
    }

    fn is_gone(&mut self) -> bool {
        false
    }
}

struct OnStream(std::sync::mpsc::SyncSender<Value>);

impl Voice for OnStream {
    fn say(&mut self, message: &Value) {
        let _ = self.0.send(message.clone());
    }

    fn is_gone(&mut self) -> bool {
        false
    }
}

/// Whether the connection can be used again.
fn go_wrong(brain: &Brain, wire: &mut Wire, answer: &str, fault: &Fault, is_stream: bool) -> bool {
    let json = "Content-Type: application/json\r\n";
    if let Some(changed) = fault.changed(answer) {
        return if is_stream {
            wire.event("", &changed) && wire.end_events()
        } else {
            wire.answer(200, json, changed.as_bytes())
        };
    }
    match fault.kind.as_str() {
        "reset" | "close" | "stall" => {
            let all = if is_stream {
                format!(
                    "{:x}\r\nevent: message\ndata: {answer}\n\n\r\n0\r\n\r\n",
                    answer.len() + 23
                )
                .into_bytes()
            } else {
                whole(200, json, answer.as_bytes())
            };
            wire.write(&all[..fault.at.min(all.len())]);
            match fault.kind.as_str() {
                "reset" => wire.reset(),
                "stall" => stall(brain, wire),
                _ => wire.close(),
            }
            return false;
        }
        "noise" => drop(wire.write(b"\x00\x01\x02 no HTTP at all \xff\r\n\r\n")),
        "twice" => {
            if !is_stream {
                wire.begin_events("");
            }
            return wire.event("", answer) && wire.event("", answer) && wire.end_events();
        }
        "twice_http" => {
            let one = whole(200, json, answer.as_bytes());
            return wire.write(&[one.clone(), one].concat());
        }
        "huge" => return huge(wire, fault.at, is_stream),
        "endless" => return endless(brain, wire, is_stream),
        "no_answer" => {
            if !is_stream {
                wire.begin_events("");
            }
            return wire.end_events();
        }
        "accepted" => return wire.answer(202, "", b""),
        "empty" => return wire.answer(200, json, b""),
        "status" => {
            let status = u16::try_from(fault.at).unwrap();
            return wire.answer(status, "Content-Type: text/plain\r\n", b"it broke");
        }
        "redirect" => return wire.answer(307, "Location: http://127.0.0.1:9/elsewhere\r\n", b""),
        "compressed" => {
            let headers = format!("{json}Content-Encoding: gzip\r\n");
            return wire.answer(200, &headers, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03");
        }
        "html" => {
            return wire.answer(
                200,
                "Content-Type: text/html\r\n",
                b"<p>Welcome to the portal",
            );
        }
        "break" => {
            let id = format!("broken-{}", brain.number());
            brain
                .owed
                .lock()
                .unwrap()
                .insert(id.clone(), answer.to_owned());
            if !is_stream {
                wire.begin_events("");
            }
            wire.chunk(format!("id: {id}\nretry: 20\ndata: \n\n").as_bytes());
        }
        kind => panic!("no fault {kind}"),
    }
    false
}

/// So many bytes of a message without an end.
fn huge(wire: &mut Wire, bytes: usize, is_stream: bool) -> bool {
    let opening = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""#;
    if is_stream {
        wire.write(b"7\r\ndata: x\r\n");
    } else {
        wire.write(b"HTTP/1.1 200 Said\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        wire.chunk(opening);
    }
    let block = vec![b'x'; 1 << 20];
    for _ in 0..bytes >> 20 {
        if !wire.chunk(&block) {
            return false;
        }
    }
    wire.end_events()
}

/// Events for as long as somebody listens.
fn endless(brain: &Brain, wire: &mut Wire, is_stream: bool) -> bool {
    if !is_stream {
        wire.begin_events("");
    }
    let mut count = 0_u64;
    while !brain.stopping.load(Ordering::Relaxed) {
        count += 1;
        let message = json!({"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "info", "data": count}});
        if !wire.event("", &message.to_string()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    brain
        .journal
        .note(json!({"note": "endless is over", "count": count}));
    false
}
