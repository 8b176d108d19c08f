//! What a component answered, as the members of the method's result.

use crate::limits::SUGGESTION_COUNT_MAX;
use crate::mcp::{Era, Revision};

use super::bindings::exports::margay::host::completion::Suggestions;
use super::bindings::exports::margay::host::prompts::PromptResult;
use super::bindings::exports::margay::host::resources::ReadResult;
use super::bindings::exports::margay::host::tools::ToolResult;
use super::content::{Unwritable, Writer, role_name};
use super::definitions::CacheHints;
use super::listing::hints;

/// Members that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    /// Whether a tool says that it failed.
    pub(super) is_error: bool,
    /// Bytes at the end that belong into the result's `_meta`.
    pub(super) meta_bytes: usize,
}

impl Encoded {
    pub(super) const PLAIN: Self = Self {
        is_error: false,
        meta_bytes: 0,
    };
}

/// Appends the members of a `CallToolResult`.
///
/// Errors: it is too large; JSON in it is none; or the structure that the tool promises is not there.
pub(super) fn tool_result(
    writer: &mut Writer<'_>,
    result: &ToolResult,
    has_output_schema: bool,
    revision: Revision,
) -> Result<Encoded, Unwritable> {
    if has_output_schema && !result.is_error && result.structured_content.is_none() {
        let what = "structured-content is missing, which its output-schema promises".to_owned();
        return Err(Unwritable::Unfit(what));
    }
    writer.raw(r#""content":["#);
    for content in &result.content {
        writer.content(content, revision)?;
    }
    writer.raw("]");
    if let Some(structured) = &result.structured_content {
        let (name, called) = ("structuredContent", "structured-content");
        match revision.era() {
            // Their schema has an object there.
            Era::Legacy => writer.object(name, structured, called)?,
            Era::Modern => writer.any(name, structured, called)?,
        }
    }
    if result.is_error {
        writer.boolean("isError", true);
    }
    let start = writer.len();
    if let Some(meta) = &result.meta {
        writer.meta_members(meta)?;
    }
    writer.check()?;
    Ok(Encoded {
        is_error: result.is_error,
        meta_bytes: writer.len() - start,
    })
}

/// Appends the members of a `ReadResourceResult`; modern ones say how long they may be kept.
pub(super) fn read_result(
    writer: &mut Writer<'_>,
    result: &ReadResult,
    revision: Revision,
    answers_retry: bool,
) -> Result<Encoded, Unwritable> {
    writer.raw(r#""contents":["#);
    for contents in &result.contents {
        writer.contents(contents)?;
    }
    writer.raw("]");
    if revision.era() == Era::Modern {
        // What depends on answers is nobody else's. And what says nothing may have been made for this caller alone.
        let said = result.hints.as_ref().filter(|_| !answers_retry).map(hints);
        let hints = said.unwrap_or(CacheHints::NONE);
        writer.number("ttlMs", hints.ttl_ms);
        writer.string("cacheScope", hints.scope.as_str());
    }
    writer.check()?;
    Ok(Encoded::PLAIN)
}

/// Appends the members of a `GetPromptResult`.
pub(super) fn prompt_result(
    writer: &mut Writer<'_>,
    result: &PromptResult,
    revision: Revision,
) -> Result<Encoded, Unwritable> {
    writer.optional("description", result.description.as_deref());
    writer.key("messages");
    writer.raw("[");
    for message in &result.messages {
        writer.comma();
        writer.raw("{");
        writer.string("role", role_name(message.role));
        writer.key("content");
        writer.content(&message.content, revision)?;
        writer.raw("}");
    }
    writer.raw("]");
    writer.check()?;
    Ok(Encoded::PLAIN)
}

/// Appends the members of a `CompleteResult`: as many suggestions as a client may get.
pub(super) fn suggestions(
    writer: &mut Writer<'_>,
    result: &Suggestions,
) -> Result<Encoded, Unwritable> {
    writer.raw(r#""completion":{"values":["#);
    for value in result.values.iter().take(SUGGESTION_COUNT_MAX) {
        writer.comma();
        writer.value(value);
    }
    writer.raw("]");
    if let Some(total) = result.total {
        writer.number("total", u64::from(total));
    }
    let is_cut = result.values.len() > SUGGESTION_COUNT_MAX;
    writer.boolean("hasMore", result.has_more || is_cut);
    writer.raw("}");
    writer.check()?;
    Ok(Encoded::PLAIN)
}
