//! What has to hold for any bytes, as a function that panics where it does not: for fuzzing and property tests.

use super::super::head::Method;
use super::super::parse::HeadLimits;
use super::{
    ParsedResponse, ResponseError, ResponseFraming, ResponseScan, parse_response,
    parse_response_from,
};

/// Small, so that short inputs reach them.
const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 2048,
    count_max: 24,
};

/// Checks that the verdict on `data` is the same whole, byte by byte and at every split, and that no head is accepted
/// which `oracle`, given exactly the bytes of the head, refuses.
///
/// Shape: the first byte chooses what is being answered.
pub fn check(data: &[u8], oracle: impl Fn(&[u8]) -> bool) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let request = if choice % 8 == 0 {
        Method::Head
    } else {
        Method::Post
    };
    let whole = parse_response(data, request, &LIMITS);
    let in_pieces = |pieces: &mut dyn Iterator<Item = usize>| verdict(data, request, pieces);
    assert_eq!(
        whole,
        in_pieces(&mut std::iter::repeat_n(1, data.len())),
        "byte by byte"
    );
    let stride = data.len() / 256 + 1;
    for split in (0..=data.len()).step_by(stride) {
        let pieces = &mut [split, data.len() - split].into_iter();
        assert_eq!(whole, in_pieces(pieces), "split at {split}");
    }
    let Ok(ParsedResponse::Head(head)) = whole else {
        return;
    };
    let text = &data[..head.len];
    assert!(
        oracle(text),
        "accepted, but the oracle refuses it: {}",
        text.escape_ascii()
    );
    assert_eq!(
        memchr::memmem::find(text, b"\r\n\r\n").map(|at| at + 4),
        Some(head.len),
        "the first empty line ends it"
    );
    let line_count = memchr::memchr_iter(b'\n', text).count();
    assert_eq!(head.fields.count(), line_count - 2, "every line is a field");
    assert!((100..600).contains(&head.status) && head.status != 101);
    if head.is_interim() || request == Method::Head || matches!(head.status, 204 | 304) {
        assert_eq!(head.framing, ResponseFraming::None);
    }
    let lengths = head.values("content-length").count();
    let codings = head.values("transfer-encoding").count();
    assert!(lengths + codings <= 1, "one word about the framing");
    assert!(!(head.keep_alive && head.framing == ResponseFraming::Close));
}

/// The verdict when the bytes come in pieces; an early verdict is final.
fn verdict<'b>(
    data: &'b [u8],
    request: Method,
    pieces: &mut dyn Iterator<Item = usize>,
) -> Result<ParsedResponse<'b>, ResponseError> {
    let mut scan = ResponseScan::default();
    let mut end = 0;
    let mut verdict = Ok(ParsedResponse::Partial);
    for piece in pieces {
        end += piece;
        verdict = parse_response_from(&mut scan, &data[..end], request, &LIMITS);
        if verdict != Ok(ParsedResponse::Partial) {
            break;
        }
    }
    verdict
}
