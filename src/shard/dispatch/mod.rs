//! From a request to what answers it, in one place whatever the request came over.
//!
//! Invariants: nothing here knows a socket, a thread or a session table; what can be refused is refused before a component is asked; what
//! is not offered is refused as the capabilities say it.

mod caller;
mod calls;
mod dispatcher;
mod ending;
mod forward;
mod questions;
mod ready;
mod retry;
mod tasks;
mod words;
mod work;

use std::sync::Arc;

use crate::catalog::{Catalog, Completer, Owner, Target};
use crate::component::{CompletionRef, Component, Job};
use crate::mcp::headers::param_fields;
use crate::mcp::route::{ListenFilter, Members, Reference, Retry, TaskRequest};
use crate::mcp::{Invocation, List, Operation, Reason, ShortName, StateFault};
use crate::policy::RuleSet;
use crate::wire::json::{Reader, Str};

use super::known::Known;
pub(super) use calls::{Away, Origin};
pub(super) use dispatcher::{Alone, Asker, Conversation, Dispatcher, Made};
pub(super) use ending::{Ending, write_ending};
use forward::Forward;
pub(super) use questions::{answer_question, refuse_questions};
use ready::Ready;
pub(super) use tasks::shown;
use tasks::{How, how};
pub(super) use words::{write_wait, write_word};

/// What it takes to answer a request.
pub(super) enum Plan<'c, 'b> {
    /// Nothing more: the answer is known.
    Ready(Ready<'c>),
    /// One call of a plain function, which neither hears nor says anything while it runs.
    Function(Function<'c, 'b>),
    /// The work of a component that knows its host.
    Work(Work<'b>),
    /// The same as a task.
    Task(Task<'c, 'b>),
    /// A request about a task.
    OnTask,
    /// The same, and if it succeeds, the session follows the resource.
    Subscribe(Work<'b>),
    /// The session follows the resource no longer.
    Unsubscribe(Str<'b>),
    /// A stream of notifications.
    Listen(ListenFilter<'b>),
    /// An upstream's.
    Upstream(Forward<'b>),
    /// The same, and if it succeeds, the session follows the resource.
    FollowUpstream(Forward<'b>),
    /// The same, and the session follows the resource no longer.
    UnfollowUpstream(Forward<'b>),
}

/// A plain function to call.
pub(super) struct Function<'c, 'b> {
    pub(super) component: &'c Arc<Component>,
    pub(super) tool_index: usize,
    pub(super) name: Str<'b>,
    pub(super) arguments: Option<&'b [u8]>,
}

/// What a component is to do.
pub(super) struct Work<'b> {
    pub(super) component: Arc<Component>,
    pub(super) job: Job,
    /// What it is about, for the log: a tool, a prompt, a resource.
    pub(super) target: Str<'b>,
    /// What an earlier attempt asked for.
    pub(super) retry: Option<Retry<'b>>,
    /// The text of its arguments, where it may say that it is a task.
    pub(super) deferred: Option<&'b [u8]>,
}

/// A call that is a task from its start.
pub(super) struct Task<'c, 'b> {
    pub(super) component: &'c Arc<Component>,
    pub(super) name: Str<'b>,
    pub(super) arguments: Option<&'b [u8]>,
    pub(super) retry: Option<Retry<'b>>,
    /// How long its client wants it to be kept.
    pub(super) ttl_ms: Option<u64>,
}

/// Decides what a request takes.
///
/// Errors: why it is refused.
///
/// Shape: `has_tasks` says whether there can be tasks here; `view`: by whose rules lists are shown, and to whom.
pub(super) fn plan<'c, 'b>(
    catalog: &'c Catalog,
    invocation: &Invocation<'b>,
    has_tasks: bool,
    view: Option<(&RuleSet, &Known)>,
) -> Result<Plan<'c, 'b>, Reason<'b>> {
    let desk = Desk {
        catalog,
        invocation,
        has_tasks,
        view,
    };
    match invocation.operation {
        Operation::CallTool {
            name,
            arguments,
            retry,
            task,
        } => desk.call_tool(name, arguments, retry, task),
        Operation::Ping | Operation::SetLevel { .. } => Ok(Plan::Ready(Ready::Empty)),
        Operation::Initialize { negotiated, .. } => {
            let instructions = Ready::instructions(catalog, view);
            Ok(Plan::Ready(Ready::Initialize {
                negotiated,
                instructions,
            }))
        }
        Operation::Discover => {
            let instructions = Ready::instructions(catalog, view);
            Ok(Plan::Ready(Ready::Discover(instructions)))
        }
        Operation::ListTools { cursor } => desk.list(List::Tools, cursor),
        Operation::ListResources { cursor } => desk.list(List::Resources, cursor),
        Operation::ListTemplates { cursor } => desk.list(List::Templates, cursor),
        Operation::ListPrompts { cursor } => desk.list(List::Prompts, cursor),
        Operation::ReadResource { uri, retry } => {
            let job = |uri| Job::ReadResource { uri };
            Ok(match desk.at_resource(uri, retry, job)? {
                Found::Here(work) => Plan::Work(work),
                Found::There(forward) => Plan::Upstream(forward),
            })
        }
        Operation::Subscribe { uri } => {
            let job = |uri| Job::Subscribe { uri };
            Ok(match desk.at_resource(uri, None, job)? {
                Found::Here(work) => Plan::Subscribe(work),
                Found::There(forward) => Plan::FollowUpstream(forward),
            })
        }
        Operation::Unsubscribe { uri } => match desk.offers(List::Resources) {
            true => Ok(match desk.catalog.resource(&uri.to_cow()) {
                Some(Owner::Upstream(remote)) => {
                    Plan::UnfollowUpstream(Forward::new(remote, uri.to_cow(), uri))
                }
                _ => Plan::Unsubscribe(uri),
            }),
            false => Err(desk.not_offered()),
        },
        Operation::GetPrompt {
            name,
            arguments,
            retry,
        } => desk.get_prompt(name, arguments, retry),
        Operation::Complete {
            reference,
            argument,
            value,
            context,
        } => desk.complete(reference, argument, value, context),
        Operation::Listen { filter } => Ok(Plan::Listen(filter)),
        Operation::GetTask { .. }
        | Operation::TaskResult { .. }
        | Operation::ListTasks { .. }
        | Operation::UpdateTask { .. }
        | Operation::CancelTask { .. } => Ok(Plan::OnTask),
    }
}

/// Who has a resource.
enum Found<'b> {
    /// A component.
    Here(Work<'b>),
    /// An upstream.
    There(Forward<'b>),
}

struct Desk<'c, 'i, 'b> {
    catalog: &'c Catalog,
    invocation: &'i Invocation<'b>,
    has_tasks: bool,
    view: Option<(&'i RuleSet, &'i Known)>,
}

impl<'c, 'b> Desk<'c, '_, 'b> {
    fn not_offered(&self) -> Reason<'b> {
        Reason::NotOffered {
            method: self.invocation.method(),
            revision: self.invocation.revision,
        }
    }

    fn offers(&self, list: List) -> bool {
        self.catalog.page(list, None).is_some()
    }

    fn call_tool(
        &self,
        name: Str<'b>,
        arguments: Option<&'b [u8]>,
        retry: Option<Retry<'b>>,
        task: Option<TaskRequest>,
    ) -> Result<Plan<'c, 'b>, Reason<'b>> {
        // A name spelt with escapes is rare enough to be copied.
        let found = match name.as_plain() {
            Some(plain) => self.catalog.tool(plain),
            None => self.catalog.tool(&name.to_cow()),
        };
        let tool = found.ok_or(Reason::UnknownTool { name })?;
        if tool.is_blocked {
            return Err(Reason::ToolChanged { name });
        }
        if let Target::Upstream {
            remote,
            name: theirs,
        } = &tool.target
        {
            let mirrored = param_fields(&tool.header_bindings, arguments.unwrap_or(b"{}"));
            return Ok(Plan::Upstream(Forward {
                is_repeatable: tool.is_repeatable,
                mirrored,
                ..Forward::new(remote, theirs.clone(), name)
            }));
        }
        let component = tool.component().ok_or(Reason::Internal)?;
        let how = how(
            tool.task_support,
            name,
            self.invocation,
            task,
            self.has_tasks,
        )?;
        if let How::AsTask { ttl_ms } = how {
            return Ok(Plan::Task(Task {
                component,
                name,
                arguments,
                retry,
                ttl_ms,
            }));
        }
        match &tool.target {
            // What never asks never left a state.
            Target::Function { .. }
                if !component.is_host_aware()
                    && retry.is_some_and(|retry| retry.request_state.is_some()) =>
            {
                Err(Reason::State {
                    fault: StateFault::OtherRequest,
                })
            }
            Target::Function { index, .. } if !component.is_host_aware() => {
                Ok(Plan::Function(Function {
                    component,
                    tool_index: *index,
                    name,
                    arguments,
                }))
            }
            _ => {
                let job = tool.job(arguments.unwrap_or_default().to_vec());
                let (component, job) = job.ok_or(Reason::Internal)?;
                Ok(Plan::Work(Work {
                    component: Arc::clone(component),
                    job,
                    target: name,
                    retry,
                    deferred: (how == How::Deferred).then_some(arguments.unwrap_or(b"{}")),
                }))
            }
        }
    }

    fn list(&self, list: List, cursor: Option<Str<'b>>) -> Result<Plan<'c, 'b>, Reason<'b>> {
        if let Some(upstream) = self.catalog.refused(list) {
            let upstream = ShortName::new(upstream);
            return Err(Reason::ListIncomplete { upstream });
        }
        if !self.offers(list) {
            return Err(self.not_offered());
        }
        let era = self.invocation.era();
        let ready = match self.view {
            None => Ready::page(self.catalog, era, list, cursor),
            Some(view) => Ready::page_for(self.catalog, era, list, cursor, view),
        };
        ready.map(Plan::Ready)
    }

    fn at_resource(
        &self,
        uri: Str<'b>,
        retry: Option<Retry<'b>>,
        job: impl FnOnce(Box<str>) -> Job,
    ) -> Result<Found<'b>, Reason<'b>> {
        if !self.offers(List::Resources) {
            return Err(self.not_offered());
        }
        let address = uri.to_cow();
        let owner = self.catalog.resource(&address);
        let owner = owner.ok_or(Reason::UnknownResource {
            uri,
            era: self.invocation.era(),
        })?;
        Ok(match owner {
            Owner::Upstream(remote) => Found::There(Forward::new(remote, address, uri)),
            Owner::Component(component) => Found::Here(Work {
                component: Arc::clone(component),
                job: job(address.into()),
                target: uri,
                retry,
                deferred: None,
            }),
        })
    }

    fn get_prompt(
        &self,
        name: Str<'b>,
        arguments: Option<&'b [u8]>,
        retry: Option<Retry<'b>>,
    ) -> Result<Plan<'c, 'b>, Reason<'b>> {
        if !self.offers(List::Prompts) {
            return Err(self.not_offered());
        }
        let prompt = self.catalog.prompt(&name.to_cow());
        let prompt = prompt.ok_or(Reason::UnknownPrompt { name })?;
        let component = match &prompt.owner {
            Owner::Component(component) => component,
            Owner::Upstream(remote) => {
                return Ok(Plan::Upstream(Forward::new(
                    remote,
                    prompt.name.clone(),
                    name,
                )));
            }
        };
        Ok(Plan::Work(Work {
            component: Arc::clone(component),
            job: Job::GetPrompt {
                name: prompt.name.clone(),
                arguments: pairs(arguments),
            },
            target: name,
            retry,
            deferred: None,
        }))
    }

    fn complete(
        &self,
        reference: Reference<'b>,
        argument: Str<'b>,
        value: Str<'b>,
        context: Option<&'b [u8]>,
    ) -> Result<Plan<'c, 'b>, Reason<'b>> {
        let (target, of, list, unknown) = match reference {
            Reference::Prompt(name) => (
                name,
                CompletionRef::Prompt(name.to_cow().into()),
                List::Prompts,
                Reason::UnknownPrompt { name },
            ),
            Reference::Template(template) => (
                template,
                CompletionRef::Template(template.to_cow().into()),
                List::Templates,
                Reason::UnknownTemplate { template },
            ),
        };
        if !self.offers(list) {
            return Err(self.not_offered());
        }
        match self.catalog.completer(&of).ok_or(unknown)? {
            Completer::Nobody => Ok(Plan::Ready(Ready::NoSuggestions)),
            Completer::Upstream(remote, of) => {
                let (CompletionRef::Prompt(theirs) | CompletionRef::Template(theirs)) = of;
                Ok(Plan::Upstream(Forward::new(remote, theirs, target)))
            }
            Completer::Component(component, of) => Ok(Plan::Work(Work {
                component: Arc::clone(component),
                job: Job::Complete {
                    of,
                    argument: argument.to_cow().into(),
                    value: value.to_cow().into(),
                    arguments: pairs(context),
                },
                target,
                retry: None,
                deferred: None,
            })),
        }
    }
}

/// The members of an object whose values are strings, decoded.
fn pairs(object: Option<&[u8]>) -> Vec<(String, String)> {
    let members = Members::new(object.unwrap_or(b"{}"));
    members
        .filter_map(|(name, value)| {
            let value = Reader::new(value, 0).string().ok()?;
            Some((name.to_cow().into_owned(), value.to_cow().into_owned()))
        })
        .collect()
}
