//! Values as people write them: `10MB`, `64KiB`, `30s`, `10ms`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A number of bytes: a plain integer, or one with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

/// A length of time: a number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
];

const SPAN_UNITS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

/// Reads `10MB`, `64KiB` or `4096`.
///
/// Units: bytes; KB, MB and GB are powers of 1000, KiB, MiB and GiB powers of 1024.
/// Errors: what a size looks like.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let unit = if unit.is_empty() { "B" } else { unit };
    scaled(number, unit, &SIZE_UNITS)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| format!("`{text}` is not a size; write it like 4096, 64KiB or 10MB"))
}

/// Reads `30s`, `10ms` or `1h`.
///
/// Errors: what a duration looks like. A number without a unit is refused: nobody agrees on what it means.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    scaled(number, unit, &SPAN_UNITS)
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("`{text}` is not a duration; write it like 10ms, 30s, 5m or 1h"))
}

/// Writes a size with the largest unit that divides it.
pub(crate) fn show_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    for (unit, factor) in [SIZE_UNITS[6], SIZE_UNITS[5], SIZE_UNITS[4], SIZE_UNITS[2]] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Writes a duration with the largest unit that divides it.
pub(crate) fn show_span(span: Duration) -> String {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    for (unit, factor) in SPAN_UNITS.iter().rev() {
        if nanos >= *factor && nanos.is_multiple_of(*factor) {
            return format!("{}{unit}", nanos / factor);
        }
    }
    format!("{}us", nanos / 1_000)
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start_matches(' '))
}

fn scaled(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl Visitor<'_> for Sizes {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like 4096, 64KiB or 10MB")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                usize::try_from(bytes).map(Size).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                usize::try_from(bytes)
                    .map(Size)
                    .map_err(|_| E::custom(format!("`{bytes}` is below 0")))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Sizes)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spans;
        impl Visitor<'_> for Spans {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration like 10ms, 30s, 5m or 1h")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Span, E> {
                Err(E::custom(format!(
                    "`{number}` has no unit; write it like {number}s or {number}ms"
                )))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse_span(text).map(Span).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_both_kinds_of_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("10MB", 10_000_000),
            ("64KiB", 65_536),
            ("2 GiB", 2 << 30),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1.5MB",
            "10mb",
            "10 M B",
            "99999999999GiB",
            "1e3",
            "10MBs",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        for (text, nanos) in [
            ("10ms", 10_000_000),
            ("30s", 30_000_000_000),
            ("5m", 300_000_000_000),
            ("7us", 7_000),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "30", "s", "1.5s", "-1s", "30sec", "999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_as_itself() {
        for bytes in [1, 4096, 10_000_000, 65_536, 100 << 20, 3 << 30, 12_345] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        for millis in [1, 50, 1_000, 75_000, 3_600_000, 86_400_000] {
            let span = Duration::from_millis(millis);
            assert_eq!(parse_span(&show_span(span)), Ok(span));
        }
    }
}
