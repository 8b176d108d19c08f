//! Lines of standard input: one MCP message each.
//!
//! Invariants: what comes out does not depend on how the bytes were split; memory stays below the limit for one line; a
//! line over the limit is reported once, and the line after it is read as if nothing had happened. It never looks into a line.
//!
//! Source: MCP, transports, stdio: messages are delimited by newlines and contain none.

/// Capacity kept between lines: what a large message needed is given back.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// One line of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its line end; never empty.
    Complete(&'a [u8]),
    /// A line that exceeds the limit; the rest of it is dropped.
    TooLong,
}

/// Splits a stream of bytes into lines.
#[derive(Debug)]
pub struct LineSplitter {
    line_bytes_max: usize,
    /// The beginning of a line whose end has not come.
    kept: Vec<u8>,
    /// Whether `kept` was handed out by the last call, and is to be forgotten.
    handed_out: bool,
    /// Whether the rest of a line over the limit is being dropped.
    dropping: bool,
}

impl LineSplitter {
    /// A splitter for lines of at most `line_bytes_max` bytes, line end not counted.
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            kept: Vec::new(),
            handed_out: false,
            dropping: false,
        }
    }

    /// Takes the next line out of `input`, which is advanced; `None` once all of it was taken.
    ///
    /// Shape: call until `None`, then read more. Empty lines are passed over; a carriage return before the line feed is
    /// part of the line end.
    pub fn next_line<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Line<'a>> {
        self.forget();
        loop {
            let Some(end) = memchr::memchr(b'\n', input) else {
                return self.keep(input);
            };
            let (piece, rest) = input.split_at(end);
            *input = &rest[1..];
            if std::mem::take(&mut self.dropping) {
                continue;
            }
            if self.kept.len() + piece.len() > self.line_bytes_max {
                self.kept.clear();
                return Some(Line::TooLong);
            }
            if self.kept.is_empty() {
                let line = without_return(piece);
                if line.is_empty() {
                    continue;
                }
                return Some(Line::Complete(line));
            }
            self.kept.extend_from_slice(piece);
            if without_return(&self.kept).is_empty() {
                self.kept.clear();
                continue;
            }
            self.handed_out = true;
            return Some(Line::Complete(without_return(&self.kept)));
        }
    }

    /// The last line, if the input ended without a line end.
    pub fn finish(&mut self) -> Option<Line<'_>> {
        self.forget();
        self.dropping = false;
        self.handed_out = true;
        let line = without_return(&self.kept);
        (!line.is_empty()).then_some(Line::Complete(line))
    }

    /// Keeps the beginning of a line.
    fn keep<'a>(&'a mut self, input: &mut &[u8]) -> Option<Line<'a>> {
        let piece = std::mem::take(input);
        if self.dropping {
            return None;
        }
        if self.kept.len() + piece.len() > self.line_bytes_max {
            self.kept.clear();
            self.dropping = true;
            return Some(Line::TooLong);
        }
        self.kept.extend_from_slice(piece);
        None
    }

    fn forget(&mut self) {
        if std::mem::take(&mut self.handed_out) {
            self.kept.clear();
            self.kept.shrink_to(KEPT_BYTES_MAX);
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What has to hold for any bytes, for fuzzing and property tests: the same lines at every split, and those of a naive reading.
pub fn check(data: &[u8]) {
    const LINE_BYTES_MAX: usize = 16;
    let mut expected = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        if line.len() > LINE_BYTES_MAX {
            expected.push(None);
        } else if !without_return(line).is_empty() {
            expected.push(Some(without_return(line).to_vec()));
        }
    }
    for piece_bytes in (1..=data.len().max(1)).take(40) {
        let pieces = data.chunks(piece_bytes);
        assert_eq!(
            lines_of(pieces, LINE_BYTES_MAX),
            expected,
            "pieces of {piece_bytes}"
        );
    }
    let stride = data.len() / 256 + 1;
    for split in (0..=data.len()).step_by(stride) {
        let pieces = [&data[..split], &data[split..]];
        assert_eq!(
            lines_of(pieces.into_iter(), LINE_BYTES_MAX),
            expected,
            "split at {split}"
        );
    }
}

fn lines_of<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    line_bytes_max: usize,
) -> Vec<Option<Vec<u8>>> {
    let owned = |line: Line<'_>| match line {
        Line::Complete(line) => Some(line.to_vec()),
        Line::TooLong => None,
    };
    let mut splitter = LineSplitter::new(line_bytes_max);
    let mut lines = Vec::new();
    for piece in pieces {
        let mut input = piece;
        while let Some(line) = splitter.next_line(&mut input) {
            lines.push(owned(line));
        }
        assert!(splitter.kept.len() <= line_bytes_max, "memory is bounded");
    }
    lines.extend(splitter.finish().map(owned));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_at_any_split() {
        for data in [
            &b"{}\n{\"a\":1}\r\n\n\r\n[]"[..],
            b"",
            b"\n\n\n",
            b"no end",
            b"0123456789abcdef\n",
            b"0123456789abcdefg\nafter\n",
            b"0123456789abcdef\r\nafter\n",
            b"0123456789abcdefghijklmnopqrstuvwxyz0123456789\n0123456789abcdefg\nx",
            b"\r\r\n\r\n\ra\n",
        ] {
            check(data);
        }
    }

    #[test]
    fn an_oversize_line_is_reported_once_and_the_next_is_read() {
        let data = [vec![b'x'; 1000], b"\nok\n".to_vec()].concat();
        for piece in [1, 7, 100, 2000] {
            let lines = lines_of(data.chunks(piece), 16);
            assert_eq!(lines, [None, Some(b"ok".to_vec())]);
        }
    }

    #[test]
    fn memory_of_a_large_line_is_given_back() {
        let mut splitter = LineSplitter::new(1 << 20);
        let large = vec![b'x'; 1 << 20];
        let mut input = &large[..];
        assert_eq!(splitter.next_line(&mut input), None);
        let mut input = &b"\nsmall"[..];
        assert_eq!(splitter.next_line(&mut input), Some(Line::Complete(&large)));
        assert_eq!(splitter.next_line(&mut input), None);
        assert!(splitter.kept.capacity() <= KEPT_BYTES_MAX);
    }
}
