//! Whose something is that is offered, and under which name its owner knows it.

use std::sync::Arc;

use crate::component::{CompletionRef, Component, Job, TaskSupport};
use crate::mcp::headers::ParamBinding;
use crate::upstream::remote::Remote;

/// Who answers for something that is offered.
#[derive(Clone, Debug)]
pub enum Owner {
    /// A component of this process.
    Component(Arc<Component>),
    /// Another server.
    Upstream(Arc<Remote>),
}

impl Owner {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Component(component) => component.name(),
            Self::Upstream(remote) => remote.name(),
        }
    }
}

/// Where a tool's calls go.
#[derive(Clone, Debug)]
pub struct ToolRef {
    /// Whose it is, and what of its owner's.
    pub target: Target,
    /// Whether it runs as a task.
    pub task_support: TaskSupport,
    /// The arguments that are repeated in headers.
    pub header_bindings: Vec<ParamBinding>,
    /// Whether a second call changes nothing that the first has not changed: the tool says that it only reads, or that it is
    /// idempotent.
    pub is_repeatable: bool,
    /// Whether it says something else of itself than was approved, and is not to be called for it.
    pub is_blocked: bool,
}

/// What a tool is to its owner.
#[derive(Clone, Debug)]
pub enum Target {
    /// A plain exported function.
    Function {
        /// The component that has it.
        component: Arc<Component>,
        /// Its position in [`Component::tools`].
        index: usize,
    },
    /// A tool of `margay:host/tools`.
    Host {
        /// The component that has it.
        component: Arc<Component>,
        /// Its name there.
        name: Box<str>,
    },
    /// A tool of another server.
    Upstream {
        /// The server.
        remote: Arc<Remote>,
        /// Its name there.
        name: Box<str>,
    },
}

impl ToolRef {
    /// The component that has it, unless it is another server's.
    pub fn component(&self) -> Option<&Arc<Component>> {
        match &self.target {
            Target::Function { component, .. } | Target::Host { component, .. } => Some(component),
            Target::Upstream { .. } => None,
        }
    }

    /// Whose it is.
    pub fn owner_name(&self) -> &str {
        match &self.target {
            Target::Function { component, .. } | Target::Host { component, .. } => component.name(),
            Target::Upstream { remote, .. } => remote.name(),
        }
    }

    /// The call as a job of its component; none where another server has it.
    pub fn job(&self, arguments: Vec<u8>) -> Option<(&Arc<Component>, Job)> {
        match &self.target {
            Target::Function { component, index } => Some((
                component,
                Job::Function {
                    tool_index: *index,
                    arguments,
                },
            )),
            Target::Host { component, name } => Some((
                component,
                Job::CallTool {
                    name: name.clone(),
                    arguments,
                },
            )),
            Target::Upstream { .. } => None,
        }
    }
}

/// Who makes a prompt.
#[derive(Clone, Debug)]
pub struct PromptRef {
    /// Whose it is.
    pub owner: Owner,
    /// Its name there.
    pub name: Box<str>,
}

/// Who completes an argument.
#[derive(Clone, Debug)]
pub enum Completer<'c> {
    /// The component that has the prompt or the template, and what that is called there.
    Component(&'c Arc<Component>, CompletionRef),
    /// The server that has it, and what it is called there.
    Upstream(&'c Arc<Remote>, CompletionRef),
    /// What is to be completed is known, and its owner completes nothing: there are no suggestions.
    Nobody,
}
