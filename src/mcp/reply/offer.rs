//! What the server offers, as the capabilities that it declares.
//!
//! A method whose capability is not declared is refused, so both have to come from one place: whoever decides what is served
//! makes an [`Offer`], has it written once for each revision, and hands the text to every answer.

use crate::mcp::revision::{Era, Revision};

/// What is offered beside the protocol itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Tools, and notifications of their changes.
    pub tools: bool,
    /// Prompts, and notifications of their changes.
    pub prompts: bool,
    /// Resources, notifications of their changes, and subscriptions.
    pub resources: bool,
    /// Suggestions for arguments.
    pub completions: bool,
    /// Log messages.
    pub logging: bool,
    /// Tools as tasks, where the revision has a form for them.
    pub tasks: bool,
    /// `tasks/list` (2025-11-25). Only where callers are told apart: a list shows its caller all of them.
    pub task_list: bool,
}

impl Offer {
    /// Tools and nothing else.
    pub const TOOLS: Self = Self {
        tools: true,
        prompts: false,
        resources: false,
        completions: false,
        logging: false,
        tasks: false,
        task_list: false,
    };

    /// Appends the `ServerCapabilities` object of this revision.
    ///
    /// Source: the schema of each revision, `ServerCapabilities`; SEP-2663, "Capability Negotiation".
    pub fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        let mut separator = b'{';
        let mut member = |offered: bool, text: &str| {
            if offered {
                out.push(separator);
                out.extend_from_slice(text.as_bytes());
                separator = b',';
            }
        };
        member(self.tools, r#""tools":{"listChanged":true}"#);
        member(self.prompts, r#""prompts":{"listChanged":true}"#);
        member(
            self.resources,
            r#""resources":{"subscribe":true,"listChanged":true}"#,
        );
        // The oldest revision completes without saying so.
        let says_completions = revision > Revision::V2024_11_05;
        member(self.completions && says_completions, r#""completions":{}"#);
        member(self.logging, r#""logging":{}"#);
        match revision.era() {
            Era::Modern => member(
                self.tasks,
                r#""extensions":{"io.modelcontextprotocol/tasks":{}}"#,
            ),
            Era::Legacy => {
                let tasks = self.tasks && revision == Revision::V2025_11_25;
                let requests = r#""cancel":{},"requests":{"tools":{"call":{}}}}"#;
                let list = if self.task_list { r#""list":{},"# } else { "" };
                member(tasks, &format!(r#""tasks":{{{list}{requests}"#));
            }
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ALL: Offer = Offer {
        tools: true,
        prompts: true,
        resources: true,
        completions: true,
        logging: true,
        tasks: true,
        task_list: true,
    };

    fn written(offer: Offer, revision: Revision) -> Value {
        let mut out = Vec::new();
        offer.write(&mut out, revision);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn nothing_offered_is_an_empty_object() {
        for revision in Revision::ALL {
            assert_eq!(written(Offer::default(), revision), json!({}));
            assert_eq!(
                written(Offer::TOOLS, revision),
                json!({"tools": {"listChanged": true}})
            );
        }
    }

    #[test]
    fn each_revision_declares_in_its_own_form() {
        let common = json!({
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": true},
            "logging": {},
        });
        let with = |more: &[(&str, Value)]| {
            let mut all = common.clone();
            for (key, value) in more {
                all[*key] = value.clone();
            }
            all
        };
        let completions = ("completions", json!({}));
        assert_eq!(written(ALL, Revision::V2024_11_05), common);
        for revision in [Revision::V2025_03_26, Revision::V2025_06_18] {
            assert_eq!(
                written(ALL, revision),
                with(std::slice::from_ref(&completions))
            );
        }
        let tasks = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
        assert_eq!(
            written(ALL, Revision::V2025_11_25),
            with(&[completions.clone(), ("tasks", tasks)])
        );
        let extensions = json!({"io.modelcontextprotocol/tasks": {}});
        assert_eq!(
            written(ALL, Revision::V2026_07_28),
            with(&[completions, ("extensions", extensions)])
        );
    }

    #[test]
    fn tasks_are_listed_only_where_that_is_offered() {
        let offer = Offer {
            task_list: false,
            ..ALL
        };
        let tasks = &written(offer, Revision::V2025_11_25)["tasks"];
        assert!(tasks.get("list").is_none() && tasks.get("cancel").is_some());
    }
}
