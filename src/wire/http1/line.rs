//! One field line, of a request or of a response: the same rules for both.

use super::bytes::{token_end, trim, value_end};
use super::error::HeadError;

/// Why a line was not taken.
pub(super) enum Fault {
    /// It ends outside the bytes there are, so it is not judged yet.
    Incomplete,
    Refused(HeadError),
}

pub(super) enum FieldLine<'b> {
    Field {
        name: &'b [u8],
        value: &'b [u8],
        next: usize,
    },
    /// The empty line that ends the head.
    End { next: usize },
}

impl Fault {
    /// The verdict on a line that starts at `start`: none before its line feed has come.
    #[cold]
    pub(super) fn in_window(self, window: &[u8], start: usize) -> Option<HeadError> {
        match self {
            Self::Refused(error) if memchr::memchr(b'\n', &window[start..]).is_some() => {
                Some(error)
            }
            _ => None,
        }
    }

    /// The verdict on a line that is complete: its line feed is the last byte of the window.
    #[cold]
    pub(super) fn refusal(self) -> HeadError {
        match self {
            Self::Refused(error) => error,
            // Every byte up to the line feed was looked at, so this is not reached; refusing is safe all the same.
            Self::Incomplete => HeadError::BadRequestLine,
        }
    }
}

// The one hot loop; as a call it would hand its results over through memory.
#[inline(always)]
pub(super) fn field_line(window: &[u8], start: usize) -> Result<FieldLine<'_>, Fault> {
    let name_end = token_end(window, start);
    match window.get(name_end) {
        Some(b':') if name_end > start => {}
        Some(_) => return not_a_field(window, start, name_end),
        None => return Err(Fault::Incomplete),
    }
    let end = value_end(window, name_end + 1);
    match window.get(end..end + 2) {
        Some(b"\r\n") => {}
        _ => return Err(bad_value(window, end)),
    }
    let name = &window[start..name_end];
    let value = trim(&window[name_end + 1..end]);
    Ok(FieldLine::Field {
        name,
        value,
        next: end + 2,
    })
}

/// A line that does not start with a name and a colon: the empty one, or a wrong one.
#[inline]
fn not_a_field(window: &[u8], start: usize, name_end: usize) -> Result<FieldLine<'_>, Fault> {
    let empty_name = name_end == start;
    let error = match window[name_end] {
        b'\r' if empty_name => match window.get(start + 1) {
            Some(b'\n') => return Ok(FieldLine::End { next: start + 2 }),
            Some(_) => HeadError::BareCarriageReturn,
            None => return Err(Fault::Incomplete),
        },
        b'\n' if empty_name => HeadError::BareLineFeed,
        b' ' | b'\t' if empty_name => HeadError::FoldedLine,
        _ => HeadError::BadFieldName,
    };
    Err(Fault::Refused(error))
}

#[cold]
fn bad_value(window: &[u8], end: usize) -> Fault {
    match (window.get(end), window.get(end + 1)) {
        (None, _) | (Some(b'\r'), None) => Fault::Incomplete,
        (Some(b'\r'), _) => Fault::Refused(HeadError::BareCarriageReturn),
        (Some(b'\n'), _) => Fault::Refused(HeadError::BareLineFeed),
        _ => Fault::Refused(HeadError::BadFieldValue),
    }
}
