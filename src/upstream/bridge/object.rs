//! One JSON object as its members' texts, and the same object with some of them changed.
//!
//! What is not changed stays as it was written, to the last digit: nothing is ever read into a number and written again.

use std::borrow::Cow;

use crate::wire::json::{DEPTH_CAP, Kind, Reader, Str, write_str};

/// One member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'b> {
    /// Its key.
    pub(super) key: Str<'b>,
    /// What its value is.
    pub(super) kind: Kind,
    /// Its value's text.
    pub(super) value: &'b [u8],
    /// Key, colon and value, as they stand.
    whole: &'b [u8],
}

impl<'b> Member<'b> {
    /// Whether this is its key.
    pub(super) fn is(&self, key: &str) -> bool {
        self.key.eq_str(key)
    }

    /// Whether its key is one of these.
    pub(super) fn is_one_of(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.is(key))
    }

    /// The value, if it is an object.
    pub(super) fn object(&self) -> Option<Object<'b>> {
        (self.kind == Kind::Object)
            .then(|| Object::read(self.value))
            .flatten()
    }

    /// The value, if it is a string.
    pub(super) fn string(&self) -> Option<Str<'b>> {
        Reader::new(self.value, 0).string().ok()
    }

    /// The value, if it is a number that is written as an integer.
    pub(super) fn integer(&self) -> Option<i64> {
        Reader::new(self.value, 0).number().ok()?.as_i64()
    }
}

/// What becomes of a member.
pub(super) enum Fate<'x> {
    /// It stays as it is.
    Keep,
    /// It goes.
    Drop,
    /// It gets another value.
    Is(Cow<'x, [u8]>),
    /// It gets another key.
    Named(&'static str),
}

/// What becomes of a member whose object may have changed.
pub(super) fn inside(object: Cow<'_, [u8]>) -> Fate<'_> {
    match object {
        Cow::Borrowed(_) => Fate::Keep,
        changed => Fate::Is(changed),
    }
}

/// What becomes of an object that loses members: one that is empty then goes as well.
pub(super) fn without<'b>(member: &Member<'b>, keys: &[&str]) -> Fate<'b> {
    let Some(object) = member.object() else {
        return Fate::Keep;
    };
    if object.members().iter().all(|inner| inner.is_one_of(keys)) {
        return Fate::Drop;
    }
    inside(object.changed(
        &[],
        |inner| match inner.is_one_of(keys) {
            true => Fate::Drop,
            false => Fate::Keep,
        },
        &[],
    ))
}

/// An object's members, in the order in which they stand.
#[derive(Debug)]
pub(super) struct Object<'b> {
    text: &'b [u8],
    members: Vec<Member<'b>>,
}

impl<'b> Object<'b> {
    /// Reads a text that is one object and nothing else.
    pub(super) fn read(text: &'b [u8]) -> Option<Self> {
        let mut reader = Reader::new(text, DEPTH_CAP);
        let mut members = Vec::new();
        reader.begin_object().ok()?;
        while let Some(key) = reader.key().ok()? {
            let kind = reader.peek().ok()?;
            let value = reader.skip().ok()?;
            // The key's opening quote stands before its text.
            let start = key.raw().as_ptr().addr() - text.as_ptr().addr() - 1;
            members.push(Member {
                key,
                kind,
                value,
                whole: &text[start..reader.position()],
            });
        }
        reader.end().ok()?;
        Some(Self { text, members })
    }

    /// The members.
    pub(super) fn members(&self) -> &[Member<'b>] {
        &self.members
    }

    /// The first member of this key.
    pub(super) fn find(&self, key: &str) -> Option<&Member<'b>> {
        self.members.iter().find(|member| member.is(key))
    }

    /// Whether there is a member of this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The object with members changed, and others added before and after them; borrowed where nothing changes.
    pub(super) fn changed<'x>(
        &self,
        before: &[(&str, &[u8])],
        mut fate: impl FnMut(&Member<'b>) -> Fate<'x>,
        after: &[(&str, &[u8])],
    ) -> Cow<'b, [u8]> {
        let mut out = Writer::new(self.text.len() + 64);
        let mut is_changed = !before.is_empty() || !after.is_empty();
        for (key, value) in before {
            out.member(key, value);
        }
        for member in &self.members {
            let fate = fate(member);
            is_changed |= !matches!(fate, Fate::Keep);
            match fate {
                Fate::Keep => out.text(member.whole),
                Fate::Drop => {}
                Fate::Is(value) => {
                    out.text(b"\"");
                    out.rest(member.key.raw().as_bytes());
                    out.rest(b"\":");
                    out.rest(&value);
                }
                Fate::Named(key) => out.member(key, member.value),
            }
        }
        for (key, value) in after {
            out.member(key, value);
        }
        if is_changed {
            Cow::Owned(out.end())
        } else {
            Cow::Borrowed(self.text)
        }
    }
}

/// Writes an object, member by member.
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// With room for so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self { out }
    }

    /// Appends a member from its key and its value's text.
    pub(super) fn member(&mut self, key: &str, value: &[u8]) {
        self.text(b"");
        write_str(&mut self.out, key);
        self.out.push(b':');
        self.out.extend_from_slice(value);
    }

    /// The object's text.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    /// Appends a member's text, or the beginning of it.
    fn text(&mut self, text: &[u8]) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(text);
    }

    /// Appends the rest of a member's text.
    fn rest(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }
}

/// The text of a JSON string.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_str(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        " { \"a\" : 1e400 , \"\\u0062\":[ 9223372036854775808,1.0 ],\"c\":{\"a\":2}}\n";

    fn changed(fate: impl Fn(&Member<'_>) -> Fate<'static>) -> String {
        let object = Object::read(TEXT.as_bytes()).unwrap();
        String::from_utf8(object.changed(&[], fate, &[]).into_owned()).unwrap()
    }

    #[test]
    fn what_does_not_change_is_the_very_text() {
        let object = Object::read(TEXT.as_bytes()).unwrap();
        let same = object.changed(&[], |_| Fate::Keep, &[]);
        assert!(matches!(same, Cow::Borrowed(text) if text.as_ptr() == TEXT.as_ptr()));
    }

    #[test]
    fn members_go_get_other_values_and_other_keys_and_the_rest_stays_as_written() {
        assert_eq!(
            changed(|member| match member.is("a") {
                true => Fate::Drop,
                false => Fate::Keep,
            }),
            "{\"\\u0062\":[ 9223372036854775808,1.0 ],\"c\":{\"a\":2}}"
        );
        assert_eq!(
            changed(|member| match member.is("b") {
                true => Fate::Is(Cow::Borrowed(b"null")),
                false => Fate::Keep,
            }),
            "{\"a\" : 1e400,\"\\u0062\":null,\"c\":{\"a\":2}}"
        );
        assert_eq!(
            changed(|member| match member.is_one_of(&["a", "c"]) {
                true => Fate::Named("x\""),
                false => Fate::Drop,
            }),
            "{\"x\\\"\":1e400,\"x\\\"\":{\"a\":2}}"
        );
        assert_eq!(changed(|_| Fate::Drop), "{}");
    }

    #[test]
    fn members_are_added_around_those_that_are_there() {
        for (text, wanted) in [
            ("{}", r#"{"x":1,"y":2}"#),
            (r#"{"a":0}"#, r#"{"x":1,"a":0,"y":2}"#),
        ] {
            let object = Object::read(text.as_bytes()).unwrap();
            let more = object.changed(&[("x", b"1")], |_| Fate::Keep, &[("y", b"2")]);
            assert_eq!(&*more, wanted.as_bytes());
        }
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for text in [
            "",
            "[]",
            "{",
            "{}{}",
            "{\"a\":1,}",
            "{\"a\":\"\u{1}\"}",
            "null",
        ] {
            assert!(Object::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
