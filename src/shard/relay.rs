//! A home on its thread: what its state machine wants done is done here, on the shard's ring.

use std::collections::HashMap;
use std::sync::Arc;

use crate::component::{Outbox, Outgoing, RemoteQuestion};
use crate::gateway::{
    Action, AskClient, AskKey, CallerKey, Done, Gateway, GatewayOptions, Word, text,
};
use crate::mcp::{List, Principal, SessionId, reply};
use crate::mem::BufferPool;
use crate::ring::{Completion, Ring, SocketKey};
use crate::upstream::http::ClientLimits;
use crate::upstream::transport::{Transport, TransportOptions};
use crate::wire::chunked::ChunkLimits;
use crate::wire::http1::HeadLimits;

use super::Shared;

/// How long what is left to be said to upstreams may take at the end.
const FAREWELL_MS: u64 = 500;
/// Between two notes of numbers.
const NUMBERS_MS: u64 = 250;

/// A home.
pub(super) struct Relay {
    shared: Arc<Shared>,
    port: u16,
    gateway: Gateway,
    transport: Transport,
    questions: HashMap<u64, Question>,
    /// Calls of this thread that have ended.
    done: Vec<(u64, Done)>,
    /// When everything that is left is given up, once it has begun to end.
    farewell_ms: Option<u64>,
    numbers_ms: u64,
}

/// A question in a client's hands.
struct Question {
    open: RemoteQuestion,
    outbox: Arc<Outbox>,
}

impl Relay {
    /// The home on the thread of this port; none where it is not to be one.
    pub(super) fn new(
        shared: &Arc<Shared>,
        port: usize,
        buffers: &BufferPool,
        head: HeadLimits,
        chunk: ChunkLimits,
    ) -> Option<Self> {
        let upstreams = shared.upstreams()?;
        let port = u16::try_from(port)
            .ok()
            .filter(|port| upstreams.homes.contains(port))?;
        let client = ClientLimits {
            head,
            body_bytes_max: shared.limits.body_bytes_max,
            chunk_overhead_bytes_max: chunk.overhead_bytes_max,
        };
        let seed = random();
        let gateway = Gateway::new(
            &upstreams.remotes,
            GatewayOptions {
                port,
                homes: upstreams.homes.clone(),
                limits: shared.limits.clone(),
                seed,
                task_key: shared.task_key(),
                audit: shared.audit.clone(),
            },
        );
        let mut transport = Transport::new(TransportOptions::new(client, buffers.clone(), seed));
        for remote in &upstreams.remotes {
            transport.expect(remote);
        }
        Some(Self {
            shared: Arc::clone(shared),
            port,
            gateway,
            transport,
            questions: HashMap::new(),
            done: Vec::new(),
            farewell_ms: None,
            numbers_ms: 0,
        })
    }

    /// Whether this socket leads to an upstream.
    pub(super) fn owns(&self, socket: SocketKey) -> bool {
        self.transport.owns(socket)
    }

    /// Something has happened on such a socket.
    pub(super) fn complete(&mut self, ring: &mut impl Ring, completion: Completion, now_ms: u64) {
        let gateway = &mut self.gateway;
        gateway.set_now(now_ms);
        self.transport
            .complete(ring, completion, now_ms, &mut |event| gateway.take(event));
    }

    /// Takes a word of another thread, or of control.
    pub(super) fn hear(&mut self, word: Word, now_ms: u64) {
        self.gateway.set_now(now_ms);
        self.gateway.hear(word);
    }

    /// Does what is to be done; whether anything was.
    pub(super) fn turn(&mut self, ring: &mut impl Ring, now_ms: u64) -> bool {
        let mut busy = false;
        self.gateway.set_now(now_ms);
        self.gateway.sweep();
        let gateway = &mut self.gateway;
        self.transport
            .sweep(ring, now_ms, &mut |event| gateway.take(event));
        loop {
            let mut acted = false;
            while let Some(action) = self.gateway.next_action() {
                acted = true;
                self.act(ring, action, now_ms);
            }
            let gateway = &mut self.gateway;
            self.transport
                .flush(ring, now_ms, &mut |event| gateway.take(event));
            if !acted {
                break;
            }
            busy = true;
        }
        self.note_numbers(now_ms);
        busy
    }

    /// The calls of this thread that have ended since the last time.
    pub(super) fn take_done(&mut self) -> Vec<(u64, Done)> {
        std::mem::take(&mut self.done)
    }

    /// Ends everything, once no call is left, or at the latest when `is_late`; whether it has ended.
    pub(super) fn say_farewell(
        &mut self,
        ring: &mut impl Ring,
        is_late: bool,
        now_ms: u64,
    ) -> bool {
        // Others may still have calls for this home.
        let is_alone = self.shared.connections.taken() == 0 && self.gateway.call_count() == 0;
        let until_ms = match self.farewell_ms {
            Some(until_ms) => until_ms,
            None if is_alone || is_late => {
                self.gateway.set_now(now_ms);
                self.gateway.end_all();
                self.turn(ring, now_ms);
                *self.farewell_ms.insert(now_ms + FAREWELL_MS)
            }
            None => return false,
        };
        self.turn(ring, now_ms);
        self.transport.drain(ring, now_ms);
        self.transport.is_idle() || now_ms >= until_ms
    }

    fn act(&mut self, ring: &mut impl Ring, action: Action, now_ms: u64) {
        match action {
            Action::Exchange(request) => self.transport.begin(ring, *request, now_ms),
            Action::Abandon(key) => self.transport.abandon(ring, key, now_ms),
            Action::Pause(key) => self.transport.pause(ring, key),
            Action::Resume(key) => self.transport.resume(ring, key, now_ms),
            Action::Adopt(stream, descriptor, burst) => {
                if let Err(error) = self.transport.adopt(ring, stream, descriptor) {
                    tracing::error!(%error, "a child's stream cannot be taken over");
                    let why = format!("its stream cannot be taken over: {error}");
                    self.gateway
                        .take(crate::upstream::transport::TransportEvent::StreamEnded {
                            stream,
                            why: &why,
                        });
                }
                self.transport.set_burst(stream, burst);
            }
            Action::Line(stream, line, slot) => {
                if self.transport.write_line(stream, &line).is_err()
                    && let Some(slot) = slot
                {
                    self.gateway.line_refused(slot);
                }
            }
            Action::EndInput(stream) => self.transport.shutdown_stream(ring, stream),
            Action::CloseStream(stream) => self.transport.close_stream(ring, stream),
            Action::Done(caller, done) => self.finish(caller, done),
            Action::Ask(ask) => self.ask(*ask),
            Action::Unask { number, tells } => self.unask(number, tells),
            Action::Tell(session, principal, message) => self.tell(session, principal, &message),
            Action::Updated(uri) => self.shared.resource_updated(&uri),
            Action::Changed(remote, list) => self.pass_on_change(remote, list),
            Action::News(news) => {
                if let Some(upstreams) = self.shared.upstreams() {
                    upstreams.control.news(news);
                }
            }
            Action::Credential(want) => {
                if let Some(upstreams) = self.shared.upstreams() {
                    upstreams.control.want(*want);
                }
            }
            Action::Order(order) => {
                if let Some(upstreams) = self.shared.upstreams() {
                    upstreams.control.order(order);
                }
            }
        }
    }

    fn finish(&mut self, caller: CallerKey, done: Done) {
        if caller.port == self.port {
            self.done.push((caller.ticket, done));
        } else {
            let word = Word::Done {
                ticket: caller.ticket,
                done,
            };
            self.shared.hand(caller.port, word);
        }
    }

    fn pass_on_change(&mut self, remote: usize, list: Option<List>) {
        let Some(upstreams) = self.shared.upstreams() else {
            return;
        };
        let home = upstreams.feed_home(remote);
        if home != self.port {
            self.shared.hand(home, Word::Changed(remote, list));
        }
    }

    /// Puts a question into its call's outbox, as a request of ours.
    fn ask(&mut self, ask: AskClient) {
        let key = AskKey {
            port: self.port,
            number: ask.number,
        };
        let shared = Arc::downgrade(&self.shared);
        let on_answer = Box::new(move |answer| {
            if let Some(shared) = shared.upgrade() {
                shared.hand(key.port, Word::Answered { ask: key, answer });
            }
        });
        let bytes_max = self.shared.limits.body_bytes_max;
        let asks = self.shared.runtime.asks();
        let open = match asks.open_with(ask.session, bytes_max, on_answer) {
            Ok(open) => open,
            Err(_) => {
                let full = br#"{"code":-32603,"message":"as many questions to clients are open as may be"}"#;
                return self.gateway.answered(ask.number, Err(full.to_vec()));
            }
        };
        let message = text::request(&open.id(), &ask.method, ask.params.as_deref());
        ask.outbox.push(Outgoing::Message(message));
        let outbox = ask.outbox;
        self.questions.insert(ask.number, Question { open, outbox });
    }

    fn unask(&mut self, number: u64, tells: bool) {
        let Some(question) = self.questions.remove(&number) else {
            return;
        };
        if tells {
            let mut message = Vec::new();
            let reason = "nobody waits for the answer any longer";
            reply::cancelled(&mut message, &question.open.id(), reason);
            question.outbox.offer(Outgoing::Message(message));
        }
    }

    /// Tells a session something that belongs to no call, if it hears anything beside its answers.
    fn tell(&self, session: SessionId, principal: Principal, message: &[u8]) {
        let shared = &self.shared;
        let Some(events) = shared.sessions.events_if_any(session, principal) else {
            return;
        };
        shared.tell(&events, message);
    }

    fn note_numbers(&mut self, now_ms: u64) {
        if now_ms < self.numbers_ms {
            return;
        }
        self.numbers_ms = now_ms + NUMBERS_MS;
        if let Some(upstreams) = self.shared.upstreams() {
            upstreams.note(self.port, self.gateway.numbers(), self.transport.stats());
        }
    }
}

/// The socket that a completion is about, unless it is about a listener.
pub(super) fn socket_of(completion: &Completion) -> Option<SocketKey> {
    match completion {
        Completion::Accepted { .. } | Completion::AcceptFailed { .. } => None,
        Completion::Connected { socket }
        | Completion::Received { socket, .. }
        | Completion::EndOfStream { socket }
        | Completion::Failed { socket, .. }
        | Completion::Sent { socket }
        | Completion::Closed { socket } => Some(*socket),
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("a kernel that runs io_uring has a random source");
    u64::from_le_bytes(bytes)
}
