//! Tasks, as requests ask for them. What they are and how they live is [`crate::task`]'s; here requests become words to its engine, and
//! its words become answers.

use std::collections::HashSet;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::component::{Asked, Component, Outgoing, Recorded, TaskSupport};
use crate::mcp::route::{Members, TaskRequest};
use crate::mcp::{ClientCapabilities, Era, Invocation, Method, Operation, Reason};
use crate::task::wire;
use crate::task::{
    Entry, Follow, NewTask, Order, Owner, Record, Reply, State, Tasks, Who, Word, Work,
};
use crate::wire::json::Str;

use super::calls::{Away, Origin, Stop};
use super::dispatcher::{Asker, Dispatcher, Made};
use super::work::excerpt;
use crate::shard::known::Caller;

/// How a call of a tool goes, where there are tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// As any call.
    Called,
    /// As a task from its start.
    AsTask {
        /// How long its client wants it to be kept.
        ttl_ms: Option<u64>,
    },
    /// As any call, until it says that it is a task.
    Deferred,
}

/// How a call of a tool of this name and support goes.
///
/// Source: SEP-2663, "Task Creation"; 2025-11-25 basic/utilities/tasks, "Tool-Level Negotiation".
pub(super) fn how<'b>(
    support: TaskSupport,
    name: Str<'b>,
    invocation: &Invocation<'b>,
    asked: Option<TaskRequest>,
    has_tasks: bool,
) -> Result<How, Reason<'b>> {
    if invocation.era() == Era::Legacy {
        return match (support, asked) {
            (TaskSupport::Forbidden, Some(_)) => Err(Reason::TaskSupport {
                name,
                required: false,
            }),
            (TaskSupport::Required, None) => Err(Reason::TaskSupport {
                name,
                required: true,
            }),
            (_, Some(TaskRequest { ttl_ms })) => Ok(How::AsTask { ttl_ms }),
            (_, None) => Ok(How::Called),
        };
    }
    let follows = invocation.capabilities.contains(ClientCapabilities::TASKS);
    match support {
        TaskSupport::Required if !follows => Err(Reason::Capability {
            required: ClientCapabilities::TASKS,
        }),
        TaskSupport::Optional | TaskSupport::Required if follows && has_tasks => {
            Ok(How::AsTask { ttl_ms: None })
        }
        TaskSupport::Deferred if follows && has_tasks => Ok(How::Deferred),
        _ => Ok(How::Called),
    }
}

/// A call that is to be a task, or may become one.
pub(in super::super) struct TaskCall {
    owner: Owner,
    tool: Arc<str>,
    order: Arc<Order>,
}

impl TaskCall {
    pub(super) fn new(
        component: &Component,
        name: Str<'_>,
        arguments: &[u8],
        invocation: &Invocation<'_>,
        caller: &Caller,
        client_info: Option<Box<[u8]>>,
    ) -> Self {
        let order = Order {
            arguments: arguments.to_vec(),
            component: component.name().into(),
            digest: component.digest().as_ref().into(),
            revision: invocation.revision,
            capabilities: invocation.capabilities,
            client_info: invocation.client_info().map(Box::from).or(client_info),
            meta: invocation.meta.map(Box::from),
            principal: caller.known.name.as_deref().map(Box::from),
            who: Who::write(&caller.known.identity),
        };
        Self {
            owner: Owner {
                principal: caller.principal(),
                session: invocation.session,
            },
            tool: name.to_cow().into(),
            order: Arc::new(order),
        }
    }

    fn task(self, recorded: Recorded, ttl_ms: Option<u64>) -> NewTask {
        NewTask {
            owner: self.owner,
            tool: self.tool,
            work: Work {
                order: self.order,
                recorded,
            },
            ttl_ms,
        }
    }
}

/// The engine's words to this thread. There is a place for each request that it can have: none is forgotten before its word is there.
pub(super) struct Mail {
    words: Arc<ArrayQueue<(u64, Word)>>,
    wake: Arc<dyn Fn() + Send + Sync>,
    /// The changes of followed tasks that were looked at.
    seen: Option<u64>,
}

impl Mail {
    pub(super) fn new(count_max: usize, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            words: Arc::new(ArrayQueue::new(count_max.max(1))),
            wake,
            seen: None,
        }
    }

    fn reply(&self, ticket: u64) -> Reply {
        let (words, wake) = (Arc::clone(&self.words), Arc::clone(&self.wake));
        Box::new(move |word| {
            if words.push((ticket, word)).is_err() {
                debug_assert!(false, "the mail has a place for each request");
                tracing::error!("a word about a task was lost: there was no place for it");
            }
            wake();
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// Somebody who waits for a task to end, and is asked its questions meanwhile.
pub(in super::super) struct Wait {
    follow: Follow,
    /// The keys of the questions that it was asked.
    asked: HashSet<Box<str>>,
}

impl Wait {
    /// Whether the task goes on only if somebody answers.
    pub(in super::super) fn is_for_answers(&self) -> bool {
        matches!(self.record().state, State::InputRequired { .. })
    }

    /// The task as it is now.
    pub(super) fn record(&self) -> Arc<Record> {
        self.follow.entry().record()
    }
}

impl<P> Dispatcher<P> {
    /// Makes a task of a call. The answer comes once it is durable.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn make_task<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        origin: Origin<P>,
        name: Str<'b>,
        call: TaskCall,
        recorded: Recorded,
        ttl_ms: Option<u64>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let shared = Arc::clone(&self.shared);
        let tasks = shared.tasks().ok_or(Reason::Internal)?;
        let ticket = self.ask_engine(invocation, origin, excerpt(name))?;
        tasks.make(call.task(recorded, ttl_ms), self.mail.reply(ticket));
        Ok(Made::Later(ticket))
    }

    /// A call has said that it is a task: whether it now is on its way to be one. Its place stays as it is.
    pub(in super::super) fn become_task(&mut self, ticket: u64, asked: Option<&Asked>) -> bool {
        let shared = Arc::clone(&self.shared);
        let (Some(tasks), Some(away)) = (shared.tasks(), self.calls.get_mut(ticket)) else {
            return false;
        };
        let Some(call) = away.task.take() else {
            return false;
        };
        away.cancel = Stop::Engine;
        let recorded = asked.map(|asked| asked.recorded.clone());
        let task = (*call).task(recorded.unwrap_or_default(), None);
        tasks.make(task, self.mail.reply(ticket));
        true
    }

    /// Serves a request about a task; none where it is about none.
    pub(super) fn on_task<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        out: &mut Vec<u8>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let shared = Arc::clone(&self.shared);
        let offered = self.snapshot.load().catalog.offer().tasks;
        // What was made before the components were removed is told of all the same.
        let tasks = shared
            .tasks()
            .filter(|tasks| offered || tasks.table().counts().kept > 0);
        let tasks = tasks.ok_or(Reason::NotOffered {
            method: invocation.method(),
            revision: invocation.revision,
        })?;
        let (id, era) = (&invocation.id, invocation.era());
        match invocation.operation {
            Operation::GetTask { task_id } => {
                let entry = find(tasks, task_id, asker)?;
                wire::got(out, id, era, &entry.record());
                Ok(Made::body(200))
            }
            Operation::ListTasks { cursor } => {
                let after = cursor.map(wire::read_place).transpose()?;
                let owner = Owner {
                    principal: asker.principal,
                    session: invocation.session,
                };
                let page = tasks
                    .table()
                    .list(&owner, after, shared.limits.list_page_max);
                wire::listed(out, id, &page);
                Ok(Made::body(200))
            }
            Operation::UpdateTask { task_id, responses } => {
                let entry = find(tasks, task_id, asker)?;
                let answers = Members::new(responses)
                    .map(|(key, text)| (key.to_cow().into_owned(), text.to_vec()))
                    .collect();
                let ticket = self.ask_engine(invocation, origin, shown(task_id))?;
                tasks.update(entry.id(), answers, self.mail.reply(ticket));
                Ok(Made::Later(ticket))
            }
            Operation::CancelTask { task_id } => {
                let entry = find(tasks, task_id, asker)?;
                let ticket = self.ask_engine(invocation, origin, shown(task_id))?;
                tasks.cancel(entry.id(), self.mail.reply(ticket));
                Ok(Made::Later(ticket))
            }
            Operation::TaskResult { task_id } => {
                let entry = find(tasks, task_id, asker)?;
                if wire::result(out, id, &entry.record()) {
                    return Ok(Made::body(200));
                }
                self.wait_for_task(invocation, asker, origin, task_id, &entry)
            }
            _ => Err(Reason::Internal),
        }
    }

    /// A ticket for a request that the engine answers.
    fn ask_engine<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        origin: Origin<P>,
        target: Box<str>,
    ) -> Result<u64, Reason<'b>> {
        let ticket = self.desk().ticket()?;
        let away = Away::new(invocation, target, origin, Stop::Engine);
        self.desk().leave(ticket, away)?;
        Ok(ticket)
    }

    fn wait_for_task<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        task_id: Str<'b>,
        entry: &Arc<Entry>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let shared = Arc::clone(&self.shared);
        let ticket = self.desk().ticket()?;
        if !shared.waits.enter() {
            self.calls.remove(ticket);
            return Err(Reason::Overloaded {
                limit: "half of limits.request_count_max, for those who wait for tasks,",
                value: shared.waits.limit(),
            });
        }
        let wait = Wait {
            follow: entry.follow(),
            asked: HashSet::new(),
        };
        let outbox = asker.hears.ok().map(|()| self.pool.outbox(ticket));
        let stop = Stop::Wait(Box::new(wait));
        let mut away = Away::new(invocation, shown(task_id), origin, stop);
        away.outbox = outbox;
        let left = self.desk().leave(ticket, away);
        left.inspect_err(|_| shared.waits.leave())?;
        // It may have changed before it was followed.
        self.mail.seen = None;
        Ok(Made::Later(ticket))
    }

    /// A word of the engine, for the request with this ticket.
    pub(in super::super) fn next_word(&mut self) -> Option<(u64, Word)> {
        self.mail.words.pop()
    }

    /// Whether a task that somebody follows has changed since the last look.
    pub(in super::super) fn has_task_news(&self) -> bool {
        let tasks = self.shared.tasks();
        tasks.is_some_and(|tasks| Some(tasks.table().changes()) != self.mail.seen)
    }

    /// Looks at the tasks that are waited for: has their questions asked, and gives the tickets of those that have ended.
    pub(in super::super) fn look_at_tasks(&mut self) -> Vec<u64> {
        let Some(changes) = self.shared.tasks().map(|tasks| tasks.table().changes()) else {
            return Vec::new();
        };
        // Before the look: a change during it is looked at again.
        self.mail.seen = Some(changes);
        let waiting = self
            .calls
            .select(|away| matches!(away.cancel, Stop::Wait(_)));
        let mut ended = Vec::new();
        for ticket in waiting {
            if let Some(away) = self.calls.get_mut(ticket)
                && look(away)
            {
                ended.push(ticket);
            }
        }
        ended
    }

    /// What a word means that comes for a request which nobody waits for any longer: a task that nobody knows of is given up.
    pub(in super::super) fn unheard(&self, away: &Away<P>, word: &Word) {
        let is_unknown = away.method == Method::CallTool && away.revision.era() == Era::Modern;
        if let (true, Word::Done(record), Some(tasks)) = (is_unknown, word, self.shared.tasks()) {
            tasks.cancel(record.id, Box::new(|_| ()));
        }
    }
}

/// Has a wait's new questions asked; whether its task has ended.
fn look<P>(away: &mut Away<P>) -> bool {
    let Stop::Wait(wait) = &mut away.cancel else {
        return false;
    };
    if wait.follow.entry().is_gone() {
        return true;
    }
    let Some(record) = wait.follow.news() else {
        return false;
    };
    if record.is_terminal() {
        return true;
    }
    wait.follow.told(&record);
    let (State::InputRequired { open, .. }, Some(outbox)) = (&record.state, &away.outbox) else {
        return false;
    };
    for question in open.iter() {
        let mut message = Vec::new();
        if wait.asked.insert(question.key.clone()) && wire::ask(&mut message, &record, question) {
            outbox.push(Outgoing::Message(message));
        }
    }
    false
}

/// A task's id, as far as a log may show it: whoever has it may have the task.
pub(in super::super) fn shown(task_id: Str<'_>) -> Box<str> {
    let begin: String = task_id.to_cow().chars().take(6).collect();
    (begin + "…").into()
}

fn find<'b>(tasks: &Tasks, id: Str<'b>, asker: Asker<'_>) -> Result<Arc<Entry>, Reason<'b>> {
    tasks
        .table()
        .find(&id.to_cow(), asker.principal)
        .ok_or(Reason::UnknownTask { task: id })
}
