//! An event as the log has it: members of a JSON object, on one line, without anything that acts on a terminal.

use std::io::Write;
use std::net::IpAddr;

use super::Event;

/// Bytes of one text of an event as it is written; the rest of a longer one is left out, and it ends with `…`.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// Bytes of one event as it is written: eight texts, a digest, an address.
pub const MEMBERS_BYTES_MAX: usize = 8 * (TEXT_BYTES_MAX + 32) + 256;

/// Appends `"kind":…,"outcome":…` and whatever else the event has, without braces.
pub fn write_members(out: &mut Vec<u8>, event: &Event<'_>) {
    out.extend_from_slice(b"\"kind\":\"");
    out.extend_from_slice(event.kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"outcome\":\"");
    out.extend_from_slice(event.outcome.as_str().as_bytes());
    out.push(b'"');
    member(out, b",\"principal\":\"", event.principal);
    if let Some(source) = event.source {
        out.extend_from_slice(b",\"source\":\"");
        write_address(out, source);
        out.push(b'"');
    }
    member(out, b",\"method\":\"", event.method);
    member(out, b",\"target\":\"", event.target);
    member(out, b",\"rule\":\"", event.rule);
    member(out, b",\"component_digest\":\"", event.component_digest);
    if let Some(hash) = &event.arguments_hash {
        out.extend_from_slice(b",\"arguments_hash\":\"");
        write_hex(out, hash);
        out.push(b'"');
    }
    member(out, b",\"detail\":\"", event.detail);
}

/// Appends a member whose name, with its quotes and what stands before it, is given; nothing for an empty text.
fn member(out: &mut Vec<u8>, opening: &[u8], text: &str) {
    if text.is_empty() {
        return;
    }
    out.extend_from_slice(opening);
    write_text(out, text);
    out.push(b'"');
}

/// Appends the inside of a JSON string. Control characters, those beyond ASCII too, are escaped: the log is read on terminals.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // Nearly every text: looked at without a branch a byte, and copied at once.
    let is_plain = bytes
        .iter()
        .fold(true, |plain, byte| plain & !needs_look(*byte));
    if is_plain && bytes.len() <= TEXT_BYTES_MAX {
        return out.extend_from_slice(bytes);
    }
    let limit = out.len() + TEXT_BYTES_MAX;
    let mut done = 0;
    while done < bytes.len() {
        let plain = bytes[done..]
            .iter()
            .position(|byte| needs_look(*byte))
            .unwrap_or(bytes.len() - done);
        let room = limit.saturating_sub(out.len());
        if plain > room {
            let mut end = done + room;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            out.extend_from_slice(&bytes[done..end]);
            return cut(out);
        }
        out.extend_from_slice(&bytes[done..done + plain]);
        done += plain;
        let Some(c) = text[done..].chars().next() else {
            return;
        };
        if out.len() + 6 > limit {
            return cut(out);
        }
        done += c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if c.is_control() => {
                // No control character is beyond U+009F.
                out.extend_from_slice(b"\\u00");
                write_hex(out, &[u32::from(c) as u8]);
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn cut(out: &mut Vec<u8>) {
    out.extend_from_slice("…".as_bytes());
}

/// What is escaped, and the first byte of the control characters beyond ASCII.
fn needs_look(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f || byte == 0xc2
}

/// Appends bytes as hexadecimal digits in lower case.
pub fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair[0] = digit(byte >> 4);
            pair[1] = digit(byte & 15);
        }
        out.extend_from_slice(&digits[..2 * chunk.len()]);
    }
}

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(2 * bytes.len());
    write_hex(&mut out, bytes);
    out.into_iter().map(char::from).collect()
}

/// A digit without a table, so that several are made at a time.
fn digit(value: u8) -> u8 {
    value + if value < 10 { b'0' } else { b'a' - 10 }
}

/// Reads digits in lower case; the ones in upper case are not how the log writes them.
pub fn read_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Appends an address; one of four numbers without what formatting costs.
fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{address}");
        return;
    };
    for (index, part) in address.octets().iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*part).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Kind, Outcome};

    fn read(event: &Event<'_>) -> serde_json::Value {
        let mut out = b"{".to_vec();
        write_members(&mut out, event);
        assert!(out.len() <= MEMBERS_BYTES_MAX, "{}", out.len());
        out.push(b'}');
        assert!(out.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_event_has_what_is_known_and_nothing_else() {
        let event = Event::new(Kind::SystemStartup, Outcome::Ok);
        assert_eq!(
            read(&event),
            serde_json::json!({"kind": "SystemStartup", "outcome": "ok"})
        );
        let event = Event {
            principal: "key/build",
            source: Some("2001:db8::1".parse().unwrap()),
            method: "tools/call",
            target: "a\"b\\c\n\u{1b}[0m\u{9b}é\u{7f}",
            rule: "r",
            component_digest: "d",
            arguments_hash: Some([0xab; 32]),
            detail: "x",
            ..Event::new(Kind::AuthorizationCheck, Outcome::Denied)
        };
        let value = read(&event);
        assert_eq!(value["target"], event.target);
        assert_eq!(value["source"], "2001:db8::1");
        assert_eq!(value["arguments_hash"], "ab".repeat(32));
        assert_eq!(value["outcome"], "denied");
    }

    #[test]
    fn a_text_of_any_length_and_content_keeps_an_event_within_its_bound() {
        for unit in ["x", "\u{1}", "é", "\u{9f}", "\"", "日", "x\u{0}"] {
            for count in [1, 170, 171, 500, 1_023, 1_024, 1_025, 5_000] {
                let text = unit.repeat(count);
                let event = Event {
                    principal: &text,
                    method: &text,
                    target: &text,
                    rule: &text,
                    component_digest: &text,
                    detail: &text,
                    source: Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()),
                    arguments_hash: Some([0; 32]),
                    ..Event::new(Kind::CircuitBreakerStateChange, Outcome::Denied)
                };
                let value = read(&event);
                let shown = value["target"].as_str().unwrap();
                match shown.strip_suffix('…') {
                    Some(begun) => assert!(text.starts_with(begun)),
                    None => assert_eq!(shown, text),
                }
            }
        }
    }

    #[test]
    fn hexadecimal_is_read_as_it_is_written() {
        let mut out = Vec::new();
        write_hex(&mut out, &[0, 0x9f, 0xff]);
        assert_eq!(out, b"009fff");
        assert_eq!(read_hex::<3>(&out), Some([0, 0x9f, 0xff]));
        assert_eq!(read_hex::<3>(b"009fFF"), None);
        assert_eq!(read_hex::<3>(b"009ff"), None);
    }
}
