//! From a message's parameters to an operation: each of the form that its method wants, or a refusal that names it.

use super::members::{DEPTH_MAX, fields, is_array_of_strings, is_map_of};
use super::operation::{ListenFilter, Operation, Reference, Retry, TaskRequest};
use crate::limits::{INPUT_RESPONSE_COUNT_MAX, PROMPT_ARGUMENT_COUNT_MAX, URI_BYTES_MAX};
use crate::mcp::capability::{ClientCapabilities, LogLevel};
use crate::mcp::message::{Message, Params, Value};
use crate::mcp::method::Method;
use crate::mcp::refusal::Reason;
use crate::mcp::revision::{Era, Revision};
use crate::wire::json::{Kind, Str};

/// What a parser needs to know beside the message.
#[derive(Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) revision: Revision,
    pub(super) capabilities: ClientCapabilities,
    /// Whether `initialize` settles a revision of Streamable HTTP.
    pub(super) over_http: bool,
}

/// Reads what a request of a method that the revision has asks for.
///
/// Shape: none where the method is a notification, sent with an id.
pub(super) fn operation<'b>(
    method: Method,
    message: &Message<'b>,
    around: Circumstances,
) -> Result<Option<Operation<'b>>, Reason<'b>> {
    let params = &message.params;
    let modern = around.revision.era() == Era::Modern;
    Ok(Some(match method {
        Method::CallTool => call_tool(params, around.revision)?,
        Method::ListTools => Operation::ListTools {
            cursor: cursor(params)?,
        },
        Method::ReadResource => Operation::ReadResource {
            uri: uri(params)?,
            retry: retry(params, modern)?,
        },
        Method::GetPrompt => Operation::GetPrompt {
            name: name(params)?,
            arguments: strings("params.arguments", params.arguments)?,
            retry: retry(params, modern)?,
        },
        Method::Ping => Operation::Ping,
        Method::Initialize => initialize(params, around.over_http)?,
        Method::Discover => Operation::Discover,
        Method::ListResources => Operation::ListResources {
            cursor: cursor(params)?,
        },
        Method::ListTemplates => Operation::ListTemplates {
            cursor: cursor(params)?,
        },
        Method::ListPrompts => Operation::ListPrompts {
            cursor: cursor(params)?,
        },
        Method::Complete => complete(params, around.revision)?,
        Method::Subscribe => Operation::Subscribe { uri: uri(params)? },
        Method::Unsubscribe => Operation::Unsubscribe { uri: uri(params)? },
        Method::SetLevel => Operation::SetLevel {
            level: level(params)?,
        },
        Method::Listen => listen(params, around.capabilities)?,
        Method::ListTasks => Operation::ListTasks {
            cursor: cursor(params)?,
        },
        Method::GetTask | Method::TaskResult | Method::UpdateTask | Method::CancelTask => {
            on_task(method, params, modern, around.capabilities)?
        }
        Method::Initialized | Method::Cancelled | Method::Progress | Method::RootsChanged => {
            return Ok(None);
        }
    }))
}

/// Reads what a `tools/call` asks for.
#[inline]
pub(super) fn call_tool<'b>(
    params: &Params<'b>,
    revision: Revision,
) -> Result<Operation<'b>, Reason<'b>> {
    Ok(Operation::CallTool {
        name: name(params)?,
        arguments: arguments(params)?,
        retry: retry(params, revision.era() == Era::Modern)?,
        task: task(params, revision)?,
    })
}

/// A refusal of a parameter.
const fn wrong(member: &'static str, expected: &'static str) -> Reason<'static> {
    Reason::Param { member, expected }
}

fn required<'b>(
    value: Value<'b>,
    member: &'static str,
    expected: &'static str,
) -> Result<Str<'b>, Reason<'b>> {
    value.text().ok_or(wrong(member, expected))
}

fn name<'b>(params: &Params<'b>) -> Result<Str<'b>, Reason<'b>> {
    required(params.name, "params.name", "a string")
}

fn uri<'b>(params: &Params<'b>) -> Result<Str<'b>, Reason<'b>> {
    required(params.uri, "params.uri", "a string").and_then(|uri| bounded(uri, "params.uri"))
}

/// Longer addresses are nobody's, and what is subscribed to is kept.
fn bounded<'b>(uri: Str<'b>, member: &'static str) -> Result<Str<'b>, Reason<'b>> {
    const { assert!(URI_BYTES_MAX == 8192, "the text below names it") };
    if uri.raw().len() <= URI_BYTES_MAX {
        return Ok(uri);
    }
    Err(wrong(member, "an address of at most 8192 bytes"))
}

fn cursor<'b>(params: &Params<'b>) -> Result<Option<Str<'b>>, Reason<'b>> {
    match params.cursor.value() {
        value if value.is_nothing() => Ok(None),
        Value::Text(cursor) => Ok(Some(cursor)),
        _ => Err(wrong("params.cursor", "a string")),
    }
}

fn arguments<'b>(params: &Params<'b>) -> Result<Option<&'b [u8]>, Reason<'b>> {
    match params.arguments {
        value if value.is_nothing() => Ok(None),
        Value::Object(text) => Ok(Some(text)),
        _ => Err(wrong("params.arguments", "an object")),
    }
}

/// An object whose values are strings.
fn strings<'b>(member: &'static str, value: Value<'b>) -> Result<Option<&'b [u8]>, Reason<'b>> {
    const { assert!(PROMPT_ARGUMENT_COUNT_MAX == 64, "the text below names it") };
    let wrong = wrong(
        member,
        "an object of at most 64 strings, with no name twice",
    );
    match value {
        value if value.is_nothing() => Ok(None),
        Value::Object(text) if is_map_of::<PROMPT_ARGUMENT_COUNT_MAX>(text, Kind::String)? => {
            Ok(Some(text))
        }
        _ => Err(wrong),
    }
}

/// What a retry brings; only the modern era has retries, and elsewhere these members mean nothing.
#[inline]
fn retry<'b>(params: &Params<'b>, modern: bool) -> Result<Option<Retry<'b>>, Reason<'b>> {
    if !modern || !(params.input_responses.is_there() || params.request_state.is_there()) {
        return Ok(None);
    }
    read_retry(params)
}

#[cold]
fn read_retry<'b>(params: &Params<'b>) -> Result<Option<Retry<'b>>, Reason<'b>> {
    let input_responses = match params.input_responses.value() {
        value if value.is_nothing() => None,
        value => Some(input_responses(value)?),
    };
    let request_state = match params.request_state.value() {
        value if value.is_nothing() => None,
        value => Some(required(value, "params.requestState", "a string")?),
    };
    if input_responses.is_none() && request_state.is_none() {
        return Ok(None);
    }
    Ok(Some(Retry {
        input_responses,
        request_state,
    }))
}

fn input_responses<'b>(value: Value<'b>) -> Result<&'b [u8], Reason<'b>> {
    const { assert!(INPUT_RESPONSE_COUNT_MAX == 64, "the text below names it") };
    match value {
        Value::Object(text) if is_map_of::<INPUT_RESPONSE_COUNT_MAX>(text, Kind::Object)? => {
            Ok(text)
        }
        _ => Err(wrong(
            "params.inputResponses",
            "an object of at most 64 objects, with no key twice",
        )),
    }
}

/// `params.task`, which only one revision gives a meaning to.
#[inline]
fn task<'b>(params: &Params<'b>, revision: Revision) -> Result<Option<TaskRequest>, Reason<'b>> {
    if !params.task.is_there() || !Method::TaskResult.is_in(revision) {
        return Ok(None);
    }
    read_task(params)
}

#[cold]
fn read_task<'b>(params: &Params<'b>) -> Result<Option<TaskRequest>, Reason<'b>> {
    let object = match params.task.value() {
        value if value.is_nothing() => return Ok(None),
        Value::Object(object) => object,
        _ => return Err(wrong("params.task", "an object")),
    };
    let [ttl] = fields(object, [("ttl", "params.task.ttl")])?;
    let ttl_ms = match ttl {
        value if value.is_nothing() => None,
        Value::Number(number) => number.as_u64_integral(),
        _ => None,
    };
    if ttl_ms.is_none() && !ttl.is_nothing() {
        return Err(wrong(
            "params.task.ttl",
            "a whole number of milliseconds that is not negative",
        ));
    }
    Ok(Some(TaskRequest { ttl_ms }))
}

fn initialize<'b>(params: &Params<'b>, over_http: bool) -> Result<Operation<'b>, Reason<'b>> {
    let requested = required(
        params.protocol_version.value(),
        "params.protocolVersion",
        "a string",
    )?;
    let requested = requested
        .as_plain()
        .and_then(|name| Revision::parse(name.as_bytes()));
    let capabilities = match params.capabilities.value() {
        value if value.is_nothing() => ClientCapabilities::NONE,
        Value::Object(text) => ClientCapabilities::read(text, DEPTH_MAX).map_err(Reason::Json)?,
        _ => return Err(wrong("params.capabilities", "an object")),
    };
    Ok(Operation::Initialize {
        negotiated: Revision::negotiate(requested, over_http),
        capabilities,
        client_info: params.client_info.value().object(),
    })
}

fn complete<'b>(params: &Params<'b>, revision: Revision) -> Result<Operation<'b>, Reason<'b>> {
    let object = |value: Value<'b>, member| value.object().ok_or(wrong(member, "an object"));
    let reference = reference(object(params.reference.value(), "params.ref")?)?;
    let [name, value] = fields(
        object(params.argument.value(), "params.argument")?,
        [
            ("name", "params.argument.name"),
            ("value", "params.argument.value"),
        ],
    )?;
    // The revisions before it know no context.
    let context = match params.context.value() {
        value if value.is_nothing() || revision < Revision::V2025_06_18 => None,
        value => {
            let [known] = fields(
                object(value, "params.context")?,
                [("arguments", "params.context.arguments")],
            )?;
            strings("params.context.arguments", known)?
        }
    };
    Ok(Operation::Complete {
        reference,
        argument: required(name, "params.argument.name", "a string")?,
        value: required(value, "params.argument.value", "a string")?,
        context,
    })
}

fn reference<'b>(object: &'b [u8]) -> Result<Reference<'b>, Reason<'b>> {
    let [kind, name, uri] = fields(
        object,
        [
            ("type", "params.ref.type"),
            ("name", "params.ref.name"),
            ("uri", "params.ref.uri"),
        ],
    )?;
    match kind.text() {
        Some(kind) if kind.eq_str("ref/prompt") => {
            required(name, "params.ref.name", "a string").map(Reference::Prompt)
        }
        Some(kind) if kind.eq_str("ref/resource") => {
            let uri = required(uri, "params.ref.uri", "a string")?;
            bounded(uri, "params.ref.uri").map(Reference::Template)
        }
        _ => Err(wrong("params.ref.type", "ref/prompt or ref/resource")),
    }
}

fn level<'b>(params: &Params<'b>) -> Result<LogLevel, Reason<'b>> {
    let level = required(params.level.value(), "params.level", "a string")?;
    LogLevel::parse(level).ok_or(Reason::UnknownLevel { level })
}

fn listen<'b>(
    params: &Params<'b>,
    capabilities: ClientCapabilities,
) -> Result<Operation<'b>, Reason<'b>> {
    let object = params.notifications.value().object();
    let object = object.ok_or(wrong("params.notifications", "an object"))?;
    let [tools, prompts, resources, uris, task_ids] = fields(
        object,
        [
            ("toolsListChanged", "params.notifications.toolsListChanged"),
            (
                "promptsListChanged",
                "params.notifications.promptsListChanged",
            ),
            (
                "resourcesListChanged",
                "params.notifications.resourcesListChanged",
            ),
            (
                "resourceSubscriptions",
                "params.notifications.resourceSubscriptions",
            ),
            ("taskIds", "params.notifications.taskIds"),
        ],
    )?;
    let flag = |value| match value {
        Value::Absent => Ok(false),
        Value::Boolean(wanted) => Ok(wanted),
        _ => Err(wrong(
            "params.notifications",
            "an object with boolean …ListChanged members",
        )),
    };
    let resource_subscriptions = match uris {
        Value::Absent => None,
        Value::Array(text)
            if is_array_of_strings(text, |uri| uri.raw().len() <= URI_BYTES_MAX)? =>
        {
            Some(text)
        }
        _ => {
            return Err(wrong(
                "params.notifications.resourceSubscriptions",
                "an array of addresses of at most 8192 bytes",
            ));
        }
    };
    let task_ids = match task_ids {
        Value::Absent => None,
        // The extension asks for this refusal also where it would not come to a task.
        _ if !capabilities.contains(ClientCapabilities::TASKS) => return Err(NEEDS_TASKS),
        Value::Array(text) if is_array_of_strings(text, |_| true)? => Some(text),
        _ => return Err(wrong("params.notifications.taskIds", "an array of strings")),
    };
    Ok(Operation::Listen {
        filter: ListenFilter {
            tools: flag(tools)?,
            prompts: flag(prompts)?,
            resources: flag(resources)?,
            resource_subscriptions,
            task_ids,
        },
    })
}

const NEEDS_TASKS: Reason<'static> = Reason::Capability {
    required: ClientCapabilities::TASKS,
};

/// The methods that are about one task. In the modern era they are the extension's, which a request has to declare.
///
/// Source: SEP-2663, "Protocol Errors"; 2025-11-25 basic/utilities/tasks.
fn on_task<'b>(
    method: Method,
    params: &Params<'b>,
    modern: bool,
    capabilities: ClientCapabilities,
) -> Result<Operation<'b>, Reason<'b>> {
    if modern && !capabilities.contains(ClientCapabilities::TASKS) {
        return Err(NEEDS_TASKS);
    }
    let task_id = required(params.task_id, "params.taskId", "a string")?;
    Ok(match method {
        Method::TaskResult => Operation::TaskResult { task_id },
        Method::CancelTask => Operation::CancelTask { task_id },
        Method::UpdateTask => Operation::UpdateTask {
            task_id,
            responses: input_responses(params.input_responses.value())?,
        },
        _ => Operation::GetTask { task_id },
    })
}
