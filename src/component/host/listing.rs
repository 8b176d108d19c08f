//! From what a component lists to [`Definitions`]: checked, bounded, and written as the text that clients read.
//!
//! An entry that clients could not use is left out, with a warning, and does not keep the others from being served. Lists that are
//! too large are refused as a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::limits::{
    DEFINITIONS_PER_COMPONENT_MAX, Limits, TEMPLATES_PER_COMPONENT_MAX, TOOL_NAME_BYTES_MAX,
    URI_BYTES_MAX,
};
use crate::mcp::CacheScope;
use crate::mcp::headers::ParamBinding;

use super::annotation;
use super::bindings::exports::margay::host::prompts::{Prompt, PromptList};
use super::bindings::exports::margay::host::resources::{ResourceList, ResourceTemplate};
use super::bindings::exports::margay::host::tools::{self, Tool, ToolAnnotations, ToolList};
use super::bindings::margay::host::types;
use super::content::{Unwritable, Writer};
use super::definitions::{
    CacheHints, Definitions, Entry, PromptDefinition, ResourceDefinition, TaskSupport,
    TemplateDefinition, ToolDefinition,
};

/// Bytes of a prompt's name.
const PROMPT_NAME_BYTES_MAX: usize = 128;

/// Reads lists into definitions.
pub(super) struct Lists<'l> {
    component: &'l str,
    limits: &'l Limits,
    /// Bytes that entries may still have.
    room: usize,
    definitions: Definitions,
}

/// One list as it is read.
struct Reading<'g, G> {
    /// What an entry is called.
    kind: &'static str,
    count_max: usize,
    list: &'g [G],
}

/// An entry that was read: its name or address, what was found beside its text, and that.
type Read<X> = (Box<str>, X, Entry);

impl<'l> Lists<'l> {
    pub(super) fn new(component: &'l str, limits: &'l Limits) -> Self {
        Self {
            component,
            limits,
            room: limits.definition_bytes_max,
            definitions: Definitions::default(),
        }
    }

    /// Everything that was read. Tools are in the order of their names.
    pub(super) fn finish(mut self, has_completion: bool) -> Definitions {
        self.definitions.has_completion = has_completion;
        self.definitions
            .tools
            .sort_by(|left, right| left.name.cmp(&right.name));
        self.definitions
    }

    pub(super) fn tools(&mut self, list: &ToolList) -> Result<(), String> {
        let reading = Reading {
            kind: "tool",
            count_max: DEFINITIONS_PER_COMPONENT_MAX,
            list: &list.tools,
        };
        let read = self.read(&reading, |tool| &tool.name, check_tool, write_tool)?;
        let definition = |(name, checked, entry): Read<CheckedTool>| ToolDefinition {
            name,
            entry,
            task_support: checked.task_support,
            header_bindings: checked.header_bindings,
            has_output_schema: checked.has_output_schema,
        };
        self.definitions.tools = read.into_iter().map(definition).collect();
        self.definitions.tool_hints = list.hints.as_ref().map(hints);
        Ok(())
    }

    pub(super) fn resources(&mut self, list: &ResourceList) -> Result<(), String> {
        let reading = Reading {
            kind: "resource",
            count_max: DEFINITIONS_PER_COMPONENT_MAX,
            list: &list.resources,
        };
        let resources = self.read(
            &reading,
            |resource| &resource.uri,
            |resource| check_address(&resource.uri),
            |resource, (), writer| writer.info(resource),
        )?;
        let reading = Reading {
            kind: "resource template",
            count_max: TEMPLATES_PER_COMPONENT_MAX,
            list: &list.templates,
        };
        let templates = self.read(
            &reading,
            |template| &template.uri_template,
            |template| check_address(&template.uri_template),
            |template, (), writer| write_template(template, writer),
        )?;
        let resource = |(uri, (), entry)| ResourceDefinition { uri, entry };
        let template = |(uri_template, (), entry)| TemplateDefinition {
            uri_template,
            entry,
        };
        self.definitions.resources = resources.into_iter().map(resource).collect();
        self.definitions.templates = templates.into_iter().map(template).collect();
        self.definitions.has_resources = true;
        self.definitions.resource_hints = list.hints.as_ref().map(hints);
        Ok(())
    }

    pub(super) fn prompts(&mut self, list: &PromptList) -> Result<(), String> {
        let reading = Reading {
            kind: "prompt",
            count_max: DEFINITIONS_PER_COMPONENT_MAX,
            list: &list.prompts,
        };
        let read = self.read(
            &reading,
            |prompt| &prompt.name,
            |prompt| check_prompt_name(&prompt.name),
            |prompt, (), writer| write_prompt(prompt, writer),
        )?;
        let definition = |(name, (), entry)| PromptDefinition { name, entry };
        self.definitions.prompts = read.into_iter().map(definition).collect();
        self.definitions.has_prompts = true;
        self.definitions.prompt_hints = list.hints.as_ref().map(hints);
        Ok(())
    }

    /// Reads one list: each entry is checked, then written.
    ///
    /// Errors: there are too many entries, or all together are too large.
    fn read<'g, G, X>(
        &mut self,
        reading: &Reading<'g, G>,
        name: impl Fn(&'g G) -> &'g str,
        check: impl Fn(&'g G) -> Result<X, String>,
        write: impl Fn(&'g G, &X, &mut Writer<'_>) -> Result<(), Unwritable>,
    ) -> Result<Vec<Read<X>>, String> {
        let Reading {
            kind,
            count_max,
            list,
        } = reading;
        if list.len() > *count_max {
            return Err(format!(
                "it lists {} of the kind {kind}, and {count_max} is the most",
                list.len()
            ));
        }
        let mut seen = BTreeSet::new();
        let mut read = Vec::with_capacity(list.len());
        for one in *list {
            let name = name(one);
            let mut members = Vec::new();
            let mut writer = Writer::new(&mut members, self.room, self.limits.json_depth_max);
            let checked = match seen.insert(name) {
                true => check(one),
                false => Err("it is listed twice".to_owned()),
            };
            let written = checked.and_then(|found| match write(one, &found, &mut writer) {
                Ok(()) => Ok((found, writer.check())),
                Err(Unwritable::Unfit(what)) => Err(format!("its {what}")),
                Err(Unwritable::TooLarge) => Ok((found, Err(Unwritable::TooLarge))),
            });
            match written {
                Ok((found, Ok(()))) => {
                    self.room = self.room.saturating_sub(members.len() + name.len());
                    let members = String::from_utf8(members).unwrap_or_default().into();
                    read.push((name.into(), found, Entry { members }));
                }
                Ok((_, Err(_))) => {
                    return Err(format!(
                        "its lists have more than limits.definition_bytes_max ({} bytes)",
                        self.limits.definition_bytes_max
                    ));
                }
                Err(reason) => {
                    tracing::warn!(
                        component = self.component,
                        kind,
                        name,
                        "is not listed: {reason}"
                    );
                }
            }
        }
        Ok(read)
    }
}

/// What was found in a tool beside its text.
struct CheckedTool {
    task_support: TaskSupport,
    header_bindings: Vec<ParamBinding>,
    has_output_schema: bool,
}

fn check_tool(tool: &Tool) -> Result<CheckedTool, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if tool.name.is_empty()
        || tool.name.len() > TOOL_NAME_BYTES_MAX
        || !tool.name.bytes().all(is_name)
    {
        return Err(format!(
            "a tool's name has 1 to {TOOL_NAME_BYTES_MAX} characters of A-Z a-z 0-9 _ - ."
        ));
    }
    let input = schema(&tool.input_schema).ok_or("its input-schema is not a JSON object")?;
    if input.get("type").and_then(Value::as_str) != Some("object") {
        return Err("the type in its input-schema is not \"object\"".to_owned());
    }
    let header_bindings = annotation::bindings(&input)?;
    let has_output_schema = match &tool.output_schema {
        Some(text) => {
            let output = schema(text).ok_or("its output-schema is not a JSON object")?;
            is_listed(tool, &output)
        }
        None => false,
    };
    Ok(CheckedTool {
        task_support: task_support(tool.task_support),
        header_bindings,
        has_output_schema,
    })
}

/// Whether an output schema can be told to clients of all revisions: to the legacy ones, a result is an object.
fn is_listed(tool: &Tool, output: &Map<String, Value>) -> bool {
    let is_object = output.get("type").and_then(Value::as_str) == Some("object");
    if !is_object {
        tracing::warn!(
            tool = tool.name,
            "its output-schema is not listed: legacy clients refuse one whose type is not \"object\""
        );
    }
    is_object
}

fn schema(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(schema)) => Some(schema),
        _ => None,
    }
}

fn task_support(guest: tools::TaskSupport) -> TaskSupport {
    match guest {
        tools::TaskSupport::Forbidden => TaskSupport::Forbidden,
        tools::TaskSupport::Optional => TaskSupport::Optional,
        tools::TaskSupport::Required => TaskSupport::Required,
        tools::TaskSupport::Deferred => TaskSupport::Deferred,
    }
}

fn check_address(address: &str) -> Result<(), String> {
    let is_bounded = (1..=URI_BYTES_MAX).contains(&address.len());
    if !is_bounded || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "an address has 1 to {URI_BYTES_MAX} bytes and no spaces"
        ));
    }
    Ok(())
}

fn check_prompt_name(name: &str) -> Result<(), String> {
    let is_bounded = (1..=PROMPT_NAME_BYTES_MAX).contains(&name.len());
    if !is_bounded || name.chars().any(char::is_control) {
        return Err(format!(
            "a prompt's name has 1 to {PROMPT_NAME_BYTES_MAX} bytes and no control characters"
        ));
    }
    Ok(())
}

fn write_tool(
    tool: &Tool,
    checked: &CheckedTool,
    writer: &mut Writer<'_>,
) -> Result<(), Unwritable> {
    writer.optional("title", tool.title.as_deref());
    writer.optional("description", tool.description.as_deref());
    writer.object("inputSchema", &tool.input_schema, "input-schema")?;
    if let Some(schema) = tool
        .output_schema
        .as_ref()
        .filter(|_| checked.has_output_schema)
    {
        writer.object("outputSchema", schema, "output-schema")?;
    }
    if let Some(annotations) = &tool.annotations {
        write_annotations(annotations, writer);
    }
    writer.icons(&tool.icons);
    writer.meta(tool.meta.as_deref())
}

fn write_annotations(annotations: &ToolAnnotations, writer: &mut Writer<'_>) {
    writer.key("annotations");
    writer.raw("{");
    writer.optional("title", annotations.title.as_deref());
    for (name, hint) in [
        ("readOnlyHint", annotations.read_only),
        ("destructiveHint", annotations.destructive),
        ("idempotentHint", annotations.idempotent),
        ("openWorldHint", annotations.open_world),
    ] {
        if let Some(hint) = hint {
            writer.boolean(name, hint);
        }
    }
    writer.raw("}");
}

fn write_template(template: &ResourceTemplate, writer: &mut Writer<'_>) -> Result<(), Unwritable> {
    writer.string("name", &template.name);
    writer.optional("title", template.title.as_deref());
    writer.optional("description", template.description.as_deref());
    writer.optional("mimeType", template.mime_type.as_deref());
    if let Some(annotations) = &template.annotations {
        writer.annotations(annotations);
    }
    writer.icons(&template.icons);
    writer.meta(template.meta.as_deref())
}

fn write_prompt(prompt: &Prompt, writer: &mut Writer<'_>) -> Result<(), Unwritable> {
    writer.optional("title", prompt.title.as_deref());
    writer.optional("description", prompt.description.as_deref());
    if !prompt.arguments.is_empty() {
        writer.key("arguments");
        writer.raw("[");
        for argument in &prompt.arguments {
            writer.comma();
            writer.raw("{");
            writer.string("name", &argument.name);
            writer.optional("title", argument.title.as_deref());
            writer.optional("description", argument.description.as_deref());
            writer.boolean("required", argument.required);
            writer.raw("}");
        }
        writer.raw("]");
    }
    writer.icons(&prompt.icons);
    writer.meta(prompt.meta.as_deref())
}

/// A component's hints as the protocol's.
pub(super) fn hints(hints: &types::CacheHints) -> CacheHints {
    CacheHints {
        // What a JSON number can say everywhere; it is 285,000 years.
        ttl_ms: hints.ttl_ms.min((1 << 53) - 1),
        scope: match hints.scope {
            types::CacheScope::Public => CacheScope::Public,
            types::CacheScope::Private => CacheScope::Private,
        },
    }
}

#[cfg(test)]
mod tests;
