//! Small objects and arrays inside a message, read a second time once it is known what they are.
//!
//! The message was validated as a whole, so a text here is JSON; what is checked is that it has the form that its method
//! asks for. Nothing is allocated: whoever needs the members walks them with [`Members`] and [`Strings`].

use crate::mcp::message::Value;
use crate::mcp::refusal::Reason;
use crate::wire::json::{JsonError, Kind, Reader, Str};

/// Nesting of the small objects read a second time; their message bounded it already.
pub(super) const DEPTH_MAX: usize = usize::MAX;

/// The members of an object, in their order: the name and the exact text of the value.
#[derive(Clone, Debug)]
pub struct Members<'b>(Option<Reader<'b>>);

impl<'b> Members<'b> {
    /// The members of `object`, the text of a JSON object. None of anything else.
    pub fn new(object: &'b [u8]) -> Self {
        let mut reader = Reader::new(object, DEPTH_MAX);
        let begun = reader.begin_object().is_ok();
        Self(begun.then_some(reader))
    }

    fn step(&mut self) -> Option<(Str<'b>, &'b [u8])> {
        let reader = self.0.as_mut()?;
        let key = reader.key().ok()??;
        Some((key, reader.skip().ok()?))
    }
}

impl<'b> Iterator for Members<'b> {
    type Item = (Str<'b>, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.step();
        if member.is_none() {
            self.0 = None;
        }
        member
    }
}

/// The strings of an array, in their order.
#[derive(Clone, Debug)]
pub struct Strings<'b>(Option<Reader<'b>>);

impl<'b> Strings<'b> {
    /// The strings of `array`, the text of a JSON array of strings. It ends at the first element that is none.
    pub fn new(array: &'b [u8]) -> Self {
        let mut reader = Reader::new(array, DEPTH_MAX);
        let begun = reader.begin_array().is_ok();
        Self(begun.then_some(reader))
    }

    /// None at all.
    pub fn none() -> Self {
        Self(None)
    }

    fn step(&mut self) -> Option<Str<'b>> {
        let reader = self.0.as_mut()?;
        if reader.element().ok()? {
            reader.string().ok()
        } else {
            None
        }
    }
}

impl<'b> Iterator for Strings<'b> {
    type Item = Str<'b>;

    fn next(&mut self) -> Option<Self::Item> {
        let string = self.step();
        if string.is_none() {
            self.0 = None;
        }
        string
    }
}

/// Reads the members of these names; each may stand once.
///
/// Shape: `names` are the keys, each with the path that a refusal gives it.
pub(super) fn fields<'b, const COUNT: usize>(
    object: &'b [u8],
    names: [(&'static str, &'static str); COUNT],
) -> Result<[Value<'b>; COUNT], Reason<'b>> {
    let mut found = [Value::Absent; COUNT];
    let mut reader = Reader::new(object, DEPTH_MAX);
    let mut read = || -> Result<Option<Reason<'static>>, JsonError> {
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            let Some(index) = names.iter().position(|(name, _)| key.eq_str(name)) else {
                let meant = names.iter().find(|(name, _)| key.is_variant_of(name));
                if let Some(&(_, member)) = meant {
                    return Ok(Some(Reason::Variant { member }));
                }
                reader.skip()?;
                continue;
            };
            if !matches!(found[index], Value::Absent) {
                let member = names[index].1;
                return Ok(Some(Reason::Doubled { member }));
            }
            found[index] = Value::read(&mut reader)?;
        }
        Ok(None)
    };
    match read() {
        Ok(None) => Ok(found),
        Ok(Some(reason)) => Err(reason),
        Err(error) => Err(Reason::Json(error)),
    }
}

/// Whether an object has at most `COUNT` members, all of one kind, and no name twice.
pub(super) fn is_map_of<const COUNT: usize>(
    object: &[u8],
    kind: Kind,
) -> Result<bool, Reason<'static>> {
    let mut seen: [Option<Str<'_>>; COUNT] = [None; COUNT];
    let mut count = 0;
    let mut reader = Reader::new(object, DEPTH_MAX);
    let mut read = || -> Result<bool, JsonError> {
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            let doubled = seen[..count]
                .iter()
                .flatten()
                .any(|other| same(*other, key));
            if count == COUNT || doubled || reader.peek()? != kind {
                return Ok(false);
            }
            reader.skip()?;
            seen[count] = Some(key);
            count += 1;
        }
        Ok(true)
    };
    read().map_err(Reason::Json)
}

/// Whether an array holds nothing but strings that `fits` takes.
pub(super) fn is_array_of_strings(
    array: &[u8],
    fits: impl Fn(Str<'_>) -> bool,
) -> Result<bool, Reason<'static>> {
    let mut reader = Reader::new(array, DEPTH_MAX);
    let mut read = || -> Result<bool, JsonError> {
        reader.begin_array()?;
        while reader.element()? {
            if reader.peek()? != Kind::String || !fits(reader.string()?) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    read().map_err(Reason::Json)
}

fn same(one: Str<'_>, other: Str<'_>) -> bool {
    match (one.as_plain(), other.as_plain()) {
        (Some(plain), _) => other.eq_str(plain),
        (_, Some(plain)) => one.eq_str(plain),
        (None, None) => one.raw() == other.raw() || one.to_cow() == other.to_cow(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<const COUNT: usize>(object: &str) -> bool {
        is_map_of::<COUNT>(object.as_bytes(), Kind::String).unwrap()
    }

    #[test]
    fn a_map_has_one_kind_of_value_and_no_name_twice() {
        assert!(map::<2>("{}"));
        assert!(map::<2>(r#"{"a":"1","b":""}"#));
        assert!(!map::<2>(r#"{"a":"1","b":"","c":""}"#), "one too many");
        assert!(!map::<2>(r#"{"a":"1","b":2}"#));
        for doubled in [
            r#"{"a":"1","a":"1"}"#,
            r#"{"a":"1","\u0061":"1"}"#,
            r#"{"\u0061":"1","a":"1"}"#,
            r#"{"\u0061b":"1","a\u0062":"1"}"#,
        ] {
            assert!(!map::<2>(doubled), "{doubled}");
        }
        assert!(map::<2>(r#"{"\u0061b":"1","a\u0063":"1"}"#));
    }

    #[test]
    fn members_and_strings_come_in_their_order_and_end() {
        let object = br#" { "a" : [1, {"x":2}] , "b\n":null}"#;
        let members: Vec<_> = Members::new(object)
            .map(|(name, value)| (name.to_cow().into_owned(), value))
            .collect();
        assert_eq!(
            members,
            [
                ("a".to_owned(), br#"[1, {"x":2}]"#.as_slice()),
                ("b\n".to_owned(), b"null")
            ]
        );
        let strings: Vec<_> = Strings::new(br#"["a", "\u0062"]"#)
            .map(|string| string.to_cow().into_owned())
            .collect();
        assert_eq!(strings, ["a", "b"]);
        assert_eq!(Members::new(b"[]").count(), 0);
        assert_eq!(Strings::new(b"{}").count(), 0);
        assert_eq!(Strings::none().count(), 0);
        let mut ended = Strings::new(br#"["a"]"#);
        assert_eq!(
            (ended.next().is_some(), ended.next().is_none()),
            (true, true)
        );
        assert!(ended.next().is_none(), "it stays at its end");
    }
}
