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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn digest(text: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest_value(text.as_bytes(), 64, &mut digest)
            .unwrap_or_else(|error| panic!("{error}: {text}"));
        digest.finalize().into()
    }

    fn canonical_number(text: &str) -> String {
        let mut out = Vec::new();
        write_number(&mut out, Reader::from_text(text, 0).number().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_of_one_value_have_one_text() {
        for (texts, canonical) in [
            (&["0", "-0", "0.0", "-0.00e5", "0E-7"][..], "0"),
            (&["1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0"], "1"),
            (&["-42", "-42.000", "-4.2e1", "-420E-1"], "-42"),
            (&["1000", "1e3", "1.000e3"], "1e3"),
            (&["0.001", "1e-3"], "1e-3"),
            (
                &["9007199254740993", "9007199254740993.0"],
                "9007199254740993",
            ),
            (&["9007199254740992"], "9007199254740992"),
            (&["0.1"], "1e-1"),
        ] {
            for text in texts {
                assert_eq!(canonical_number(text), canonical, "{text}");
            }
        }
        let far = ["1e99999999999", "1e99999999998"].map(canonical_number);
        assert_ne!(far[0], far[1]);
    }

    #[test]
    fn one_value_has_one_digest_however_it_is_written() {
        let long = "x".repeat(400);
        for [one, other] in [
            [r#"{"a":1,"b":[1,2]}"#, "{ \"b\" : [1.0,\t2e0], \"a\":1 }"],
            [r#"{"é":"\u00e9\/"}"#, r#"{"\u00e9":"é/"}"#],
            [
                r#"{"b":{"d":1,"c":2},"a":0}"#,
                r#"{"a":0,"b":{"c":2,"d":1}}"#,
            ],
            ["[]", " [ ] "],
            [
                &format!(r#"{{"z":{{"k":"{long}"}},"a":[true,null]}}"#),
                &format!(r#"{{"a":[true,null],"z":{{"k":"{long}"}}}}"#),
            ],
        ] {
            assert_eq!(digest(one), digest(other), "{one} and {other}");
        }
    }

    #[test]
    fn other_values_have_other_digests() {
        let long = "x".repeat(400);
        let texts = [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "0",
            "1",
            "\"\"",
            "\"1\"",
            "[1]",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "[[1,2]]",
            "[[],[]]",
            "[[[]]]",
            "[{}]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":{}}"#,
            r#"{"a":[]}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"ab":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":2,"a":1}"#,
            r#"{"a:1,":2}"#,
            r#"["a","b"]"#,
            r#"["a,b"]"#,
            &format!("\"{long}\""),
            &format!("[\"{long}\"]"),
            &format!("[\"{long}\",1]"),
            &format!("{{\"{long}\":1}}"),
            &format!("\"{long}y\""),
        ];
        for (index, one) in texts.iter().enumerate() {
            for other in &texts[..index] {
                assert_ne!(digest(one), digest(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn what_is_not_json_or_too_deep_has_none() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "1 2",
            "\u{ff}",
            &"[".repeat(80),
        ] {
            assert!(
                digest_value(text.as_bytes(), 64, &mut Sha256::new()).is_err(),
                "{text}"
            );
        }
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(digest_value(deep.as_bytes(), 64, &mut Sha256::new()).is_err());
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1000_i32..1000).prop_map(|number| Value::from(f64::from(number) / 8.0)),
            "[a-c\"\\\\é\n]{0,6}".prop_map(Value::from),
            "x{250,260}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]{0,2}", inner, 0..6)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// The value with its members the other way round.
    fn reversed(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(reversed).collect(),
            Value::Object(map) => {
                let turned = map
                    .iter()
                    .rev()
                    .map(|(key, value)| (key.clone(), reversed(value)));
                Value::Object(turned.collect())
            }
            other => other.clone(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_digest_is_the_values(one in values(), other in values()) {
            let text = one.to_string();
            prop_assert_eq!(digest(&text), digest(&serde_json::to_string_pretty(&one).unwrap()));
            prop_assert_eq!(digest(&text), digest(&reversed(&one).to_string()));
            prop_assert_eq!(one == other, digest(&text) == digest(&other.to_string()));
        }
    }
}
