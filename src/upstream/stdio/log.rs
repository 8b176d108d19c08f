//! What a child writes to its standard error: lines for our log, bounded in length and in number.

use crate::wire::stdio::{Line, LineSplitter};

/// Bytes of one line; a longer one is told of and dropped.
const LINE_BYTES_MAX: usize = 4 << 10;
/// Lines in one period; what comes beyond is counted.
const LINES_PER_PERIOD: u32 = 200;
/// Milliseconds of a period.
const PERIOD_MS: u64 = 10_000;

/// One line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// What was written, with everything that could forge a line or steer a terminal made visible.
    Text(String),
    /// A line was longer than any that is kept.
    TooLong,
    /// So many lines were dropped since the last one.
    Dropped(u64),
}

/// Reads a child's standard error.
#[derive(Debug)]
pub struct ErrorLog {
    lines: LineSplitter,
    period_ends_ms: u64,
    left: u32,
    dropped: u64,
}

impl Default for ErrorLog {
    fn default() -> Self {
        Self {
            lines: LineSplitter::new(LINE_BYTES_MAX),
            period_ends_ms: 0,
            left: 0,
            dropped: 0,
        }
    }
}

impl ErrorLog {
    /// Takes in what the child wrote, and hands on what is to be logged.
    pub fn receive(&mut self, mut input: &[u8], now_ms: u64, sink: &mut dyn FnMut(LogLine)) {
        loop {
            let line = match self.lines.next_line(&mut input) {
                None => return,
                Some(Line::Complete(line)) => LogLine::Text(visible(line)),
                Some(Line::TooLong) => LogLine::TooLong,
            };
            self.hand_on(line, now_ms, sink);
        }
    }

    /// The child has closed its standard error: what it wrote last, and how much was dropped.
    pub fn finish(&mut self, now_ms: u64, sink: &mut dyn FnMut(LogLine)) {
        if let Some(Line::Complete(line)) = self.lines.finish() {
            let line = LogLine::Text(visible(line));
            self.hand_on(line, now_ms, sink);
        }
        if self.dropped > 0 {
            sink(LogLine::Dropped(std::mem::take(&mut self.dropped)));
        }
    }

    fn hand_on(&mut self, line: LogLine, now_ms: u64, sink: &mut dyn FnMut(LogLine)) {
        if now_ms >= self.period_ends_ms {
            self.period_ends_ms = now_ms.saturating_add(PERIOD_MS);
            self.left = LINES_PER_PERIOD;
        }
        if self.left == 0 {
            self.dropped += 1;
            return;
        }
        self.left -= 1;
        if self.dropped > 0 {
            sink(LogLine::Dropped(std::mem::take(&mut self.dropped)));
        }
        sink(line);
    }
}

/// The text, its control characters shown as escapes.
fn visible(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for letter in String::from_utf8_lossy(line).chars() {
        if letter.is_control() && letter != '\t' {
            text.extend(letter.escape_unicode());
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> LogLine {
        LogLine::Text(line.to_owned())
    }

    #[test]
    fn lines_are_handed_on_whole_and_harmless() {
        let mut log = ErrorLog::default();
        let mut lines = Vec::new();
        log.receive(b"one\ntw", 0, &mut |line| lines.push(line));
        log.receive(b"o\r\n\x1b[31mred\x07\xff\n\nlast", 0, &mut |line| {
            lines.push(line)
        });
        log.finish(0, &mut |line| lines.push(line));
        let expected = [
            text("one"),
            text("two"),
            text("\\u{1b}[31mred\\u{7}\u{FFFD}"),
            text("last"),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let mut log = ErrorLog::default();
        let mut lines = Vec::new();
        for _ in 0..1_000 {
            log.receive(b"again\n", 5, &mut |line| lines.push(line));
        }
        assert_eq!(lines.len(), 200);
        log.receive(b"later\n", PERIOD_MS + 5, &mut |line| lines.push(line));
        assert_eq!(lines[200..], [LogLine::Dropped(800), text("later")]);
        let long = [vec![b'x'; 5_000], b"\nnext\n".to_vec()].concat();
        log.receive(&long, PERIOD_MS + 5, &mut |line| lines.push(line));
        assert_eq!(lines[202..], [LogLine::TooLong, text("next")]);
    }
}
