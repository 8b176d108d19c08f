//! Where an HTTP upstream is: a URL from the configuration, taken apart strictly.

use std::fmt;
use std::net::IpAddr;

use crate::wire::http1::Method;
use crate::wire::http1::client::{FieldRefused, RequestTemplate};

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In plain text.
    Http,
    /// Over TLS.
    Https,
}

/// A URL of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name, an IPv4 address or an IPv6 address without brackets; in lower case.
    pub host: String,
    /// The port, also where the URL leaves it out.
    pub port: u16,
    /// Path and query; starts with a slash.
    pub target: String,
}

/// Why a text is no URL of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not start with `http://` or `https://`.
    Scheme,
    /// The host is missing or malformed.
    Host,
    /// It has a user name or password, which would end up in logs.
    UserInformation,
    /// It has a fragment, which is never sent.
    Fragment,
    /// The path has a character that must be percent-encoded.
    Path,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "must start with http:// or https://",
            Self::Host => "must have a host with an optional port",
            Self::UserInformation => "must not have a user name or password",
            Self::Fragment => "must not have a fragment",
            Self::Path => "has a character in its path that must be percent-encoded",
        })
    }
}

impl std::error::Error for UrlError {}

impl Url {
    /// Reads a URL.
    ///
    /// Errors: what it must be.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = if let Some(rest) = strip_scheme(text, "https://") {
            (Scheme::Https, rest)
        } else if let Some(rest) = strip_scheme(text, "http://") {
            (Scheme::Http, rest)
        } else {
            return Err(UrlError::Scheme);
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::UserInformation);
        }
        if path.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (host, port) = host_and_port(authority).ok_or(UrlError::Host)?;
        let url = Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: match port {
                "" => scheme.default_port(),
                port => port.parse().map_err(|_| UrlError::Host)?,
            },
            target: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        };
        // What a request head would refuse is refused here, where an operator sees it.
        match RequestTemplate::new(
            Method::Get,
            url.target.as_bytes(),
            url.authority().as_bytes(),
            [],
        ) {
            Ok(_) if url.port != 0 => Ok(url),
            Err(FieldRefused::Target) => Err(UrlError::Path),
            _ => Err(UrlError::Host),
        }
    }

    /// What the `Host` field says: the port is left out where it is the usual one.
    pub fn authority(&self) -> String {
        let host = match self.host.parse() {
            Ok(IpAddr::V6(_)) => format!("[{}]", self.host),
            _ => self.host.clone(),
        };
        if self.port == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Scheme, host and port: what eras and credentials are kept by.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }

    /// The address, where the host is one and needs no look-up.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Resolves a reference that this upstream gave, as the endpoint of the old transport.
    ///
    /// Errors: it is no URL, or leads to another origin: what an upstream says must not send its calls elsewhere.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let joined = if reference.starts_with("//") {
            return Err(UrlError::Host);
        } else if reference.starts_with('/') {
            Self::parse(&format!("{}{reference}", self.origin()))?
        } else if reference.contains("://") {
            Self::parse(reference)?
        } else {
            let path = self.target.split('?').next().unwrap_or("/");
            let folder = &path[..=path.rfind('/').unwrap_or(0)];
            Self::parse(&format!("{}{folder}{reference}", self.origin()))?
        };
        if joined.origin() == self.origin() {
            Ok(joined)
        } else {
            Err(UrlError::Host)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.target)
    }
}

impl Scheme {
    /// The scheme's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

fn strip_scheme<'t>(text: &'t str, scheme: &str) -> Option<&'t str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme)
        .then(|| &text[scheme.len()..])
}

fn host_and_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(inner) = authority.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        return match rest {
            "" => Some((address, "")),
            rest => Some((
                address,
                rest.strip_prefix(':').filter(|port| is_digits(port))?,
            )),
        };
    }
    match authority.split_once(':') {
        None => Some((authority, "")),
        Some((host, port)) => Some((host, Some(port).filter(|port| is_digits(port))?)),
    }
    .filter(|(host, _)| !host.is_empty())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, shown, host, port, target) in [
            (
                "http://localhost:8080/mcp",
                "http://localhost:8080/mcp",
                "localhost",
                8080,
                "/mcp",
            ),
            (
                "HTTPS://Example.COM",
                "https://example.com/",
                "example.com",
                443,
                "/",
            ),
            (
                "https://example.com:443/a?b=c",
                "https://example.com/a?b=c",
                "example.com",
                443,
                "/a?b=c",
            ),
            (
                "http://127.0.0.1?x",
                "http://127.0.0.1/?x",
                "127.0.0.1",
                80,
                "/?x",
            ),
            ("http://[::1]:9/%20", "http://[::1]:9/%20", "::1", 9, "/%20"),
        ] {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (url.host.as_str(), url.port, url.target.as_str()),
                (host, port, target)
            );
            assert_eq!(url.to_string(), shown);
            assert_eq!(Url::parse(shown), Ok(url));
        }
        assert!(Url::parse("http://[::1]/").unwrap().address().is_some());
        assert!(
            Url::parse("http://example.com/")
                .unwrap()
                .address()
                .is_none()
        );
    }

    #[test]
    fn what_is_ambiguous_or_would_leak_is_refused() {
        for (text, error) in [
            ("", UrlError::Scheme),
            ("ftp://a/", UrlError::Scheme),
            ("localhost:8080", UrlError::Scheme),
            ("http://", UrlError::Host),
            ("http:///mcp", UrlError::Host),
            ("http://:80/", UrlError::Host),
            ("http://a:/", UrlError::Host),
            ("http://a:0/", UrlError::Host),
            ("http://a:65536/", UrlError::Host),
            ("http://a:+80/", UrlError::Host),
            ("http://a b/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://[::1]x/", UrlError::Host),
            ("http://::1/", UrlError::Host),
            ("http://a\r\nX: y/", UrlError::Host),
            ("http://user:secret@a/", UrlError::UserInformation),
            ("http://a/#b", UrlError::Fragment),
            ("http://a#b", UrlError::Fragment),
            ("http://a/b c", UrlError::Path),
            ("http://a/\r\n", UrlError::Path),
            ("http://a/%g0", UrlError::Path),
            ("http://a/ä", UrlError::Path),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_reference_stays_with_its_origin() {
        let base = Url::parse("http://a:8080/x/sse?y").unwrap();
        for (reference, expected) in [
            (
                "/messages?sessionId=1",
                Ok("http://a:8080/messages?sessionId=1"),
            ),
            ("messages", Ok("http://a:8080/x/messages")),
            ("http://A:8080/m", Ok("http://a:8080/m")),
            ("http://a:8081/m", Err(UrlError::Host)),
            ("https://a:8080/m", Err(UrlError::Host)),
            ("http://169.254.169.254/", Err(UrlError::Host)),
            ("//evil/m", Err(UrlError::Host)),
            ("/a b", Err(UrlError::Path)),
        ] {
            let joined = base.join(reference).map(|url| url.to_string());
            assert_eq!(joined, expected.map(str::to_owned), "{reference}");
        }
    }
}
