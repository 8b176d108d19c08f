//! What the log says about itself: members of lines that are no events.

use std::fmt::Display;

/// Appends the inside of a string of JSON, of a text that is ours and has no control characters.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn line(kind: &str, numbers: &[(&str, u64)], detail: impl Display) -> Vec<u8> {
    let mut members = format!("\"kind\":\"{kind}\"");
    for (name, number) in numbers {
        members.push_str(&format!(",\"{name}\":{number}"));
    }
    members.push_str(&format!(",\"detail\":\"{}\"", plain(&detail.to_string())));
    members.into_bytes()
}

/// The first line of all. The number sets this log apart from any other.
pub(super) fn began(log: u64) -> Vec<u8> {
    line("LogBegan", &[], format!("log {log:016x}"))
}

/// The first line of a file that is not the first.
pub(super) fn continued(file: &str, before: &str) -> Vec<u8> {
    line("SegmentBegan", &[], format!("{file} follows {before}"))
}

/// A file was too old, and is about to be removed.
pub(super) fn removed(file: &str, first: u64, last: u64) -> Vec<u8> {
    let detail = format!("{file} is removed: it is older than the retention");
    line(
        "SegmentRemoved",
        &[("first", first), ("last", last)],
        detail,
    )
}

/// There was no room for events.
pub(super) fn lost(count: u64, since: u64) -> Vec<u8> {
    let detail = format!("{count} events were lost since line {since}: there was no room");
    line("EventsLost", &[("count", count), ("since", since)], detail)
}

/// A crash has left a part of a line.
pub(super) fn cut(bytes: u64, after: u64) -> Vec<u8> {
    let detail = format!("{bytes} bytes of a torn line after line {after} were cut");
    line("TailCut", &[("bytes", bytes), ("after", after)], detail)
}

/// Something before this line is not as it was written.
pub(super) fn damaged(detail: impl Display) -> Vec<u8> {
    line("DamageFound", &[], detail)
}
