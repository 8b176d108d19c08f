//! The chain: each line names the hash of the line before it, and ends with its own.
//!
//! ```text
//! {"seq":7,"time":"…","prev":"<hash of line 6>","kind":"…",…,"hash":"<hash>"}
//! ```
//!
//! A line's hash is SHA-256 of the 32 bytes of the previous hash and of the line's bytes up to `,"hash":`. So whoever changes, removes
//! or moves a line has to write all that follow anew; and then the checkpoints among them, which are authenticated
//! with a key that is not in the log, are wrong.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::line::{read_hex, write_hex};
use super::time::write_iso;

/// A hash of the chain.
pub type Hash = [u8; 32];

/// The key of checkpoints.
pub type Key = [u8; 32];

/// The kind of a checkpoint's line.
pub const CHECKPOINT: &str = "Checkpoint";

/// What stands between a line's content and its hash.
const HASH_MEMBER: &[u8] = b",\"hash\":\"";

/// Bytes after the content: the hash with its name, and the end of the object.
const TAIL_BYTES: usize = HASH_MEMBER.len() + 64 + 2;

/// Bytes of a written time.
const TIME_BYTES: usize = 24;

/// Bytes that a line has beside its members, at most.
pub const FRAME_BYTES_MAX: usize = 256;

/// The end of a chain: the number of its last line and that line's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number; 0 before the first line.
    pub seq: u64,
    /// The hash; zeros before the first line.
    pub hash: Hash,
}

impl Link {
    /// Before the first line.
    pub const BEGINNING: Self = Self {
        seq: 0,
        hash: [0; 32],
    };

    /// Appends the next line, with its line end, and becomes its link.
    ///
    /// Shape: `members` as [`super::write_members`] writes them.
    /// Units: milliseconds since 1970.
    pub fn append(&mut self, out: &mut Vec<u8>, time_ms: u64, members: &[u8]) {
        let start = out.len();
        self.seq += 1;
        out.extend_from_slice(b"{\"seq\":");
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(self.seq).as_bytes());
        out.extend_from_slice(b",\"time\":\"");
        write_iso(out, time_ms);
        out.extend_from_slice(b"\",\"prev\":\"");
        write_hex(out, &self.hash);
        out.extend_from_slice(b"\",");
        out.extend_from_slice(members);
        self.hash = hash(&self.hash, &out[start..]);
        out.extend_from_slice(HASH_MEMBER);
        write_hex(out, &self.hash);
        out.extend_from_slice(b"\"}\n");
    }

    /// What authenticates the chain up to here.
    pub fn mac(&self, key: &Key, purpose: Purpose) -> Hash {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key).expect("invariant: HMAC takes keys of any length");
        mac.update(purpose.label());
        mac.update(&self.seq.to_be_bytes());
        mac.update(&self.hash);
        mac.finalize().into_bytes().into()
    }

    /// The members of a checkpoint that is to follow here.
    pub fn checkpoint(&self, key: &Key) -> Vec<u8> {
        let mut members = format!("\"kind\":\"{CHECKPOINT}\",\"mac\":\"").into_bytes();
        write_hex(&mut members, &self.mac(key, Purpose::Checkpoint));
        members.push(b'"');
        members
    }
}

/// What a MAC is for; one is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A checkpoint's line.
    Checkpoint,
    /// The file that says how far the log goes.
    Head,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Checkpoint => b"margay audit checkpoint 1\0",
            Self::Head => b"margay audit head 1\0",
        }
    }
}

fn hash(prev: &Hash, content: &[u8]) -> Hash {
    let mut digest = Sha256::new();
    digest.update(prev);
    digest.update(content);
    digest.finalize().into()
}

/// A line as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// Its number.
    pub seq: u64,
    /// Its time.
    pub time: &'l str,
    /// What it says is the hash of the line before.
    pub prev: Hash,
    /// What kind of event it is.
    pub kind: &'l str,
    /// What it says is its own hash.
    pub hash: Hash,
    /// Whether that is so.
    pub is_intact: bool,
    /// Its members but for the numbers and hashes, from `"kind"` on.
    pub members: &'l str,
}

impl<'l> Line<'l> {
    /// Reads a line without its line end; `None` for what no log of ours has.
    pub fn read(bytes: &'l [u8]) -> Option<Self> {
        let content_bytes = bytes.len().checked_sub(TAIL_BYTES)?;
        let (content, tail) = bytes.split_at(content_bytes);
        let digits = tail.strip_prefix(HASH_MEMBER)?.strip_suffix(b"\"}")?;
        let stated: Hash = read_hex(digits)?;
        let text = std::str::from_utf8(content).ok()?;
        let rest = text.strip_prefix("{\"seq\":")?;
        let (seq, rest) = rest.split_once(",\"time\":\"")?;
        if seq.starts_with('0') || seq.len() > 20 || !seq.bytes().all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let time = rest.get(..TIME_BYTES)?;
        let rest = rest[TIME_BYTES..].strip_prefix("\",\"prev\":\"")?;
        let prev: Hash = read_hex(rest.get(..64)?.as_bytes())?;
        let members = rest[64..].strip_prefix("\",")?;
        let (kind, _) = members.strip_prefix("\"kind\":\"")?.split_once('"')?;
        Some(Self {
            seq: seq.parse().ok()?,
            time,
            prev,
            kind,
            hash: stated,
            is_intact: hash(&prev, content) == stated,
            members,
        })
    }

    /// The link that this line is.
    pub fn link(&self) -> Link {
        Link {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// The link that this line says is before it.
    pub fn before(&self) -> Link {
        Link {
            seq: self.seq - 1,
            hash: self.prev,
        }
    }

    /// The text of a member that is a string without escapes; `""` if there is none.
    pub fn plain(&self, name: &str) -> &'l str {
        let key = format!("\"{name}\":\"");
        let found = self.members.find(&key).map(|at| at + key.len());
        found
            .and_then(|start| self.members[start..].split('"').next())
            .unwrap_or_default()
    }

    /// The number that a member is; `None` if there is none.
    pub fn number(&self, name: &str) -> Option<u64> {
        let key = format!("\"{name}\":");
        let start = self.members.find(&key)? + key.len();
        let digits = self.members[start..]
            .split(|c: char| !c.is_ascii_digit())
            .next()?;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_was_written_and_is_json() {
        let mut link = Link::BEGINNING;
        let mut out = Vec::new();
        link.append(
            &mut out,
            1_785_240_000_000,
            b"\"kind\":\"LogBegan\",\"detail\":\"a\"",
        );
        let first = link;
        link.append(
            &mut out,
            1_785_240_000_001,
            b"\"kind\":\"X\",\"count\":12,\"outcome\":\"ok\"",
        );
        let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        let one = Line::read(lines[0]).unwrap();
        let two = Line::read(lines[1]).unwrap();
        assert!(one.is_intact && two.is_intact);
        assert_eq!(one.before(), Link::BEGINNING);
        assert_eq!((one.link(), two.before()), (first, first));
        assert_eq!(two.link(), link);
        assert_eq!((two.kind, two.number("count")), ("X", Some(12)));
        assert_eq!((one.plain("detail"), two.plain("outcome")), ("a", "ok"));
        let value: serde_json::Value = serde_json::from_slice(lines[1]).unwrap();
        assert_eq!(value["time"], "2026-07-28T12:00:00.001Z");
        assert_eq!(
            value["prev"],
            serde_json::from_slice::<serde_json::Value>(lines[0]).unwrap()["hash"]
        );
    }

    #[test]
    fn the_hash_is_what_another_tool_computes() {
        let mut out = Vec::new();
        Link::BEGINNING
            .clone()
            .append(&mut out, 0, b"\"kind\":\"LogBegan\"");
        let text = String::from_utf8(out).unwrap();
        let (content, rest) = text.split_once(",\"hash\":\"").unwrap();
        let mut bytes = vec![0; 32];
        bytes.extend_from_slice(content.as_bytes());
        let mut expected = Vec::new();
        write_hex(&mut expected, &Sha256::digest(&bytes));
        assert_eq!(
            rest,
            format!("{}\"}}\n", String::from_utf8(expected).unwrap())
        );
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_line_is_seen() {
        let mut out = Vec::new();
        Link::BEGINNING
            .clone()
            .append(&mut out, 0, "\"kind\":\"X\",\"detail\":\"é\"".as_bytes());
        out.pop();
        assert!(Line::read(&out).unwrap().is_intact);
        for index in 0..out.len() {
            for bit in 0..8 {
                out[index] ^= 1 << bit;
                let seen = Line::read(&out).is_none_or(|line| !line.is_intact);
                assert!(seen, "byte {index} bit {bit}");
                out[index] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn a_mac_of_one_purpose_key_or_place_is_no_other_s() {
        let link = Link {
            seq: 7,
            hash: [1; 32],
        };
        let macs = [
            link.mac(&[0; 32], Purpose::Checkpoint),
            link.mac(&[0; 32], Purpose::Head),
            link.mac(&[1; 32], Purpose::Head),
            Link { seq: 8, ..link }.mac(&[0; 32], Purpose::Head),
        ];
        for (index, mac) in macs.iter().enumerate() {
            assert!(!macs[index + 1..].contains(mac));
        }
    }
}
