//! The parameters of requests, and what a client says of itself in them.

use std::borrow::Cow;

use super::object::{Fate, Member, Object, Writer, inside, quoted, without};
use crate::mcp::message::{META_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_VERSION};
use crate::mcp::{ClientCapabilities, Era, LogLevel, Revision};
use crate::upstream::say;

/// What every modern request says in its `_meta`, and no legacy one.
const META_MODERN: [&str; 4] = [
    META_VERSION,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
];

/// Who a modern request is made for.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// What the client can do, as far as the upstream may count on it.
    pub capabilities: ClientCapabilities,
    /// The text of its `clientInfo` object; without one, or with a text that is none, it is our own.
    pub client_info: Option<&'a [u8]>,
    /// The least level of log messages that it wants, if it wants any.
    pub log_level: Option<LogLevel>,
}

/// The object that declares these capabilities in this revision; what the revision has no name for is left out.
pub fn capabilities_text(capabilities: ClientCapabilities, revision: Revision) -> Vec<u8> {
    if revision.era() == Era::Modern {
        return capabilities.to_string().into_bytes();
    }
    let has = |capability| capabilities.contains(capability);
    // Modes, and parts of sampling, are of the last legacy revision.
    let has_parts = revision >= Revision::V2025_11_25;
    let parts = |parts: [(ClientCapabilities, &str); 2]| {
        let mut out = Writer::new(32);
        for (_, name) in parts.iter().filter(|(part, _)| has_parts && has(*part)) {
            out.member(name, b"{}");
        }
        out.end()
    };
    let sampling = [
        (ClientCapabilities::SAMPLING_TOOLS, "tools"),
        (ClientCapabilities::SAMPLING_CONTEXT, "context"),
    ];
    let elicitation = [
        (ClientCapabilities::ELICITATION_FORM, "form"),
        (ClientCapabilities::ELICITATION_URL, "url"),
    ];
    let mut out = Writer::new(128);
    if has(ClientCapabilities::ROOTS) {
        out.member("roots", b"{}");
    }
    if has(ClientCapabilities::SAMPLING) || sampling.iter().any(|(part, _)| has(*part)) {
        out.member("sampling", &parts(sampling));
    }
    let elicits = match has_parts {
        true => elicitation.iter().any(|(part, _)| has(*part)),
        false => has(ClientCapabilities::ELICITATION_FORM) && revision >= Revision::V2025_06_18,
    };
    if elicits {
        out.member("elicitation", &parts(elicitation));
    }
    if has(ClientCapabilities::TASKS) && revision >= Revision::V2025_11_25 {
        // Its members would say that the client itself can be asked in tasks.
        out.member("tasks", b"{}");
    }
    out.end()
}

/// The parameters of a modern request as a legacy upstream takes them: without what only the modern era has.
///
/// Shape: `task` goes, too: it means nothing in the modern era, and to a legacy upstream it would.
pub fn params_to_legacy(params: &[u8]) -> Cow<'_, [u8]> {
    let Some(object) = Object::read(params) else {
        return Cow::Borrowed(params);
    };
    object.changed(
        &[],
        |member| {
            if member.is_one_of(&["inputResponses", "requestState", "task"]) {
                Fate::Drop
            } else if member.is("_meta") {
                without(member, &META_MODERN)
            } else {
                Fate::Keep
            }
        },
        &[],
    )
}

/// The parameters of a legacy request, or none, as a modern upstream takes them: with what every modern request says in its
/// `_meta`, and without a `task`.
pub fn params_to_modern(params: Option<&[u8]>, who: &Who<'_>) -> Vec<u8> {
    let params = params.unwrap_or(b"{}");
    let Some(object) = Object::read(params) else {
        return params.to_vec();
    };
    let old = object.find("_meta").and_then(Member::object);
    let meta = modern_meta(old.as_ref(), who);
    let mut is_written = false;
    let fate = |member: &Member<'_>| {
        if member.is("task") {
            return Fate::Drop;
        }
        if !member.is("_meta") {
            return Fate::Keep;
        }
        match std::mem::replace(&mut is_written, true) {
            true => Fate::Drop,
            false => Fate::Is(Cow::Borrowed(&meta)),
        }
    };
    let after: &[(&str, &[u8])] = match object.has("_meta") {
        true => &[],
        false => &[("_meta", &meta)],
    };
    object.changed(&[], fate, after).into_owned()
}

fn modern_meta(old: Option<&Object<'_>>, who: &Who<'_>) -> Vec<u8> {
    let version = quoted(Revision::MODERN.as_str());
    let capabilities = capabilities_text(who.capabilities, Revision::MODERN);
    let mut us = Vec::new();
    let info = who.client_info.filter(|info| Object::read(info).is_some());
    let info = info.unwrap_or_else(|| {
        say::us(&mut us);
        &us
    });
    let level = who.log_level.map(|level| quoted(level.as_str()));
    let mut members: Vec<(&str, &[u8])> = vec![
        (META_VERSION, &version),
        (META_CAPABILITIES, &capabilities),
        (META_CLIENT_INFO, info),
    ];
    if let Some(level) = &level {
        members.push((META_LOG_LEVEL, level));
    }
    let empty = Object::read(b"{}");
    let fate = |member: &Member<'_>| match member.is_one_of(&META_MODERN) {
        true => Fate::Drop,
        false => Fate::Keep,
    };
    match old.or(empty.as_ref()) {
        Some(object) => object.changed(&members, fate, &[]).into_owned(),
        None => Vec::new(),
    }
}

/// The parameters with the answers of a retry put in, and its state, in the place of those that were there.
///
/// Shape: answers are keys, and the texts of result objects. Without answers there is no `inputResponses`, without a state
/// no `requestState`.
pub fn with_responses(
    params: &[u8],
    responses: &[(String, Vec<u8>)],
    state: Option<&str>,
) -> Vec<u8> {
    let Some(object) = Object::read(params) else {
        return params.to_vec();
    };
    let mut answers = Writer::new(64);
    for (key, answer) in responses {
        answers.member(key, answer);
    }
    let answers = answers.end();
    let state = state.map(quoted);
    let mut members: Vec<(&str, &[u8])> = Vec::new();
    if !responses.is_empty() {
        members.push(("inputResponses", &answers));
    }
    if let Some(state) = &state {
        members.push(("requestState", state));
    }
    let fate = |member: &Member<'_>| match member.is_one_of(&["inputResponses", "requestState"]) {
        true => Fate::Drop,
        false => Fate::Keep,
    };
    object.changed(&[], fate, &members).into_owned()
}

/// The parameters with another task's id.
pub fn set_task_id(params: &[u8], id: &str) -> Vec<u8> {
    let Some(object) = Object::read(params) else {
        return params.to_vec();
    };
    let id = quoted(id);
    let after: &[(&str, &[u8])] = match object.has("taskId") {
        true => &[],
        false => &[("taskId", &id)],
    };
    let fate = |member: &Member<'_>| match member.is("taskId") {
        true => Fate::Is(Cow::Borrowed(&*id)),
        false => Fate::Keep,
    };
    object.changed(&[], fate, after).into_owned()
}

/// The parameters of a `completion/complete` with another prompt's name, where they name one.
pub fn set_reference(params: &[u8], name: &str) -> Vec<u8> {
    let Some(object) = Object::read(params) else {
        return params.to_vec();
    };
    let name = quoted(name);
    let named = |inner: &Member<'_>| match inner.is("name") {
        true => Fate::Is(Cow::Borrowed(&*name)),
        false => Fate::Keep,
    };
    let fate = |member: &Member<'_>| match member.object() {
        Some(reference) if member.is("ref") => {
            inside(Cow::Owned(reference.changed(&[], named, &[]).into_owned()))
        }
        _ => Fate::Keep,
    };
    object.changed(&[], fate, &[]).into_owned()
}

#[cfg(test)]
#[path = "tests/params.rs"]
mod tests;
