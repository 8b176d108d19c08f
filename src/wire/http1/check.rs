//! What has to hold for any bytes, as a function that panics where it does not: for fuzzing and property tests.

use super::{HeadError, HeadLimits, HeadScan, Parsed, parse_head, parse_head_from};

/// Small, so that short inputs reach them.
const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 2048,
    count_max: 24,
};

/// Checks that the verdict on `data` is the same whole, byte by byte and at every split, and that no head is accepted
/// which `oracle`, given exactly the bytes of the head, refuses.
pub fn check(data: &[u8], oracle: impl Fn(&[u8]) -> bool) {
    let whole = parse_head(data, &LIMITS);
    assert_eq!(
        whole,
        in_pieces(data, std::iter::repeat_n(1, data.len())),
        "byte by byte"
    );
    let stride = data.len() / 256 + 1;
    for split in (0..=data.len()).step_by(stride) {
        assert_eq!(
            whole,
            in_pieces(data, [split, data.len() - split].into_iter()),
            "split at {split}"
        );
    }
    let Ok(Parsed::Head(head)) = whole else {
        return;
    };
    let text = &data[..head.len];
    assert!(text.ends_with(b"\r\n\r\n"), "a head ends in an empty line");
    assert!(
        oracle(text),
        "accepted, but the oracle refuses it: {}",
        text.escape_ascii()
    );
    assert_eq!(
        parse_head(text, &LIMITS),
        whole,
        "what follows a head does not change it"
    );
    assert_eq!(
        memchr::memmem::find(&text[2..], b"\r\n\r\n").map(|at| at + 6),
        Some(head.len),
        "the first empty line ends it"
    );
    let line_count =
        memchr::memchr_iter(b'\n', text).count() - usize::from(text.starts_with(b"\r\n"));
    assert_eq!(head.fields.count(), line_count - 2, "every line is a field");
    for (name, value) in head.fields {
        assert!(!name.is_empty() && !name.contains(&b' ') && !value.contains(&b'\n'));
    }
}

/// The verdict when the bytes come in pieces; an early verdict is final.
fn in_pieces(data: &[u8], pieces: impl Iterator<Item = usize>) -> Result<Parsed<'_>, HeadError> {
    let mut scan = HeadScan::default();
    let mut end = 0;
    let mut verdict = Ok(Parsed::Partial);
    for piece in pieces {
        end += piece;
        verdict = parse_head_from(&mut scan, &data[..end], &LIMITS);
        if verdict != Ok(Parsed::Partial) {
            break;
        }
    }
    verdict
}
