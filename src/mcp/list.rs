//! The lists that a client can page through, and what tells it that one has changed.

/// A list of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `prompts/list`.
    Prompts,
    /// `tasks/list` (2025-11-25 only).
    Tasks,
}

impl List {
    /// Every list.
    pub const ALL: [Self; 5] = [
        Self::Tools,
        Self::Resources,
        Self::Templates,
        Self::Prompts,
        Self::Tasks,
    ];

    /// The member of the result that is the list.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
            Self::Tasks => "tasks",
        }
    }

    /// The notification of a change. Templates share theirs with the resources, and tasks have none.
    pub const fn changed(self) -> Option<&'static str> {
        match self {
            Self::Tools => Some("notifications/tools/list_changed"),
            Self::Resources | Self::Templates => Some("notifications/resources/list_changed"),
            Self::Prompts => Some("notifications/prompts/list_changed"),
            Self::Tasks => None,
        }
    }
}
