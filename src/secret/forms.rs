//! The shapes in which a secret may stand in a text: as it is, and as encoders write it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// A shorter secret, or form of one, is not looked for: it would be found in words that are none.
pub(super) const FORM_BYTES_MIN: usize = 6;

/// A line of a secret with many is looked for on its own from this length.
const LINE_BYTES_MIN: usize = 16;

/// Every form of a secret, each once. None if it is too short.
pub(super) fn forms(secret: &str) -> Vec<Zeroizing<String>> {
    let mut forms = Vec::new();
    of_text(&mut forms, secret);
    let mut lines = secret.lines().map(str::trim);
    if secret.trim_end().contains('\n') {
        // The frame of a PEM file is no secret.
        lines
            .by_ref()
            .filter(|line| line.len() >= LINE_BYTES_MIN && !line.starts_with("-----"))
            .for_each(|line| of_text(&mut forms, line));
    }
    forms.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    forms.dedup_by(|one, other| one.as_str() == other.as_str());
    forms
}

fn of_text(forms: &mut Vec<Zeroizing<String>>, text: &str) {
    if text.len() < FORM_BYTES_MIN {
        return;
    }
    let mut add = |form: String| {
        let form = Zeroizing::new(form);
        if form.len() >= FORM_BYTES_MIN {
            forms.push(form);
        }
    };
    add(text.to_owned());
    let debug = format!("{text:?}");
    let once = [
        json(text, false, false),
        json(text, true, false),
        json(text, false, true),
        debug[1..debug.len() - 1].to_owned(),
    ];
    for form in once {
        // A message in a message, and a value shown for debugging in a log of JSON.
        add(json(&form, false, false));
        add(form);
    }
    for (keep, space) in [("-._~", "%20"), ("-._~!'()*", "%20"), ("-._*", "+")] {
        let upper = percent(text, keep, space);
        add(lower_hex(&upper));
        add(upper);
    }
    for shift in 0..3 {
        add(base64(text, shift, &STANDARD_NO_PAD));
        add(base64(text, shift, &URL_SAFE_NO_PAD));
    }
    let hex = text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    add(hex.to_ascii_uppercase());
    add(hex);
}

/// As the inside of a JSON string. Writers differ in whether they escape what is not ASCII, and the slash.
fn json(text: &str, ascii: bool, slash: bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '/' if slash => out.push_str("\\/"),
            c if u32::from(c) < 0x20 || (ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

fn percent(text: &str, keep: &str, space: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || keep.contains(c) {
            out.push(c);
        } else if c == ' ' {
            out.push_str(space);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The same with the digits after each `%` in lower case.
fn lower_hex(text: &str) -> String {
    let mut left = 0;
    let lower = |c: char| {
        if c == '%' {
            left = 2;
            return c;
        }
        if left > 0 {
            left -= 1;
            return c.to_ascii_lowercase();
        }
        c
    };
    text.chars().map(lower).collect()
}

/// What is the same in base64 whatever stands before and after, where `shift` bytes of the group of three stand before: the
/// password in `user:password` is found at any length of the name.
fn base64(text: &str, shift: usize, engine: &impl Engine) -> String {
    let mut bytes = Zeroizing::new(vec![0; shift]);
    bytes.extend_from_slice(text.as_bytes());
    let encoded = Zeroizing::new(engine.encode(bytes.as_slice()));
    // Characters with bits of what stands before, or of what comes after.
    let before = [0, 2, 3][shift];
    let after = usize::from(!bytes.len().is_multiple_of(3));
    encoded[before..encoded.len() - after].to_owned()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    fn found(secret: &str, text: &str) -> bool {
        forms(secret)
            .iter()
            .any(|form| text.contains(form.as_str()))
    }

    #[test]
    fn a_secret_is_found_in_base64_at_every_offset_and_before_anything() {
        let secret = "s3cr3t/+?>~é";
        for before in 0..7 {
            for after in 0..7 {
                let text = format!("{}{secret}{}", "u".repeat(before), "z".repeat(after));
                assert!(found(secret, &STANDARD.encode(&text)), "{before} {after}");
                assert!(found(secret, &URL_SAFE.encode(&text)), "{before} {after}");
            }
        }
    }

    #[test]
    fn a_secret_is_found_as_each_encoder_writes_it() {
        let secret = "a\"b\\c/d e+é&";
        let url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let json = serde_json::to_string(secret).unwrap();
        for text in [
            secret.to_owned(),
            json.clone(),
            json.replace('/', "\\/"),
            json.replace('é', "\\u00e9"),
            format!("{secret:?}"),
            url.clone(),
            lower_hex(&url),
            "a%22b%5Cc%2Fd%20e%2B%C3%A9%26".to_owned(),
        ] {
            assert!(found(secret, &text), "{text}");
        }
    }

    #[test]
    fn a_short_secret_has_no_forms_and_the_frame_of_a_key_is_none() {
        assert!(forms("12345").is_empty());
        let pem =
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n";
        assert!(found(pem, "x MIIEvQIBADANBgkqhkiG9w0B y"));
        assert!(!found(pem, "-----BEGIN PRIVATE KEY-----"));
    }
}
