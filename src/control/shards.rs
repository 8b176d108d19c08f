//! The data plane in this process: its shards, what they share, and the components they serve.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::component::Runtime;
use crate::error::Problem;
use crate::mem::{ByteBudget, give_back};
use crate::metrics::{Extra, ShardMetrics, upstream_extras};
use crate::shard::{Message, ShardThread, Shared};
use crate::tape::{AuditLog, LogKey};
use crate::upstream::transport::TransportStats;

use super::plane::{Answer, Plane};
use super::publisher::Publisher;
use super::store::Change;

/// Time for a shard to answer; it answers between two turns of its loop, so this is long.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// How often callers are forgotten of whom nothing is remembered.
const RATE_SWEEP_PERIOD_S: u64 = 10;

/// Sessions looked at in one second. At 100,000 sessions each is looked at every ten seconds.
const SWEEP_BUDGET: usize = 10_000;

/// Sessions and connections that must have gone, and be half of what there was, before freed memory is handed back: it costs
/// a few milliseconds, and what is not handed back is used again.
const GONE_COUNT_MIN: usize = 1_000;

/// The shards of this process.
pub struct Shards {
    shared: Arc<Shared>,
    // Control's own state: never locked by a shard.
    threads: Mutex<Vec<ShardThread>>,
    publisher: Arc<Publisher>,
    buffers: Arc<ByteBudget>,
    access_log: Option<LogKey>,
    audit_log: Option<AuditLog>,
    shard_count: usize,
    started: Instant,
    /// The most sessions and connections at once since memory was last handed back.
    held_high: AtomicUsize,
}

impl Shards {
    /// A plane of these threads; `publisher` has what their snapshot serves.
    pub fn new(
        shared: Arc<Shared>,
        threads: Vec<ShardThread>,
        publisher: Arc<Publisher>,
        buffers: Arc<ByteBudget>,
        access_log: Option<LogKey>,
    ) -> Self {
        let shard_count = threads.len();
        Self {
            shared,
            threads: Mutex::new(threads),
            publisher,
            buffers,
            access_log,
            audit_log: None,
            shard_count,
            started: Instant::now(),
            held_high: AtomicUsize::new(0),
        }
    }

    /// The same, which also tells what became of this audit log's events.
    #[must_use]
    pub fn with_audit_log(self, audit_log: Option<AuditLog>) -> Self {
        Self { audit_log, ..self }
    }

    fn audit_numbers(&self, extra: &mut Vec<Extra>) {
        let Some(log) = &self.audit_log else { return };
        let stats = log.stats();
        let counters = [
            (
                "audit_lines",
                "Lines of the audit log written.",
                stats.lines,
            ),
            (
                "audit_bytes",
                "Bytes of the audit log written.",
                stats.bytes,
            ),
            ("audit_syncs", "Syncs of the audit log.", stats.syncs),
            (
                "audit_lost",
                "Events that are not in the audit log because there was no room.",
                stats.lost,
            ),
            (
                "audit_failures",
                "Times the audit log's file failed.",
                stats.failures,
            ),
        ];
        extra.extend(counters.map(|(name, help, value)| Extra::counter(name, help, value as f64)));
    }

    /// The WebAssembly runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    fn session_numbers(&self, extra: &mut Vec<Extra>) {
        let sessions = self.shared.sessions.counts();
        extra.extend([
            Extra::gauge(
                "sessions",
                "Legacy sessions open now.",
                sessions.live as f64,
            ),
            Extra::gauge(
                "event_bytes",
                "Bytes of events and subscriptions kept for clients.",
                self.shared.sessions.kept_bytes().used() as f64,
            ),
            Extra::counter(
                "sessions_deleted",
                "Legacy sessions ended by their client.",
                sessions.ended as f64,
            ),
            Extra::counter(
                "sessions_expired",
                "Legacy sessions removed for being idle.",
                sessions.expired as f64,
            ),
            Extra::counter(
                "sessions_evicted",
                "Legacy sessions displaced by new ones.",
                sessions.evicted as f64,
            ),
        ]);
    }

    fn task_numbers(&self, extra: &mut Vec<Extra>) {
        let Some(tasks) = self.shared.tasks() else {
            return;
        };
        let counts = tasks.table().counts();
        let gauges = [
            ("tasks", "Tasks that are kept.", counts.kept),
            ("task_bytes", "Bytes that tasks keep.", counts.kept_bytes),
            ("tasks_running", "Tasks at work.", counts.running),
        ];
        let counters = [
            ("tasks_made", "Tasks made.", counts.made),
            (
                "tasks_refused",
                "Tasks refused at a limit, or because they could not be stored.",
                counts.refused,
            ),
            (
                "tasks_completed",
                "Tasks that ended with a result.",
                counts.completed,
            ),
            (
                "tasks_failed",
                "Tasks that ended without a result.",
                counts.failed,
            ),
            (
                "tasks_cancelled",
                "Tasks that were given up.",
                counts.cancelled,
            ),
            ("tasks_expired", "Tasks whose ttl was over.", counts.expired),
            (
                "task_store_failures",
                "Times that a task's file could not be written.",
                counts.unstored,
            ),
        ];
        let gauges = gauges.map(|(name, help, value)| Extra::gauge(name, help, value as f64));
        let counters = counters.map(|(name, help, value)| Extra::counter(name, help, value as f64));
        extra.extend(gauges.into_iter().chain(counters));
    }

    fn upstream_numbers(&self, extra: &mut Vec<Extra>) {
        let Some(upstreams) = self.shared.upstreams() else {
            return;
        };
        let mut numbers = self.publisher.upstream_numbers().to_vec();
        let homes = upstreams.numbers();
        for counted in homes.iter().flat_map(|home| &home.upstreams) {
            let Some(one) = numbers.get_mut(counted.remote) else {
                continue;
            };
            let sum = &mut one.counts;
            sum.calls += counted.calls;
            sum.failures += counted.failures;
            sum.refused += counted.refused;
            sum.retries += counted.retries;
            sum.fallbacks += counted.fallbacks;
            sum.openings += counted.openings;
            sum.ejections += counted.ejections;
            sum.handshakes += counted.handshakes;
            sum.strays += counted.strays;
            sum.waiting += counted.waiting as u64;
            sum.links += counted.links as u64;
        }
        extra.extend(upstream_extras(&numbers));
        let total = |value: fn(&TransportStats) -> u64| -> f64 {
            homes.iter().map(|home| value(&home.transport)).sum::<u64>() as f64
        };
        extra.extend([
            Extra::gauge(
                "upstream_connections",
                "Connections to upstreams.",
                total(|one| one.open as u64),
            ),
            Extra::gauge(
                "upstream_connections_idle",
                "Those that wait for a request.",
                total(|one| one.idle as u64),
            ),
            Extra::gauge(
                "upstream_streams",
                "Streams of children.",
                total(|one| one.streams as u64),
            ),
            Extra::counter(
                "upstream_connects",
                "Attempts to connect to upstreams.",
                total(|one| one.connects),
            ),
            Extra::counter(
                "upstream_connect_failures",
                "Those that failed.",
                total(|one| one.connect_failures),
            ),
            Extra::counter(
                "upstream_requests_reused",
                "Requests on connections that had served before.",
                total(|one| one.reused),
            ),
            Extra::counter(
                "upstream_received_bytes",
                "Bytes received from upstreams.",
                total(|one| one.bytes_received),
            ),
            Extra::counter(
                "upstream_sent_bytes",
                "Bytes sent to upstreams.",
                total(|one| one.bytes_sent),
            ),
        ]);
    }

    fn component_numbers(&self, extra: &mut Vec<Extra>) {
        let snapshot = self.shared.snapshot.load();
        let runtime = self.shared.runtime.stats();
        let catalog = &snapshot.catalog;
        extra.extend([
            Extra::gauge(
                "tools",
                "Tools that can be called.",
                catalog.names().len() as f64,
            ),
            Extra::gauge(
                "components",
                "Components loaded.",
                catalog.components().len() as f64,
            ),
            Extra::gauge(
                "catalog_generation",
                "Number of the tool list in force.",
                catalog.generation() as f64,
            ),
            Extra::gauge(
                "calls_away",
                "Calls that left their shard and are not answered.",
                runtime.calls_away as f64,
            ),
            Extra::gauge(
                "questions_open",
                "Questions to clients that wait for an answer.",
                self.shared.runtime.asks().open_count() as f64,
            ),
            Extra::counter(
                "questions_unanswered",
                "Questions to clients that were given up without an answer.",
                self.shared.runtime.asks().unanswered() as f64,
            ),
            Extra::counter(
                "compiled_cache_hits",
                "Components taken from the compiled-code cache.",
                runtime.cache_hits as f64,
            ),
            Extra::counter(
                "compiled_cache_misses",
                "Components compiled.",
                runtime.cache_misses as f64,
            ),
            Extra::counter(
                "compiled_cache_rejected",
                "Cache entries that failed authentication.",
                runtime.cache_rejected as f64,
            ),
        ]);
    }
}

impl Plane for Shards {
    fn apply(&self, change: Change) -> Vec<Problem> {
        self.publisher.apply(&change)
    }

    fn metrics(&self) -> Answer<'_, Vec<ShardMetrics>> {
        Box::pin(async {
            let asked: Vec<oneshot::Receiver<Box<ShardMetrics>>> = self
                .shared
                .ports
                .iter()
                .map(|port| {
                    let (reply, answer) = oneshot::channel();
                    // A shard whose queue is full does not answer: its sender is dropped with the message.
                    drop(port.send(Message::Metrics(reply)));
                    answer
                })
                .collect();
            let deadline = tokio::time::Instant::now() + ANSWER_DEADLINE;
            let mut answers = Vec::with_capacity(asked.len());
            for answer in asked {
                if let Ok(Ok(metrics)) = tokio::time::timeout_at(deadline, answer).await {
                    answers.push(*metrics);
                }
            }
            answers
        })
    }

    fn extra(&self) -> Vec<Extra> {
        let mut extra = vec![
            Extra::gauge(
                "uptime_seconds",
                "Time since the start.",
                self.started.elapsed().as_secs_f64(),
            ),
            Extra::gauge("shards", "Shards.", self.shard_count as f64),
            Extra::gauge(
                "connections_taken",
                "Places taken at the connection limit.",
                self.shared.connections.taken() as f64,
            ),
            Extra::gauge(
                "buffer_budget_used_bytes",
                "Bytes charged to the buffer budget.",
                self.buffers.used() as f64,
            ),
        ];
        let tls = self.shared.tls().map(|listener| listener.setup());
        if let Some(expires) = tls.and_then(|setup| setup.expires_unix_s) {
            extra.push(Extra::gauge(
                "tls_certificate_expiry_timestamp_seconds",
                "When the certificate of the data listeners expires, in seconds since 1970.",
                expires as f64,
            ));
        }
        if let Some(bytes) = resident_bytes(Path::new("/proc/self/status")) {
            extra.push(Extra::gauge(
                "resident_memory_bytes",
                "Resident memory of the process.",
                bytes as f64,
            ));
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            extra.push(Extra::gauge(
                "open_fds",
                "Open file descriptors.",
                entries.count() as f64,
            ));
        }
        self.session_numbers(&mut extra);
        self.component_numbers(&mut extra);
        self.task_numbers(&mut extra);
        self.upstream_numbers(&mut extra);
        self.audit_numbers(&mut extra);
        if let Some(log) = &self.access_log {
            let stats = log.stats();
            extra.extend([
                Extra::counter(
                    "access_log_lines",
                    "Access log lines written.",
                    stats.frames as f64,
                ),
                Extra::counter(
                    "access_log_bytes",
                    "Access log bytes written.",
                    stats.bytes as f64,
                ),
                Extra::counter(
                    "access_log_lost",
                    "Access log lines lost because the file failed.",
                    stats.lost as f64,
                ),
                Extra::counter(
                    "access_log_failures",
                    "Times the access log's file failed.",
                    stats.failures as f64,
                ),
            ]);
        }
        extra
    }

    fn shard_count(&self) -> usize {
        self.shard_count
    }

    fn tool_count(&self) -> usize {
        self.shared.snapshot.load().catalog.names().len()
    }

    fn tasks_running(&self) -> usize {
        let tasks = self.shared.tasks();
        tasks.map_or(0, |tasks| tasks.table().counts().running)
    }

    fn tick(&self) {
        let now_ms = self.shared.now_ms();
        // Once in a while: it costs some nanoseconds for each caller that is remembered.
        if (now_ms / 1_000).is_multiple_of(RATE_SWEEP_PERIOD_S) {
            self.shared.limiter.sweep(now_ms.saturating_mul(1_000_000));
        }
        if self.publisher.sees_approvals() {
            let publisher = Arc::clone(&self.publisher);
            // It may have to wait for a component that is being compiled.
            tokio::task::spawn_blocking(move || publisher.renew());
        }
        self.shared
            .sessions
            .sweep(self.shared.now_ms(), SWEEP_BUDGET);
        let shared = &self.shared;
        shared
            .runtime
            .end_sessions(|session| !shared.sessions.contains(session));
        shared.end_upstream_sessions();
        let held = self.shared.sessions.counts().live + self.shared.connections.taken();
        // Only control's thread comes here.
        let high = self.held_high.load(Ordering::Relaxed).max(held);
        let gone = high - held;
        let hands_back = gone >= GONE_COUNT_MIN && gone >= high / 2;
        self.held_high
            .store(if hands_back { held } else { high }, Ordering::Relaxed);
        if hands_back {
            give_back();
        }
    }

    fn drain(&self) {
        self.shared.drain();
    }

    fn running(&self) -> usize {
        lock(&self.threads)
            .iter()
            .filter(|thread| !thread.is_finished())
            .count()
    }
}

/// A panic while the lock was held leaves control's state as it was last written, which is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `VmRSS` of a process's status file.
///
/// Units: bytes.
fn resident_bytes(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(
        line.trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()?
            * 1024,
    )
}
