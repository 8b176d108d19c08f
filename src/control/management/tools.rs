//! The management tools: their names and schemas, which are Wassette's, and their arguments.

use serde::Deserialize;
use serde_json::{Value, json};

/// Components that one page of `list-components` or `search-components` has at most.
const PAGE_MAX: usize = 100;

/// One of the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    LoadComponent,
    UnloadComponent,
    ListComponents,
    SearchComponents,
}

/// What a call asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Load {
        path: String,
    },
    Unload {
        id: String,
    },
    List,
    Search {
        query: String,
        offset: usize,
        limit: usize,
    },
}

impl Tool {
    const ALL: [Self; 4] = [
        Self::LoadComponent,
        Self::UnloadComponent,
        Self::ListComponents,
        Self::SearchComponents,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::LoadComponent => "load-component",
            Self::UnloadComponent => "unload-component",
            Self::ListComponents => "list-components",
            Self::SearchComponents => "search-components",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::LoadComponent => {
                "Load a WebAssembly component from a file:// path; its exports become tools"
            }
            Self::UnloadComponent => "Remove a component with its policy",
            Self::ListComponents => "List the loaded components with their tools",
            Self::SearchComponents => "Search the loaded components by name and tool",
        }
    }

    fn schema(self) -> Value {
        let text = json!({"type": "string"});
        let of = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        match self {
            Self::LoadComponent => of(json!({"path": text}), &["path"]),
            Self::UnloadComponent => of(json!({"id": text}), &["id"]),
            Self::ListComponents => of(json!({}), &[]),
            Self::SearchComponents => of(
                json!({
                    "query": text,
                    "offset": {"type": "integer", "minimum": 0},
                    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_MAX},
                }),
                &[],
            ),
        }
    }

    /// The tool of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Reads a call's arguments.
    ///
    /// Errors: what is wrong with them, for whoever called.
    pub(super) fn read(self, arguments: &[u8]) -> Result<Order, String> {
        let name = self.name();
        Ok(match self {
            Self::LoadComponent => {
                let Load { path } = parse(name, arguments)?;
                Order::Load { path }
            }
            Self::UnloadComponent => {
                let Unload { id } = parse(name, arguments)?;
                Order::Unload { id }
            }
            Self::ListComponents => {
                let Nothing {} = parse(name, arguments)?;
                Order::List
            }
            Self::SearchComponents => {
                let search: Search = parse(name, arguments)?;
                let limit = search.limit.unwrap_or(PAGE_MAX);
                if !(1..=PAGE_MAX).contains(&limit) {
                    return Err(format!(
                        "{name}: limit is {limit}; it has to be 1 to {PAGE_MAX}"
                    ));
                }
                Order::Search {
                    query: search.query,
                    offset: search.offset,
                    limit,
                }
            }
        })
    }
}

/// The tools as the text of an array.
pub(super) fn listing() -> String {
    let tools = Tool::ALL.map(|tool| {
        json!({"name": tool.name(), "description": tool.description(), "inputSchema": tool.schema()})
    });
    Value::from(tools.to_vec()).to_string()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unload {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    #[serde(default)]
    query: String,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

fn parse<'a, T: Deserialize<'a>>(tool: &str, arguments: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(arguments).map_err(|error| {
        format!("{tool}: the arguments are not as its inputSchema says: {error}; correct them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_reads_what_its_schema_says_and_nothing_else() {
        let cases = [
            (Tool::LoadComponent, json!({"path": "file:///a.wasm"})),
            (Tool::UnloadComponent, json!({"id": "weather"})),
            (Tool::ListComponents, json!({})),
            (
                Tool::SearchComponents,
                json!({"query": "w", "offset": 1, "limit": 2}),
            ),
        ];
        assert_eq!(cases.len(), Tool::ALL.len());
        for (tool, arguments) in cases {
            assert_eq!(Tool::named(tool.name()), Some(tool));
            tool.read(arguments.to_string().as_bytes()).unwrap();
            let mut wrong = arguments.clone();
            wrong["surprise"] = true.into();
            let fault = tool.read(wrong.to_string().as_bytes()).unwrap_err();
            assert!(
                fault.contains(tool.name()) && fault.contains("surprise"),
                "{fault}"
            );
            let schema = tool.schema();
            assert_eq!(schema["additionalProperties"], false);
            for name in schema["required"].as_array().unwrap() {
                assert!(arguments.get(name.as_str().unwrap()).is_some(), "{name}");
            }
        }
    }
}
