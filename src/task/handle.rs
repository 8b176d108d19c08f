//! The tasks of the process, for everybody: what can be asked of their engine, and how it is started and ended.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::limits::Limits;

use super::engine::Engine;
use super::folder::Store;
use super::id::{Owner, TaskId};
use super::life::{Refused, Word};
use super::record::{Record, Work};
use super::run::Runner;
use super::table::Table;

/// Requests that may wait for the engine.
const REQUESTS_MAX: usize = 4_096;

/// Pause of whoever ends the engine while its requests leave no room to say so.
const END_PAUSE: Duration = Duration::from_millis(10);

/// Told what became of a request, from the engine's thread; must not wait.
pub type Reply = Box<dyn FnOnce(Word) + Send>;

/// A task that is asked for.
#[derive(Debug)]
pub struct NewTask {
    /// Whose it is.
    pub owner: Owner,
    /// The tool, as clients name it.
    pub tool: Arc<str>,
    /// What it does.
    pub work: Work,
    /// How long the client wants it to be kept.
    ///
    /// Units: milliseconds.
    pub ttl_ms: Option<u64>,
}

/// What the engine works with.
pub struct EngineOptions<S> {
    /// The limits.
    pub limits: Limits,
    /// Where tasks are kept.
    pub store: S,
    /// What an earlier process left there.
    pub left: Vec<Record>,
    /// What runs calls.
    pub runner: Arc<dyn Runner>,
    /// Who is told what is seen.
    pub watcher: Box<dyn Watcher>,
}

/// Told what happens to tasks, from the engine's thread; must not wait.
pub trait Watcher: Send + 'static {
    /// A task is now this.
    fn changed(&self, record: &Record);

    /// A task that somebody follows has changed, or is no more: whoever follows tasks has to look.
    fn ring(&self);
}

pub(super) enum Request {
    Make(NewTask, Reply),
    Update(TaskId, BTreeMap<String, Vec<u8>>, Reply),
    Cancel(TaskId, Reply),
    End,
}

impl Request {
    pub(super) fn refuse(self, why: Refused) {
        match self {
            Self::Make(_, reply) | Self::Update(_, _, reply) | Self::Cancel(_, reply) => {
                reply(Word::Refused(why));
            }
            Self::End => {}
        }
    }
}

/// The tasks of the process, and the way to their engine.
pub struct Tasks {
    table: Arc<Table>,
    requests: mpsc::Sender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Tasks {
    /// Starts the engine's thread.
    ///
    /// Errors: the host gives no thread.
    pub fn start<S: Store>(options: EngineOptions<S>) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let table = Arc::new(Table::new(options.limits.clone()));
        let shared = Arc::clone(&table);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        // Here, not on the thread: what an earlier process left is seen by whoever comes first.
        let engine = {
            let _entered = runtime.enter();
            Engine::new(options, shared)
        };
        let thread = std::thread::Builder::new()
            .name("tasks".to_owned())
            .spawn(move || runtime.block_on(engine.run(inbox)))?;
        Ok(Self {
            table,
            requests,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The tasks as everybody reads them.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Makes a task. The reply comes once it is durable; its work begins then.
    pub fn make(&self, new: NewTask, reply: Reply) {
        self.send(Request::Make(new, reply));
    }

    /// Gives a task answers to its questions. The reply comes once they are durable. Keys that no open question has are passed over.
    pub fn update(&self, id: TaskId, answers: BTreeMap<String, Vec<u8>>, reply: Reply) {
        self.send(Request::Update(id, answers, reply));
    }

    /// Gives a task up. The reply comes once that is durable; its run is stopped before.
    pub fn cancel(&self, id: TaskId, reply: Reply) {
        self.send(Request::Cancel(id, reply));
    }

    fn send(&self, request: Request) {
        match self.requests.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(request)) => request.refuse(Refused::Full {
                limit: "requests about tasks that wait",
                value: REQUESTS_MAX,
            }),
            Err(TrySendError::Closed(request)) => request.refuse(Refused::Ending),
        }
    }

    /// Stops every run and ends the thread once what was asked for is stored. Tasks that were at work are found so by the next process.
    pub fn end(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = thread.take() else {
            return;
        };
        while let Err(TrySendError::Full(_)) = self.requests.try_send(Request::End) {
            std::thread::sleep(END_PAUSE);
        }
        // The engine's own thread may be the last that holds the tasks, in a reply; it ends by itself.
        if thread.thread().id() == std::thread::current().id() {
            return;
        }
        if thread.join().is_err() {
            tracing::error!("the thread of the tasks panicked");
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks")
            .field("counts", &self.table.counts())
            .finish_non_exhaustive()
    }
}
