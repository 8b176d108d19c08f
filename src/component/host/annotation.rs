//! `x-mcp-header` in a tool's input schema: which arguments a client repeats in headers.
//!
//! Source: 2026-07-28 basic/transports/streamable-http, "Custom headers from tool parameters".

use serde_json::{Map, Value};

use crate::mcp::headers::{ParamBinding, ParamKind};

/// The annotation's name.
const ANNOTATION: &str = "x-mcp-header";

/// Keywords whose values are data and no schemas: what looks like an annotation in them is none.
const DATA: [&str; 4] = ["default", "examples", "const", "enum"];

/// Keywords whose values are schemas by name: what is called like the annotation there is a property.
const NAMED: [&str; 4] = [
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
];

/// The annotated arguments of a schema.
///
/// Errors: an annotation that no client can follow; a tool with one must not be listed.
pub(crate) fn bindings(schema: &Map<String, Value>) -> Result<Vec<ParamBinding>, String> {
    let mut search = Search::default();
    search.schema(schema, true)?;
    Ok(search.found)
}

#[derive(Default)]
struct Search {
    path: Vec<String>,
    found: Vec<ParamBinding>,
}

impl Search {
    /// `is_reachable`: nothing but `properties` led here. The depth is that of a text that was parsed, which is bounded.
    fn schema(&mut self, schema: &Map<String, Value>, is_reachable: bool) -> Result<(), String> {
        if let Some(annotation) = schema.get(ANNOTATION) {
            self.bind(annotation, schema, is_reachable)?;
        }
        for (keyword, value) in schema {
            match value {
                Value::Object(named) if keyword == "properties" => {
                    for (name, inner) in named {
                        self.path.push(name.clone());
                        self.value(inner, is_reachable)?;
                        self.path.pop();
                    }
                }
                Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                    for inner in named.values() {
                        self.value(inner, false)?;
                    }
                }
                _ if keyword == ANNOTATION || DATA.contains(&keyword.as_str()) => {}
                value => self.value(value, false)?,
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, is_reachable: bool) -> Result<(), String> {
        match value {
            Value::Object(schema) => self.schema(schema, is_reachable),
            Value::Array(schemas) => schemas
                .iter()
                .try_for_each(|inner| self.value(inner, false)),
            _ => Ok(()),
        }
    }

    fn bind(
        &mut self,
        annotation: &Value,
        schema: &Map<String, Value>,
        is_reachable: bool,
    ) -> Result<(), String> {
        let place = self.path.join(".");
        let header = annotation
            .as_str()
            .filter(|name| !name.is_empty() && name.bytes().all(is_tchar))
            .ok_or_else(|| {
                format!("{ANNOTATION} of `{place}` is {annotation}, not a header name")
            })?;
        if !is_reachable || self.path.is_empty() {
            return Err(format!(
                "{ANNOTATION} `{header}` stands where not only `properties` lead"
            ));
        }
        let kind = match schema.get("type").and_then(Value::as_str) {
            Some("string") => ParamKind::Text,
            Some("integer") => ParamKind::Integer,
            Some("boolean") => ParamKind::Boolean,
            _ => {
                return Err(format!(
                    "{ANNOTATION} `{header}` is of `{place}`, whose type is not string, integer or boolean"
                ));
            }
        };
        if self
            .found
            .iter()
            .any(|known| known.header.eq_ignore_ascii_case(header))
        {
            return Err(format!("{ANNOTATION} `{header}` is there twice"));
        }
        self.found.push(ParamBinding {
            header: header.to_owned(),
            path: self.path.clone(),
            kind,
        });
        Ok(())
    }
}

/// A character of an HTTP field name.
///
/// Source: RFC 9110 section 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(schema: &Value) -> Result<Vec<ParamBinding>, String> {
        bindings(schema.as_object().unwrap())
    }

    #[test]
    fn annotated_arguments_are_found_at_any_depth_of_properties() {
        let found = read(&json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "page": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
            "plain": {"type": "number"},
        }}))
        .unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.header.as_str(), one.path.join("."), one.kind))
            .collect();
        assert_eq!(
            found,
            [
                ("Region", "region".to_owned(), ParamKind::Text),
                ("Count", "page.count".to_owned(), ParamKind::Integer),
            ]
        );
    }

    #[test]
    fn an_annotation_that_no_client_can_follow_is_refused() {
        let text = json!({"type": "string", "x-mcp-header": "A"});
        for wrong in [
            json!({"properties": {"a": {"type": "string", "x-mcp-header": ""}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "a b"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "ä"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": 1}}}),
            json!({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"type": ["string", "null"], "x-mcp-header": "A"}}}),
            json!({"properties": {"a": text, "b": {"type": "string", "x-mcp-header": "a"}}}),
            json!({"properties": {"a": {"type": "array", "items": text}}}),
            json!({"properties": {"a": {"anyOf": [text]}}}),
            json!({"anyOf": [{"properties": {"a": text}}]}),
            json!({"$defs": {"a": text}}),
            json!({"if": {"properties": {"a": text}}}),
            json!({"type": "object", "x-mcp-header": "A"}),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_only_looks_like_an_annotation_is_none() {
        let schema = json!({"properties": {
            "x-mcp-header": {"type": "string"},
            "a": {"type": "object", "default": {"x-mcp-header": "A"}, "examples": [{"x-mcp-header": "A"}]},
        }});
        assert_eq!(read(&schema).unwrap(), []);
    }
}
