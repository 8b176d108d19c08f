//! JSON of tokens and key sets, read so that no two readers see different things in it.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Fault;
use crate::wire::json::{JsonError, Kind, Reader};

/// How deep JSON of a token or a key set may be nested.
const DEPTH_MAX: usize = 16;

/// Reads one JSON value in which no object has a member twice, however the names are written.
pub(super) fn unambiguous(text: &[u8]) -> Option<Value> {
    let mut reader = Reader::new(text, DEPTH_MAX);
    if !has_distinct_names(&mut reader).ok()? || reader.end().is_err() {
        return None;
    }
    serde_json::from_slice(text).ok()
}

/// Passes over one value. Its depth is bounded by the reader's.
fn has_distinct_names(reader: &mut Reader<'_>) -> Result<bool, JsonError> {
    match reader.peek()? {
        Kind::Object => {
            let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
            reader.begin_object()?;
            while let Some(name) = reader.key()? {
                if !seen.insert(name.to_cow()) || !has_distinct_names(reader)? {
                    return Ok(false);
                }
            }
        }
        Kind::Array => {
            reader.begin_array()?;
            while reader.element()? {
                if !has_distinct_names(reader)? {
                    return Ok(false);
                }
            }
        }
        _ => {
            reader.skip()?;
        }
    }
    Ok(true)
}

/// Reads an object.
///
/// Errors: `what`, as a fault of the token's form.
pub(super) fn object(text: &[u8], what: &'static str) -> Result<Map<String, Value>, Fault> {
    match unambiguous(text) {
        Some(Value::Object(members)) => Ok(members),
        _ => Err(Fault::Form(what)),
    }
}

/// A time claim, in seconds; none where it is absent.
pub(super) fn time(
    claims: &Map<String, Value>,
    name: &str,
    wrong: &'static str,
) -> Result<Option<f64>, Fault> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite());
    seconds.map(Some).ok_or(Fault::Claim(wrong))
}

/// A claim that is a text which may stand in a log.
pub(super) fn text<'c>(
    claims: &'c Map<String, Value>,
    name: &str,
    wrong: &'static str,
) -> Result<&'c str, Fault> {
    let text = claims.get(name).and_then(Value::as_str);
    let text = text.filter(|text| !text.is_empty() && !text.contains(char::is_control));
    text.ok_or(Fault::Claim(wrong))
}

/// The words of a claim that is one text with spaces, or a list of texts; none where it is absent.
pub(super) fn words(value: Option<&Value>, wrong: &'static str) -> Result<Vec<Box<str>>, Fault> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(Box::from)
            .collect()),
        Some(Value::Array(items)) => {
            let words: Option<Vec<_>> = items
                .iter()
                .map(|item| item.as_str().map(Box::from))
                .collect();
            words.ok_or(Fault::Claim(wrong))
        }
        Some(_) => Err(Fault::Claim(wrong)),
    }
}

/// The claim of this name, or the one that its dots lead to: `realm_access.roles`.
pub(super) fn named<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        let mut path = name.split('.');
        let first = claims.get(path.next()?)?;
        path.try_fold(first, |value, step| value.get(step))
    })
}
