//! What a request asks for, with its parameters: typed, borrowed from the message, and of the form that the method wants.

use super::members::{DEPTH_MAX, Members, Strings, fields, is_array_of_strings, is_map_of};
use crate::limits::{INPUT_RESPONSE_COUNT_MAX, PROMPT_ARGUMENT_COUNT_MAX, URI_BYTES_MAX};
use crate::mcp::capability::{ClientCapabilities, LogLevel};
use crate::mcp::message::{Message, Params, Value};
use crate::mcp::method::Method;
use crate::mcp::refusal::Reason;
use crate::mcp::revision::{Era, Revision};
use crate::wire::json::{Kind, Str};

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operation<'b> {
    /// Start a legacy session (HTTP) or process (stdio) with this revision and these capabilities.
    Initialize {
        /// The revision to answer with and to keep.
        negotiated: Revision,
        /// What the client declares.
        capabilities: ClientCapabilities,
    },
    /// Answer with an empty result.
    Ping,
    /// Say which revisions and capabilities there are.
    Discover,
    /// List the tools.
    ListTools {
        /// Where to go on, if not at the beginning.
        cursor: Option<Str<'b>>,
    },
    /// List the resources.
    ListResources {
        /// Where to go on, if not at the beginning.
        cursor: Option<Str<'b>>,
    },
    /// List the resource templates.
    ListTemplates {
        /// Where to go on, if not at the beginning.
        cursor: Option<Str<'b>>,
    },
    /// List the prompts.
    ListPrompts {
        /// Where to go on, if not at the beginning.
        cursor: Option<Str<'b>>,
    },
    /// Call a tool.
    CallTool {
        /// Which one.
        name: Str<'b>,
        /// The text of the `arguments` object, if there is one.
        arguments: Option<&'b [u8]>,
        /// What an earlier attempt asked for.
        retry: Option<Retry<'b>>,
        /// Whether it is to run as a task (2025-11-25 only).
        task: Option<TaskRequest>,
    },
    /// Read a resource.
    ReadResource {
        /// Which one; at most [`URI_BYTES_MAX`] bytes.
        uri: Str<'b>,
        /// What an earlier attempt asked for.
        retry: Option<Retry<'b>>,
    },
    /// Make the messages of a prompt.
    GetPrompt {
        /// Which one.
        name: Str<'b>,
        /// The text of the `arguments` object, if there is one; its values are strings.
        arguments: Option<&'b [u8]>,
        /// What an earlier attempt asked for.
        retry: Option<Retry<'b>>,
    },
    /// Suggest values for an argument.
    Complete {
        /// Whose argument it is.
        reference: Reference<'b>,
        /// The argument.
        argument: Str<'b>,
        /// What the person has typed of it.
        value: Str<'b>,
        /// The text of the object of arguments that have values already, if there is one; its values are strings.
        context: Option<&'b [u8]>,
    },
    /// Tell the session when a resource changes (legacy).
    Subscribe {
        /// Which one; at most [`URI_BYTES_MAX`] bytes.
        uri: Str<'b>,
    },
    /// Tell it no longer (legacy).
    Unsubscribe {
        /// Which one.
        uri: Str<'b>,
    },
    /// Send the session log messages from this level on (legacy).
    SetLevel {
        /// The level.
        level: LogLevel,
    },
    /// Say how a task stands.
    GetTask {
        /// Which one.
        task_id: Str<'b>,
    },
    /// Wait for a task's end and answer with its result (2025-11-25 only).
    TaskResult {
        /// Which one.
        task_id: Str<'b>,
    },
    /// List the tasks (2025-11-25 only).
    ListTasks {
        /// Where to go on, if not at the beginning.
        cursor: Option<Str<'b>>,
    },
    /// Give a task the answers that it asked for (modern).
    UpdateTask {
        /// Which one.
        task_id: Str<'b>,
        /// The text of the `inputResponses` object; its values are objects. Walk it with [`Members`].
        responses: &'b [u8],
    },
    /// Stop a task.
    CancelTask {
        /// Which one.
        task_id: Str<'b>,
    },
    /// Open a stream of change notifications.
    Listen {
        /// What the client wants on it.
        filter: ListenFilter<'b>,
    },
}

/// What a client brings when it asks again because the first answer was a question (modern).
///
/// Source: 2026-07-28 basic/patterns/mrtr.
#[derive(Clone, Copy, Debug)]
pub struct Retry<'b> {
    /// The text of the `inputResponses` object, if there is one; its values are objects.
    pub input_responses: Option<&'b [u8]>,
    /// `requestState`, if there is one.
    pub request_state: Option<Str<'b>>,
}

impl<'b> Retry<'b> {
    /// The answers: each one's key and its text, a JSON object.
    pub fn answers(&self) -> Members<'b> {
        Members::new(self.input_responses.unwrap_or(b"{}"))
    }
}

/// `params.task`: the request is to run as a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRequest {
    /// How long the client wants it to be kept.
    ///
    /// Units: milliseconds from its creation.
    pub ttl_ms: Option<u64>,
}

/// What a completion is for.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'b> {
    /// The prompt of this name.
    Prompt(Str<'b>),
    /// The resource template of this text.
    Template(Str<'b>),
}

/// What a `subscriptions/listen` wants to hear of.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenFilter<'b> {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
    /// The text of the `resourceSubscriptions` array, if there is one.
    resource_subscriptions: Option<&'b [u8]>,
    /// The text of the tasks extension's `taskIds` array, if there is one.
    task_ids: Option<&'b [u8]>,
}

impl<'b> ListenFilter<'b> {
    /// The resources whose changes it wants to hear of, each at most [`URI_BYTES_MAX`] bytes.
    pub fn resource_subscriptions(&self) -> Strings<'b> {
        self.resource_subscriptions
            .map_or_else(Strings::none, Strings::new)
    }

    /// The tasks whose status it wants to hear of.
    pub fn task_ids(&self) -> Strings<'b> {
        self.task_ids.map_or_else(Strings::none, Strings::new)
    }
}

impl Operation<'_> {
    /// The method that asks for it: what metrics and logs tell it apart by.
    pub const fn method(&self) -> Method {
        match self {
            Self::Initialize { .. } => Method::Initialize,
            Self::Ping => Method::Ping,
            Self::Discover => Method::Discover,
            Self::ListTools { .. } => Method::ListTools,
            Self::ListResources { .. } => Method::ListResources,
            Self::ListTemplates { .. } => Method::ListTemplates,
            Self::ListPrompts { .. } => Method::ListPrompts,
            Self::CallTool { .. } => Method::CallTool,
            Self::ReadResource { .. } => Method::ReadResource,
            Self::GetPrompt { .. } => Method::GetPrompt,
            Self::Complete { .. } => Method::Complete,
            Self::Subscribe { .. } => Method::Subscribe,
            Self::Unsubscribe { .. } => Method::Unsubscribe,
            Self::SetLevel { .. } => Method::SetLevel,
            Self::GetTask { .. } => Method::GetTask,
            Self::TaskResult { .. } => Method::TaskResult,
            Self::ListTasks { .. } => Method::ListTasks,
            Self::UpdateTask { .. } => Method::UpdateTask,
            Self::CancelTask { .. } => Method::CancelTask,
            Self::Listen { .. } => Method::Listen,
        }
    }
}

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
        Method::CallTool => Operation::CallTool {
            name: name(params)?,
            arguments: arguments(params)?,
            retry: retry(params, modern)?,
            task: task(params, around.revision)?,
        },
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
    match params.cursor {
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
fn retry<'b>(params: &Params<'b>, modern: bool) -> Result<Option<Retry<'b>>, Reason<'b>> {
    if !modern || (params.input_responses.is_nothing() && params.request_state.is_nothing()) {
        return Ok(None);
    }
    let input_responses = match params.input_responses {
        value if value.is_nothing() => None,
        value => Some(input_responses(value)?),
    };
    let request_state = match params.request_state {
        value if value.is_nothing() => None,
        value => Some(required(value, "params.requestState", "a string")?),
    };
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
fn task<'b>(params: &Params<'b>, revision: Revision) -> Result<Option<TaskRequest>, Reason<'b>> {
    if params.task.is_nothing() || !Method::TaskResult.is_in(revision) {
        return Ok(None);
    }
    let object = params.task.object();
    let object = object.ok_or(wrong("params.task", "an object"))?;
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
        params.protocol_version,
        "params.protocolVersion",
        "a string",
    )?;
    let requested = requested
        .as_plain()
        .and_then(|name| Revision::parse(name.as_bytes()));
    let capabilities = match params.capabilities {
        value if value.is_nothing() => ClientCapabilities::NONE,
        Value::Object(text) => ClientCapabilities::read(text, DEPTH_MAX).map_err(Reason::Json)?,
        _ => return Err(wrong("params.capabilities", "an object")),
    };
    Ok(Operation::Initialize {
        negotiated: Revision::negotiate(requested, over_http),
        capabilities,
    })
}

fn complete<'b>(params: &Params<'b>, revision: Revision) -> Result<Operation<'b>, Reason<'b>> {
    let object = |value: Value<'b>, member| value.object().ok_or(wrong(member, "an object"));
    let reference = reference(object(params.reference, "params.ref")?)?;
    let [name, value] = fields(
        object(params.argument, "params.argument")?,
        [
            ("name", "params.argument.name"),
            ("value", "params.argument.value"),
        ],
    )?;
    // The revisions before it know no context.
    let context = match params.context {
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
    let level = required(params.level, "params.level", "a string")?;
    LogLevel::parse(level).ok_or(Reason::UnknownLevel { level })
}

fn listen<'b>(
    params: &Params<'b>,
    capabilities: ClientCapabilities,
) -> Result<Operation<'b>, Reason<'b>> {
    let object = params.notifications.object();
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
            responses: input_responses(params.input_responses)?,
        },
        _ => Operation::GetTask { task_id },
    })
}
