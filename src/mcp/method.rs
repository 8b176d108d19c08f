//! The methods of the protocol: their names, the revisions that have them, and what the headers repeat of them.
//!
//! One table says it all; a method is its row's number.

use super::revision::Revision;
use crate::wire::json::Str;

/// A method, request or notification, that a client may send in some revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `tools/call`.
    CallTool,
    /// `tools/list`.
    ListTools,
    /// `resources/read`.
    ReadResource,
    /// `prompts/get`.
    GetPrompt,
    /// `ping`.
    Ping,
    /// `initialize`.
    Initialize,
    /// `server/discover`.
    Discover,
    /// `resources/list`.
    ListResources,
    /// `resources/templates/list`.
    ListTemplates,
    /// `prompts/list`.
    ListPrompts,
    /// `completion/complete`.
    Complete,
    /// `resources/subscribe`.
    Subscribe,
    /// `resources/unsubscribe`.
    Unsubscribe,
    /// `logging/setLevel`.
    SetLevel,
    /// `subscriptions/listen`.
    Listen,
    /// `tasks/get`.
    GetTask,
    /// `tasks/result`.
    TaskResult,
    /// `tasks/list`.
    ListTasks,
    /// `tasks/update`.
    UpdateTask,
    /// `tasks/cancel`.
    CancelTask,
    /// `notifications/initialized`.
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
    /// `notifications/progress`: how far a client is with a request of ours.
    Progress,
    /// `notifications/roots/list_changed`.
    RootsChanged,
}

/// What a method is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Request,
    Notification,
}

/// The member of the body that `Mcp-Name` repeats, if one.
type Named = Option<&'static str>;

const BY_NAME: Named = Some("params.name");
const BY_URI: Named = Some("params.uri");
const BY_TASK: Named = Some("params.taskId");

const FIRST: Revision = Revision::V2024_11_05;
const LAST_LEGACY: Revision = Revision::V2025_11_25;
const MODERN: Revision = Revision::MODERN;

struct Row {
    method: Method,
    name: &'static str,
    sent: Sent,
    since: Revision,
    until: Revision,
    named: Named,
}

const fn row(
    method: Method,
    name: &'static str,
    sent: Sent,
    (since, until): (Revision, Revision),
    named: Named,
) -> Row {
    Row {
        method,
        name,
        sent,
        since,
        until,
        named,
    }
}

const EVER: (Revision, Revision) = (FIRST, MODERN);
const LEGACY: (Revision, Revision) = (FIRST, LAST_LEGACY);
const ONLY_MODERN: (Revision, Revision) = (MODERN, MODERN);
/// The revision whose core had tasks.
const CORE_TASKS: (Revision, Revision) = (LAST_LEGACY, LAST_LEGACY);
const TASKS: (Revision, Revision) = (LAST_LEGACY, MODERN);

/// Every method, the frequent ones first, in the order of [`Method`].
///
/// Source: the schema of each revision; of 2026-07-28 also basic/transports/streamable-http and the tasks extension.
#[rustfmt::skip]
const TABLE: [Row; 24] = {
    use Method::*;
    use Sent::{Notification, Request};
    [
        row(CallTool, "tools/call", Request, EVER, BY_NAME),
        row(ListTools, "tools/list", Request, EVER, None),
        row(ReadResource, "resources/read", Request, EVER, BY_URI),
        row(GetPrompt, "prompts/get", Request, EVER, BY_NAME),
        row(Ping, "ping", Request, LEGACY, None),
        row(Initialize, "initialize", Request, LEGACY, None),
        row(Discover, "server/discover", Request, ONLY_MODERN, None),
        row(ListResources, "resources/list", Request, EVER, None),
        row(ListTemplates, "resources/templates/list", Request, EVER, None),
        row(ListPrompts, "prompts/list", Request, EVER, None),
        row(Complete, "completion/complete", Request, EVER, None),
        row(Subscribe, "resources/subscribe", Request, LEGACY, None),
        row(Unsubscribe, "resources/unsubscribe", Request, LEGACY, None),
        row(SetLevel, "logging/setLevel", Request, LEGACY, None),
        row(Listen, "subscriptions/listen", Request, ONLY_MODERN, None),
        row(GetTask, "tasks/get", Request, TASKS, BY_TASK),
        row(TaskResult, "tasks/result", Request, CORE_TASKS, None),
        row(ListTasks, "tasks/list", Request, CORE_TASKS, None),
        row(UpdateTask, "tasks/update", Request, ONLY_MODERN, BY_TASK),
        row(CancelTask, "tasks/cancel", Request, TASKS, BY_TASK),
        row(Initialized, "notifications/initialized", Notification, LEGACY, None),
        row(Cancelled, "notifications/cancelled", Notification, EVER, None),
        row(Progress, "notifications/progress", Notification, LEGACY, None),
        row(RootsChanged, "notifications/roots/list_changed", Notification, LEGACY, None),
    ]
};

const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(
            TABLE[index].method as usize == index,
            "a row is out of place"
        );
        index += 1;
    }
};

impl Method {
    /// The method of this name, if some revision has it.
    pub fn parse(name: Str<'_>) -> Option<Self> {
        let found = match name.as_plain() {
            Some(plain) => TABLE.iter().find(|row| row.name == plain),
            None => TABLE.iter().find(|row| name.eq_str(row.name)),
        };
        found.map(|row| row.method)
    }

    /// Every method.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.method)
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether the revision has the method.
    pub const fn is_in(self, revision: Revision) -> bool {
        let row = self.row();
        row.since.index() <= revision.index() && revision.index() <= row.until.index()
    }

    /// Whether it is sent as a request, which gets an answer, and not as a notification.
    pub const fn is_request(self) -> bool {
        matches!(self.row().sent, Sent::Request)
    }

    /// The member of the body that `Mcp-Name` repeats, in the revision that has the header.
    pub(crate) const fn named_member(self) -> Option<&'static str> {
        self.row().named
    }

    const fn row(self) -> &'static Row {
        const ROWS: &[Row] = &TABLE;
        &ROWS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Reader;

    fn parsed(json: &str) -> Option<Method> {
        Method::parse(Reader::from_text(json, 0).string().unwrap())
    }

    #[test]
    fn a_name_reads_back_exactly_and_nothing_else_does() {
        for method in Method::all() {
            assert_eq!(parsed(&format!("\"{}\"", method.name())), Some(method));
            let escaped = method.name().replacen('t', "\\u0074", 1);
            assert_eq!(parsed(&format!("\"{escaped}\"")), Some(method));
            for other in [
                method.name().to_uppercase(),
                format!("{} ", method.name()),
                format!("{}s", method.name()),
                method.name()[1..].to_owned(),
            ] {
                assert_eq!(parsed(&format!("\"{other}\"")), None, "{other}");
            }
        }
        assert_eq!(parsed("\"\""), None);
    }

    /// What each revision has, counted from its schema.
    #[test]
    fn each_revision_has_the_methods_of_its_schema() {
        let names = |revision: Revision| -> Vec<&str> {
            Method::all()
                .filter(|method| method.is_in(revision))
                .map(Method::name)
                .collect()
        };
        let modern = names(Revision::V2026_07_28);
        assert_eq!(
            modern,
            [
                "tools/call",
                "tools/list",
                "resources/read",
                "prompts/get",
                "server/discover",
                "resources/list",
                "resources/templates/list",
                "prompts/list",
                "completion/complete",
                "subscriptions/listen",
                "tasks/get",
                "tasks/update",
                "tasks/cancel",
                "notifications/cancelled",
            ]
        );
        let oldest = names(Revision::V2024_11_05);
        for revision in [Revision::V2025_03_26, Revision::V2025_06_18] {
            assert_eq!(names(revision), oldest, "{revision:?}");
        }
        assert!(!oldest.iter().any(|name| name.starts_with("tasks/")));
        let mut latest = names(Revision::V2025_11_25);
        latest.retain(|name| !oldest.contains(name));
        assert_eq!(
            latest,
            ["tasks/get", "tasks/result", "tasks/list", "tasks/cancel"]
        );
    }

    #[test]
    fn notifications_are_no_requests() {
        for method in Method::all() {
            assert_eq!(
                method.is_request(),
                !method.name().starts_with("notifications/"),
                "{method:?}"
            );
        }
    }
}
