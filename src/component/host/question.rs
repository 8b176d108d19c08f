//! Questions to a client as the protocol has them, and its answers as the component has them.

use crate::mcp::reply::Asked as Kind;
use crate::mcp::{ClientCapabilities, Era, Revision, code};
use crate::wire::json::{self, JsonError, Kind as Json, Reader};

use super::asks::Reply;
use super::bindings::margay::host::ask::{
    Action, Answer, Elicitation, Form, Page, Question as Asked, Root,
};
use super::bindings::margay::host::types::RpcError;
use super::text;

/// A question in the form of its revision.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) kind: Kind,
    /// The text of the parameters' object; none where the method has none.
    pub(super) params: Option<Vec<u8>>,
    /// What the client has to declare.
    pub(super) needs: ClientCapabilities,
}

impl Question {
    /// The question, for a client of this revision.
    ///
    /// Errors: what the component wrote cannot be sent, in words that follow the name of the question.
    pub(super) fn new(
        asked: &Asked,
        revision: Revision,
        depth_max: usize,
    ) -> Result<Self, &'static str> {
        let kind = match asked {
            Asked::ElicitForm(_) => Kind::ElicitForm,
            Asked::ElicitUrl(_) => Kind::ElicitUrl,
            Asked::Sample(_) => Kind::Sample,
            Asked::ListRoots => Kind::ListRoots,
        };
        let mut needs = kind.capability();
        let params = match asked {
            Asked::ElicitForm(form) => Some(form_params(form, revision, depth_max)?),
            Asked::ElicitUrl(page) => Some(page_params(page, revision)),
            Asked::Sample(params) => {
                let mut out = Vec::new();
                text::append_object(&mut out, params, depth_max)
                    .map_err(|_| "has sampling parameters that are not a JSON object")?;
                if has_tools(&out, depth_max) {
                    needs = needs.with(ClientCapabilities::SAMPLING_TOOLS);
                }
                Some(out)
            }
            Asked::ListRoots => None,
        };
        Ok(Self {
            kind,
            params,
            needs,
        })
    }

    /// What of its needs this client lacks. A revision that does not have the question is as a client that did not declare it.
    pub(super) fn missing(
        &self,
        declared: ClientCapabilities,
        revision: Revision,
    ) -> ClientCapabilities {
        let since = match self.kind {
            Kind::ElicitForm => Revision::V2025_06_18,
            Kind::ElicitUrl => Revision::V2025_11_25,
            Kind::Sample | Kind::ListRoots => Revision::V2024_11_05,
        };
        if revision < since {
            return self.needs;
        }
        self.needs.missing_from(declared)
    }

    /// Bytes that it takes on the wire, about.
    pub(super) fn bytes(&self) -> usize {
        self.params.as_ref().map_or(0, Vec::len)
    }

    /// What the component gets for what the client said. An answer of the wrong shape is none.
    pub(super) fn answer(&self, reply: &Reply, depth_max: usize) -> Answer {
        let result = match reply {
            Ok(result) => result,
            Err(error) => return Answer::Failed(client_error(error, depth_max)),
        };
        let read = match self.kind {
            Kind::ElicitForm | Kind::ElicitUrl => {
                elicitation(result, depth_max).map(Answer::Elicited)
            }
            Kind::Sample => sampled(result, depth_max).map(Answer::Sampled),
            Kind::ListRoots => roots(result, depth_max).map(Answer::Roots),
        };
        read.unwrap_or_else(|| {
            let message = format!("the client's answer is no result of {}", self.kind.method());
            failed(code::INVALID_PARAMS, message)
        })
    }
}

/// An answer that is none.
pub(super) fn failed(code: i32, message: impl Into<String>) -> Answer {
    Answer::Failed(RpcError {
        code,
        message: message.into(),
        data: None,
    })
}

fn form_params(form: &Form, revision: Revision, depth_max: usize) -> Result<Vec<u8>, &'static str> {
    let mut out = b"{".to_vec();
    // Before there were pages, there was no mode.
    if revision >= Revision::V2025_11_25 {
        out.extend_from_slice(br#""mode":"form","#);
    }
    out.extend_from_slice(br#""message":"#);
    json::write_str(&mut out, &form.message);
    out.extend_from_slice(br#","requestedSchema":"#);
    text::append_object(&mut out, &form.requested_schema, depth_max)
        .map_err(|_| "has a requested-schema that is not a JSON object")?;
    out.push(b'}');
    Ok(out)
}

fn page_params(page: &Page, revision: Revision) -> Vec<u8> {
    let mut out = br#"{"mode":"url","message":"#.to_vec();
    json::write_str(&mut out, &page.message);
    out.extend_from_slice(br#","url":"#);
    json::write_str(&mut out, &page.url);
    // In the modern era the key of the question names it.
    if revision.era() == Era::Legacy {
        out.extend_from_slice(br#","elicitationId":"#);
        json::write_str(&mut out, &page.elicitation_id);
    }
    out.push(b'}');
    out
}

/// Whether sampling parameters let the model use tools, which is a capability of its own.
fn has_tools(params: &[u8], depth_max: usize) -> bool {
    let read = || -> Result<bool, JsonError> {
        let mut reader = Reader::new(params, depth_max);
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            if key.eq_str("tools") || key.eq_str("toolChoice") {
                return Ok(true);
            }
            reader.skip()?;
        }
        Ok(false)
    };
    read().unwrap_or(false)
}

/// The members of an object that a client sent, as they are wanted.
fn members<'b>(
    object: &'b [u8],
    depth_max: usize,
    mut member: impl FnMut(&str, Json, &'b str) -> Option<()>,
) -> Option<()> {
    let mut reader = Reader::new(object, depth_max);
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        let kind = reader.peek().ok()?;
        let text = reader.skip_text().ok()?;
        member(&key.to_cow(), kind, text)?;
    }
    reader.end().ok()
}

/// The value of a JSON string's text.
fn string(text: &str) -> Option<String> {
    Some(
        Reader::from_text(text, 1)
            .string()
            .ok()?
            .to_cow()
            .into_owned(),
    )
}

fn elicitation(result: &[u8], depth_max: usize) -> Option<Elicitation> {
    let (mut action, mut content) = (None, None);
    members(result, depth_max, |name, kind, value| {
        match (name, kind) {
            ("action", Json::String) => {
                action = Some(match string(value)?.as_str() {
                    "accept" => Action::Accept,
                    "decline" => Action::Decline,
                    "cancel" => Action::Cancel,
                    _ => return None,
                });
            }
            ("action", _) => return None,
            ("content", Json::Object) => content = Some(value.to_owned()),
            // Some clients send what they have not.
            ("content", Json::Null) => {}
            ("content", _) => return None,
            _ => {}
        }
        Some(())
    })?;
    let action = action?;
    Some(Elicitation {
        // A form that was not accepted has no values, whatever was sent.
        content: content.filter(|_| matches!(action, Action::Accept)),
        action,
    })
}

fn sampled(result: &[u8], depth_max: usize) -> Option<String> {
    let (mut has_role, mut has_content) = (false, false);
    members(result, depth_max, |name, kind, _| {
        has_role |= name == "role" && kind == Json::String;
        has_content |= name == "content" && matches!(kind, Json::Object | Json::Array);
        Some(())
    })?;
    (has_role && has_content)
        .then(|| String::from_utf8(result.to_vec()).ok())
        .flatten()
}

fn roots(result: &[u8], depth_max: usize) -> Option<Vec<Root>> {
    let mut found = None;
    members(result, depth_max, |name, kind, value| {
        match (name, kind) {
            ("roots", Json::Array) => found = Some(root_list(value, depth_max)?),
            ("roots", _) => return None,
            _ => {}
        }
        Some(())
    })?;
    found
}

fn root_list(list: &str, depth_max: usize) -> Option<Vec<Root>> {
    let mut reader = Reader::from_text(list, depth_max);
    let mut roots = Vec::new();
    reader.begin_array().ok()?;
    while reader.element().ok()? {
        let (mut uri, mut title) = (None, None);
        let object = reader.skip().ok()?;
        members(object, depth_max, |name, kind, value| {
            match (name, kind) {
                ("uri", Json::String) => uri = Some(string(value)?),
                ("name", Json::String) => title = Some(string(value)?),
                _ => {}
            }
            Some(())
        })?;
        roots.push(Root {
            uri: uri?,
            name: title,
        });
    }
    Some(roots)
}

/// The error object of a client that could not answer.
fn client_error(error: &[u8], depth_max: usize) -> RpcError {
    let (mut number, mut message, mut data) = (None, None, None);
    let read = members(error, depth_max, |name, kind, value| {
        match (name, kind) {
            ("code", Json::Number) => {
                let code = Reader::from_text(value, 1).number().ok()?.as_i64()?;
                number = i32::try_from(code).ok();
            }
            ("message", Json::String) => message = string(value),
            ("data", _) => data = Some(value.to_owned()),
            _ => {}
        }
        Some(())
    });
    match (read, number, message) {
        (Some(()), Some(code), Some(message)) => RpcError {
            code,
            message,
            data,
        },
        _ => RpcError {
            code: code::INTERNAL_ERROR,
            message: "the client could not answer, and its error says nothing".to_owned(),
            data: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: usize = 32;

    fn question(asked: &Asked, revision: Revision) -> Question {
        Question::new(asked, revision, DEPTH).unwrap()
    }

    fn params(asked: &Asked, revision: Revision) -> String {
        String::from_utf8(question(asked, revision).params.unwrap()).unwrap()
    }

    fn form() -> Asked {
        Asked::ElicitForm(Form {
            message: "Who \"are\" you?".to_owned(),
            requested_schema: "{\n \"type\": \"object\" }".to_owned(),
        })
    }

    fn page() -> Asked {
        Asked::ElicitUrl(Page {
            message: "Go".to_owned(),
            url: "https://example.com".to_owned(),
            elicitation_id: "e1".to_owned(),
        })
    }

    #[test]
    fn a_form_has_a_mode_once_there_are_several() {
        let old = r#"{"message":"Who \"are\" you?","requestedSchema":{"type":"object"}}"#;
        assert_eq!(params(&form(), Revision::V2025_06_18), old);
        for revision in [Revision::V2025_11_25, Revision::V2026_07_28] {
            assert!(params(&form(), revision).starts_with(r#"{"mode":"form","message":"#));
        }
    }

    #[test]
    fn a_page_is_named_by_its_id_or_in_the_modern_era_by_its_key() {
        let legacy = params(&page(), Revision::V2025_11_25);
        assert_eq!(
            legacy,
            r#"{"mode":"url","message":"Go","url":"https://example.com","elicitationId":"e1"}"#
        );
        assert!(!params(&page(), Revision::MODERN).contains("elicitationId"));
    }

    #[test]
    fn what_a_revision_does_not_have_no_client_has_declared() {
        let all = ClientCapabilities::from_bits(u32::MAX);
        let lacks = |asked: &Asked, revision| question(asked, revision).missing(all, revision);
        assert_eq!(
            lacks(&form(), Revision::V2025_03_26),
            ClientCapabilities::ELICITATION_FORM
        );
        assert_eq!(
            lacks(&form(), Revision::V2025_06_18),
            ClientCapabilities::NONE
        );
        assert_eq!(
            lacks(&page(), Revision::V2025_06_18),
            ClientCapabilities::ELICITATION_URL
        );
        let tools = Asked::Sample(r#"{"messages":[],"tools":[]}"#.to_owned());
        assert_eq!(
            question(&tools, Revision::MODERN)
                .missing(ClientCapabilities::SAMPLING, Revision::MODERN),
            ClientCapabilities::SAMPLING_TOOLS
        );
    }

    #[test]
    fn parameters_that_are_no_object_are_refused() {
        for text in ["[]", "{", "1"] {
            let asked = Asked::Sample(text.to_owned());
            assert!(
                Question::new(&asked, Revision::MODERN, DEPTH).is_err(),
                "{text}"
            );
            let asked = Asked::ElicitForm(Form {
                message: String::new(),
                requested_schema: text.to_owned(),
            });
            assert!(
                Question::new(&asked, Revision::MODERN, DEPTH).is_err(),
                "{text}"
            );
        }
    }

    fn answer(asked: &Asked, result: &str) -> Answer {
        question(asked, Revision::MODERN).answer(&Ok(result.as_bytes().to_vec()), DEPTH)
    }

    #[test]
    fn an_accepted_form_has_its_values_and_a_declined_one_none() {
        let Answer::Elicited(elicited) = answer(
            &form(),
            r#"{"action":"accept","content":{"name":"Ann"},"_meta":{}}"#,
        ) else {
            panic!("not elicited");
        };
        assert_eq!(elicited.content.as_deref(), Some(r#"{"name":"Ann"}"#));
        let Answer::Elicited(declined) =
            answer(&form(), r#"{"action":"decline","content":{"name":"Ann"}}"#)
        else {
            panic!("not elicited");
        };
        assert!(matches!(declined.action, Action::Decline) && declined.content.is_none());
    }

    #[test]
    fn an_answer_of_the_wrong_shape_has_failed() {
        let sample = Asked::Sample("{}".to_owned());
        for (asked, wrong) in [
            (&form(), r#"{"action":"perhaps"}"#),
            (&form(), r#"{"content":{}}"#),
            (&form(), r#"{"action":"accept","content":[1]}"#),
            (&form(), r#"{"action":1}"#),
            (&form(), "[]"),
            (&sample, r#"{"role":"assistant"}"#),
            (&sample, r#"{"role":"assistant","content":"text"}"#),
            (&Asked::ListRoots, "{}"),
            (&Asked::ListRoots, r#"{"roots":{}}"#),
            (&Asked::ListRoots, r#"{"roots":[{"name":"x"}]}"#),
        ] {
            assert!(
                matches!(answer(asked, wrong), Answer::Failed(_)),
                "{asked:?} {wrong}"
            );
        }
    }

    #[test]
    fn roots_and_samples_are_read() {
        let Answer::Roots(roots) = answer(
            &Asked::ListRoots,
            r#"{"roots":[{"uri":"file:///a","name":"\u0041"},{"uri":"file:///b"}]}"#,
        ) else {
            panic!("no roots");
        };
        assert_eq!(roots.len(), 2);
        assert_eq!(roots[0].name.as_deref(), Some("A"));
        let text = r#"{"role":"assistant","content":{"type":"text","text":"x"},"model":"m"}"#;
        let sample = Asked::Sample("{}".to_owned());
        assert!(matches!(answer(&sample, text), Answer::Sampled(got) if got == text));
    }

    #[test]
    fn a_clients_error_is_passed_on() {
        let question = question(&Asked::ListRoots, Revision::MODERN);
        let error = br#"{"code":-1,"message":"no","data":{"why":1}}"#.to_vec();
        let Answer::Failed(error) = question.answer(&Err(error), DEPTH) else {
            panic!("not failed");
        };
        assert_eq!((error.code, error.message.as_str()), (-1, "no"));
        assert_eq!(error.data.as_deref(), Some(r#"{"why":1}"#));
        let Answer::Failed(error) = question.answer(&Err(b"{}".to_vec()), DEPTH) else {
            panic!("not failed");
        };
        assert_eq!(error.code, code::INTERNAL_ERROR);
    }
}
