//! Whether a request came for this server, by `Host`, and from a page that may call it, by `Origin`.
//!
//! A page on the internet can have its own name resolve to a loopback address and so make its visitor's browser call a
//! local server (DNS rebinding). The browser then sends the page's name in both headers, which is what gives it away. The check
//! is made on every route, before the body is read.
//!
//! Source: MCP 2025-11-25 basic/transports, "Security Warning"; CVE-2025-66414, CVE-2026-42559, CVE-2026-34742.

use super::refusal::Reason;

/// The names under which this server may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRules {
    hosts: Vec<Name>,
    origins: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    host: Box<str>,
    /// None: any port.
    port: Option<u16>,
}

/// The names that always mean this machine.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Default for HostRules {
    fn default() -> Self {
        Self::loopback()
    }
}

impl HostRules {
    /// Loopback names, any port.
    pub fn loopback() -> Self {
        let hosts = LOOPBACK
            .into_iter()
            .map(|host| Name {
                host: host.into(),
                port: None,
            })
            .collect();
        Self {
            hosts,
            origins: Vec::new(),
        }
    }

    /// Allows a host, `name` or `name:port`; without a port every port goes. Also as the host of an origin.
    ///
    /// Errors: false, and nothing allowed, where it is not a host.
    #[must_use]
    pub fn allow_host(&mut self, host: &str) -> bool {
        let Some((name, port)) = split(host.as_bytes()) else {
            return false;
        };
        // `split` took it from a `str` at ASCII positions.
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        self.hosts.push(Name {
            host: name.into(),
            port,
        });
        true
    }

    /// Allows the address of a listener. An unspecified address (`0.0.0.0`) is no name that a request carries.
    pub fn allow_listener(&mut self, address: std::net::SocketAddr) {
        if !address.ip().is_unspecified() {
            let host = match address.ip() {
                std::net::IpAddr::V4(ip) => ip.to_string(),
                std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            };
            self.hosts.push(Name {
                host: host.into(),
                port: Some(address.port()),
            });
        }
    }

    /// Allows an origin, scheme included, exactly as browsers send it: `https://app.example`.
    pub fn allow_origin(&mut self, origin: &str) {
        self.origins.push(origin.to_ascii_lowercase().into());
    }

    /// Decides over one request.
    pub fn check<'b>(
        &self,
        host: Option<&'b [u8]>,
        origin: Option<&'b [u8]>,
    ) -> Result<(), Reason<'b>> {
        match host {
            Some(value) if self.is_host(value) => {}
            value => return Err(Reason::Host { value }),
        }
        match origin {
            None => Ok(()),
            Some(value) if self.is_origin(value) => Ok(()),
            Some(value) => Err(Reason::Origin { value }),
        }
    }

    fn is_host(&self, value: &[u8]) -> bool {
        let Some((host, port)) = split(value) else {
            return false;
        };
        self.hosts.iter().any(|name| {
            name.host.as_bytes().eq_ignore_ascii_case(host)
                && (name.port.is_none() || name.port == port)
        })
    }

    fn is_origin(&self, value: &[u8]) -> bool {
        let listed = self
            .origins
            .iter()
            .any(|origin| origin.as_bytes().eq_ignore_ascii_case(value));
        let host =
            strip_ignore_case(value, b"http://").or_else(|| strip_ignore_case(value, b"https://"));
        listed || host.is_some_and(|host| self.is_host(host))
    }
}

fn strip_ignore_case<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = value.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Splits `host[:port]`; none where it is anything else. A bracketed address keeps its brackets.
fn split(value: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = if value.first() == Some(&b'[') {
        value.iter().position(|byte| *byte == b']')? + 1
    } else {
        value
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(value.len())
    };
    let (host, rest) = value.split_at(end);
    let name = host
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"));
    let good = match name {
        Some(address) => {
            !address.is_empty()
                && address
                    .iter()
                    .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }
        None => {
            !host.is_empty()
                && host
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        }
    };
    if !good {
        return None;
    }
    let port = match rest.strip_prefix(b":") {
        None if rest.is_empty() => None,
        None => return None,
        Some(digits) => {
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            Some(
                std::str::from_utf8(digits)
                    .ok()
                    .filter(|_| plain)?
                    .parse()
                    .ok()?,
            )
        }
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(rules: &HostRules, host: &str, origin: Option<&str>) -> bool {
        rules
            .check(Some(host.as_bytes()), origin.map(str::as_bytes))
            .is_ok()
    }

    #[test]
    fn loopback_names_go_with_any_port() {
        let rules = HostRules::loopback();
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:65535",
        ] {
            assert!(status(&rules, host, None), "{host}");
            assert!(
                status(&rules, host, Some(&format!("http://{host}"))),
                "{host}"
            );
        }
    }

    #[test]
    fn a_rebound_name_is_refused_in_either_header() {
        let rules = HostRules::loopback();
        assert!(!status(&rules, "evil.example.com", None));
        assert!(!status(
            &rules,
            "localhost",
            Some("http://evil.example.com")
        ));
        assert!(!status(
            &rules,
            "evil.example.com",
            Some("http://localhost")
        ));
        assert!(rules.check(None, None).is_err());
    }

    #[test]
    fn lookalikes_and_malformed_hosts_are_refused() {
        let rules = HostRules::loopback();
        for host in [
            "localhost.evil.com",
            "evil-localhost",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "localhost:+1",
            "localhost:80:80",
            "localhost@evil",
            "evil@localhost",
            "[::1",
            "[::1]x",
            "[]",
            "",
            " localhost",
            "127.0.0.1.",
            "::1",
            "localhost/",
            "localhost#",
            "127.1",
            "[::1%lo]",
        ] {
            assert!(!status(&rules, host, None), "{host}");
        }
        for origin in [
            "null",
            "localhost",
            "file://localhost",
            "http://localhost/",
            "http://",
            "https://localhost.evil.com",
            "",
        ] {
            assert!(!status(&rules, "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_configured_host_goes_with_its_port_only() {
        let mut rules = HostRules::loopback();
        assert!(rules.allow_host("Tools.Example:8443"));
        assert!(!rules.allow_host("https://tools.example"));
        rules.allow_listener("192.0.2.7:8080".parse().unwrap());
        rules.allow_listener("0.0.0.0:8080".parse().unwrap());
        rules.allow_origin("https://app.example");
        assert!(status(
            &rules,
            "tools.example:8443",
            Some("https://tools.example:8443")
        ));
        assert!(!status(&rules, "tools.example", None));
        assert!(status(&rules, "192.0.2.7:8080", None));
        assert!(!status(&rules, "0.0.0.0:8080", None));
        assert!(status(&rules, "localhost", Some("https://app.example")));
        assert!(!status(&rules, "localhost", Some("http://app.example")));
        assert!(!status(&rules, "app.example", None));
    }
}
