//! What a request asks for, with its parameters: typed, and borrowed from the message.

use super::members::{Members, Strings};
use crate::mcp::capability::{ClientCapabilities, LogLevel};
use crate::mcp::method::Method;
use crate::mcp::revision::Revision;
use crate::wire::json::Str;

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
        /// The text of the `clientInfo` object, if there is one. Not verified.
        client_info: Option<&'b [u8]>,
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
        /// Which one; at most [`URI_BYTES_MAX`](crate::limits::URI_BYTES_MAX) bytes.
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
        /// Which one; at most [`URI_BYTES_MAX`](crate::limits::URI_BYTES_MAX) bytes.
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
    pub(super) resource_subscriptions: Option<&'b [u8]>,
    /// The text of the tasks extension's `taskIds` array, if there is one.
    pub(super) task_ids: Option<&'b [u8]>,
}

impl<'b> ListenFilter<'b> {
    /// The resources whose changes it wants to hear of, each at most [`URI_BYTES_MAX`](crate::limits::URI_BYTES_MAX) bytes.
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
