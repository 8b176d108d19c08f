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
    GetPolicy,
    GrantStorage,
    GrantNetwork,
    GrantEnvironment,
    RevokeStorage,
    RevokeNetwork,
    RevokeEnvironment,
    Reset,
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
    GetPolicy {
        id: String,
    },
    Grant {
        id: String,
        what: Permission,
    },
    Revoke {
        id: String,
        what: Permission,
    },
    Reset {
        id: String,
    },
}

/// A permission that is granted or taken back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Storage { uri: String, access: Vec<Access> },
    Network { host: String },
    Environment { key: String },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    Read,
    Write,
}

impl Tool {
    const ALL: [Self; 12] = [
        Self::LoadComponent,
        Self::UnloadComponent,
        Self::ListComponents,
        Self::SearchComponents,
        Self::GetPolicy,
        Self::GrantStorage,
        Self::GrantNetwork,
        Self::GrantEnvironment,
        Self::RevokeStorage,
        Self::RevokeNetwork,
        Self::RevokeEnvironment,
        Self::Reset,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::LoadComponent => "load-component",
            Self::UnloadComponent => "unload-component",
            Self::ListComponents => "list-components",
            Self::SearchComponents => "search-components",
            Self::GetPolicy => "get-policy",
            Self::GrantStorage => "grant-storage-permission",
            Self::GrantNetwork => "grant-network-permission",
            Self::GrantEnvironment => "grant-environment-variable-permission",
            Self::RevokeStorage => "revoke-storage-permission",
            Self::RevokeNetwork => "revoke-network-permission",
            Self::RevokeEnvironment => "revoke-environment-variable-permission",
            Self::Reset => "reset-permission",
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
            Self::GetPolicy => "Say whether a component has a policy, and where it is",
            Self::GrantStorage => "Let a component read or write below a path",
            Self::GrantNetwork => "Let a component reach a host",
            Self::GrantEnvironment => "Let a component see an environment variable",
            Self::RevokeStorage => "Take all access to a path from a component",
            Self::RevokeNetwork => "Take a host from a component",
            Self::RevokeEnvironment => "Take an environment variable from a component",
            Self::Reset => "Take every permission from a component",
        }
    }

    fn schema(self) -> Value {
        let text = json!({"type": "string"});
        let of = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        let details = |properties: Value, required: &[&str]| {
            let details = of(properties, required);
            of(
                json!({"component_id": text, "details": details}),
                &["component_id", "details"],
            )
        };
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
            Self::GetPolicy | Self::Reset => of(json!({"component_id": text}), &["component_id"]),
            Self::GrantStorage => {
                let access = json!({"type": "array", "minItems": 1, "items": {"type": "string", "enum": ["read", "write"]}});
                details(json!({"uri": text, "access": access}), &["uri", "access"])
            }
            Self::RevokeStorage => details(json!({"uri": text}), &["uri"]),
            Self::GrantNetwork | Self::RevokeNetwork => details(json!({"host": text}), &["host"]),
            Self::GrantEnvironment | Self::RevokeEnvironment => {
                details(json!({"key": text}), &["key"])
            }
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
            Self::GetPolicy => {
                let About { component_id: id } = parse(name, arguments)?;
                Order::GetPolicy { id }
            }
            Self::Reset => {
                let About { component_id: id } = parse(name, arguments)?;
                Order::Reset { id }
            }
            Self::GrantStorage => {
                let asked: Detailed<Storage> = parse(name, arguments)?;
                let Storage { uri, access } = asked.details;
                if access.is_empty() {
                    return Err(format!(
                        "{name}: details.access is empty; name read, write or both"
                    ));
                }
                grant(asked.component_id, Permission::Storage { uri, access })
            }
            Self::GrantNetwork => {
                let asked: Detailed<Network> = parse(name, arguments)?;
                let host = asked.details.host;
                grant(asked.component_id, Permission::Network { host })
            }
            Self::GrantEnvironment => {
                let asked: Detailed<Environment> = parse(name, arguments)?;
                let key = asked.details.key;
                grant(asked.component_id, Permission::Environment { key })
            }
            Self::RevokeStorage => {
                let asked: Detailed<Place> = parse(name, arguments)?;
                let (uri, access) = (asked.details.uri, Vec::new());
                revoke(asked.component_id, Permission::Storage { uri, access })
            }
            Self::RevokeNetwork => {
                let asked: Detailed<Network> = parse(name, arguments)?;
                let host = asked.details.host;
                revoke(asked.component_id, Permission::Network { host })
            }
            Self::RevokeEnvironment => {
                let asked: Detailed<Environment> = parse(name, arguments)?;
                let key = asked.details.key;
                revoke(asked.component_id, Permission::Environment { key })
            }
        })
    }
}

fn grant(id: String, what: Permission) -> Order {
    Order::Grant { id, what }
}

fn revoke(id: String, what: Permission) -> Order {
    Order::Revoke { id, what }
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    component_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detailed<T> {
    component_id: String,
    details: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Storage {
    uri: String,
    access: Vec<Access>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    uri: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    key: String,
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
        let details = |details: Value| json!({"component_id": "weather", "details": details});
        let cases = [
            (Tool::LoadComponent, json!({"path": "file:///a.wasm"})),
            (Tool::UnloadComponent, json!({"id": "weather"})),
            (Tool::ListComponents, json!({})),
            (
                Tool::SearchComponents,
                json!({"query": "w", "offset": 1, "limit": 2}),
            ),
            (Tool::GetPolicy, json!({"component_id": "weather"})),
            (
                Tool::GrantStorage,
                details(json!({"uri": "fs://a", "access": ["read"]})),
            ),
            (Tool::GrantNetwork, details(json!({"host": "a.example"}))),
            (Tool::GrantEnvironment, details(json!({"key": "A"}))),
            (Tool::RevokeStorage, details(json!({"uri": "fs://a"}))),
            (Tool::RevokeNetwork, details(json!({"host": "a.example"}))),
            (Tool::RevokeEnvironment, details(json!({"key": "A"}))),
            (Tool::Reset, json!({"component_id": "weather"})),
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
        let empty = details(json!({"uri": "fs://a", "access": []}));
        let fault = Tool::GrantStorage
            .read(empty.to_string().as_bytes())
            .unwrap_err();
        assert!(fault.contains("details.access"), "{fault}");
    }
}
