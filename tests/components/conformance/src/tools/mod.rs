//! The tools: the table of all of them, by concept.

mod changes;
mod elicitation;
mod output;
mod rounds;
mod schemas;
mod streams;
mod tasks;

use crate::Server;
use crate::content::Outcome;
use crate::exports::margay::host::tools::{Guest, TaskSupport, Tool, ToolList};
use crate::margay::host::types::{CacheHints, CacheScope, Error};
use serde_json::Value;

/// A row of the table.
struct Entry {
    name: &'static str,
    description: &'static str,
    input_schema: &'static str,
    output_schema: Option<&'static str>,
    task_support: TaskSupport,
    run: fn(&Value) -> Outcome,
}

impl Entry {
    const fn new(
        name: &'static str,
        description: &'static str,
        run: fn(&Value) -> Outcome,
    ) -> Self {
        Self {
            name,
            description,
            input_schema: r#"{"type":"object","properties":{}}"#,
            output_schema: None,
            task_support: TaskSupport::Forbidden,
            run,
        }
    }

    const fn takes(self, input_schema: &'static str) -> Self {
        Self {
            input_schema,
            ..self
        }
    }

    const fn gives(self, output_schema: &'static str) -> Self {
        Self {
            output_schema: Some(output_schema),
            ..self
        }
    }

    const fn task_support(self, task_support: TaskSupport) -> Self {
        Self {
            task_support,
            ..self
        }
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    let concepts: [&'static [Entry]; 7] = [
        output::TOOLS,
        streams::TOOLS,
        elicitation::TOOLS,
        rounds::TOOLS,
        schemas::TOOLS,
        changes::TOOLS,
        tasks::TOOLS,
    ];
    concepts.into_iter().flatten()
}

impl Guest for Server {
    fn list_tools() -> ToolList {
        let tools = entries().map(|entry| Tool {
            name: entry.name.into(),
            title: None,
            description: Some(entry.description.into()),
            input_schema: entry.input_schema.into(),
            output_schema: entry.output_schema.map(Into::into),
            annotations: None,
            icons: vec![],
            task_support: entry.task_support,
            meta: None,
        });
        ToolList {
            tools: tools.collect(),
            hints: Some(CacheHints {
                ttl_ms: 60_000,
                scope: CacheScope::Public,
            }),
        }
    }

    fn call_tool(name: String, arguments: String) -> Outcome {
        let entry = entries()
            .find(|entry| entry.name == name)
            .ok_or(Error::NotFound(name))?;
        let arguments = serde_json::from_str(&arguments).map_err(|error| {
            Error::InvalidParams(format!("the arguments are not JSON: {error}"))
        })?;
        (entry.run)(&arguments)
    }
}
