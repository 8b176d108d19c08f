//! `Accept` and `Content-Type`, as far as they matter here.

/// Which of the two answers the caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// `application/json`.
    pub json: bool,
    /// `text/event-stream`.
    pub events: bool,
}

impl Accept {
    /// Both.
    pub const ALL: Self = Self {
        json: true,
        events: true,
    };
}

/// What every client of ours is told to send.
const USUAL: &[u8] = b"application/json, text/event-stream";

/// Reads `Accept`. No header means that everything goes (RFC 9110 section 12.5.1).
pub fn accept(value: Option<&[u8]>) -> Accept {
    let Some(value) = value else {
        return Accept::ALL;
    };
    if value == USUAL {
        return Accept::ALL;
    }
    accept_lines(std::iter::once(value))
}

/// Reads the lines of an `Accept` that stands several times: they are one list (RFC 9110 section 5.3).
pub fn accept_lines<'v>(lines: impl Iterator<Item = &'v [u8]>) -> Accept {
    // The most specific range that matches decides, so that `*/*;q=0, application/json` takes JSON only.
    let (mut json, mut events) = (Choice::default(), Choice::default());
    for range in lines.flat_map(|value| value.split(|byte| *byte == b',')) {
        let mut parts = range.split(|byte| *byte == b';');
        let media = parts.next().map_or(&[][..], super::trim);
        let wanted = !parts.any(is_weight_zero);
        if media.eq_ignore_ascii_case(b"application/json") {
            json.take(3, wanted);
        } else if media.eq_ignore_ascii_case(b"application/*") {
            json.take(2, wanted);
        } else if media.eq_ignore_ascii_case(b"text/event-stream") {
            events.take(3, wanted);
        } else if media.eq_ignore_ascii_case(b"text/*") {
            events.take(2, wanted);
        } else if media == b"*/*" || media == b"*" {
            json.take(1, wanted);
            events.take(1, wanted);
        }
    }
    Accept {
        json: json.wanted,
        events: events.wanted,
    }
}

#[derive(Default)]
struct Choice {
    rank: u8,
    wanted: bool,
}

impl Choice {
    fn take(&mut self, rank: u8, wanted: bool) {
        if rank > self.rank {
            *self = Self { rank, wanted };
        } else if rank == self.rank {
            self.wanted |= wanted;
        }
    }
}

/// Whether a media range's parameter is `q=0`, in any of its spellings.
fn is_weight_zero(parameter: &[u8]) -> bool {
    let parameter = super::trim(parameter);
    match parameter {
        [b'q' | b'Q', b'=', b'0'] => true,
        [b'q' | b'Q', b'=', b'0', b'.', rest @ ..] => rest.iter().all(|digit| *digit == b'0'),
        _ => false,
    }
}

/// Whether `Content-Type` says JSON, with or without parameters.
pub fn is_json(value: Option<&[u8]>) -> bool {
    let Some(value) = value else {
        return false;
    };
    let media = value
        .split(|byte| *byte == b';')
        .next()
        .map_or(&[][..], super::trim);
    media.eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (bool, bool) {
        let accept = accept(Some(value.as_bytes()));
        (accept.json, accept.events)
    }

    #[test]
    fn an_absent_accept_takes_everything() {
        assert_eq!(accept(None), Accept::ALL);
    }

    #[test]
    fn ranges_count_as_what_they_cover() {
        assert_eq!(read("application/json, text/event-stream"), (true, true));
        assert_eq!(read("text/event-stream,application/json"), (true, true));
        assert_eq!(read("*/*"), (true, true));
        assert_eq!(read("Application/JSON; charset=utf-8"), (true, false));
        assert_eq!(read("text/*;q=0.5"), (false, true));
        assert_eq!(read("application/*"), (true, false));
    }

    #[test]
    fn a_type_that_is_not_there_or_has_weight_zero_is_not_taken() {
        assert_eq!(read(""), (false, false));
        assert_eq!(read("text/html, image/png"), (false, false));
        assert_eq!(read("application/json;q=0, */*"), (false, true));
        assert_eq!(read("*/*;q=0.000, application/json"), (true, false));
        assert_eq!(
            read("application/jsonp, text/event-streams"),
            (false, false)
        );
    }

    #[test]
    fn only_json_is_json() {
        assert!(is_json(Some(b"application/json")));
        assert!(is_json(Some(b"Application/Json ;charset=utf-8")));
        for other in [
            "",
            "text/plain",
            "application/jsonx",
            "application/json-rpc",
            "x application/json",
        ] {
            assert!(!is_json(Some(other.as_bytes())), "{other}");
        }
        assert!(!is_json(None));
    }
}
