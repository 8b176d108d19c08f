//! A task's life: which step follows from what happens. Pure: events and the time in, actions out.
//!
//! ```text
//!            ┌────────────── answers (all) ◀──────────────┐
//!            ▼                                            │
//! made ─▶ working ── run ended ─▶ input_required ── answers (some)
//!            │  └───────────────▶ completed | failed      │
//!            └────── cancel ────▶ cancelled ◀─── cancel ──┘
//! ```
//!
//! Invariants: a record is seen only after it was stored; one record of a task is on its way to the disk at a time, and what happens
//! meanwhile waits; a task that ended never changes again; a run that is no longer wanted changes nothing; whoever asked for
//! something is told exactly once what became of it.
//!
//! When the disk fails: a task that cannot be made is refused, answers that cannot be kept are refused, and what a run brought
//! is offered to the disk again until it takes it or the task expires.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::limits::Limits;

use super::record::{Answered, Record, RunEnd, State, Work};

/// Requests about one task that may wait while its record is being stored.
const WAITING_MAX: usize = 64;

/// What is said of a task that was at work when the process ended.
const RESTARTED: &str =
    "the server restarted while the task was at work, and its work is lost; ask for it again";

/// Something that happens to a task. `T` is whatever a request is answered through.
#[derive(Debug)]
pub enum Event<T> {
    /// The disk has the record that it was given, or did not take it.
    Stored(bool),
    /// It is time to offer the record to the disk again.
    StoreDue,
    /// A run of its call is over.
    RunEnded {
        /// Which one.
        run: u64,
        /// How.
        ending: RunEnd,
    },
    /// A client answers questions.
    Update {
        /// The answers by their keys, each the text of a result.
        answers: BTreeMap<String, Vec<u8>>,
        /// Who is told.
        reply: T,
    },
    /// A client gives it up.
    Cancel {
        /// Who is told.
        reply: T,
    },
    /// Its time is over.
    Expired,
}

/// Something that has to be done for a task.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<T> {
    /// Store this record; [`Event::Stored`] follows.
    Store(Arc<Record>),
    /// Send [`Event::StoreDue`] after a pause, longer with each attempt that failed.
    StoreLater {
        /// Attempts that failed.
        attempts: u32,
    },
    /// Let everybody see this record.
    Publish(Arc<Record>),
    /// Run the call; [`Event::RunEnded`] follows.
    Run {
        /// The number of the run.
        run: u64,
        /// What to run.
        work: Arc<Work>,
    },
    /// Stop a run; it is not wanted any more.
    Stop {
        /// Which one.
        run: u64,
    },
    /// Tell whoever asked.
    Reply(T, Word),
    /// Remove its file and forget it.
    Remove,
    /// Forget it: it has no file.
    Forget,
}

/// What became of a request about a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is done, and this is the task now.
    Done(Arc<Record>),
    /// The task had ended before.
    Ended(Arc<Record>),
    /// It is not done.
    Refused(Refused),
}

/// Why a request about a task is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// There is no such task, or no longer.
    Unknown,
    /// The disk did not take it.
    NotStored,
    /// The task would keep more than it may.
    TooLarge,
    /// A bound is reached.
    Full {
        /// Which one.
        limit: &'static str,
        /// Its value.
        value: usize,
    },
    /// The process is ending.
    Ending,
}

/// What bounds a step.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'l> {
    /// The limits.
    pub limits: &'l Limits,
    /// Bytes that all tasks together may still take.
    pub room: usize,
    /// Units: milliseconds since 1970.
    pub now_ms: u64,
}

/// One task, with what is going on with it.
#[derive(Debug)]
pub struct Life<T> {
    /// What the disk has, which is what everybody sees.
    record: Arc<Record>,
    step: Step<T>,
    /// The run that is wanted.
    run: Option<u64>,
    run_count: u64,
    waiting: VecDeque<Event<T>>,
}

#[derive(Debug)]
enum Step<T> {
    Settled,
    /// The first record is on its way to the disk.
    Making(Option<T>),
    /// The next record is.
    Storing {
        next: Arc<Record>,
        /// Who asked for this step.
        reply: Option<T>,
        attempts: u32,
    },
    /// The disk did not take the next record.
    Unstored {
        next: Arc<Record>,
        attempts: u32,
    },
    Gone,
}

impl<T> Life<T> {
    /// A task that has just been asked for, and what to do for it.
    pub fn make(record: Record, reply: T) -> (Self, Vec<Action<T>>) {
        let record = Arc::new(record);
        let life = Self::new(&record, Step::Making(Some(reply)));
        (life, vec![Action::Store(record)])
    }

    /// A task that an earlier process left behind, and what to do for it.
    pub fn resume(record: Record, now_ms: u64) -> (Self, Vec<Action<T>>) {
        let record = Arc::new(record);
        let mut life = Self::new(&record, Step::Settled);
        let mut actions = vec![Action::Publish(Arc::clone(&record))];
        if matches!(record.state, State::Working(_)) {
            life.store(record.failed(RESTARTED, now_ms), None, &mut actions);
        }
        (life, actions)
    }

    fn new(record: &Arc<Record>, step: Step<T>) -> Self {
        Self {
            record: Arc::clone(record),
            step,
            run: None,
            run_count: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The task as everybody sees it.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Whether this run's end still means something.
    pub fn wants(&self, run: u64) -> bool {
        self.run == Some(run)
    }

    /// What follows from an event.
    pub fn handle(&mut self, event: Event<T>, bounds: Bounds<'_>) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        self.take(event, bounds, &mut actions);
        while matches!(
            self.step,
            Step::Settled | Step::Unstored { .. } | Step::Gone
        ) && let Some(event) = self.waiting.pop_front()
        {
            self.take(event, bounds, &mut actions);
        }
        actions
    }

    fn take(&mut self, event: Event<T>, bounds: Bounds<'_>, actions: &mut Vec<Action<T>>) {
        match (&mut self.step, event) {
            (Step::Making(_) | Step::Storing { .. }, Event::Stored(true)) => self.settle(actions),
            (Step::Making(_) | Step::Storing { .. }, Event::Stored(false)) => {
                self.unstored(actions)
            }
            (Step::Unstored { next, attempts }, Event::StoreDue) => {
                actions.push(Action::Store(Arc::clone(next)));
                self.step = Step::Storing {
                    next: Arc::clone(next),
                    reply: None,
                    attempts: *attempts,
                };
            }
            // Of a step that is over.
            (_, Event::Stored(_) | Event::StoreDue) => {}
            (Step::Making(_) | Step::Storing { .. }, event) => self.wait(event, actions),
            (Step::Gone, Event::Update { reply, .. } | Event::Cancel { reply }) => {
                actions.push(Action::Reply(reply, Word::Refused(Refused::Unknown)));
            }
            (Step::Unstored { .. }, Event::Update { reply, .. } | Event::Cancel { reply }) => {
                actions.push(Action::Reply(reply, Word::Refused(Refused::NotStored)));
            }
            (Step::Unstored { .. } | Step::Gone, Event::RunEnded { .. })
            | (Step::Gone, Event::Expired) => {}
            (Step::Settled | Step::Unstored { .. }, Event::Expired) => self.remove(actions),
            (Step::Settled, event) => self.decide(event, bounds, actions),
        }
    }

    fn wait(&mut self, event: Event<T>, actions: &mut Vec<Action<T>>) {
        match event {
            Event::Update { reply, .. } | Event::Cancel { reply }
                if self.waiting.len() >= WAITING_MAX =>
            {
                let refused = Refused::Full {
                    limit: "requests about one task that wait for its record",
                    value: WAITING_MAX,
                };
                actions.push(Action::Reply(reply, Word::Refused(refused)));
            }
            event => self.waiting.push_back(event),
        }
    }

    /// What follows from an event where nothing is on its way to the disk.
    fn decide(&mut self, event: Event<T>, bounds: Bounds<'_>, actions: &mut Vec<Action<T>>) {
        let Bounds {
            limits,
            room,
            now_ms,
        } = bounds;
        match event {
            Event::RunEnded { run, ending } if self.run == Some(run) => {
                self.run = None;
                if let Some(next) = self.record.ended(ending, now_ms, room, limits) {
                    self.store(next, None, actions);
                }
            }
            Event::Update { answers, reply } => {
                match self.record.answered(answers, now_ms, room, limits) {
                    Answered::Nothing => {
                        actions.push(Action::Reply(reply, Word::Done(Arc::clone(&self.record))));
                    }
                    Answered::TooLarge => {
                        actions.push(Action::Reply(reply, Word::Refused(Refused::TooLarge)));
                    }
                    Answered::Next(next) => self.store(next, Some(reply), actions),
                }
            }
            Event::Cancel { reply } if self.record.is_terminal() => {
                actions.push(Action::Reply(reply, Word::Ended(Arc::clone(&self.record))));
            }
            Event::Cancel { reply } => {
                self.stop(actions);
                self.store(self.record.cancelled(now_ms), Some(reply), actions);
            }
            // A run that was stopped, at its end; the others do not come here.
            _ => {}
        }
    }

    fn store(&mut self, next: Record, reply: Option<T>, actions: &mut Vec<Action<T>>) {
        let next = Arc::new(next);
        actions.push(Action::Store(Arc::clone(&next)));
        self.step = Step::Storing {
            next,
            reply,
            attempts: 0,
        };
    }

    /// The disk has the record.
    fn settle(&mut self, actions: &mut Vec<Action<T>>) {
        let reply = match std::mem::replace(&mut self.step, Step::Settled) {
            Step::Making(reply) => reply,
            Step::Storing { next, reply, .. } => {
                self.record = next;
                reply
            }
            _ => None,
        };
        actions.push(Action::Publish(Arc::clone(&self.record)));
        if let State::Working(work) = &self.record.state {
            self.run_count += 1;
            self.run = Some(self.run_count);
            actions.push(Action::Run {
                run: self.run_count,
                work: Arc::clone(work),
            });
        }
        if let Some(reply) = reply {
            actions.push(Action::Reply(reply, Word::Done(Arc::clone(&self.record))));
        }
    }

    /// The disk did not take the record.
    fn unstored(&mut self, actions: &mut Vec<Action<T>>) {
        let refused = Word::Refused(Refused::NotStored);
        match std::mem::replace(&mut self.step, Step::Settled) {
            Step::Making(reply) => {
                actions.extend(reply.map(|reply| Action::Reply(reply, refused)));
                actions.push(Action::Forget);
                self.step = Step::Gone;
            }
            // Answers come from somebody who can bring them again; the questions stay open.
            Step::Storing {
                next,
                reply: Some(reply),
                ..
            } if next.state != State::Cancelled => actions.push(Action::Reply(reply, refused)),
            Step::Storing {
                next,
                reply,
                attempts,
            } => {
                actions.extend(reply.map(|reply| Action::Reply(reply, refused)));
                let attempts = attempts + 1;
                actions.push(Action::StoreLater { attempts });
                self.step = Step::Unstored { next, attempts };
            }
            step => self.step = step,
        }
    }

    fn stop(&mut self, actions: &mut Vec<Action<T>>) {
        if let Some(run) = self.run.take() {
            actions.push(Action::Stop { run });
        }
    }

    fn remove(&mut self, actions: &mut Vec<Action<T>>) {
        self.stop(actions);
        actions.push(Action::Remove);
        self.step = Step::Gone;
    }
}

#[cfg(test)]
mod tests;
