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

#[cfg(test)]
mod tests {
    use super::super::bindings::exports::margay::host::prompts::PromptMessage;
    use super::super::bindings::margay::host::types::{
        Annotations, CacheHints as GuestHints, CacheScope, Content, ContentBlock, Icon, Media,
        ResourceBody, ResourceContents, ResourceInfo, Role,
    };
    use super::*;
    use serde_json::{Value, json};

    const MODERN: Revision = Revision::MODERN;
    const LEGACY: Revision = Revision::V2025_11_25;

    fn plain(block: ContentBlock) -> Content {
        Content {
            block,
            annotations: None,
            meta: None,
        }
    }

    fn media(bytes: &[u8], mime_type: &str) -> Media {
        Media {
            data: bytes.to_vec(),
            mime_type: mime_type.to_owned(),
        }
    }

    fn contents(body: ResourceBody) -> ResourceContents {
        ResourceContents {
            uri: "a:b".to_owned(),
            mime_type: Some("text/plain".to_owned()),
            body,
            meta: None,
        }
    }

    fn info() -> ResourceInfo {
        ResourceInfo {
            uri: "a:b".to_owned(),
            name: "B".to_owned(),
            title: None,
            description: None,
            mime_type: None,
            size: Some(3),
            annotations: None,
            icons: vec![Icon {
                src: "https://x/i.png".to_owned(),
                mime_type: None,
                sizes: vec!["48x48".to_owned(), "any".to_owned()],
                theme: Some("dark".to_owned()),
            }],
            meta: None,
        }
    }

    fn result(content: Vec<Content>) -> ToolResult {
        ToolResult {
            content,
            structured_content: None,
            is_error: false,
            meta: None,
        }
    }

    fn written(
        write: impl FnOnce(&mut Writer<'_>) -> Result<Encoded, Unwritable>,
    ) -> Result<(Value, Encoded, String), Unwritable> {
        let mut out = Vec::new();
        let encoded = write(&mut Writer::new(&mut out, 1 << 16, 32))?;
        let (members, meta) = out.split_at(out.len() - encoded.meta_bytes);
        let text = format!("{{{}}}", std::str::from_utf8(members).unwrap());
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let meta = String::from_utf8(meta.to_vec()).unwrap();
        Ok((value, encoded, meta))
    }

    fn tool(result: &ToolResult, revision: Revision) -> Value {
        written(|writer| tool_result(writer, result, false, revision))
            .unwrap()
            .0
    }

    #[test]
    fn every_block_has_its_form() {
        let mut annotated = plain(ContentBlock::Text("a \"b\"\n".to_owned()));
        annotated.annotations = Some(Annotations {
            audience: vec![Role::User, Role::Assistant],
            priority: Some(0.5),
            last_modified: Some("2026-01-01T00:00:00Z".to_owned()),
        });
        annotated.meta = Some("{ \"k\" : 1 }".to_owned());
        let all = result(vec![
            annotated,
            plain(ContentBlock::Image(media(b"\x00\xff", "image/png"))),
            plain(ContentBlock::Audio(media(b"abc", "audio/wav"))),
            plain(ContentBlock::Embedded(contents(ResourceBody::Blob(
                b"abcd".to_vec(),
            )))),
            plain(ContentBlock::Link(info())),
        ]);
        let expected = json!({"content": [
            {"type": "text", "text": "a \"b\"\n", "annotations": {"audience": ["user", "assistant"], "priority": 0.5,
             "lastModified": "2026-01-01T00:00:00Z"}, "_meta": {"k": 1}},
            {"type": "image", "data": "AP8=", "mimeType": "image/png"},
            {"type": "audio", "data": "YWJj", "mimeType": "audio/wav"},
            {"type": "resource", "resource": {"uri": "a:b", "mimeType": "text/plain", "blob": "YWJjZA=="}},
            {"type": "resource_link", "uri": "a:b", "name": "B", "size": 3,
             "icons": [{"src": "https://x/i.png", "sizes": ["48x48", "any"], "theme": "dark"}]},
        ]});
        assert_eq!(tool(&all, MODERN), expected);
        assert_eq!(tool(&all, LEGACY), expected);
    }

    #[test]
    fn what_a_revision_does_not_have_is_said_as_text() {
        let blocks = result(vec![
            plain(ContentBlock::Audio(media(b"abc", "audio/wav"))),
            plain(ContentBlock::Link(info())),
        ]);
        let oldest = tool(&blocks, Revision::V2024_11_05);
        assert_eq!(oldest["content"][0]["type"], "text");
        assert_eq!(
            oldest["content"][1],
            json!({"type": "text", "text": "B: a:b"})
        );
        let second = tool(&blocks, Revision::V2025_03_26);
        assert_eq!(second["content"][0]["type"], "audio");
        assert_eq!(second["content"][1]["type"], "text");
    }

    #[test]
    fn a_priority_out_of_its_range_is_left_out() {
        for priority in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let mut one = plain(ContentBlock::Text(String::new()));
            one.annotations = Some(Annotations {
                audience: vec![],
                priority: Some(priority),
                last_modified: None,
            });
            let value = tool(&result(vec![one]), MODERN);
            assert_eq!(value["content"][0]["annotations"], json!({}));
        }
    }

    #[test]
    fn structure_is_an_object_to_the_legacy_revisions_and_any_value_to_the_modern_one() {
        let with = |text: &str| ToolResult {
            structured_content: Some(text.to_owned()),
            ..result(vec![])
        };
        assert_eq!(
            tool(&with("{\"a\": [1 ,2]}"), LEGACY)["structuredContent"],
            json!({"a": [1, 2]})
        );
        assert_eq!(tool(&with("[1]"), MODERN)["structuredContent"], json!([1]));
        let refused = |text: &str, revision| {
            written(|writer| tool_result(writer, &with(text), false, revision)).is_err()
        };
        assert!(refused("[1]", LEGACY));
        assert!(refused("{", LEGACY) && refused("{", MODERN));
    }

    #[test]
    fn a_promised_structure_must_be_there_unless_the_tool_failed() {
        let mut answer = result(vec![]);
        let write = |answer: &ToolResult| {
            written(|writer| tool_result(writer, answer, true, MODERN)).map(|found| found.1)
        };
        assert!(matches!(write(&answer), Err(Unwritable::Unfit(_))));
        answer.is_error = true;
        assert!(write(&answer).unwrap().is_error);
        answer.is_error = false;
        answer.structured_content = Some("{}".to_owned());
        assert!(!write(&answer).unwrap().is_error);
    }

    #[test]
    fn the_meta_of_a_result_stands_behind_its_members() {
        let answer = ToolResult {
            meta: Some(r#"{"a": 1, "io.modelcontextprotocol/x": 2}"#.to_owned()),
            ..result(vec![])
        };
        let (value, _, meta) =
            written(|writer| tool_result(writer, &answer, false, MODERN)).unwrap();
        assert_eq!((value, meta.as_str()), (json!({"content": []}), r#""a":1"#));
    }

    #[test]
    fn a_result_beyond_the_bound_is_refused_before_it_is_encoded() {
        let large = result(vec![plain(ContentBlock::Image(media(
            &[0; 100],
            "image/png",
        )))]);
        let mut out = Vec::new();
        let written = tool_result(&mut Writer::new(&mut out, 90, 32), &large, false, MODERN);
        assert_eq!(written, Err(Unwritable::TooLarge));
        assert!(out.len() < 90);
    }

    fn read(hints: Option<GuestHints>, revision: Revision, answers_retry: bool) -> Value {
        let result = ReadResult {
            contents: vec![
                contents(ResourceBody::Text("x".to_owned())),
                contents(ResourceBody::Text("y".to_owned())),
            ],
            hints,
        };
        written(|writer| read_result(writer, &result, revision, answers_retry))
            .unwrap()
            .0
    }

    #[test]
    fn a_modern_read_says_how_long_it_may_be_kept() {
        let hour = || {
            Some(GuestHints {
                ttl_ms: 3_600_000,
                scope: CacheScope::Public,
            })
        };
        let value = read(hour(), MODERN, false);
        assert_eq!(
            (&value["ttlMs"], &value["cacheScope"]),
            (&json!(3_600_000), &json!("public"))
        );
        assert_eq!(value["contents"][1]["text"], "y");
        for value in [read(None, MODERN, false), read(hour(), MODERN, true)] {
            assert_eq!(
                (&value["ttlMs"], &value["cacheScope"]),
                (&json!(0), &json!("private"))
            );
        }
        assert!(read(hour(), LEGACY, false).get("ttlMs").is_none());
    }

    #[test]
    fn a_prompt_has_its_messages() {
        let prompt = |description: Option<&str>| PromptResult {
            description: description.map(str::to_owned),
            messages: [Role::User, Role::Assistant]
                .into_iter()
                .map(|role| PromptMessage {
                    role,
                    content: plain(ContentBlock::Text("x".to_owned())),
                })
                .collect(),
        };
        let write = |prompt: &PromptResult| written(|writer| prompt_result(writer, prompt, MODERN));
        let messages = json!([
            {"role": "user", "content": {"type": "text", "text": "x"}},
            {"role": "assistant", "content": {"type": "text", "text": "x"}},
        ]);
        assert_eq!(
            write(&prompt(None)).unwrap().0,
            json!({"messages": messages})
        );
        assert_eq!(
            write(&prompt(Some("d"))).unwrap().0,
            json!({"description": "d", "messages": messages})
        );
    }

    #[test]
    fn as_many_suggestions_as_a_client_may_get() {
        let result = Suggestions {
            values: (0..150).map(|number| number.to_string()).collect(),
            total: Some(150),
            has_more: false,
        };
        let (value, ..) = written(|writer| suggestions(writer, &result)).unwrap();
        let completion = &value["completion"];
        assert_eq!(completion["values"].as_array().unwrap().len(), 100);
        assert_eq!(
            (&completion["total"], &completion["hasMore"]),
            (&json!(150), &json!(true))
        );
    }
}
