//! A digest of a JSON value that does not depend on how it is written.
//!
//! Members are taken in the order of their names, strings without needless escapes, numbers by their value, white space not
//! at all. Two texts with one digest are one value to every reader: so a client may write its parameters anew when it asks
//! again, and may not ask for anything else.
//!
//! One pass, with a stack on the heap as deep as the text. A value whose text grows beyond a bound is replaced by its digest,
//! so that bytes are moved a bounded number of times however deep they stand: the cost is linear in the text.

use sha2::{Digest, Sha256};

use crate::wire::json::{JsonError, Kind, Num, Reader, Str, write_str};

/// A value with a longer canonical text than this stands in its container as its digest.
const TEXT_BYTES_MAX: usize = 256;

/// Starts a digest that stands for a text: no JSON text has this byte.
const DIGEST_MARK: u8 = 0xff;

/// Feeds the canonical form of a value to a digest.
///
/// Errors: the text is not JSON, or is nested deeper than `depth_max`.
pub(super) fn digest_value(
    text: &[u8],
    depth_max: usize,
    digest: &mut Sha256,
) -> Result<(), JsonError> {
    let mut writer = Writer {
        reader: Reader::new(text, depth_max),
        out: Vec::new(),
        open: Vec::new(),
        members: Vec::new(),
    };
    writer.run()?;
    digest.update(&writer.out);
    Ok(())
}

struct Writer<'b> {
    reader: Reader<'b>,
    out: Vec<u8>,
    /// The containers that are being read, outermost first.
    open: Vec<Open>,
    /// Members of the objects among them.
    members: Vec<Member>,
}

struct Open {
    /// Where its text starts.
    start: usize,
    /// For an object, where its members start in the list of members.
    members: Option<usize>,
}

struct Member {
    /// Where its text starts: its name, a colon, its value, a comma.
    start: usize,
    name_end: usize,
}

impl<'b> Writer<'b> {
    fn run(&mut self) -> Result<(), JsonError> {
        self.value()?;
        while let Some(innermost) = self.open.last() {
            let more = match innermost.members {
                Some(_) => match self.reader.key()? {
                    Some(name) => {
                        self.name(name);
                        true
                    }
                    None => false,
                },
                None => self.reader.element()?,
            };
            if more {
                self.value()?;
            } else if let Some(ended) = self.open.pop() {
                self.close(&ended);
            }
        }
        self.reader.end()
    }

    /// Reads a scalar, or the beginning of a container.
    fn value(&mut self) -> Result<(), JsonError> {
        let start = self.out.len();
        match self.reader.peek()? {
            kind @ (Kind::Object | Kind::Array) => {
                let members = if kind == Kind::Object {
                    self.reader.begin_object()?;
                    Some(self.members.len())
                } else {
                    self.reader.begin_array()?;
                    None
                };
                self.out.push(if members.is_some() { b'{' } else { b'[' });
                self.open.push(Open { start, members });
                return Ok(());
            }
            Kind::String => {
                let string = self.reader.string()?;
                write_str(&mut self.out, &string.to_cow());
            }
            Kind::Number => write_number(&mut self.out, self.reader.number()?),
            Kind::True | Kind::False => {
                let truth = self.reader.boolean()?;
                self.out
                    .extend_from_slice(if truth { b"true" } else { b"false" });
            }
            Kind::Null => {
                self.reader.null()?;
                self.out.extend_from_slice(b"null");
            }
        }
        self.end_value(start);
        Ok(())
    }

    fn name(&mut self, name: Str<'b>) {
        let start = self.out.len();
        write_str(&mut self.out, &name.to_cow());
        self.members.push(Member {
            start,
            name_end: self.out.len(),
        });
        self.out.push(b':');
    }

    fn close(&mut self, ended: &Open) {
        if let Some(first) = ended.members {
            self.sort_members(first);
            self.members.truncate(first);
        }
        let close = if ended.members.is_some() { b'}' } else { b']' };
        self.out.push(close);
        self.end_value(ended.start);
    }

    /// Puts the members from `first` on into the order of their names; doubled names stay in their order.
    fn sort_members(&mut self, first: usize) {
        let members = &mut self.members[first..];
        let Some(start) = members.first().map(|member| member.start) else {
            return;
        };
        let out = &self.out;
        let name = |member: &Member| &out[member.start..member.name_end];
        if members.is_sorted_by(|one, next| name(one) <= name(next)) {
            return;
        }
        let ends = members.iter().skip(1).map(|member| member.start);
        let ends = ends.chain(std::iter::once(out.len()));
        let mut texts: Vec<(&[u8], &[u8])> = members
            .iter()
            .zip(ends)
            .map(|(member, end)| (name(member), &out[member.start..end]))
            .collect();
        texts.sort_by_key(|(name, _)| *name);
        let sorted: Vec<u8> = texts
            .into_iter()
            .flat_map(|(_, text)| text)
            .copied()
            .collect();
        self.out.truncate(start);
        self.out.extend_from_slice(&sorted);
    }

    /// A value's text is complete.
    fn end_value(&mut self, start: usize) {
        if self.out.len() - start > TEXT_BYTES_MAX {
            let digest = Sha256::digest(&self.out[start..]);
            self.out.truncate(start);
            self.out.push(DIGEST_MARK);
            self.out.extend_from_slice(&digest);
        }
        if !self.open.is_empty() {
            self.out.push(b',');
        }
    }
}

/// Writes a number by its value: its digits without zeros at either end, and the power of ten that they are multiplied with.
fn write_number(out: &mut Vec<u8>, number: Num<'_>) {
    let (sign, text) = match number.raw().strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", number.raw()),
    };
    let (significand, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = significand.split_once('.').unwrap_or((significand, ""));
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return out.push(b'0');
    }
    // An exponent that does not fit is beyond what any reader tells apart; its text then stands for itself.
    let Ok(exponent) = exponent.parse::<i32>() else {
        return out.extend_from_slice(number.raw().as_bytes());
    };
    let exponent = i64::from(exponent) - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    out.extend_from_slice(sign.as_bytes());
    out.extend_from_slice(kept.as_bytes());
    if exponent != 0 {
        out.push(b'e');
        crate::wire::json::write_i64(out, exponent);
    }
}

#[cfg(test)]
mod tests;
