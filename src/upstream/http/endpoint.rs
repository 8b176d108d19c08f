//! The requests that an upstream's endpoint takes: their heads, written from what is the same for all and what is not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::url::Url;
use crate::mcp::Revision;
use crate::wire::http1::Method;
use crate::wire::http1::client::{FieldRefused, RequestBody, RequestTemplate};

/// Names us to upstreams.
const USER_AGENT: &str = concat!("margay/", env!("CARGO_PKG_VERSION"));
const JSON: &[u8] = b"application/json";
const BOTH: &[u8] = b"application/json, text/event-stream";
const EVENTS: &[u8] = b"text/event-stream";

/// One endpoint. The operator's own header fields, credentials too, are in every head and in no log.
#[derive(Clone)]
pub struct Endpoint {
    post: RequestTemplate,
    get: RequestTemplate,
    delete: RequestTemplate,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoint")
    }
}

/// What a request says of itself in its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The revision that is spoken; none before it is known.
    pub revision: Option<Revision>,
    /// The upstream's id of the session.
    pub session: Option<&'a [u8]>,
    /// Of a modern request: its method, and the name that it is about, decoded.
    pub mirrored: Option<(&'a str, Option<&'a str>)>,
    /// Of a modern tool call: the parameters that the tool wants mirrored, as header names and decoded values.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Where to go on in a stream.
    pub last_event_id: Option<&'a [u8]>,
    /// The credential in force, where it is not among the fields that are the same for all.
    pub authorization: Option<&'a [u8]>,
}

impl Endpoint {
    /// The endpoint at `url`, with further header fields for every request.
    ///
    /// Errors: a field cannot be sent.
    pub fn new(url: &Url, fields: &[(String, String)]) -> Result<Self, FieldRefused> {
        let template = |method, accept: &'static [u8], content: Option<&'static [u8]>| {
            let own = [("User-Agent", USER_AGENT.as_bytes()), ("Accept", accept)]
                .into_iter()
                .chain(content.map(|content| ("Content-Type", content)))
                .chain(
                    fields
                        .iter()
                        .map(|(name, value)| (name.as_str(), value.as_bytes())),
                );
            RequestTemplate::new(
                method,
                url.target.as_bytes(),
                url.authority().as_bytes(),
                own,
            )
        };
        Ok(Self {
            post: template(Method::Post, BOTH, Some(JSON))?,
            get: template(Method::Get, EVENTS, None)?,
            delete: template(Method::Delete, BOTH, None)?,
        })
    }

    /// Appends the head of a POST with a body of so many bytes.
    ///
    /// Errors: a value of `facts` cannot be sent; nothing is appended then.
    pub fn write_post(
        &self,
        out: &mut Vec<u8>,
        facts: &Facts<'_>,
        body_bytes: usize,
    ) -> Result<(), FieldRefused> {
        self.write(&self.post, out, facts, RequestBody::Length(body_bytes))
    }

    /// Appends the head of a GET for an event stream.
    ///
    /// Errors: a value of `facts` cannot be sent; nothing is appended then.
    pub fn write_get(&self, out: &mut Vec<u8>, facts: &Facts<'_>) -> Result<(), FieldRefused> {
        self.write(&self.get, out, facts, RequestBody::None)
    }

    /// Appends the head of a DELETE, which ends a session.
    ///
    /// Errors: a value of `facts` cannot be sent; nothing is appended then.
    pub fn write_delete(&self, out: &mut Vec<u8>, facts: &Facts<'_>) -> Result<(), FieldRefused> {
        self.write(&self.delete, out, facts, RequestBody::None)
    }

    fn write(
        &self,
        template: &RequestTemplate,
        out: &mut Vec<u8>,
        facts: &Facts<'_>,
        body: RequestBody,
    ) -> Result<(), FieldRefused> {
        let (method, name) = match facts.mirrored {
            Some((method, name)) => (Some(method), name),
            None => (None, None),
        };
        // Only a name or a parameter may need another spelling, and few do.
        let name_encoded = name.and_then(encoded);
        let parameters_encoded: Vec<Option<String>> = facts
            .parameters
            .iter()
            .map(|(_, value)| encoded(value))
            .collect();
        let name = name.map(|name| name_encoded.as_deref().unwrap_or(name).as_bytes());
        let fixed = [
            (
                "MCP-Protocol-Version",
                facts.revision.map(|revision| revision.as_str().as_bytes()),
            ),
            ("Mcp-Session-Id", facts.session),
            ("Mcp-Method", method.map(str::as_bytes)),
            ("Mcp-Name", name),
            ("Last-Event-ID", facts.last_event_id),
            ("Authorization", facts.authorization),
        ];
        let parameters =
            facts
                .parameters
                .iter()
                .zip(&parameters_encoded)
                .map(|((name, value), encoded)| {
                    (*name, encoded.as_deref().unwrap_or(value).as_bytes())
                });
        let fields = fixed
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .chain(parameters);
        template.write(out, fields, body)
    }
}

/// The spelling of a value that a header cannot hold, or that looks like such a spelling.
///
/// Source: 2026-07-28 basic/transports/streamable-http, value encoding.
fn encoded(value: &str) -> Option<String> {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let padded = value.starts_with(' ') || value.ends_with(' ');
    let like_encoded = value.starts_with("=?base64?") && value.ends_with("?=");
    (!plain || padded || like_encoded || value.is_empty())
        .then(|| format!("=?base64?{}?=", STANDARD.encode(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::{HeadLimits, Parsed, parse_head};

    fn endpoint() -> Endpoint {
        let url = Url::parse("https://mcp.example.com:8443/mcp").unwrap();
        let fields = [("Authorization".to_owned(), "Bearer secret".to_owned())];
        Endpoint::new(&url, &fields).unwrap()
    }

    /// The fields of a head, as a server reads them.
    fn fields(head: &[u8]) -> Vec<(String, String)> {
        let limits = HeadLimits {
            bytes_max: 4096,
            count_max: 50,
        };
        let Ok(Parsed::Head(head)) = parse_head(head, &limits) else {
            panic!("{}", head.escape_ascii());
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        head.fields
            .map(|(name, value)| (text(name).to_lowercase(), text(value)))
            .collect()
    }

    fn value<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
        let mut found = fields.iter().filter(|(found, _)| found == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    #[test]
    fn a_modern_post_mirrors_its_body() {
        let mut out = Vec::new();
        let facts = Facts {
            revision: Some(Revision::MODERN),
            mirrored: Some(("tools/call", Some("wetter–heute"))),
            parameters: &[("Mcp-Param-City", "Köln"), ("Mcp-Param-Unit", "C")],
            ..Facts::default()
        };
        endpoint().write_post(&mut out, &facts, 42).unwrap();
        assert!(out.starts_with(b"POST /mcp HTTP/1.1\r\nHost: mcp.example.com:8443\r\n"));
        let fields = fields(&out);
        for (name, expected) in [
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
            ("authorization", "Bearer secret"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?d2V0dGVy4oCTaGV1dGU=?="),
            ("mcp-param-city", "=?base64?S8O2bG4=?="),
            ("mcp-param-unit", "C"),
            ("content-length", "42"),
        ] {
            assert_eq!(value(&fields, name), Some(expected), "{name}");
        }
        assert_eq!(value(&fields, "mcp-session-id"), None);
    }

    #[test]
    fn a_legacy_request_carries_its_session_and_a_stream_where_to_go_on() {
        let facts = Facts {
            revision: Some(Revision::V2025_06_18),
            session: Some(b"abc"),
            last_event_id: Some(b"7-1"),
            ..Facts::default()
        };
        let mut out = Vec::new();
        endpoint().write_get(&mut out, &facts).unwrap();
        let found = fields(&out);
        assert_eq!(value(&found, "accept"), Some("text/event-stream"));
        assert_eq!(value(&found, "mcp-session-id"), Some("abc"));
        assert_eq!(value(&found, "last-event-id"), Some("7-1"));
        assert_eq!(
            (
                value(&found, "content-length"),
                value(&found, "content-type")
            ),
            (None, None)
        );
        out.clear();
        endpoint().write_delete(&mut out, &facts).unwrap();
        assert!(out.starts_with(b"DELETE /mcp HTTP/1.1\r\n"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_credentials_are_not_shown() {
        let facts = Facts {
            session: Some(b"a\r\nX: y"),
            ..Facts::default()
        };
        let mut out = b"kept".to_vec();
        assert!(endpoint().write_post(&mut out, &facts, 1).is_err());
        assert_eq!(out, b"kept");
        let url = Url::parse("http://a/").unwrap();
        let wrong = [("X-Key".to_owned(), "a\nb".to_owned())];
        assert!(Endpoint::new(&url, &wrong).is_err());
        assert!(!format!("{:?}", endpoint()).contains("secret"));
    }

    #[test]
    fn a_value_is_encoded_only_where_it_has_to_be() {
        for (text, expected) in [
            ("echo", None),
            ("a b", None),
            ("=?base64?x", None),
            ("", Some("=?base64??=")),
            (" a", Some("=?base64?IGE=?=")),
            ("a\n", Some("=?base64?YQo=?=")),
            ("=?base64?eA==?=", Some("=?base64?PT9iYXNlNjQ/ZUE9PT89?=")),
        ] {
            assert_eq!(encoded(text).as_deref(), expected, "{text:?}");
        }
    }
}
