//! What makes tasks happen: one thread that stores records, starts and stops runs, and keeps the time.
//!
//! What follows from what is decided in [`Life`]; here are the effects. Nobody waits for this thread: requests go into a bounded
//! queue, and what became of one is told through its reply, once what it asked for is durable.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::limits::Limits;

use super::file;
use super::folder::Store;
use super::handle::{EngineOptions, NewTask, Reply, Request, Watcher};
use super::id::TaskId;
use super::life::{Action, Bounds, Event, Life, Refused, Word};
use super::record::{Record, RunEnd, State, Work};
use super::run::{NotRun, Runner, Stop};
use super::table::Table;
use super::time::{Clock, millis};

/// Records on their way to the disk at one time: fewer than the recorder takes, so that it is never too busy for them.
const WRITES_MAX: usize = 32;

/// Pause before a record is offered to the disk again; it doubles with each attempt, up to the second.
const STORE_PAUSE: Duration = Duration::from_millis(500);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Pause before a call that found no instance or no worker is tried again.
const RUN_PAUSE: Duration = Duration::from_millis(100);

/// Time between two looks for tasks of processes that have ended.
const ADOPT_INTERVAL: Duration = Duration::from_secs(5);

/// How long the end waits for records on their way to the disk.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// The shortest time that a task is kept: a client that asked for less could never see how it ended.
const TTL_MS_MIN: u64 = 1_000;

/// Something that the engine waited for.
enum Arrival {
    Stored {
        id: TaskId,
        taken: bool,
    },
    StoreDue(TaskId),
    RunOver {
        id: TaskId,
        run: u64,
        result: Result<RunEnd, NotRun>,
    },
    RunDue(Pending),
    Removed,
}

/// A run that waits for its turn.
struct Pending {
    id: TaskId,
    run: u64,
    work: Arc<Work>,
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

pub(super) struct Engine<S> {
    limits: Limits,
    table: Arc<Table>,
    store: Arc<S>,
    runner: Arc<dyn Runner>,
    watcher: Box<dyn Watcher>,
    clock: Clock,
    lives: HashMap<TaskId, Life<Reply>>,
    /// When each task's time is over.
    expiries: BTreeSet<(u64, TaskId)>,
    pending: VecDeque<Pending>,
    runs: HashMap<(TaskId, u64), Stop>,
    arrivals: JoinSet<Arrival>,
    writes: Arc<Semaphore>,
    /// Files on their way to the disk, or waiting for it.
    writing: usize,
    adopt_at: Instant,
    ending: bool,
}

impl<S: Store> Engine<S> {
    pub(super) fn new(options: EngineOptions<S>, table: Arc<Table>) -> Self {
        let mut engine = Self {
            limits: options.limits,
            table,
            store: Arc::new(options.store),
            runner: options.runner,
            watcher: options.watcher,
            clock: Clock::start(),
            lives: HashMap::new(),
            expiries: BTreeSet::new(),
            pending: VecDeque::new(),
            runs: HashMap::new(),
            arrivals: JoinSet::new(),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            writing: 0,
            adopt_at: Instant::now() + ADOPT_INTERVAL,
            ending: false,
        };
        engine.resume(options.left);
        engine
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        loop {
            self.start_runs();
            let due = self.due();
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(Request::End) | None => break,
                    Some(request) => self.serve(request),
                },
                Some(arrived) = self.arrivals.join_next() => self.arrived(arrived),
                () = until(due), if due.is_some() => {
                    self.expire();
                    self.adopt();
                }
            }
        }
        self.end(inbox).await;
    }

    /// When the clock has to be looked at next.
    fn due(&self) -> Option<Instant> {
        let left = |(at_ms, _): &(u64, TaskId)| {
            Duration::from_millis(at_ms.saturating_sub(self.clock.now_ms()))
        };
        let expiry = self
            .expiries
            .first()
            .map(|first| Instant::now() + left(first));
        let adopt = self.store.adopts().then_some(self.adopt_at);
        expiry.into_iter().chain(adopt).min()
    }

    /// Looks for tasks of processes that have ended.
    fn adopt(&mut self) {
        if self.store.adopts() && self.adopt_at <= Instant::now() {
            self.adopt_at = Instant::now() + ADOPT_INTERVAL;
            let left = self.store.adopt();
            self.resume(left);
        }
    }

    /// Stops what runs, and waits for what is on its way to the disk.
    async fn end(mut self, mut inbox: mpsc::Receiver<Request>) {
        self.ending = true;
        self.pending.clear();
        for stop in self.runs.values() {
            stop();
        }
        inbox.close();
        while let Some(request) = inbox.recv().await {
            request.refuse(Refused::Ending);
        }
        let stored = async {
            // Not until there are no arrivals: a pause is not waited for.
            while self.writing > 0 || !self.runs.is_empty() {
                match self.arrivals.join_next().await {
                    Some(arrived) => self.arrived(arrived),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(STOP_DEADLINE, stored).await.is_err() {
            tracing::error!("tasks were still being stored when the process ended");
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Make(new, reply) => self.make(new, reply),
            Request::Update(id, answers, reply) => {
                self.tell(id, Event::Update { answers, reply });
            }
            Request::Cancel(id, reply) => self.tell(id, Event::Cancel { reply }),
            Request::End => {}
        }
    }

    fn make(&mut self, new: NewTask, reply: Reply) {
        let mut random = [0; 16];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "the host gives no random bytes: no task can be made");
            self.table.count_refused();
            return reply(Word::Refused(Refused::NotStored));
        }
        let NewTask {
            owner,
            tool,
            work,
            ttl_ms,
        } = new;
        let most = millis(self.limits.task_ttl_max);
        let ttl_ms = ttl_ms.unwrap_or_else(|| millis(self.limits.task_ttl));
        let ttl_ms = ttl_ms.clamp(TTL_MS_MIN.min(most), most);
        let now_ms = self.clock.now_ms();
        let record = Record::new(TaskId::new(random), owner, tool, work, now_ms, ttl_ms);
        if let Err(refused) = self.table.admit(&record) {
            return reply(Word::Refused(refused));
        }
        self.table.count_made();
        let (life, actions) = Life::make(record, reply);
        self.keep(life, actions);
    }

    /// Goes on with what an earlier process left.
    fn resume(&mut self, left: Vec<Record>) {
        for record in left {
            if self.lives.contains_key(&record.id) {
                continue;
            }
            self.table.take(&record);
            let (life, actions) = Life::resume(record, self.clock.now_ms());
            self.keep(life, actions);
        }
    }

    fn keep(&mut self, life: Life<Reply>, actions: Vec<Action<Reply>>) {
        let record = Arc::clone(life.record());
        self.expiries.insert((record.expires_ms(), record.id));
        self.lives.insert(record.id, life);
        self.act(record.id, actions);
    }

    /// Removes the tasks whose time is over.
    fn expire(&mut self) {
        let now_ms = self.clock.now_ms();
        while let Some((at_ms, id)) = self.expiries.first().copied()
            && at_ms <= now_ms
        {
            self.expiries.pop_first();
            self.table.count_expired();
            self.tell(id, Event::Expired);
        }
    }

    fn arrived(&mut self, arrived: Result<Arrival, tokio::task::JoinError>) {
        match arrived {
            Ok(Arrival::Stored { id, taken }) => {
                self.writing -= 1;
                self.tell(id, Event::Stored(taken));
            }
            Ok(Arrival::StoreDue(id)) => self.tell(id, Event::StoreDue),
            Ok(Arrival::RunOver { id, run, result }) => self.run_over(id, run, result),
            Ok(Arrival::RunDue(pending)) => self.pending.push_back(pending),
            Ok(Arrival::Removed) => self.writing -= 1,
            Err(error) => tracing::error!(%error, "waiting for a task panicked"),
        }
    }

    fn tell(&mut self, id: TaskId, event: Event<Reply>) {
        let Some(life) = self.lives.get_mut(&id) else {
            if let Event::Update { reply, .. } | Event::Cancel { reply } = event {
                reply(Word::Refused(Refused::Unknown));
            }
            return;
        };
        let bounds = Bounds {
            limits: &self.limits,
            room: self.table.room(),
            now_ms: self.clock.now_ms(),
        };
        let actions = life.handle(event, bounds);
        self.act(id, actions);
    }

    fn act(&mut self, id: TaskId, actions: Vec<Action<Reply>>) {
        for action in actions {
            match action {
                Action::Store(record) => self.write(&record),
                Action::StoreLater { attempts } => {
                    let doubled = STORE_PAUSE.saturating_mul(1 << attempts.min(8));
                    let pause = doubled.min(STORE_PAUSE_MAX);
                    self.arrivals.spawn(async move {
                        tokio::time::sleep(pause).await;
                        Arrival::StoreDue(id)
                    });
                }
                Action::Publish(record) => {
                    let followed = self.table.publish(&record);
                    self.watcher.changed(&record);
                    if followed {
                        self.watcher.ring();
                    }
                }
                Action::Run { run, work } => self.pending.push_back(Pending { id, run, work }),
                Action::Stop { run } => match self.runs.get(&(id, run)) {
                    Some(stop) => stop(),
                    // It would keep its arguments until its turn.
                    None => self.pending.retain(|pending| pending.id != id),
                },
                Action::Reply(reply, word) => reply(word),
                Action::Remove => self.remove(id),
                Action::Forget => {
                    if let Some(life) = self.lives.remove(&id) {
                        self.table.release(life.record());
                        self.table.count_refused();
                        self.expiries.remove(&(life.record().expires_ms(), id));
                    }
                }
            }
        }
    }

    fn write(&mut self, record: &Arc<Record>) {
        let (id, record) = (record.id, Arc::clone(record));
        let (store, writes) = (Arc::clone(&self.store), Arc::clone(&self.writes));
        let table = Arc::clone(&self.table);
        self.writing += 1;
        self.arrivals.spawn(async move {
            let _place = writes.acquire().await;
            let written = store.write(id, file::write(&record)).await;
            if let Err(error) = &written {
                table.count_unstored();
                tracing::error!(task = ?id, %error, "a task's record cannot be stored");
            }
            Arrival::Stored {
                id,
                taken: written.is_ok(),
            }
        });
    }

    fn remove(&mut self, id: TaskId) {
        let Some(life) = self.lives.remove(&id) else {
            return;
        };
        self.expiries.remove(&(life.record().expires_ms(), id));
        if self.table.remove(life.record()) {
            self.watcher.ring();
        }
        let (store, writes) = (Arc::clone(&self.store), Arc::clone(&self.writes));
        self.writing += 1;
        self.arrivals.spawn(async move {
            let _place = writes.acquire().await;
            if let Err(error) = store.remove(id).await {
                // The next process finds it, expired, and tries again.
                tracing::warn!(task = ?id, %error, "an expired task's file cannot be removed");
            }
            Arrival::Removed
        });
    }

    /// Starts runs that wait, as far as there may be so many.
    fn start_runs(&mut self) {
        while self.runs.len() < self.limits.task_running_max
            && let Some(pending) = self.pending.pop_front()
        {
            self.start_run(pending);
        }
        self.table.set_running(self.runs.len() + self.pending.len());
    }

    fn start_run(&mut self, pending: Pending) {
        let Pending { id, run, work } = pending;
        let Some(life) = self.lives.get(&id).filter(|life| life.wants(run)) else {
            return;
        };
        let (done, over) = oneshot::channel();
        let tool = Arc::clone(&life.record().tool);
        let owner = life.record().owner;
        let started = self.runner.run(
            &tool,
            &owner,
            &work,
            Box::new(move |result| drop(done.send(result))),
        );
        match started {
            Ok(stop) => {
                self.runs.insert((id, run), stop);
                self.arrivals.spawn(async move {
                    let result = over.await.unwrap_or_else(|_| {
                        Err(NotRun::Impossible(
                            "the call ended without an answer; this is a defect of margay"
                                .to_owned(),
                        ))
                    });
                    Arrival::RunOver { id, run, result }
                });
            }
            Err(refused) => self.not_run(Pending { id, run, work }, refused),
        }
    }

    fn run_over(&mut self, id: TaskId, run: u64, result: Result<RunEnd, NotRun>) {
        self.runs.remove(&(id, run));
        let work = |life: &Life<Reply>| match &life.record().state {
            State::Working(work) => Some(Arc::clone(work)),
            _ => None,
        };
        match result {
            Ok(ending) => self.tell(id, Event::RunEnded { run, ending }),
            Err(refused) => {
                let wanted = self.lives.get(&id).filter(|life| life.wants(run));
                if let Some(work) = wanted.and_then(work) {
                    self.not_run(Pending { id, run, work }, refused);
                }
            }
        }
    }

    fn not_run(&mut self, pending: Pending, refused: NotRun) {
        match refused {
            NotRun::Busy if self.ending => {}
            NotRun::Busy => {
                self.arrivals.spawn(async move {
                    tokio::time::sleep(RUN_PAUSE).await;
                    Arrival::RunDue(pending)
                });
            }
            NotRun::Impossible(why) => {
                let (id, run) = (pending.id, pending.run);
                let ending = RunEnd::Impossible { why };
                self.tell(id, Event::RunEnded { run, ending });
            }
        }
    }
}

#[cfg(test)]
mod tests;
