//! What upstreams say of themselves, read where it is needed.

use crate::wire::json::{DEPTH_CAP, Kind, Reader};

/// The text of a member of an object, which is valid JSON.
pub(super) fn member<'b>(object: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let mut reader = Reader::new(object, DEPTH_CAP);
    if reader.peek().ok()? != Kind::Object {
        return None;
    }
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        let found = key.eq_str(name);
        let text = reader.skip().ok()?;
        if found {
            return Some(text);
        }
    }
    None
}

/// The decoded text of a member that is a string.
pub(super) fn text(object: &[u8], name: &str) -> Option<String> {
    let text = member(object, name)?;
    let mut reader = Reader::new(text, 1);
    Some(reader.string().ok()?.to_cow().into_owned())
}

/// Whether an object has a member that is an object.
pub(super) fn has(object: &[u8], name: &str) -> bool {
    member(object, name).is_some_and(|text| text.first() == Some(&b'{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_name_and_only_at_the_top() {
        let object = br#"{"a":{"b":1},"c":"\u0064","tools":{}}"#;
        assert_eq!(member(object, "a"), Some(&br#"{"b":1}"#[..]));
        assert_eq!(member(object, "b"), None);
        assert_eq!(text(object, "c").as_deref(), Some("d"));
        assert_eq!(text(object, "a"), None);
        assert!(has(object, "tools") && !has(object, "c") && !has(b"[]", "tools"));
    }
}
