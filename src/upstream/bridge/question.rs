//! What an upstream asks its client: a request of its own in the legacy era, part of a result in the modern one.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::object::{Fate, Member, Object, Writer, inside, quoted, without};
use super::task::META_RELATED_TASK;
use crate::limits::{INPUT_RESPONSE_COUNT_MAX, QUESTIONS_PER_CALL_MAX};
use crate::mcp::reply::SERVER_INFO;
use crate::mcp::{ClientCapabilities, Revision};
use crate::wire::json::{DEPTH_CAP, Kind, Reader, write_str};

const ELICIT: &str = "elicitation/create";
const SAMPLE: &str = "sampling/createMessage";
const LIST_ROOTS: &str = "roots/list";

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What its answer is found by.
    pub key: String,
    /// The method that asks.
    pub method: String,
    /// The text of its parameters' object.
    pub params: Vec<u8>,
}

/// What has to be answered before a request can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRequired {
    /// The questions; there may be none where there is a state.
    pub questions: Vec<Question>,
    /// What the retry has to bring back.
    pub state: Option<String>,
}

/// Reads a result whose type is `input_required`.
///
/// Shape: none where it is no such result: a question has no method, a key stands twice, there are more questions than
/// [`QUESTIONS_PER_CALL_MAX`], or there is neither a question nor a state.
pub fn read_input_required(result: &[u8]) -> Option<InputRequired> {
    let object = Object::read(result)?;
    let questions = match object.find("inputRequests") {
        Some(requests) => read_questions(&requests.object()?)?,
        None => Vec::new(),
    };
    let state = match object.find("requestState") {
        Some(state) => Some(state.string()?.to_cow().into_owned()),
        None => None,
    };
    if questions.is_empty() && state.is_none() {
        return None;
    }
    Some(InputRequired { questions, state })
}

fn read_questions(requests: &Object<'_>) -> Option<Vec<Question>> {
    if requests.members().len() > QUESTIONS_PER_CALL_MAX {
        return None;
    }
    let mut questions: Vec<Question> = Vec::with_capacity(requests.members().len());
    for member in requests.members() {
        let request = member.object()?;
        let params = match request.find("params") {
            Some(params) if params.kind != Kind::Object => return None,
            Some(params) => params.value,
            None => b"{}",
        };
        let question = Question {
            key: member.key.to_cow().into_owned(),
            method: request.find("method")?.string()?.to_cow().into_owned(),
            params: params.to_vec(),
        };
        if questions.iter().any(|other| other.key == question.key) {
            return None;
        }
        questions.push(question);
    }
    Some(questions)
}

/// What a client has to declare to be asked this; none for what no client can be asked.
pub fn needed_to_ask(method: &str, params: &[u8]) -> Option<ClientCapabilities> {
    let params = Object::read(params);
    let has = |key: &str| params.as_ref().is_some_and(|params| params.has(key));
    Some(match method {
        ELICIT => modes(params.as_ref()),
        SAMPLE if has("tools") || has("toolChoice") => {
            ClientCapabilities::SAMPLING.with(ClientCapabilities::SAMPLING_TOOLS)
        }
        SAMPLE => ClientCapabilities::SAMPLING,
        LIST_ROOTS => ClientCapabilities::ROOTS,
        _ => return None,
    })
}

/// What the modes of an elicitation need: each that it names, since of two readers each could take another.
fn modes(params: Option<&Object<'_>>) -> ClientCapabilities {
    let members = params.map_or(&[][..], Object::members).iter();
    let needs = members.filter(|member| member.is("mode")).map(|mode| {
        match mode.string().is_some_and(|mode| mode.eq_str("url")) {
            true => ClientCapabilities::ELICITATION_URL,
            false => ClientCapabilities::ELICITATION_FORM,
        }
    });
    needs
        .reduce(ClientCapabilities::with)
        .unwrap_or(ClientCapabilities::ELICITATION_FORM)
}

/// Whether a client that declared this may be asked that.
///
/// Errors: the name of the capability that it lacks; of what no client can be asked, `"unknown"`.
pub fn may_ask(
    capabilities: ClientCapabilities,
    method: &str,
    params: &[u8],
) -> Result<(), &'static str> {
    const NAMES: [(ClientCapabilities, &str); 5] = [
        (ClientCapabilities::ROOTS, "roots"),
        (ClientCapabilities::SAMPLING, "sampling"),
        (ClientCapabilities::SAMPLING_TOOLS, "sampling.tools"),
        (ClientCapabilities::ELICITATION_FORM, "elicitation.form"),
        (ClientCapabilities::ELICITATION_URL, "elicitation.url"),
    ];
    let needed = needed_to_ask(method, params).ok_or("unknown")?;
    let missing = needed.missing_from(capabilities);
    let lacks = |(capability, _): &&(ClientCapabilities, &str)| missing.contains(*capability);
    match NAMES.iter().find(lacks) {
        Some((_, name)) => Err(name),
        None => Ok(()),
    }
}

/// The parameters of a legacy upstream's request as one of the modern `inputRequests` has them.
///
/// Shape: what belongs to a request of its own goes: how its progress is told, the task that it is part of or is to become,
/// and the id of a page, for which the question's key stands.
pub fn question_to_modern<'a>(method: &str, params: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(object) = Object::read(params) else {
        return Cow::Borrowed(params);
    };
    object.changed(
        &[],
        |member| {
            if member.is("task") || (method == ELICIT && member.is("elicitationId")) {
                Fate::Drop
            } else if member.is("_meta") {
                without(member, &["progressToken", META_RELATED_TASK])
            } else {
                Fate::Keep
            }
        },
        &[],
    )
}

/// The parameters of a modern question as those of a request to a client of this legacy revision.
///
/// Shape: a page gets an id, which is always the same for the same page; forms lose their mode where there were no modes; and
/// messages with several contents become several messages where one had only one.
pub fn question_to_legacy<'a>(method: &str, params: &'a [u8], revision: Revision) -> Cow<'a, [u8]> {
    let Some(object) = Object::read(params) else {
        return Cow::Borrowed(params);
    };
    let has_modes = revision >= Revision::V2025_11_25;
    match method {
        ELICIT => {
            let mode = object.find("mode").and_then(Member::string);
            let is_page = mode.is_some_and(|mode| mode.eq_str("url"));
            if is_page && !object.has("elicitationId") {
                let id = quoted(&page_id(params));
                return object.changed(&[], |_| Fate::Keep, &[("elicitationId", &id)]);
            }
            object.changed(
                &[],
                |member| match !has_modes && !is_page && member.is("mode") {
                    true => Fate::Drop,
                    false => Fate::Keep,
                },
                &[],
            )
        }
        SAMPLE if !has_modes => object.changed(
            &[],
            |member| match member.is("messages").then(|| single_contents(member.value)) {
                Some(Some(messages)) => Fate::Is(Cow::Owned(messages)),
                _ => Fate::Keep,
            },
            &[],
        ),
        _ => Cow::Borrowed(params),
    }
}

fn page_id(params: &[u8]) -> String {
    let digest = Sha256::digest(params);
    let mut id = String::with_capacity(32);
    for byte in &digest[..16] {
        for digit in [byte >> 4, byte & 15] {
            id.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    id
}

/// Messages with one content each; none where they have already.
fn single_contents(messages: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(messages, DEPTH_CAP);
    let mut out = b"[".to_vec();
    let mut is_changed = false;
    let mut write = |message: &[u8]| {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(message);
    };
    reader.begin_array().ok()?;
    while reader.element().ok()? {
        let text = reader.skip().ok()?;
        let message = Object::read(text);
        let contents = message.as_ref().and_then(|message| message.find("content"));
        match (&message, contents) {
            (Some(message), Some(contents)) if contents.kind == Kind::Array => {
                is_changed = true;
                for content in elements(contents.value)? {
                    write(&with_content(message, content));
                }
            }
            _ => write(text),
        }
    }
    out.push(b']');
    is_changed.then_some(out)
}

fn with_content(message: &Object<'_>, content: &[u8]) -> Vec<u8> {
    let fate = |member: &Member<'_>| match member.is("content") {
        true => Fate::Is(Cow::Borrowed(content)),
        false => Fate::Keep,
    };
    message.changed(&[], fate, &[]).into_owned()
}

fn elements(array: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader::new(array, DEPTH_CAP);
    let mut found = Vec::new();
    reader.begin_array().ok()?;
    while reader.element().ok()? {
        found.push(reader.skip().ok()?);
    }
    Some(found)
}

/// The result object that asks a modern client.
///
/// Shape: the questions' keys differ, their parameters are in the modern form.
pub fn write_input_required(questions: &[Question], state: &str) -> Vec<u8> {
    let mut requests = Writer::new(64);
    for question in questions {
        let mut request = Writer::new(question.params.len() + 64);
        request.member("method", &quoted(&question.method));
        request.member("params", &question.params);
        requests.member(&question.key, &request.end());
    }
    let mut result = Writer::new(256);
    result.member("resultType", b"\"input_required\"");
    if !questions.is_empty() {
        result.member("inputRequests", &requests.end());
    }
    result.member("requestState", &quoted(state));
    let mut meta = Writer::new(128);
    meta.member("io.modelcontextprotocol/serverInfo", SERVER_INFO.as_bytes());
    result.member("_meta", &meta.end());
    result.end()
}

/// The answers that a retry brings, from the text of its `inputResponses`: keys, and texts of result objects.
///
/// Shape: at most [`INPUT_RESPONSE_COUNT_MAX`] of them; the first of two with one key; what is no object is no answer.
pub fn read_responses(input_responses: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Some(object) = Object::read(input_responses) else {
        return Vec::new();
    };
    let mut answers: Vec<(String, Vec<u8>)> = Vec::new();
    let results = object.members().iter();
    for member in results.filter(|member| member.kind == Kind::Object) {
        let key = member.key.to_cow();
        if answers.len() < INPUT_RESPONSE_COUNT_MAX
            && !answers.iter().any(|(other, _)| *other == key)
        {
            answers.push((key.into_owned(), member.value.to_vec()));
        }
    }
    answers
}

/// A legacy client's answer as one of the modern `inputResponses`: the text of its result, or of its error.
///
/// Shape: an error has no form there. A form or a page that failed was not filled in; of anything else there is no answer.
pub fn answer_to_modern(method: &str, answer: Result<&[u8], &[u8]>) -> Option<Vec<u8>> {
    match answer {
        Ok(result) => Object::read(result).map(|_| result.to_vec()),
        Err(_) if method == ELICIT => Some(br#"{"action":"cancel"}"#.to_vec()),
        Err(_) => None,
    }
}

/// A modern client's answer as the result that a legacy upstream of this revision takes: a sample with several contents has
/// their texts as one where there could be only one.
pub fn answer_to_legacy<'a>(method: &str, result: &'a [u8], revision: Revision) -> Cow<'a, [u8]> {
    if method != SAMPLE || revision >= Revision::V2025_11_25 {
        return Cow::Borrowed(result);
    }
    let Some(object) = Object::read(result) else {
        return Cow::Borrowed(result);
    };
    object.changed(
        &[],
        |member| match member.is("content").then(|| single_content(member.value)) {
            Some(Some(content)) => inside(Cow::Owned(content)),
            _ => Fate::Keep,
        },
        &[],
    )
}

/// One content that says what a list of them does; none where there is no list, or more in it than texts.
fn single_content(contents: &[u8]) -> Option<Vec<u8>> {
    let contents = elements(contents)?;
    if let [one] = contents[..] {
        return Some(one.to_vec());
    }
    let mut text = String::new();
    for content in contents {
        let part = Object::read(content)?;
        if !part.find("type")?.string()?.eq_str("text") {
            return None;
        }
        text.push_str(&part.find("text")?.string()?.to_cow());
    }
    let mut out = br#"{"type":"text","text":"#.to_vec();
    write_str(&mut out, &text);
    out.push(b'}');
    Some(out)
}

#[cfg(test)]
#[path = "tests/question.rs"]
mod tests;
