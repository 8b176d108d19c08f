//! Notifications.

use std::borrow::Cow;

use super::object::{Fate, Object, inside, without};
use crate::mcp::Era;

/// `_meta` key of the subscription that a notification belongs to.
const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What only a subscription brings in the modern era: we tell it ourselves, on the client's own.
const SUBSCRIBED: [&str; 4] = [
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
];

/// What names something that the client does not know of, or that its era has no word for: an id of ours, a subscription of
/// ours, a page that is known by an id, a task in the form of its era.
const UNSAYABLE: [&str; 5] = [
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/subscriptions/acknowledged",
    "notifications/tasks",
    "notifications/tasks/status",
];

/// An upstream's notification as a client of the other era takes it; none: it has none of the kind.
///
/// Shape: `message` is the whole JSON-RPC message, ids and tokens in it being the client's. What is unknown here is passed on.
pub fn notification_to<'a>(era: Era, method: &str, message: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if UNSAYABLE.contains(&method) {
        return None;
    }
    match era {
        Era::Modern => (!SUBSCRIBED.contains(&method)).then_some(Cow::Borrowed(message)),
        Era::Legacy => Some(unsubscribed(message)),
    }
}

/// A notification without the subscription that it came on.
fn unsubscribed(message: &[u8]) -> Cow<'_, [u8]> {
    let Some(object) = Object::read(message) else {
        return Cow::Borrowed(message);
    };
    object.changed(
        &[],
        |member| match member.object() {
            Some(params) if member.is("params") => inside(params.changed(
                &[],
                |inner| match inner.object() {
                    Some(meta) if inner.is("_meta") && meta.has(META_SUBSCRIPTION) => {
                        without(inner, &[META_SUBSCRIPTION])
                    }
                    _ => Fate::Keep,
                },
                &[],
            )),
            _ => Fate::Keep,
        },
        &[],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(era: Era, method: &str, params: &str) -> Option<String> {
        let message = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#);
        let told = notification_to(era, method, message.as_bytes())?;
        Some(String::from_utf8(told.into_owned()).unwrap())
    }

    #[test]
    fn what_both_eras_say_alike_is_passed_on_as_it_is() {
        for (method, params) in [
            (
                "notifications/progress",
                r#"{"progressToken":7,"progress":1e400,"_meta":{}}"#,
            ),
            (
                "notifications/message",
                r#"{"level":"info","data":1.0,"_meta":{"a":1}}"#,
            ),
            ("notifications/x", "{}"),
        ] {
            for era in [Era::Legacy, Era::Modern] {
                let same = to(era, method, params).unwrap();
                assert!(same.ends_with(&format!(r#""params":{params}}}"#)), "{same}");
            }
        }
    }

    #[test]
    fn what_a_client_cannot_place_is_not_passed_on() {
        for method in UNSAYABLE {
            assert_eq!(to(Era::Legacy, method, "{}"), None);
            assert_eq!(to(Era::Modern, method, "{}"), None);
        }
        for method in SUBSCRIBED {
            assert_eq!(to(Era::Modern, method, "{}"), None);
            assert!(to(Era::Legacy, method, "{}").is_some());
        }
    }

    #[test]
    fn a_legacy_client_hears_of_no_subscription() {
        let method = "notifications/resources/updated";
        let told = |params: &str| to(Era::Legacy, method, params).unwrap();
        let id = r#""io.modelcontextprotocol/subscriptionId":3"#;
        assert_eq!(
            told(&format!(r#"{{"_meta":{{{id}}},"uri":"a:b"}}"#)),
            format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"uri":"a:b"}}}}"#)
        );
        assert_eq!(
            told(&format!(r#"{{"_meta":{{{id},"k": 2}},"uri":"a:b"}}"#)),
            format!(
                r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{{"k": 2}},"uri":"a:b"}}}}"#
            )
        );
    }
}
