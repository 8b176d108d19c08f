//! Requests of our clients that upstreams answer: what the threads, and control, say to each other about them, and the state
//! machine of a home.
//!
//! ```text
//!   caller's thread ──Word::Begin──▶ home thread: Gateway ──Action──▶ transport ──▶ upstream
//!                   ◀─Word::Done─── (pure state machine) ◀─events─── transport ◀──
//!   control ──Word::Child──▶        ──News, ChildOrder──▶ control
//! ```
//!
//! What leads to an upstream (a session, a child, a shared connection) has one home: the thread that owns it. A call from
//! another thread goes there and back through the threads' ports; what it says before its answer goes straight into its outbox.
//!
//! ```text
//!   begin ─▶ era known? ─▶ link ─▶ handshake? ─▶ place, breaker ─▶ sent ─▶ answer, or failure ─▶ again elsewhere?
//!              └─ asked once, the calls wait ─┘                       └─▶ questions, notifications
//! ```
//!
//! Invariants: every call that was begun is answered once, unless its client cancelled it; what an upstream sends changes nothing
//! beyond the calls that it answers; everything that waits has a deadline and a bound.
#![forbid(unsafe_code)]

mod action;
mod admit;
mod answer;
mod child;
mod credential;
mod era;
mod facts;
mod failure;
mod feed;
mod follow;
mod health;
mod hedge;
mod hold;
mod link;
mod links;
mod old;
mod pending;
mod question;
mod receive;
mod route;
mod send;
mod sweep;
pub mod text;
mod told;
mod word;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::audit::Audit;
use crate::limits::Limits;
use crate::mem::Slab;
use crate::upstream::remote::Remote;
use crate::upstream::task_id::TaskIds;
use crate::upstream::transport::{ExchangeKey, StreamKey};

pub use action::{Action, AskClient};
pub use hold::home_of_state;
use link::Link;
use pending::{Ask, Pending};
pub use route::Numbers;
use route::Route;
pub use word::{
    AskKey, Call, CallerKey, ChildKey, ChildNews, ChildOrder, ControlLink, CredentialWant, Done,
    Follow, News, Patience, RawListing, Word,
};

/// Links of one home: sessions and children beyond it are refused.
const LINK_COUNT_MAX: usize = 1 << 16;

/// What a home is made with.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Its port.
    pub port: u16,
    /// The ports of all homes.
    pub homes: std::ops::Range<u16>,
    /// The bounds.
    pub limits: Limits,
    /// For choices that are random; from the kernel.
    pub seed: u64,
    /// What the ids of upstreams' tasks are signed with.
    pub task_key: [u8; 32],
    /// Hears of breakers that open and close.
    pub audit: Audit,
}

/// The state of one home.
pub struct Gateway {
    port: u16,
    homes: std::ops::Range<u16>,
    limits: Limits,
    routes: Vec<Route>,
    links: Slab<Link>,
    pending: Slab<Pending>,
    callers: HashMap<CallerKey, u64>,
    exchanges: HashMap<ExchangeKey, u64>,
    streams: HashMap<StreamKey, u64>,
    children: HashMap<u64, u64>,
    asks: HashMap<u64, Ask>,
    held: HashMap<u128, u64>,
    follows: follow::Follows,
    /// Those that have something in `blocked`, or wait to go on with a stream.
    stalled: Vec<u64>,
    actions: VecDeque<Action>,
    task_ids: TaskIds,
    next_key: u64,
    random: u64,
    now_ms: u64,
    swept_ms: u64,
}

impl Gateway {
    /// A home that has done nothing yet.
    pub fn new(remotes: &[Arc<Remote>], options: GatewayOptions) -> Self {
        let count = usize::from(options.homes.end - options.homes.start).max(1);
        let place = usize::from(options.port.saturating_sub(options.homes.start));
        let route = |remote: &Arc<Remote>| {
            let feeds = remote.index % count == place;
            Route::new(
                Arc::clone(remote),
                feeds,
                options.seed,
                options.audit.clone(),
            )
        };
        let call_count_max = options.limits.request_count_max + options.limits.ask_count_max;
        Self {
            port: options.port,
            routes: remotes.iter().map(route).collect(),
            homes: options.homes,
            links: Slab::new(LINK_COUNT_MAX),
            // Each call may bring a request of our own with it.
            pending: Slab::new(2 * call_count_max + LINK_COUNT_MAX),
            callers: HashMap::new(),
            exchanges: HashMap::new(),
            streams: HashMap::new(),
            children: HashMap::new(),
            asks: HashMap::new(),
            held: HashMap::new(),
            follows: HashMap::new(),
            stalled: Vec::new(),
            actions: VecDeque::new(),
            task_ids: TaskIds::new(&options.task_key),
            next_key: 0,
            random: options.seed | 1,
            now_ms: 0,
            swept_ms: 0,
            limits: options.limits,
        }
    }

    /// What is to be done next. To be called until it gives nothing, after whatever else was called.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes the time, in milliseconds on the clock of everything here. To be called before anything else in a turn.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Calls that wait for upstreams.
    pub fn call_count(&self) -> usize {
        self.callers.len()
    }

    /// Links there are: sessions, children and shared ones.
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Numbers of each upstream, for metrics.
    pub fn numbers(&self) -> Vec<Numbers> {
        let routes = self.routes.iter();
        routes
            .map(|route| {
                let calls = self.pending.iter().filter(|(_, pending)| {
                    pending.remote == route.remote.index && pending.caller().is_some()
                });
                let links = self
                    .links
                    .iter()
                    .filter(|(_, link)| link.remote == route.remote.index);
                route.numbers(calls.count(), links.count(), self.now_ms)
            })
            .collect()
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// A key that was never used, for an exchange, a stream, a child or a question.
    fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// A fresh random number (xorshift64*): for choices, never for secrets.
    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("port", &self.port)
            .field("calls", &self.callers.len())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// Whole milliseconds of a duration.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
