//! Chunked bodies, decoded as they come.
//!
//! Invariants: every byte outside the data passes through one small state machine, so the verdict does not depend on
//! how the bytes were split; data never exceeds its limit; what is not data never exceeds [`ChunkLimits`]' allowance;
//! an error is final. Extensions are checked and dropped, trailers are checked and dropped: neither can change a
//! request. Never accepted: a bare line feed, a size without digits or with a sign, a folded trailer.
//!
//! Source: RFC 9112 section 7.1; RUSTSEC-2021-0079 (size overflow), CVE-2024-22019 (unbounded extensions).

use std::fmt;

use super::http1::{is_token, is_value};

/// Data bytes that buy one more byte of overhead: a body in chunks of 32 bytes and up never meets its overhead limit.
const DATA_BYTES_PER_OVERHEAD_BYTE: u64 = 4;

/// Bounds of one chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Bytes of data.
    pub data_bytes_max: usize,
    /// Bytes of size lines, line ends, extensions and trailers; a quarter of the data's bytes is allowed on top.
    pub overhead_bytes_max: usize,
}

/// What one call of [`ChunkDecoder::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkProgress {
    /// Bytes of input that belong to the body; all of it unless the body is done.
    pub consumed: usize,
    /// Whether the body is complete.
    pub done: bool,
}

/// Why a chunked body is refused. The connection is closed after the answer, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChunkError {
    /// A chunk does not start with a hexadecimal number.
    BadSize,
    /// What follows the size is no chunk extension.
    BadExtension,
    /// A line or a chunk's data does not end in CRLF.
    BadLineEnd,
    /// A trailer is no field line.
    BadTrailer,
    /// There is more data than allowed.
    DataTooLarge,
    /// There is more beside the data than allowed.
    TooMuchOverhead,
}

impl ChunkError {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::DataTooLarge => 413,
            _ => 400,
        }
    }

    /// What is wrong, for the person on the other side.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadSize => "a chunk does not start with its size in hexadecimal digits",
            Self::BadExtension => {
                "a chunk size is followed by something that is no chunk extension"
            }
            Self::BadLineEnd => "a chunk or its size line does not end in CRLF",
            Self::BadTrailer => "a trailer is not a header line",
            Self::DataTooLarge => "the body is larger than limits.body_bytes_max",
            Self::TooMuchOverhead => {
                "the body's chunk sizes, extensions and trailers exceed limits.chunk_overhead_bytes_max; send larger chunks"
            }
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ChunkError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    Size,
    /// More digits, or what ends them.
    SizeDigits,
    /// White space before a semicolon.
    BeforeSemicolon,
    /// White space before an extension's name.
    BeforeName,
    Name,
    /// White space after an extension's name.
    AfterName,
    /// White space before an extension's value.
    BeforeValue,
    Value,
    Quoted,
    QuotedEscape,
    /// After a closing quote.
    AfterValue,
    /// The line feed of a size line.
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    /// The line feed of the empty line.
    EndLineFeed,
    Done,
    Failed(ChunkError),
}

/// Decodes one chunked body.
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: State,
    /// Of the current chunk: its size while the size is read, then what is left of its data.
    remaining: u64,
    data_bytes: u64,
    data_bytes_max: u64,
    overhead_bytes: u64,
    overhead_bytes_max: u64,
}

impl ChunkDecoder {
    /// A decoder at the start of a body.
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            state: State::Size,
            remaining: 0,
            data_bytes: 0,
            data_bytes_max: limits.data_bytes_max as u64,
            overhead_bytes: 0,
            overhead_bytes_max: limits.overhead_bytes_max as u64,
        }
    }

    /// Data bytes decoded so far.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Takes the next bytes of the body and appends their data to `out`.
    ///
    /// Shape: the input goes on where the one before was consumed. After the end of the body nothing is consumed.
    /// Errors: an error is repeated by every later call; what was appended before it is not to be used.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<ChunkProgress, ChunkError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => {
                    return Ok(ChunkProgress {
                        consumed: at,
                        done: true,
                    });
                }
                State::Failed(error) => return Err(error),
                State::Data => {
                    let available = &input[at..];
                    let left = usize::try_from(self.remaining).unwrap_or(usize::MAX);
                    let data = &available[..available.len().min(left)];
                    out.extend_from_slice(data);
                    at += data.len();
                    self.remaining -= data.len() as u64;
                    self.data_bytes += data.len() as u64;
                    if self.remaining > 0 {
                        return Ok(ChunkProgress {
                            consumed: at,
                            done: false,
                        });
                    }
                    self.state = State::DataReturn;
                }
                state => {
                    let Some(&byte) = input.get(at) else {
                        return Ok(ChunkProgress {
                            consumed: at,
                            done: false,
                        });
                    };
                    at += 1;
                    match self.overhead(state, byte) {
                        Ok(next) => self.state = next,
                        Err(error) => self.state = State::Failed(error),
                    }
                }
            }
        }
    }

    /// Takes one byte that is not data.
    #[inline]
    fn overhead(&mut self, state: State, byte: u8) -> Result<State, ChunkError> {
        self.overhead_bytes += 1;
        if self.overhead_bytes
            > self.overhead_bytes_max + self.data_bytes / DATA_BYTES_PER_OVERHEAD_BYTE
        {
            return Err(ChunkError::TooMuchOverhead);
        }
        match state {
            State::Size | State::SizeDigits => self.size(state, byte),
            State::SizeLineFeed => {
                line_feed(byte)?;
                Ok(if self.remaining == 0 {
                    State::TrailerStart
                } else {
                    State::Data
                })
            }
            State::DataReturn if byte == b'\r' => Ok(State::DataLineFeed),
            State::DataReturn => Err(ChunkError::BadLineEnd),
            State::DataLineFeed => line_feed(byte).map(|()| State::Size),
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLineFeed
            | State::EndLineFeed => trailer(state, byte),
            _ => extension(state, byte),
        }
    }

    #[inline]
    fn size(&mut self, state: State, byte: u8) -> Result<State, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            // Bounded by the data limit, so it cannot overflow for any limit below 2^60.
            self.remaining = self
                .remaining
                .saturating_mul(16)
                .saturating_add(u64::from(digit));
            if self.remaining > self.data_bytes_max.saturating_sub(self.data_bytes) {
                return Err(ChunkError::DataTooLarge);
            }
            return Ok(State::SizeDigits);
        }
        match (state, byte) {
            (State::Size, _) => Err(ChunkError::BadSize),
            (_, b'\r') => Ok(State::SizeLineFeed),
            (_, b';') => Ok(State::BeforeName),
            (_, b' ' | b'\t') => Ok(State::BeforeSemicolon),
            (_, b'\n') => Err(ChunkError::BadLineEnd),
            _ => Err(ChunkError::BadSize),
        }
    }
}

fn line_feed(byte: u8) -> Result<(), ChunkError> {
    if byte == b'\n' {
        Ok(())
    } else {
        Err(ChunkError::BadLineEnd)
    }
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, then the end of the line.
fn extension(state: State, byte: u8) -> Result<State, ChunkError> {
    let space = matches!(byte, b' ' | b'\t');
    Ok(match (state, byte) {
        (State::BeforeSemicolon | State::AfterName | State::AfterValue, b';') => State::BeforeName,
        (State::Name | State::Value, b';') => State::BeforeName,
        (State::BeforeSemicolon | State::BeforeName | State::AfterName | State::BeforeValue, _)
            if space =>
        {
            state
        }
        // After white space only another extension may follow, not the end of the line.
        (State::Value | State::AfterValue, _) if space => State::BeforeSemicolon,
        (State::BeforeName | State::Name, _) if is_token(byte) => State::Name,
        (State::Name, _) if space => State::AfterName,
        (State::Name | State::AfterName, b'=') => State::BeforeValue,
        (State::BeforeValue, b'"') => State::Quoted,
        (State::BeforeValue | State::Value, _) if is_token(byte) => State::Value,
        (State::Quoted, b'"') => State::AfterValue,
        (State::Quoted, b'\\') => State::QuotedEscape,
        (State::Quoted | State::QuotedEscape, _) if is_value(byte) => State::Quoted,
        (State::Name | State::Value | State::AfterValue, b'\r') => State::SizeLineFeed,
        (_, b'\n') => return Err(ChunkError::BadLineEnd),
        _ => return Err(ChunkError::BadExtension),
    })
}

/// Field lines, then an empty one.
fn trailer(state: State, byte: u8) -> Result<State, ChunkError> {
    Ok(match (state, byte) {
        (State::TrailerStart, b'\r') => State::EndLineFeed,
        (State::EndLineFeed, b'\n') => State::Done,
        (State::TrailerStart | State::TrailerName, _) if is_token(byte) => State::TrailerName,
        (State::TrailerName, b':') => State::TrailerValue,
        (State::TrailerValue, b'\r') => State::TrailerLineFeed,
        (State::TrailerValue, _) if is_value(byte) => State::TrailerValue,
        (State::TrailerLineFeed, b'\n') => State::TrailerStart,
        (State::TrailerLineFeed | State::EndLineFeed, _) | (_, b'\n') => {
            return Err(ChunkError::BadLineEnd);
        }
        _ => return Err(ChunkError::BadTrailer),
    })
}

/// What has to hold for any bytes, for fuzzing and property tests.
///
/// Shape: panics where the verdict depends on the split, or where a body is accepted whose size lines `size_line` (a
/// strict oracle: the length and value of the size line at the start of a text) does not read the same.
pub fn check(data: &[u8], size_line: impl Fn(&[u8]) -> Option<(usize, u64)>) {
    let limits = ChunkLimits {
        data_bytes_max: 1 << 20,
        overhead_bytes_max: 1 << 10,
    };
    let whole = decode_in_pieces(data, limits, [data.len()].into_iter());
    assert_eq!(
        whole,
        decode_in_pieces(data, limits, std::iter::repeat_n(1, data.len())),
        "byte by byte"
    );
    let stride = data.len() / 256 + 1;
    for split in (0..=data.len()).step_by(stride) {
        let pieces = [split, data.len() - split].into_iter();
        assert_eq!(
            whole,
            decode_in_pieces(data, limits, pieces),
            "split at {split}"
        );
    }
    let Ok((true, consumed, decoded)) = whole else {
        return;
    };
    let mut rest = &data[..consumed];
    let mut expected = Vec::new();
    loop {
        let (length, size) =
            size_line(rest).expect("the oracle takes the size line that was accepted");
        rest = &rest[length..];
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at(size as usize);
        expected.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").expect("data ends in CRLF");
    }
    assert_eq!(expected, decoded, "the oracle finds the same data");
    assert!(rest.ends_with(b"\r\n"), "the body ends in an empty line");
}

type Outcome = Result<(bool, usize, Vec<u8>), ChunkError>;

fn decode_in_pieces(
    data: &[u8],
    limits: ChunkLimits,
    pieces: impl Iterator<Item = usize>,
) -> Outcome {
    let mut decoder = ChunkDecoder::new(limits);
    let (mut start, mut consumed, mut out, mut done) = (0, 0, Vec::new(), false);
    for piece in pieces {
        let progress = decoder.decode(&data[start..start + piece], &mut out)?;
        assert!(
            progress.done || progress.consumed == piece,
            "what is not the end is consumed"
        );
        start += piece;
        consumed += progress.consumed;
        done = progress.done;
        assert!(out.len() <= limits.data_bytes_max);
    }
    Ok((done, consumed, out))
}

#[cfg(test)]
mod tests;
