//! The methods of the protocol: which era has them, and which of them this server serves.

use super::revision::{Era, Revision};
use crate::wire::json::Str;

/// A method, request or notification, that a client may send in some revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize`.
    Initialize,
    /// `ping`.
    Ping,
    /// `server/discover`.
    Discover,
    /// `tools/list`.
    ListTools,
    /// `tools/call`.
    CallTool,
    /// `subscriptions/listen`.
    Listen,
    /// `notifications/initialized`.
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
}

const TABLE: [(&str, Method); 8] = [
    ("tools/call", Method::CallTool),
    ("tools/list", Method::ListTools),
    ("ping", Method::Ping),
    ("initialize", Method::Initialize),
    ("server/discover", Method::Discover),
    ("subscriptions/listen", Method::Listen),
    ("notifications/initialized", Method::Initialized),
    ("notifications/cancelled", Method::Cancelled),
];

impl Method {
    /// The method of this name, if it is one that is served in some revision.
    pub fn parse(name: Str<'_>) -> Option<Self> {
        let found = match name.as_plain() {
            Some(plain) => TABLE.iter().find(|(known, _)| *known == plain),
            None => TABLE.iter().find(|(known, _)| name.eq_str(known)),
        };
        found.map(|(_, method)| *method)
    }

    /// Whether the revision has the method.
    pub const fn is_in(self, revision: Revision) -> bool {
        match self {
            Self::Initialize | Self::Ping | Self::Initialized => {
                matches!(revision.era(), Era::Legacy)
            }
            Self::Discover | Self::Listen => matches!(revision.era(), Era::Modern),
            Self::ListTools | Self::CallTool | Self::Cancelled => true,
        }
    }
}

/// The member of the body that `Mcp-Name` repeats for a method of this name, served or not.
///
/// Source: 2026-07-28 basic/transports/streamable-http; tasks extension (SEP-2663).
pub(crate) fn named_member(method: Str<'_>) -> Option<&'static str> {
    const NAMED: [(&str, &str); 6] = [
        ("tools/call", "params.name"),
        ("prompts/get", "params.name"),
        ("resources/read", "params.uri"),
        ("tasks/get", "params.taskId"),
        ("tasks/update", "params.taskId"),
        ("tasks/cancel", "params.taskId"),
    ];
    NAMED
        .iter()
        .find(|(name, _)| method.eq_str(name))
        .map(|(_, member)| *member)
}
