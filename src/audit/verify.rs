//! Reading a log to see whether it is as it was written.
//!
//! What the chain shows without a key: a line that was changed, removed, moved or put in, anywhere but at the end. What checkpoints show
//! with the key: that everything up to the last of them was written by whoever has the key. What the head shows: that nothing
//! was cut off after it. Not shown: the loss of what came after the last checkpoint and head (up to a minute), and anything done by
//! somebody who has the key.

use std::fmt;

use subtle::ConstantTimeEq;

use super::chain::{CHECKPOINT, Hash, Key, Line, Link, Purpose};
use super::line::{read_hex, write_hex};

/// Lines that may follow each other without a checkpoint.
pub const CHECKPOINT_LINES: u64 = 10_000;

/// Lines beyond that: those with which a log goes on after a crash come before its next checkpoint.
const SLACK: u64 = 16;

/// Findings that are told; a log that was shuffled has as many as lines.
const FINDING_COUNT_MAX: usize = 20;

/// How far a log goes, as a file beside it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its last line when this was written.
    pub link: Link,
    /// What authenticates it.
    pub mac: Hash,
}

impl Head {
    /// A head that nobody has written.
    pub const FALSE: Self = Self {
        link: Link::BEGINNING,
        mac: [0; 32],
    };

    /// The head of a log that ends here.
    pub fn new(link: Link, key: &Key) -> Self {
        Self {
            link,
            mac: link.mac(key, Purpose::Head),
        }
    }

    /// As a line of JSON.
    pub fn write(&self) -> Vec<u8> {
        let mut out = format!("{{\"seq\":{},\"hash\":\"", self.link.seq).into_bytes();
        write_hex(&mut out, &self.link.hash);
        out.extend_from_slice(b"\",\"mac\":\"");
        write_hex(&mut out, &self.mac);
        out.extend_from_slice(b"\"}\n");
        out
    }

    /// Reads what [`Head::write`] writes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let rest = text.strip_prefix("{\"seq\":")?;
        let (seq, rest) = rest.split_once(",\"hash\":\"")?;
        let (hash, rest) = rest.split_once("\",\"mac\":\"")?;
        let mac = rest.strip_suffix("\"}\n")?;
        Some(Self {
            link: Link {
                seq: seq.parse().ok()?,
                hash: read_hex(hash.as_bytes())?,
            },
            mac: read_hex(mac.as_bytes())?,
        })
    }

    /// Whether whoever has the key has written it.
    pub fn is_genuine(&self, key: &Key) -> bool {
        bool::from(self.link.mac(key, Purpose::Head).ct_eq(&self.mac))
    }
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No line of an audit log.
    Unreadable,
    /// Its own hash is not that of its content.
    Changed,
    /// It does not follow the line before, whose number is right: that one was replaced.
    Unlinked,
    /// Lines are missing before it.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Its number was there before, or belongs elsewhere.
    OutOfOrder {
        /// The number that belongs here.
        expected: u64,
    },
    /// The file ends within a line.
    Torn,
    /// A checkpoint that whoever has the key has not written: what is before it was written anew.
    FalseCheckpoint,
    /// No checkpoint for longer than the log ever goes without.
    NoCheckpoint {
        /// The last one before; 0 if there was none.
        since: u64,
    },
    /// The log begins here, and nothing says that what was before was removed in its time.
    NoBeginning,
    /// The head's own MAC is wrong.
    FalseHead,
    /// There is no head.
    NoHead,
    /// The head tells of a line that is not there: the end was cut off, or replaced.
    CutOff {
        /// The line that the head tells of.
        head: u64,
    },
    /// The log itself says that what is before was found damaged, or could not be written.
    Told,
    /// There is no line at all.
    Empty,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("is no line of an audit log"),
            Self::Changed => f.write_str("was changed: its hash is another"),
            Self::Unlinked => f.write_str("does not follow the line before it, which was replaced"),
            Self::Gap { from, to } if from == to => write!(f, "line {from} is missing before it"),
            Self::Gap { from, to } => write!(f, "lines {from} to {to} are missing before it"),
            Self::OutOfOrder { expected } => {
                write!(f, "was put in or moved: line {expected} belongs here")
            }
            Self::Torn => f.write_str("ends within a line"),
            Self::FalseCheckpoint => {
                f.write_str("is a checkpoint with a wrong MAC: what is before it was written anew, or with another key")
            }
            Self::NoCheckpoint { since } => {
                write!(f, "has had no checkpoint since line {since}: they were removed")
            }
            Self::NoBeginning => {
                f.write_str("is the first, and no line says that those before it were removed")
            }
            Self::FalseHead => f.write_str("the head's MAC is wrong: it was written anew, or with another key"),
            Self::NoHead => f.write_str("there is no head: whether the end was cut off cannot be told"),
            Self::CutOff { head } => {
                write!(f, "the log was cut off or replaced: it went to line {head} at least")
            }
            Self::Told => f.write_str("says itself that lines before it were damaged or lost on the disk"),
            Self::Empty => f.write_str("there is no line"),
        }
    }
}

/// A fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name; empty where it is about the log as a whole.
    pub file: String,
    /// The line in it, from 1; 0 where it is about no line.
    pub line: u64,
    /// The number that the line has.
    pub seq: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}", self.file)?;
            if self.line > 0 {
                write!(f, ":{}", self.line)?;
            }
            f.write_str(": ")?;
        }
        if let Some(seq) = self.seq {
            write!(f, "line {seq} ")?;
        }
        write!(f, "{}", self.fault)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Faults, in the order of the log; the first twenty.
    pub findings: Vec<Finding>,
    /// Faults that are not among them.
    pub more: u64,
    /// Lines that were read.
    pub lines: u64,
    /// The first line's number.
    pub first: u64,
    /// The last line's number.
    pub last: u64,
    /// Checkpoints that were found right.
    pub checkpoints: u64,
    /// The last of them.
    pub last_checkpoint: u64,
    /// Events that the log says were lost because there was no room.
    pub lost: u64,
}

impl Report {
    /// Whether the log is as it was written.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }
}

/// Reads a log, file by file and line by line.
#[derive(Debug)]
pub struct Verifier {
    key: Option<Key>,
    report: Report,
    file: String,
    line: u64,
    last: Option<Link>,
    last_checkpoint: u64,
    told_of_checkpoint: bool,
    /// Where the log begins, if not at its beginning; and the file.
    begins: Option<(u64, String)>,
    /// The last lines of files that the log says were removed.
    removed: Vec<u64>,
    head: Option<Head>,
    head_found: bool,
    is_part: bool,
}

impl Verifier {
    /// One that has read nothing. Without a key, checkpoints and the head's MAC are not looked at.
    pub fn new(key: Option<Key>, head: Option<Head>) -> Self {
        Self {
            key,
            report: Report::default(),
            file: String::new(),
            line: 0,
            last: None,
            last_checkpoint: 0,
            told_of_checkpoint: false,
            begins: None,
            removed: Vec::new(),
            head,
            head_found: false,
            is_part: false,
        }
    }

    /// What is read is a part of a log: where it begins and ends is no fault.
    #[must_use]
    pub fn of_a_part(self) -> Self {
        Self {
            is_part: true,
            ..self
        }
    }

    /// The next lines are this file's.
    pub fn file(&mut self, name: &str) {
        name.clone_into(&mut self.file);
        self.line = 0;
    }

    /// Reads a line, without its line end.
    pub fn line(&mut self, bytes: &[u8]) {
        self.line += 1;
        self.report.lines += 1;
        let Some(line) = Line::read(bytes) else {
            return self.find(None, Fault::Unreadable);
        };
        let seq = Some(line.seq);
        if !line.is_intact {
            self.find(seq, Fault::Changed);
        }
        match self.last {
            None => self.begin(&line),
            Some(last) if line.before() == last => {}
            Some(last) if line.seq == last.seq + 1 => self.find(seq, Fault::Unlinked),
            Some(last) if line.seq > last.seq => {
                let (from, to) = (last.seq + 1, line.seq - 1);
                self.find(seq, Fault::Gap { from, to });
            }
            Some(last) => {
                let expected = last.seq + 1;
                return self.find(seq, Fault::OutOfOrder { expected });
            }
        }
        if self.head.is_some_and(|head| head.link == line.link()) {
            self.head_found = true;
        }
        self.look_at(&line);
        self.last = Some(line.link());
    }

    /// The file ends with this, and no line end.
    pub fn torn(&mut self) {
        self.line += 1;
        self.find(None, Fault::Torn);
    }

    /// All was read.
    pub fn finish(mut self) -> Report {
        self.line = 0;
        self.file.clear();
        if self.last.is_none() {
            self.find(None, Fault::Empty);
        }
        if let Some((first, file)) = self.begins.take()
            && !self.is_part
            && !self.removed.contains(&(first - 1))
        {
            self.file = file;
            self.line = 1;
            self.find(Some(first), Fault::NoBeginning);
            self.file.clear();
            self.line = 0;
        }
        match (self.head, self.key) {
            (Some(head), Some(key)) if !head.is_genuine(&key) => self.find(None, Fault::FalseHead),
            // Of a log that was killed before it wrote how far it goes.
            (Some(head), _) if head.link == Link::BEGINNING && self.begins_whole() => {}
            (Some(head), _) if !self.head_found => {
                let head = head.link.seq;
                self.find(None, Fault::CutOff { head });
            }
            (None, Some(_)) if !self.is_part => self.find(None, Fault::NoHead),
            _ => {}
        }
        self.report.last = self.last.map_or(0, |last| last.seq);
        self.report
    }

    /// Whether the first line that was read is the first of all.
    fn begins_whole(&self) -> bool {
        self.report.first == 1
    }

    fn begin(&mut self, line: &Line<'_>) {
        self.report.first = line.seq;
        if line.before() != Link::BEGINNING {
            self.begins = Some((line.seq, self.file.clone()));
            self.last_checkpoint = line.seq - 1;
        }
    }

    /// What a line says about the log itself.
    fn look_at(&mut self, line: &Line<'_>) {
        match line.kind {
            CHECKPOINT => self.checkpoint(line),
            "SegmentRemoved" => self.removed.extend(line.number("last")),
            "EventsLost" => self.report.lost += line.number("count").unwrap_or(0),
            "DamageFound" => self.find(Some(line.seq), Fault::Told),
            _ => {}
        }
        let since = self.last_checkpoint;
        if self.key.is_some()
            && line.seq.saturating_sub(since) > CHECKPOINT_LINES + SLACK
            && !self.told_of_checkpoint
        {
            self.told_of_checkpoint = true;
            self.find(Some(line.seq), Fault::NoCheckpoint { since });
        }
    }

    fn checkpoint(&mut self, line: &Line<'_>) {
        let Some(key) = &self.key else { return };
        let stated: Option<Hash> = read_hex(line.plain("mac").as_bytes());
        let right = line.before().mac(key, Purpose::Checkpoint);
        if stated.is_some_and(|stated| bool::from(stated.ct_eq(&right))) {
            self.last_checkpoint = line.seq;
            self.told_of_checkpoint = false;
            self.report.checkpoints += 1;
            self.report.last_checkpoint = line.seq;
        } else {
            self.find(Some(line.seq), Fault::FalseCheckpoint);
        }
    }

    fn find(&mut self, seq: Option<u64>, fault: Fault) {
        if self.report.findings.len() == FINDING_COUNT_MAX {
            self.report.more += 1;
            return;
        }
        self.report.findings.push(Finding {
            file: self.file.clone(),
            line: self.line,
            seq,
            fault,
        });
    }
}

#[cfg(test)]
mod tests;
