//! Which value is meant: a JSON pointer, in which `*` stands for every element or member.

use std::fmt;

use crate::limits::RULE_POINTER_DEPTH_MAX;

/// One step of a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The member of this name, or the element of this number.
    Key(Box<str>),
    /// Every member or element.
    Each,
}

/// A JSON pointer (RFC 6901), parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: Box<str>,
    segments: Vec<Segment>,
}

/// Why a text is no pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin with a slash.
    #[error("must begin with a slash, as in /path")]
    NoSlash,
    /// `~` is followed by neither 0 nor 1.
    #[error("has a ~ without 0 or 1 after it; ~0 is a ~ and ~1 a slash")]
    Escape,
    /// It leads deeper than is looked.
    #[error("has more steps than {RULE_POINTER_DEPTH_MAX}")]
    TooDeep,
}

impl Pointer {
    /// Parses a pointer.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let steps = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        let segments: Result<Vec<Segment>, PointerError> = steps.split('/').map(segment).collect();
        let segments = segments?;
        if segments.len() > RULE_POINTER_DEPTH_MAX {
            return Err(PointerError::TooDeep);
        }
        Ok(Self {
            text: text.into(),
            segments,
        })
    }

    /// Its steps, at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn segment(step: &str) -> Result<Segment, PointerError> {
    if step == "*" {
        return Ok(Segment::Each);
    }
    let mut key = String::with_capacity(step.len());
    let mut letters = step.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '~' => match letters.next() {
                Some('0') => key.push('~'),
                Some('1') => key.push('/'),
                _ => return Err(PointerError::Escape),
            },
            other => key.push(other),
        }
    }
    Ok(Segment::Key(key.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_a_star_is_each() {
        let pointer = Pointer::parse("/a~1b/*/~0").unwrap();
        let key = |text: &str| Segment::Key(text.into());
        assert_eq!(pointer.segments(), [key("a/b"), Segment::Each, key("~")]);
        assert_eq!(Pointer::parse("path"), Err(PointerError::NoSlash));
        assert_eq!(Pointer::parse("/a~2"), Err(PointerError::Escape));
        let deep = "/a".repeat(RULE_POINTER_DEPTH_MAX + 1);
        assert_eq!(Pointer::parse(&deep), Err(PointerError::TooDeep));
    }
}
