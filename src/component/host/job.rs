//! What a host-aware component is asked to do.

/// One request to a component; owned, because the call may change threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Call a plain exported function: the tool at this place of [`Component::tools`](crate::component::Component::tools).
    Function {
        /// Its position.
        tool_index: usize,
        /// The text of the arguments' object; nothing counts as `{}`.
        arguments: Vec<u8>,
    },
    /// Call a tool of the component's own list.
    CallTool {
        /// The name as the component knows it.
        name: Box<str>,
        /// The text of the arguments' object; nothing counts as `{}`.
        arguments: Vec<u8>,
    },
    /// Read a resource.
    ReadResource {
        /// Its address.
        uri: Box<str>,
    },
    /// Tell the component that somebody wants to hear of changes of a resource.
    Subscribe {
        /// Its address.
        uri: Box<str>,
    },
    /// Make a prompt's messages.
    GetPrompt {
        /// The name as the component knows it.
        name: Box<str>,
        /// Its arguments.
        arguments: Vec<(String, String)>,
    },
    /// Suggest values for an argument.
    Complete {
        /// Whose argument.
        of: CompletionRef,
        /// The argument's name.
        argument: Box<str>,
        /// What was typed of it.
        value: Box<str>,
        /// Arguments that have values already.
        arguments: Vec<(String, String)>,
    },
}

/// Whose argument is to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionRef {
    /// A prompt's, by its name as the component knows it.
    Prompt(Box<str>),
    /// A resource template's, by its text.
    Template(Box<str>),
}

impl Job {
    /// Whether a failure is told as a tool's result; of anything else it is a JSON-RPC error.
    pub fn is_tool(&self) -> bool {
        matches!(self, Self::Function { .. } | Self::CallTool { .. })
    }

    /// Whether the modern revision lets the answer be questions.
    pub(crate) fn may_ask_by_ending(&self) -> bool {
        !matches!(self, Self::Subscribe { .. } | Self::Complete { .. })
    }
}
