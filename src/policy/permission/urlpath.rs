//! Paths of HTTP requests, compared as prefixes at segment boundaries.
//!
//! What servers disagree about is not guessed at. A path is *plain* if every server reads it the same: no `.` or `..` segment, no empty
//! segment, no backslash, no encoded slash, backslash, NUL or percent sign, no broken escape. An allow line with paths covers plain paths
//! only; a deny line with paths covers every path that is not plain. Other escapes are decoded before they are compared.

use super::fault::Wrong;

/// A path prefix of a line, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix(Box<str>);

impl Prefix {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        if !text.starts_with('/') {
            return Err(Wrong::new(
                text,
                "does not begin with /",
                "write it like /v1/",
            ));
        }
        if text.contains(['*', '?', '#']) {
            let rule = "has * ? or #; paths are prefixes, and queries are not looked at";
            return Err(Wrong::new(text, rule, "write it like /v1/"));
        }
        if !is_plain(text) {
            let rule =
                "is read differently by different servers (dot or empty segments, encoded slashes)";
            return Err(Wrong::new(text, rule, "write the plain path"));
        }
        let decoded = Decoded(text.as_bytes()).collect();
        String::from_utf8(decoded)
            .map(|text| Self(text.into()))
            .map_err(|_| Wrong::new(text, "is not UTF-8 once decoded", "write the plain path"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this plain path is it or below it. `/v1/` is what is below `/v1` alone.
    pub(super) fn allows(&self, path: &str) -> bool {
        self.leads(path, &self.0, u8::eq)
    }

    /// The same for a deny line, whatever the server: letters in either case, and `/v1/` is `/v1` too.
    pub(super) fn denies(&self, path: &str) -> bool {
        let trimmed = self.0.strip_suffix('/').unwrap_or(&self.0);
        self.leads(path, trimmed, u8::eq_ignore_ascii_case)
    }

    fn leads(&self, path: &str, prefix: &str, same: fn(&u8, &u8) -> bool) -> bool {
        let mut bytes = Decoded(path.as_bytes());
        let is_prefix = prefix
            .bytes()
            .all(|own| bytes.next().is_some_and(|byte| same(&own, &byte)));
        // A parameter of the segment (`/v1;a=b`) is part of it.
        is_prefix && (prefix.ends_with('/') || matches!(bytes.next(), None | Some(b'/' | b';')))
    }

    /// Whether every path that `other` leads is led by it.
    pub(super) fn includes(&self, other: &Self) -> bool {
        self.leads(&other.0, &self.0, u8::eq)
    }
}

/// Whether every server reads it the same.
pub(super) fn is_plain(path: &str) -> bool {
    let Some(inside) = path.strip_prefix('/') else {
        return false;
    };
    if path
        .bytes()
        .any(|byte| byte == b'\\' || byte < b' ' || byte == 0x7f)
        || has_strange_escape(path.as_bytes())
    {
        return false;
    }
    let last = inside.split('/').count() - 1;
    inside.split('/').enumerate().all(|(at, segment)| {
        // `..;a` is `..` to servers that take parameters off.
        let mut name = Decoded(segment.as_bytes()).take_while(|byte| *byte != b';');
        match (name.next(), name.next(), name.next()) {
            (None, ..) => at == last && segment.is_empty(),
            (Some(b'.'), None, _) | (Some(b'.'), Some(b'.'), None) => false,
            _ => true,
        }
    })
}

/// An escape that is broken, or of a byte that some servers take for another thing once it is decoded.
fn has_strange_escape(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest.get(at + 1..at + 3).and_then(octet) {
            None | Some(0..b' ' | b'/' | b'\\' | b'%' | 0x7f) => return true,
            Some(_) => rest = &rest[at + 3..],
        }
    }
    false
}

fn octet(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// The bytes of a path, escapes decoded; a broken one stays as it is.
struct Decoded<'p>(&'p [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if let (b'%', Some(byte)) = (first, rest.get(..2).and_then(octet)) {
            self.0 = &rest[2..];
            return Some(byte);
        }
        self.0 = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_segment_boundary() {
        let v1 = Prefix::parse("/v1").unwrap();
        for inside in ["/v1", "/v1/", "/v1/x", "/%761/x", "/v1;a"] {
            assert!(v1.allows(inside), "{inside}");
        }
        for outside in ["/v1evil", "/v", "/", "/V1/x", "/v1%2fx", "/x/v1"] {
            assert!(!v1.allows(outside) || !is_plain(outside), "{outside}");
        }
        let below = Prefix::parse("/v1/").unwrap();
        assert!(below.allows("/v1/x") && !below.allows("/v1"));
        assert!(below.denies("/v1") && below.denies("/V1/x") && !below.denies("/v1evil"));
    }

    #[test]
    fn what_servers_read_differently_is_not_plain() {
        for strange in [
            "/v1/../x",
            "/v1/%2e%2e/x",
            "/v1/.%2E/x",
            "/v1/./x",
            "/v1/..",
            "/v1/..;/x",
            "/v1/%2fx",
            "/v1/%5Cx",
            "/v1\\x",
            "/v1//x",
            "//v1",
            "/v1/%252e%252e/x",
            "/v1/%00",
            "/v1/%zz",
            "/v1/%2",
            "",
            "v1",
            "/v1/\u{1}",
            "/v1/;x/y",
        ] {
            assert!(!is_plain(strange), "{strange}");
        }
        for plain in [
            "/",
            "/v1/",
            "/v1/a%20b",
            "/v1/...",
            "/v1/..x",
            "/v1/.x",
            "/v1/ä",
            "/v1/%C3%A4",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
    }
}
