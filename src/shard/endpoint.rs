//! What HTTP itself decides: paths, methods, and the errors that have no MCP message.

use crate::policy::Stranger;
use crate::policy::auth::WELL_KNOWN;
use crate::wire::http1::response::{self, Body};
use crate::wire::json;

/// The methods of the MCP endpoint.
pub(super) const ALLOW: &str = "POST, GET, DELETE, OPTIONS";

/// The answer for which there is no buffer: part of the program, so that it needs none.
pub(super) const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
Content-Type: application/json\r\n\
Content-Length: 83\r\n\
Retry-After: 1\r\n\
Connection: close\r\n\
\r\n\
{\"error\":\"the server is at its limit of connections or buffers; retry in a second\"}";

/// The answer to plain HTTP where TLS is spoken: plain, because nothing else would be read.
pub(super) const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
Content-Type: application/json\r\n\
Content-Length: 66\r\n\
Connection: close\r\n\
\r\n\
{\"error\":\"this port speaks HTTPS and no plain HTTP; use https://\"}";

/// What the head alone says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Early {
    /// Worth reading the body.
    Admit,
    /// Refused whatever the body is: for whom it comes from, who is not looked at again, or for something else.
    Refuse(Option<Stranger>),
}

/// Which resource a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// The MCP endpoint.
    Mcp,
    /// The stream of the old transport.
    Sse,
    /// Where the old transport's messages are posted.
    Messages,
    /// What OAuth calls the metadata of a protected resource (RFC 9728); whether it is here depends on the configuration.
    Metadata,
    /// `/`: somebody looks around with a browser.
    Root,
    /// `*`, of `OPTIONS *`.
    Server,
    /// Nothing that is here.
    Unknown,
}

impl Resource {
    /// Whether only those get there who are known.
    pub(super) fn is_guarded(self) -> bool {
        matches!(self, Self::Mcp | Self::Sse | Self::Messages)
    }

    /// Reads the request target: origin form, absolute form (which a server must take, RFC 9112 section 3.2.2), or `*`.
    pub(super) fn of(target: &[u8]) -> Self {
        let path = match target {
            b"*" => return Self::Server,
            [b'/', ..] => target,
            _ => match absolute_path(target) {
                Some(path) => path,
                None => return Self::Unknown,
            },
        };
        let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
        match path {
            b"/mcp" | b"/mcp/" => Self::Mcp,
            b"/sse" => Self::Sse,
            b"/messages" => Self::Messages,
            b"/" | b"" => Self::Root,
            _ if path.starts_with(WELL_KNOWN.as_bytes()) => Self::Metadata,
            _ => Self::Unknown,
        }
    }
}

/// The value of a parameter in the target's query, as it stands: what we look for needs no escapes. The first one counts.
pub(super) fn query_value<'b>(target: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let at = memchr::memchr(b'?', target)?;
    let mut parameters = target[at + 1..].split(|byte| *byte == b'&');
    parameters.find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix(b"="))
}

fn absolute_path(target: &[u8]) -> Option<&[u8]> {
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })?;
    let path_at = after_scheme
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(after_scheme.len());
    Some(&after_scheme[path_at..])
}

/// The path of a target, without its query.
pub(super) fn path_of(target: &[u8]) -> &str {
    let path = match target {
        [b'/', ..] => target,
        _ => absolute_path(target).unwrap_or_default(),
    };
    let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
    std::str::from_utf8(path).unwrap_or_default()
}

/// Appends a JSON document that pages of any allowed origin may read.
pub(super) fn write_json(
    out: &mut Vec<u8>,
    document: &str,
    keep_alive: bool,
    with_body: bool,
    origin: Option<&[u8]>,
) {
    let origin = origin.and_then(|origin| std::str::from_utf8(origin).ok());
    let mut fields = vec![("Cache-Control", "max-age=300")];
    if let Some(origin) = origin {
        fields.push(("Access-Control-Allow-Origin", origin));
        fields.push(("Vary", "Origin"));
    }
    let body = Body::Length(document.len());
    response::write_head(
        out,
        200,
        Some("application/json"),
        body,
        keep_alive,
        &fields,
    );
    if with_body {
        out.extend_from_slice(document.as_bytes());
    }
}

/// Appends an error answer that closes the connection.
pub(super) fn write_error(out: &mut Vec<u8>, status: u16, reason: &str) {
    write_json_error(out, status, reason, false, &[]);
}

/// Appends an error answer: a JSON object with the reason.
pub(super) fn write_json_error(
    out: &mut Vec<u8>,
    status: u16,
    reason: &str,
    keep_alive: bool,
    extra: &[(&str, &str)],
) {
    let mut body = Vec::with_capacity(reason.len() + 16);
    body.extend_from_slice(b"{\"error\":");
    json::write_str(&mut body, reason);
    body.push(b'}');
    response::write_head(
        out,
        status,
        Some("application/json"),
        Body::Length(body.len()),
        keep_alive,
        extra,
    );
    out.extend_from_slice(&body);
}

/// Appends the page for somebody who looks at `/`.
pub(super) fn write_root(out: &mut Vec<u8>, keep_alive: bool, with_body: bool) {
    let text = "Margay: an MCP server. The endpoint is POST /mcp (JSON-RPC 2.0); start with server/discover or initialize.\n";
    response::write_head(
        out,
        200,
        Some("text/plain; charset=utf-8"),
        Body::Length(text.len()),
        keep_alive,
        &[],
    );
    if with_body {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_the_endpoint_in_every_form() {
        for target in [
            "/mcp",
            "/mcp/",
            "/mcp?x=1",
            "http://localhost:8080/mcp",
            "HTTP://h/mcp?y",
        ] {
            assert_eq!(Resource::of(target.as_bytes()), Resource::Mcp, "{target}");
        }
        for target in ["/mcpx", "/mcp/x", "/MCP", "http://h/", "mcp", "ftp://h/mcp"] {
            assert_ne!(Resource::of(target.as_bytes()), Resource::Mcp, "{target}");
        }
        assert_eq!(Resource::of(b"*"), Resource::Server);
        assert_eq!(Resource::of(b"http://localhost"), Resource::Root);
        assert_eq!(Resource::of(b"http://localhost?/mcp"), Resource::Root);
    }

    #[test]
    fn a_query_has_its_parameters_by_name() {
        let value = |target: &str| query_value(target.as_bytes(), b"sessionId").map(<[u8]>::to_vec);
        assert_eq!(value("/messages?sessionId=ab"), Some(b"ab".to_vec()));
        assert_eq!(
            value("/messages?x=1&sessionId=ab&sessionId=c"),
            Some(b"ab".to_vec())
        );
        assert_eq!(value("http://h/messages?sessionId="), Some(Vec::new()));
        for none in [
            "/messages",
            "/messages?",
            "/messages?sessionIdx=1",
            "/messages?sessionId",
        ] {
            assert_eq!(value(none), None, "{none}");
        }
    }

    #[test]
    fn the_constant_refusal_has_the_length_it_says() {
        let text = std::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
    }
}
