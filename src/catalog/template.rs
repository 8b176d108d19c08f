//! Which resource template an address comes from.
//!
//! Of RFC 6570, `{name}` stands for one or more characters but `/`, and a last `{+name}` for one or more of any. Every literal is
//! looked for at its first place after the expression before it: with these two rules a later place matches nothing more. So an
//! address is read once, whatever the template.

use memchr::memmem;

/// A template as a matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// What stands before the first expression.
    head: Box<str>,
    /// What stands behind each expression.
    tails: Vec<Box<str>>,
    /// Whether the last expression stands for `/` too.
    is_open: bool,
}

impl Template {
    /// The matcher; none for a template with expressions of other kinds, which only its own client can fill in.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut pieces = text.split('{');
        let head = pieces.next().filter(|head| !head.contains('}'))?;
        let (mut tails, mut is_open) = (Vec::new(), false);
        for piece in pieces {
            let (name, tail) = piece.split_once('}')?;
            let name = match name.strip_prefix('+') {
                // Only the last may be open.
                _ if is_open => return None,
                Some(name) => {
                    is_open = true;
                    name
                }
                None => name,
            };
            let is_simple = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'%'));
            if !is_simple || tail.contains('}') {
                return None;
            }
            tails.push(tail.into());
        }
        Some(Self {
            head: head.into(),
            tails,
            is_open,
        })
    }

    /// Whether some values make this address of it.
    pub(super) fn matches(&self, uri: &str) -> bool {
        let Some(mut rest) = uri.as_bytes().strip_prefix(self.head.as_bytes()) else {
            return false;
        };
        let Some((last, inner)) = self.tails.split_last() else {
            return rest.is_empty();
        };
        for tail in inner {
            let tail = tail.as_bytes();
            // At least one character is the expression's.
            let Some(at) = rest
                .get(1..)
                .and_then(|after| memmem::find(after, tail))
                .map(|at| at + 1)
            else {
                return false;
            };
            if rest[..at].contains(&b'/') {
                return false;
            }
            rest = &rest[at + tail.len()..];
        }
        match rest.strip_suffix(last.as_bytes()) {
            Some(value) => !value.is_empty() && (self.is_open || !value.contains(&b'/')),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, uri: &str) -> bool {
        Template::parse(template).unwrap().matches(uri)
    }

    #[test]
    fn a_simple_expression_stands_for_one_or_more_characters_but_a_slash() {
        let template = "test://template/{id}/data";
        assert!(matches(template, "test://template/123/data"));
        for other in [
            "test://template//data",
            "test://template/1/2/data",
            "test://template/123/data/",
            "test://template/123",
            "x",
            "",
        ] {
            assert!(!matches(template, other), "{other}");
        }
    }

    #[test]
    fn several_expressions_share_what_is_there() {
        assert!(matches("a:{x}-{y}", "a:1-2-3"));
        assert!(matches("a:{x}x{y}/z", "a:1x2x3/z"));
        assert!(!matches("a:{x}-{y}", "a:1-2/3"));
        assert!(!matches("a:{x}-{y}", "a:-2"));
        assert!(matches("a:{x}{y}", "a:12"));
        assert!(!matches("a:{x}{y}", "a:1"));
    }

    #[test]
    fn an_open_expression_at_the_end_takes_slashes_too() {
        assert!(matches("file:///{+path}", "file:///a/b.txt"));
        assert!(!matches("file:///{+path}", "file:///"));
        assert!(matches("f:{volume}/{+path}.txt", "f:c/a/b.txt"));
        assert!(!matches("f:{volume}/{+path}.txt", "f:c/a/b.png"));
    }

    #[test]
    fn a_template_without_expressions_is_one_address() {
        assert!(matches("a:b", "a:b"));
        assert!(!matches("a:b", "a:bc"));
    }

    #[test]
    fn other_expressions_are_left_to_their_client() {
        for text in [
            "a:{?q}",
            "a:{x,y}",
            "a:{+p}/{x}",
            "a:{",
            "a:}",
            "a:{}",
            "a:{x}}",
            "a:{x*}",
            "a:{x:3}",
        ] {
            assert_eq!(Template::parse(text), None, "{text}");
        }
    }

    #[test]
    fn multibyte_text_is_matched_as_a_whole() {
        assert!(matches("ü:{x}→{y}", "ü:é→ß"));
        assert!(!matches("ü:{x}→{y}", "ü:→ß"));
    }
}
