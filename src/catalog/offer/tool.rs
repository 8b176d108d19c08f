//! A tool's entry, as far as we act on it.

use serde_json::{Map, Value};

use crate::component::{TaskSupport, header_bindings};

use super::OfferedTool;
use super::entry::RawEntry;

/// Reads a tool; `has_tasks`: the upstream has tasks at all.
///
/// Errors: clients would refuse it, or the whole list for it.
pub(super) fn read(
    raw: &RawEntry<'_>,
    is_modern: bool,
    has_tasks: bool,
) -> Result<OfferedTool, String> {
    let input = raw
        .object("inputSchema")?
        .ok_or("it has no `inputSchema`")?;
    if !is_object_schema(&input) {
        return Err("the type in its inputSchema is not \"object\"".to_owned());
    }
    let header_bindings = match header_bindings(&input) {
        Ok(bindings) => bindings,
        // Its calls would be refused for headers that nobody can know.
        Err(reason) if is_modern => return Err(reason),
        // To a legacy server the annotation means nothing.
        Err(_) => Vec::new(),
    };
    let annotations = raw.object("annotations")?.unwrap_or_default();
    let says = |hint: &str| annotations.get(hint) == Some(&Value::Bool(true));
    let task_support = match raw.object("execution")? {
        Some(execution) if has_tasks => task_support(&execution),
        _ => TaskSupport::Forbidden,
    };
    // Legacy clients refuse a list with an output schema that is not an object's. Tasks are said of tools in the legacy era only.
    let output_is_object = raw
        .object("outputSchema")?
        .is_none_or(|output| is_object_schema(&output));
    let legacy_without: &[&str] = match (task_support, output_is_object) {
        (TaskSupport::Forbidden, true) => &["execution"],
        (TaskSupport::Forbidden, false) => &["execution", "outputSchema"],
        (_, true) => &[],
        (_, false) => &["outputSchema"],
    };
    let entry = raw.entry_without(&["execution"]);
    let legacy_entry = Some(raw.entry_without(legacy_without)).filter(|legacy| *legacy != entry);
    Ok(OfferedTool {
        name: raw.name.clone(),
        entry,
        legacy_entry,
        task_support,
        header_bindings,
        is_repeatable: says("readOnlyHint") || says("idempotentHint"),
    })
}

fn is_object_schema(schema: &Map<String, Value>) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

fn task_support(execution: &Map<String, Value>) -> TaskSupport {
    match execution.get("taskSupport").and_then(Value::as_str) {
        Some("optional") => TaskSupport::Optional,
        Some("required") => TaskSupport::Required,
        _ => TaskSupport::Forbidden,
    }
}
