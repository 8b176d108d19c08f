//! What the shards of one process share: one immutable snapshot, the session table, three admission counters, and a bounded
//! queue into each shard. There is no lock here, and nothing else is shared.

// The queue of words has its bound in the calls that they are about.
#![allow(clippy::disallowed_types)]

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use atomic_waker::AtomicWaker;
use crossbeam_queue::{ArrayQueue, SegQueue};
use tokio::sync::oneshot;

use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::component::Runtime;
use crate::gateway::{ControlLink, Numbers};
use crate::limits::Limits;
use crate::mcp::neutralise;
use crate::mcp::request_state::StateKey;
use crate::mcp::{HostRules, List, Method, SessionEvents, SessionId, Sessions, StreamId};
use crate::metrics::ShardMetrics;
use crate::policy::auth::Authenticator;
use crate::policy::{Limiter, RuleSet};
use crate::upstream::remote::Remote;
use crate::upstream::transport::TransportStats;

use crate::task::{ComponentRunner, EngineOptions, Folder, Record, Tasks, Watcher, wire};

use super::away::CallIndex;
use super::channel::{Word, carrier_shard};
use super::tls::TlsListener;

/// Messages that may wait for one shard. What must not be lost is none of them: it is state that the shard looks at.
const MESSAGES_PER_SHARD_MAX: usize = 256;

/// One immutable configuration with the tools it serves.
#[derive(Debug)]
pub struct Snapshot {
    /// The tools.
    pub catalog: Catalog,
    /// Which `Host` and `Origin` values are answered.
    pub hosts: HostRules,
}

/// A word from control, or from another shard.
#[derive(Debug)]
pub enum Message {
    /// Answer with a copy of this shard's metrics.
    Metrics(oneshot::Sender<Box<ShardMetrics>>),
    /// A legacy client cancelled a request of its session that no shard knew of, which may have been in its first slice; `id` is
    /// the request's id as JSON text.
    Cancel {
        /// The session that cancels.
        session: SessionId,
        /// The id of the request to stop.
        id: Vec<u8>,
    },
    /// A word to the connection that carries a session's stream under this number.
    Carrier {
        /// The number.
        owner: u64,
        /// The word.
        word: Word,
    },
}

/// The way into one shard.
#[derive(Debug)]
pub struct Port {
    messages: ArrayQueue<Message>,
    /// Words about calls to upstreams: bounded by the calls themselves, and none may be lost.
    upstream: SegQueue<crate::gateway::Word>,
    waker: AtomicWaker,
}

impl Default for Port {
    fn default() -> Self {
        Self {
            messages: ArrayQueue::new(MESSAGES_PER_SHARD_MAX),
            upstream: SegQueue::new(),
            waker: AtomicWaker::new(),
        }
    }
}

impl Port {
    /// Hands the shard a message and wakes it.
    ///
    /// Errors: the message back, when the shard has not read its queue for a long time.
    pub fn send(&self, message: Message) -> Result<(), Message> {
        let sent = self.messages.push(message);
        self.waker.wake();
        sent
    }

    /// Hands the thread a word about calls to upstreams, and wakes it.
    pub fn hand(&self, word: crate::gateway::Word) {
        self.upstream.push(word);
        self.waker.wake();
    }

    pub(super) fn next_word(&self) -> Option<crate::gateway::Word> {
        self.upstream.pop()
    }

    /// Wakes the shard so that it looks at the snapshot and its queues.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Whether words that may be lost leave room for others.
    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < MESSAGES_PER_SHARD_MAX / 2
    }

    pub(super) fn receive(&self) -> Option<Message> {
        self.messages.pop()
    }

    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    pub(super) fn has_mail(&self) -> bool {
        !self.messages.is_empty() || !self.upstream.is_empty()
    }
}

/// A process-wide count with a ceiling.
#[derive(Debug)]
pub struct Gate {
    taken: AtomicUsize,
    limit: usize,
}

impl Gate {
    /// A gate that lets `limit` through at one time.
    pub fn new(limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
        }
    }

    /// Takes one place, or says that all are taken.
    pub fn enter(&self) -> bool {
        self.enter_beside(0)
    }

    /// Takes one place, where this many of those that have one do not count.
    pub fn enter_beside(&self, idle_count: usize) -> bool {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken < self.limit.saturating_add(idle_count) {
            return true;
        }
        self.taken.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Gives one place back.
    pub fn leave(&self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a gate was left more often than entered");
    }

    /// Places taken now.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Places in all.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// What one home has counted.
#[derive(Debug, Default)]
pub struct HomeNumbers {
    /// Of each upstream.
    pub upstreams: Vec<Numbers>,
    /// Of its connections.
    pub transport: TransportStats,
}

/// What the threads share about upstreams.
pub struct Upstreams {
    /// Every upstream, in order of name; their index is their place here.
    pub remotes: Vec<Arc<Remote>>,
    /// The ports of the threads that may be homes: those with a ring.
    pub homes: std::ops::Range<u16>,
    /// The way to control.
    pub control: Arc<dyn ControlLink>,
    /// Streams that have followed anything so far.
    listeners: AtomicU64,
    /// What the homes have counted.
    numbers: Vec<ArcSwap<HomeNumbers>>,
    /// The homes of what leads to upstreams for legacy sessions.
    sessions: papaya::HashMap<SessionId, u16>,
}

impl Upstreams {
    /// Upstreams that nothing leads to yet.
    pub fn new(
        remotes: Vec<Arc<Remote>>,
        homes: std::ops::Range<u16>,
        control: Arc<dyn ControlLink>,
    ) -> Self {
        let numbers = homes.clone().map(|_| ArcSwap::default()).collect();
        Self {
            remotes,
            homes,
            control,
            listeners: AtomicU64::new(0),
            numbers,
            sessions: papaya::HashMap::new(),
        }
    }

    /// The home that asks an upstream what it offers, and has its one child.
    pub fn feed_home(&self, remote: usize) -> u16 {
        let count = usize::from(self.homes.end - self.homes.start).max(1);
        self.homes.start + u16::try_from(remote % count).unwrap_or(0)
    }

    /// A name for a stream that was never used.
    pub(super) fn listener(&self) -> u64 {
        self.listeners.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes what a home has counted.
    pub(super) fn note(&self, port: u16, upstreams: Vec<Numbers>, transport: TransportStats) {
        let place = usize::from(port.saturating_sub(self.homes.start));
        if let Some(numbers) = self.numbers.get(place) {
            numbers.store(Arc::new(HomeNumbers {
                upstreams,
                transport,
            }));
        }
    }

    /// What the homes have counted, as of a moment ago.
    pub fn numbers(&self) -> Vec<Arc<HomeNumbers>> {
        self.numbers.iter().map(ArcSwap::load_full).collect()
    }

    /// The home of a session's ways: the one that it had first, else `own` from now on.
    pub(super) fn home_of(&self, session: SessionId, own: u16) -> u16 {
        *self.sessions.pin().get_or_insert(session, own)
    }

    /// Forgets the sessions for which this holds, and tells their homes.
    pub(super) fn end_sessions(
        &self,
        is_over: impl Fn(SessionId) -> bool,
        mut tell: impl FnMut(SessionId),
    ) {
        let sessions = self.sessions.pin();
        for session in sessions.keys() {
            if is_over(*session) && sessions.remove(session).is_some() {
                tell(*session);
            }
        }
    }
}

/// Everything the shards share.
pub struct Shared {
    /// The bounds; fixed for the life of the process.
    pub limits: Limits,
    /// The current snapshot.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Legacy sessions.
    pub sessions: Sessions,
    /// The WebAssembly runtime.
    pub runtime: Arc<Runtime>,
    /// Open connections.
    pub connections: Gate,
    /// Open event streams.
    pub streams: Gate,
    /// Calls that have left their shard. One that is done within its slice costs no shared count.
    pub calls: Gate,
    /// Those of them that wait for a task to end, which may take long: they leave room for the others.
    pub waits: Gate,
    /// One per shard.
    pub ports: Vec<Port>,
    /// Whether the endpoints of HTTP+SSE (2024-11-05) are served too.
    pub http_sse: bool,
    /// Whether what tools answer is made harmless for terminals and readers.
    pub neutralises: bool,
    /// Who may call.
    pub authenticator: Arc<Authenticator>,
    /// Who may do what.
    pub rules: Arc<RuleSet>,
    /// How often.
    pub limiter: Arc<Limiter>,
    /// The calls of sessions that have left their shard.
    pub(super) away: CallIndex,
    draining: AtomicBool,
    tasks: OnceLock<Tasks>,
    upstreams: Option<Upstreams>,
    tls: Option<Arc<TlsListener>>,
    /// The way to the audit log, for what has no lane of its own.
    pub audit: Audit,
    /// What the states of half-done requests are sealed with.
    pub state_key: StateKey,
    /// Where time begins: session times are milliseconds since then.
    pub epoch: Instant,
}

impl Shared {
    /// The shared state of `shard_count` shards. States of requests are sealed with a key of this process, unless
    /// [`Shared::with_state_key`] says otherwise.
    pub fn new(
        limits: Limits,
        snapshot: Snapshot,
        sessions: Sessions,
        runtime: Arc<Runtime>,
        shard_count: usize,
    ) -> Self {
        Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            sessions,
            runtime,
            connections: Gate::new(limits.connection_count_max),
            streams: Gate::new(limits.stream_count_max),
            calls: Gate::new(limits.request_count_max),
            waits: Gate::new((limits.request_count_max / 2).max(1)),
            away: CallIndex::default(),
            draining: AtomicBool::new(false),
            tasks: OnceLock::new(),
            upstreams: None,
            tls: None,
            ports: (0..shard_count).map(|_| Port::default()).collect(),
            http_sse: false,
            neutralises: true,
            authenticator: Arc::new(Authenticator::anonymous()),
            rules: Arc::new(RuleSet::allow_all()),
            limiter: Arc::default(),
            audit: Audit::off(),
            state_key: StateKey::new(random_key()),
            epoch: Instant::now(),
            limits,
        }
    }

    /// The same, with a key that other processes have too, or later ones.
    #[must_use]
    pub fn with_state_key(self, key: [u8; 32]) -> Self {
        Self {
            state_key: StateKey::new(key),
            ..self
        }
    }

    /// The same, which tells this audit log.
    #[must_use]
    pub fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// The same, with the endpoints of HTTP+SSE or without.
    #[must_use]
    pub fn with_http_sse(self, http_sse: bool) -> Self {
        Self { http_sse, ..self }
    }

    /// The same, for callers who are known to this authenticator, and may do what these rules and limits say.
    #[must_use]
    pub fn with_guards(
        self,
        authenticator: Arc<Authenticator>,
        rules: RuleSet,
        limiter: Limiter,
    ) -> Self {
        Self {
            authenticator,
            rules: Arc::new(rules),
            limiter: Arc::new(limiter),
            ..self
        }
    }

    /// The same, with the answers of tools made harmless or as they are.
    #[must_use]
    pub fn with_neutralising(self, neutralises: bool) -> Self {
        Self {
            neutralises,
            ..self
        }
    }

    /// The same, with these upstreams.
    #[must_use]
    pub fn with_upstreams(self, upstreams: Upstreams) -> Self {
        Self {
            upstreams: Some(upstreams),
            ..self
        }
    }

    /// An answer as its client gets it: what tools and prompts say cannot drive a terminal or hide words. What a resource holds stays
    /// as it is.
    pub(super) fn neutral<'b>(&self, method: Method, body: &'b [u8]) -> Cow<'b, [u8]> {
        let is_for_readers = matches!(
            method,
            Method::CallTool | Method::TaskResult | Method::GetTask | Method::GetPrompt
        );
        match is_for_readers {
            true => self.harmless(body),
            false => Cow::Borrowed(body),
        }
    }

    /// The same of what is said before an answer, or beside all of them: questions to a person, progress, lines of a log.
    pub(super) fn harmless<'b>(&self, message: &'b [u8]) -> Cow<'b, [u8]> {
        match self.neutralises {
            true => neutralise(message),
            false => Cow::Borrowed(message),
        }
    }

    /// The same, with TLS on the data listeners.
    #[must_use]
    pub fn with_tls(self, listener: Arc<TlsListener>) -> Self {
        Self {
            tls: Some(listener),
            ..self
        }
    }

    /// What the data listeners begin TLS with, if they speak it.
    pub fn tls(&self) -> Option<&Arc<TlsListener>> {
        self.tls.as_ref()
    }

    /// Hands a thread a word about calls to upstreams.
    pub fn hand(&self, port: u16, word: crate::gateway::Word) {
        if let Some(port) = self.ports.get(usize::from(port)) {
            port.hand(word);
        }
    }

    /// What the ids of upstreams' tasks are signed with.
    pub(super) fn task_key(&self) -> [u8; 32] {
        self.state_key.derived("upstream tasks")
    }

    /// Has what leads to upstreams for sessions that are no more be given up.
    pub fn end_upstream_sessions(&self) {
        if let Some(upstreams) = &self.upstreams {
            upstreams.end_sessions(
                |session| !self.sessions.contains(session),
                // It may have used what others are the homes of.
                |session| {
                    for home in upstreams.homes.clone() {
                        self.hand(home, crate::gateway::Word::SessionEnded(session));
                    }
                },
            );
        }
    }

    /// The upstreams, where there are any.
    pub fn upstreams(&self) -> Option<&Upstreams> {
        self.upstreams.as_ref()
    }

    /// Puts a new snapshot in force and tells every shard to look. Whoever publishes says what lists it changes.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.wake();
    }

    /// Notes that the list in force is another, and lets clients be told.
    pub fn list_changed(&self, list: List) {
        self.sessions.changes().list_changed(list);
        self.wake();
    }

    /// Notes that what a resource holds has changed, and lets those clients be told that follow it.
    pub fn resource_updated(&self, uri: &str) {
        if self.sessions.changes().resource_updated(uri) {
            self.wake();
        }
    }

    /// The tasks, once [`Shared::start_tasks`] has been called.
    pub fn tasks(&self) -> Option<&Tasks> {
        self.tasks.get()
    }

    /// Starts the engine of the tasks, with what an earlier process left of them. To be called once, before anything is served.
    ///
    /// Errors: the host gives no thread.
    pub fn start_tasks(self: &Arc<Self>, folder: Folder, left: Vec<Record>) -> io::Result<()> {
        let snapshot = Arc::clone(&self.snapshot);
        let find = move |name: &str| snapshot.load().catalog.tool(name).cloned();
        let (runtime, limits) = (Arc::clone(&self.runtime), self.limits.clone());
        let tasks = Tasks::start(EngineOptions {
            limits: self.limits.clone(),
            store: folder,
            left,
            runner: Arc::new(ComponentRunner::new(runtime, limits, find)),
            watcher: Box::new(TaskWatcher(Arc::downgrade(self))),
        })?;
        self.tasks
            .set(tasks)
            .map_err(|_| io::Error::other("the tasks have been started before"))
    }

    /// Has every shard stop accepting, finish what is in flight, and close.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the shards are to end.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Tells a session something that belongs to none of its requests.
    pub(super) fn tell(&self, events: &SessionEvents, message: &[u8]) {
        let message = &*self.harmless(message);
        let Ok(appended) = events.append(StreamId::SESSION, message, self.now_ms()) else {
            return;
        };
        let word = match appended.kept {
            true => Word::Look,
            false => Word::Take(appended.id, message.into()),
        };
        let port = carrier_shard(appended.owner).and_then(|shard| self.ports.get(shard));
        if let Some(port) = port {
            // Where there is no room the carrier's sweep finds out a moment later.
            let owner = appended.owner;
            let _ = port.send(Message::Carrier { owner, word });
        }
    }

    /// Has every shard look.
    pub(super) fn wake(&self) {
        for port in &self.ports {
            port.wake();
        }
    }

    /// Milliseconds since the process began to serve.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("a kernel that runs io_uring has a random source");
    key
}

/// Lets clients hear of their tasks.
struct TaskWatcher(Weak<Shared>);

impl Watcher for TaskWatcher {
    /// Tells the session of a legacy task, if it hears anything beside its answers (2025-11-25).
    fn changed(&self, record: &Record) {
        let (Some(shared), Some(session)) = (self.0.upgrade(), record.owner.session) else {
            return;
        };
        let principal = record.owner.principal;
        let Some(events) = shared.sessions.events_if_any(session, principal) else {
            return;
        };
        // Nothing is lost by not being told: a client that is not there now asks.
        if events.carrier(StreamId::SESSION) == 0 {
            return;
        }
        let mut message = Vec::new();
        wire::status_changed(&mut message, record);
        shared.tell(&events, &message);
    }

    fn ring(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.wake();
        }
    }
}
