//! Header fields whose values are credentials whatever they hold.

use super::REDACTED;

/// In lower case.
const SENSITIVE: [&str; 16] = [
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "proxy-authentication-info",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "x-csrf-token",
    "x-goog-api-key",
    "x-gitlab-token",
    "x-vault-token",
];

/// Whether a header of this name carries a credential.
pub fn is_sensitive_header(name: &str) -> bool {
    SENSITIVE
        .iter()
        .any(|sensitive| name.eq_ignore_ascii_case(sensitive))
}

/// A header's value as it may be shown.
pub fn shown_header<'v>(name: &str, value: &'v str) -> std::borrow::Cow<'v, str> {
    if is_sensitive_header(name) {
        return REDACTED.into();
    }
    super::redactor().redact(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_s_header_is_never_shown_however_it_is_spelt() {
        for name in ["Authorization", "COOKIE", "x-api-key", "Set-Cookie"] {
            assert_eq!(shown_header(name, "anything"), REDACTED, "{name}");
        }
        assert_eq!(shown_header("Content-Type", "text/plain"), "text/plain");
        assert!(!is_sensitive_header("authorizations"));
    }
}
