//! Where the parts of one JSON-RPC message stand that a gateway changes: its id, its tokens, its names.
//!
//! A message that nothing has to change in is passed on as the bytes that came; else only these places are written anew,
//! and everything around them stays byte for byte. As for every message, the whole text is validated in one pass, and of a
//! member that is read there is exactly one: a second one, also one spelt with escapes, is refused.

use std::fmt;
use std::ops::Range;

use crate::mcp::Shape;
use crate::wire::json::{JsonError, Kind, Reader, Str};

/// `_meta` key that names the subscription which a notification belongs to.
const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A value: its JSON text, and where it stands in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'b> {
    /// The text, quotes, braces or brackets included.
    pub text: &'b [u8],
    /// Its bytes in the message.
    pub range: Range<usize>,
}

/// Why a text is no message that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is not JSON.
    Json(JsonError),
    /// It is JSON and no JSON-RPC message.
    NoMessage,
    /// A member that is read stands twice.
    Doubled,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::NoMessage => f.write_str("it is no JSON-RPC message"),
            Self::Doubled => {
                f.write_str("a member stands twice, which two readers could take differently")
            }
        }
    }
}

impl std::error::Error for EnvelopeError {}

impl From<JsonError> for EnvelopeError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// One message, as places in its bytes.
#[derive(Clone, Debug)]
pub struct Envelope<'b> {
    body: &'b [u8],
    /// What kind of message it is.
    pub shape: Shape,
    /// The id: a string or an integer. A response to what could not be read has `null`, which is none.
    pub id: Option<Place<'b>>,
    /// The method.
    pub method: Option<Str<'b>>,
    /// The parameters' object.
    pub params: Option<Place<'b>>,
    /// `params.progressToken`: of a progress notification.
    pub progress_token: Option<Place<'b>>,
    /// `params.requestId`: of a cancellation.
    pub request_id: Option<Place<'b>>,
    /// `params.name`: of a tool call or a prompt.
    pub name: Option<Place<'b>>,
    /// `params.uri`: of a resource.
    pub uri: Option<Place<'b>>,
    /// `params._meta`, if it is an object.
    pub meta: Option<Place<'b>>,
    /// `params._meta.progressToken`: where a request wants to hear of its progress.
    pub meta_progress_token: Option<Place<'b>>,
    /// `params._meta` subscription id: of a notification on a subscription.
    pub subscription_id: Option<Place<'b>>,
    /// The result, if it is an object.
    pub result: Option<Place<'b>>,
    /// The error, if it is an object.
    pub error: Option<Place<'b>>,
    /// The error's code.
    pub error_code: Option<i64>,
}

impl<'b> Envelope<'b> {
    /// Reads one message.
    ///
    /// Errors: it is none that can be passed on.
    pub fn read(body: &'b [u8], depth_max: usize) -> Result<Self, EnvelopeError> {
        let mut envelope = Self {
            body,
            shape: Shape::Notification,
            id: None,
            method: None,
            params: None,
            progress_token: None,
            request_id: None,
            name: None,
            uri: None,
            meta: None,
            meta_progress_token: None,
            subscription_id: None,
            result: None,
            error: None,
            error_code: None,
        };
        let mut reader = Reader::new(body, depth_max);
        if reader.peek()? != Kind::Object {
            reader.skip()?;
            reader.end()?;
            return Err(EnvelopeError::NoMessage);
        }
        let top = envelope.top(&mut reader)?;
        reader.end()?;
        envelope.shape = top.shape(&envelope)?;
        Ok(envelope)
    }

    /// The whole message.
    pub fn body(&self) -> &'b [u8] {
        self.body
    }

    /// Appends the message with some places written anew.
    ///
    /// Shape: places in order, none within another; each with the JSON text that takes its place.
    pub fn write(&self, out: &mut Vec<u8>, changes: &[(&Place<'_>, &[u8])]) {
        out.reserve(self.body.len() + 32);
        let mut at = 0;
        for (place, text) in changes {
            debug_assert!(at <= place.range.start, "changes come in order");
            out.extend_from_slice(&self.body[at..place.range.start]);
            out.extend_from_slice(text);
            at = place.range.end;
        }
        out.extend_from_slice(&self.body[at..]);
    }

    fn place(&self, text: &'b [u8]) -> Place<'b> {
        let start = text.as_ptr().addr() - self.body.as_ptr().addr();
        Place {
            text,
            range: start..start + text.len(),
        }
    }

    fn top(&mut self, reader: &mut Reader<'b>) -> Result<Top, EnvelopeError> {
        let mut top = Top::default();
        let mut doubled = false;
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            if key.eq_str("method") {
                doubled |= std::mem::replace(&mut top.method, true);
                match reader.peek()? {
                    Kind::String => self.method = Some(reader.string()?),
                    _ => {
                        reader.skip()?;
                        top.bad = true;
                    }
                }
            } else if key.eq_str("jsonrpc") {
                doubled |= std::mem::replace(&mut top.jsonrpc, true);
                match reader.peek()? {
                    Kind::String => top.bad |= !reader.string()?.eq_str("2.0"),
                    _ => {
                        reader.skip()?;
                        top.bad = true;
                    }
                }
            } else if key.eq_str("id") {
                doubled |= std::mem::replace(&mut top.id, true);
                self.id = self.token(reader)?;
                top.id_unusable = self.id.is_none();
            } else if key.eq_str("params") {
                doubled |= self.params.is_some();
                doubled |= self.read_params(reader, &mut top)?;
            } else if key.eq_str("result") {
                doubled |= std::mem::replace(&mut top.result, true);
                self.result = self.object(reader)?;
            } else if key.eq_str("error") {
                doubled |= std::mem::replace(&mut top.error, true);
                self.error = self.object(reader)?;
                self.error_code = self.error.as_ref().and_then(|error| code_of(error.text));
            } else {
                reader.skip()?;
            }
        }
        if doubled {
            return Err(EnvelopeError::Doubled);
        }
        Ok(top)
    }

    /// Whether a member stands twice.
    fn read_params(
        &mut self,
        reader: &mut Reader<'b>,
        top: &mut Top,
    ) -> Result<bool, EnvelopeError> {
        if reader.peek()? != Kind::Object {
            reader.skip()?;
            top.bad = true;
            return Ok(false);
        }
        let mut doubled = false;
        reader.begin_object()?;
        let start = reader.position() - 1;
        while let Some(key) = reader.key()? {
            let known = ["progressToken", "requestId", "name", "uri", "_meta"];
            let Some(member) = known.iter().position(|known| key.eq_str(known)) else {
                reader.skip()?;
                continue;
            };
            if member == 4 {
                doubled |= self.meta.is_some();
                doubled |= self.read_meta(reader)?;
                continue;
            }
            let found = match member {
                0 | 1 => self.token(reader)?,
                _ => self.string(reader)?,
            };
            let slot = match member {
                0 => &mut self.progress_token,
                1 => &mut self.request_id,
                2 => &mut self.name,
                _ => &mut self.uri,
            };
            doubled |= slot.is_some();
            *slot = found;
        }
        self.params = Some(self.place(&self.body[start..reader.position()]));
        Ok(doubled)
    }

    fn read_meta(&mut self, reader: &mut Reader<'b>) -> Result<bool, EnvelopeError> {
        if reader.peek()? != Kind::Object {
            reader.skip()?;
            return Ok(false);
        }
        let mut doubled = false;
        reader.begin_object()?;
        let start = reader.position() - 1;
        while let Some(key) = reader.key()? {
            if key.eq_str("progressToken") {
                doubled |= self.meta_progress_token.is_some();
                self.meta_progress_token = self.token(reader)?;
            } else if key.eq_str(META_SUBSCRIPTION) {
                doubled |= self.subscription_id.is_some();
                self.subscription_id = self.token(reader)?;
            } else {
                reader.skip()?;
            }
        }
        self.meta = Some(self.place(&self.body[start..reader.position()]));
        Ok(doubled)
    }

    /// A string or an integer, as ids and tokens are.
    fn token(&self, reader: &mut Reader<'b>) -> Result<Option<Place<'b>>, JsonError> {
        let kind = reader.peek()?;
        let text = reader.skip()?;
        Ok(match kind {
            Kind::String => Some(self.place(text)),
            Kind::Number if text.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9')) => {
                Some(self.place(text))
            }
            _ => None,
        })
    }

    fn string(&self, reader: &mut Reader<'b>) -> Result<Option<Place<'b>>, JsonError> {
        let is_string = reader.peek()? == Kind::String;
        let text = reader.skip()?;
        Ok(is_string.then(|| self.place(text)))
    }

    fn object(&self, reader: &mut Reader<'b>) -> Result<Option<Place<'b>>, JsonError> {
        let is_object = reader.peek()? == Kind::Object;
        let text = reader.skip()?;
        Ok(is_object.then(|| self.place(text)))
    }
}

/// What the pass over the top object found beside places.
#[derive(Default)]
struct Top {
    jsonrpc: bool,
    method: bool,
    id: bool,
    /// There is an id that is neither a string nor an integer.
    id_unusable: bool,
    result: bool,
    error: bool,
    bad: bool,
}

impl Top {
    fn shape(&self, envelope: &Envelope<'_>) -> Result<Shape, EnvelopeError> {
        if self.bad || !self.jsonrpc {
            return Err(EnvelopeError::NoMessage);
        }
        match (envelope.method, self.result, self.error) {
            (Some(_), false, false) if envelope.id.is_some() => Ok(Shape::Request),
            (Some(_), false, false) if !self.id_unusable => Ok(Shape::Notification),
            (None, true, false) if envelope.id.is_some() && envelope.result.is_some() => {
                Ok(Shape::Response)
            }
            // What could not be read is answered without its id.
            (None, false, true) if self.id && envelope.error.is_some() => Ok(Shape::Response),
            _ => Err(EnvelopeError::NoMessage),
        }
    }
}

/// The code of an error object, whose text is valid.
fn code_of(error: &[u8]) -> Option<i64> {
    let mut reader = Reader::new(error, crate::wire::json::DEPTH_CAP);
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        if key.eq_str("code") && reader.peek().ok()? == Kind::Number {
            return reader.number().ok()?.as_i64();
        }
        reader.skip().ok()?;
    }
    None
}

/// The messages of one body or line: a batch has several, else it is one.
///
/// Errors: it is an array and not valid JSON. One message is not looked at.
pub fn messages(body: &[u8], depth_max: usize) -> Result<Vec<&[u8]>, JsonError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        return Ok(vec![body]);
    }
    let mut reader = Reader::new(body, depth_max);
    let mut found = Vec::new();
    reader.begin_array()?;
    while reader.element()? {
        found.push(reader.skip()?);
    }
    reader.end()?;
    Ok(found)
}

/// What has to hold for any bytes, for fuzzing and property tests: a message that is read is valid JSON, its places are its own
/// bytes, and with its id and tokens written anew it is the same message with other ids.
pub fn check(body: &[u8]) {
    const DEPTH_MAX: usize = 32;
    let Ok(envelope) = Envelope::read(body, DEPTH_MAX) else {
        return;
    };
    crate::wire::json::validate(body, DEPTH_MAX).expect("what is read is JSON");
    let tokens = [
        &envelope.id,
        &envelope.progress_token,
        &envelope.request_id,
        &envelope.meta_progress_token,
        &envelope.subscription_id,
    ];
    let mut places: Vec<&Place<'_>> = tokens.into_iter().flatten().collect();
    places.sort_by_key(|place| place.range.start);
    for place in &places {
        assert_eq!(&body[place.range.clone()], place.text);
    }
    let changes: Vec<(&Place<'_>, &[u8])> =
        places.iter().map(|place| (*place, &b"7"[..])).collect();
    let mut changed = Vec::new();
    envelope.write(&mut changed, &changes);
    let again = Envelope::read(&changed, DEPTH_MAX).expect("it is a message still");
    assert_eq!(
        (again.shape, again.error_code),
        (envelope.shape, envelope.error_code)
    );
    assert_eq!(
        again.id.map(|id| id.text),
        envelope.id.as_ref().map(|_| &b"7"[..])
    );
    let name = |envelope: &Envelope<'_>| envelope.name.as_ref().map(|name| name.text.to_vec());
    assert_eq!(again.name.map(|name| name.text.to_vec()), name(&envelope));
    let mut same = Vec::new();
    envelope.write(&mut same, &[]);
    assert_eq!(same, body);
}

#[cfg(test)]
#[path = "envelope/tests.rs"]
mod tests;
