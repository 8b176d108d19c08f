//! The exports of `margay:host` that a component has, and what it is to call them.

use std::sync::Arc;

use crate::limits::Limits;
use crate::mcp::{Era, Revision};

use wasmtime::component::InstancePre;

use super::super::call::{CallOutcome, End, Failure};
use super::super::load::Component;
use super::super::store::{Lease, State};
use super::bindings::exports::margay::host::completion::Reference;
use super::bindings::exports::margay::host::{completion, prompts, resources, tools};
use super::bindings::margay::host::types::Error;
use super::caller::{Asking, Caller};
use super::content::{Unwritable, Writer};
use super::definitions::Definitions;
use super::encode::{self, Encoded};
use super::error::RpcError;
use super::job::{CompletionRef, Job};
use super::listing::Lists;

/// Where a component's exports of `margay:host` are; none of those that it does not have.
pub(crate) struct Exports {
    tools: Option<tools::GuestIndices>,
    resources: Option<resources::GuestIndices>,
    prompts: Option<prompts::GuestIndices>,
    completion: Option<completion::GuestIndices>,
}

impl Exports {
    /// Finds them.
    ///
    /// Errors: an interface without one of its functions.
    pub(crate) fn find(pre: &InstancePre<State>) -> wasmtime::Result<Self> {
        let exports = |interface: &str| {
            let name = format!("margay:host/{interface}@0.1.0");
            pre.component().get_export_index(None, &name).is_some()
        };
        Ok(Self {
            tools: exports("tools")
                .then(|| tools::GuestIndices::new(pre))
                .transpose()?,
            resources: exports("resources")
                .then(|| resources::GuestIndices::new(pre))
                .transpose()?,
            prompts: exports("prompts")
                .then(|| prompts::GuestIndices::new(pre))
                .transpose()?,
            completion: exports("completion")
                .then(|| completion::GuestIndices::new(pre))
                .transpose()?,
        })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_none()
            && self.resources.is_none()
            && self.prompts.is_none()
            && self.completion.is_none()
    }

    /// Asks for all lists.
    ///
    /// Errors: the component fails, or lists too much.
    pub(crate) async fn list(
        &self,
        lease: &mut Lease,
        component: &str,
        limits: &Limits,
    ) -> wasmtime::Result<Result<Definitions, String>> {
        let mut lists = Lists::new(component, limits);
        let Lease { store, instance } = lease;
        let mut read = Ok(());
        if let Some(indices) = &self.tools {
            let list = indices
                .load(&mut *store, instance)?
                .call_list_tools(&mut *store)
                .await?;
            read = read.and_then(|()| lists.tools(&list));
        }
        if let Some(indices) = &self.resources {
            let list = indices
                .load(&mut *store, instance)?
                .call_list_resources(&mut *store)
                .await?;
            read = read.and_then(|()| lists.resources(&list));
        }
        if let Some(indices) = &self.prompts {
            let list = indices
                .load(&mut *store, instance)?
                .call_list_prompts(&mut *store)
                .await?;
            read = read.and_then(|()| lists.prompts(&list));
        }
        if let Some(indices) = &self.completion {
            // Its type is checked here; there is nothing to list.
            indices.load(&mut *store, instance)?;
        }
        Ok(read.map(|()| lists.finish(self.completion.is_some())))
    }
}

/// What one job is done with.
pub(crate) struct Service<'s> {
    pub(crate) exports: &'s Exports,
    pub(crate) component: &'s Arc<Component>,
    pub(crate) caller: &'s Caller,
    pub(crate) limits: &'s Limits,
}

/// What the guest gave back, or the error of the runtime.
type Called<T> = wasmtime::Result<Result<T, Error>>;

/// What a job came to: the runtime's error is told apart, because an instance that trapped is gone.
pub(crate) type Done = wasmtime::Result<Result<Answered, End>>;

/// The members were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) outcome: CallOutcome,
    pub(crate) meta_bytes: usize,
}

impl Service<'_> {
    /// Does a job that is not a plain function.
    pub(crate) async fn run(&self, lease: &mut Lease, job: &Job, out: &mut Vec<u8>) -> Done {
        let missing = || {
            Ok(Err(End::Error(RpcError::internal(
                "the component does not export what this needs",
            ))))
        };
        let Lease { store, instance } = lease;
        match job {
            Job::Function { .. } => missing(),
            Job::CallTool { name, arguments } => {
                let Some(indices) = &self.exports.tools else {
                    return missing();
                };
                let arguments = arguments_text(arguments);
                let guest = indices.load(&mut *store, instance)?;
                let called = guest.call_call_tool(&mut *store, name, &arguments).await;
                let promises = self.promises_structure(name);
                self.answer(called, job, out, |writer, result| {
                    encode::tool_result(writer, &result, promises, self.caller.revision)
                })
            }
            Job::ReadResource { uri } => {
                let Some(indices) = &self.exports.resources else {
                    return missing();
                };
                let guest = indices.load(&mut *store, instance)?;
                let called = guest.call_read_resource(&mut *store, uri).await;
                self.read_answer(called, uri, job, out)
            }
            Job::Subscribe { uri } => {
                let Some(indices) = &self.exports.resources else {
                    return missing();
                };
                let guest = indices.load(&mut *store, instance)?;
                let called = guest.call_subscribe(&mut *store, uri).await;
                self.answer(called, job, out, |_, ()| Ok(Encoded::PLAIN))
            }
            Job::GetPrompt { name, arguments } => {
                let Some(indices) = &self.exports.prompts else {
                    return missing();
                };
                let guest = indices.load(&mut *store, instance)?;
                let called = guest.call_get_prompt(&mut *store, name, arguments).await;
                self.answer(called, job, out, |writer, result| {
                    encode::prompt_result(writer, &result, self.caller.revision)
                })
            }
            Job::Complete {
                of,
                argument,
                value,
                arguments,
            } => {
                let Some(indices) = &self.exports.completion else {
                    return missing();
                };
                let of = match of {
                    CompletionRef::Prompt(name) => Reference::Prompt(name.to_string()),
                    CompletionRef::Template(text) => Reference::ResourceTemplate(text.to_string()),
                };
                let guest = indices.load(&mut *store, instance)?;
                let called = guest
                    .call_complete(&mut *store, &of, argument, value, arguments)
                    .await;
                self.answer(called, job, out, |writer, result| {
                    encode::suggestions(writer, &result)
                })
            }
        }
    }

    fn read_answer(
        &self,
        called: Called<resources::ReadResult>,
        uri: &str,
        job: &Job,
        out: &mut Vec<u8>,
    ) -> Done {
        let revision = self.caller.revision;
        // The modern era forbids a result without contents: it is what nothing looks like.
        let is_nothing = matches!(&called, Ok(Ok(result)) if result.contents.is_empty());
        if is_nothing && revision.era() == Era::Modern {
            return Ok(Err(End::Error(RpcError::resource_not_found(uri, revision))));
        }
        let answers_retry = match &self.caller.asking {
            Asking::Rerun(recorded) => recorded.round > 0 || !recorded.answers.is_empty(),
            Asking::Live | Asking::Never(_) => false,
        };
        self.answer(called, job, out, |writer, result| {
            encode::read_result(writer, &result, revision, answers_retry)
        })
    }

    /// Writes what the guest answered.
    fn answer<T>(
        &self,
        called: Called<T>,
        job: &Job,
        out: &mut Vec<u8>,
        encode: impl FnOnce(&mut Writer<'_>, T) -> Result<Encoded, Unwritable>,
    ) -> Done {
        let depth_max = self.limits.json_depth_max;
        let result = match called? {
            Ok(result) => result,
            Err(error) => {
                let revision: Revision = self.caller.revision;
                let error = RpcError::from_guest(error, job, revision, depth_max);
                return Ok(Err(End::Error(error)));
            }
        };
        let mut writer = Writer::new(out, self.limits.output_bytes_max, depth_max);
        Ok(match encode(&mut writer, result) {
            Ok(encoded) => Ok(Answered {
                outcome: match encoded.is_error {
                    true => CallOutcome::ToolError,
                    false => CallOutcome::Ok,
                },
                meta_bytes: encoded.meta_bytes,
            }),
            Err(Unwritable::TooLarge) => Err(Failure::output(self.limits).into()),
            Err(Unwritable::Unfit(what)) => Err(Failure::new(
                CallOutcome::Trap,
                format!("the component answered what cannot be sent: its {what}"),
            )
            .into()),
        })
    }

    fn promises_structure(&self, name: &str) -> bool {
        let definitions = self.component.definitions();
        let found = definitions
            .tools
            .binary_search_by(|tool| (*tool.name).cmp(name));
        found.is_ok_and(|index| definitions.tools[index].has_output_schema)
    }
}

/// The text of an object, whatever was left out. The scanner has checked that it is UTF-8.
fn arguments_text(arguments: &[u8]) -> String {
    match arguments {
        b"" | b"null" => "{}".to_owned(),
        text => String::from_utf8_lossy(text).into_owned(),
    }
}
