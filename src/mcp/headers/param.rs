//! `Mcp-Param-*`: arguments that a tool asks to have repeated in headers.

use super::sentinel::{equals, equals_bytes};
use crate::mcp::refusal::{ParamFault, Reason};
use crate::wire::json::{JsonError, Kind, Reader};

/// An argument of a tool that its schema marks with `x-mcp-header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamBinding {
    /// The header's name after `Mcp-Param-`, as the schema spells it.
    pub header: String,
    /// The property names that lead to the argument, outermost first.
    pub path: Vec<String>,
    /// The argument's type.
    pub kind: ParamKind,
}

/// The types that an argument in a header may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A string: compared once decoded.
    Text,
    /// An integer: compared as a number, so that `42` is `42.0`.
    Integer,
    /// `true` or `false`.
    Boolean,
}

const PREFIX: &[u8] = b"mcp-param-";

/// Compares every marked argument with its header.
///
/// Shape: the tool's bindings, the call's `arguments` (their JSON text, if any) and the request's header fields.
/// A null or missing argument has no header; a header without a binding is somebody else's and is passed over.
pub fn check_params<'b, F>(
    bindings: &'b [ParamBinding],
    arguments: Option<&'b [u8]>,
    fields: F,
    depth_max: usize,
) -> Result<(), Reason<'b>>
where
    F: Iterator<Item = (&'b [u8], &'b [u8])> + Clone,
{
    for binding in bindings {
        let fault = |fault, value| Reason::ParamHeader {
            fault,
            argument: &binding.header,
            value,
        };
        let mut values = fields
            .clone()
            .filter(|(name, _)| is_named(name, &binding.header))
            .map(|(_, value)| super::trim(value));
        let header = values.next();
        if values.next().is_some() {
            return Err(fault(ParamFault::Doubled, &[]));
        }
        // The text was validated when its message was scanned.
        let agreement = match arguments {
            Some(text) => agree(text, &binding.path, binding.kind, header, depth_max)
                .unwrap_or(Agreement::Malformed),
            None => Agreement::of_missing(header),
        };
        let value = header.unwrap_or_default();
        match agreement {
            Agreement::Same => {}
            Agreement::HeaderMissing => return Err(fault(ParamFault::Missing, value)),
            Agreement::ArgumentMissing => return Err(fault(ParamFault::Unasked, value)),
            Agreement::Different => return Err(fault(ParamFault::Differs, value)),
            Agreement::Malformed => return Err(fault(ParamFault::Malformed, value)),
        }
    }
    Ok(())
}

/// The marked arguments as header fields: names, and values before they are encoded.
///
/// Shape: an argument that is null, missing or of another type than the tool says has no field; whoever receives the call says so.
pub fn param_fields(bindings: &[ParamBinding], arguments: &[u8]) -> Vec<(String, String)> {
    let field = |binding: &ParamBinding| {
        let value = value_at(arguments, &binding.path)?;
        Some((format!("Mcp-Param-{}", binding.header), value))
    };
    bindings.iter().filter_map(field).collect()
}

/// The scalar at the end of a path, as a header has it.
fn value_at(text: &[u8], path: &[String]) -> Option<String> {
    // It was validated with its message, nesting included.
    let mut reader = Reader::new(text, usize::MAX);
    let Some((name, rest)) = path.split_first() else {
        return match reader.peek().ok()? {
            Kind::String => Some(reader.string().ok()?.to_cow().into_owned()),
            Kind::Number => Some(reader.number().ok()?.raw().to_owned()),
            Kind::True | Kind::False => Some(reader.boolean().ok()?.to_string()),
            _ => None,
        };
    };
    if reader.peek().ok()? != Kind::Object {
        return None;
    }
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        let value = reader.skip().ok()?;
        if key.eq_str(name) {
            return value_at(value, rest);
        }
    }
    None
}

fn is_named(field: &[u8], header: &str) -> bool {
    field.len() == PREFIX.len() + header.len()
        && field[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
        && field[PREFIX.len()..].eq_ignore_ascii_case(header.as_bytes())
}

#[derive(Clone, Copy)]
enum Agreement {
    Same,
    HeaderMissing,
    ArgumentMissing,
    Different,
    Malformed,
}

impl Agreement {
    fn of_missing(header: Option<&[u8]>) -> Self {
        match header {
            Some(_) => Self::ArgumentMissing,
            None => Self::Same,
        }
    }
}

/// Follows `path` into `text` and compares what stands there.
fn agree(
    text: &[u8],
    path: &[String],
    kind: ParamKind,
    header: Option<&[u8]>,
    depth_max: usize,
) -> Result<Agreement, JsonError> {
    let mut reader = Reader::new(text, depth_max);
    let Some((name, rest)) = path.split_first() else {
        return compare(&mut reader, kind, header);
    };
    if reader.peek()? != Kind::Object {
        return Ok(Agreement::of_missing(header));
    }
    let mut found = Agreement::of_missing(header);
    let mut seen = false;
    reader.begin_object()?;
    while let Some(key) = reader.key()? {
        let value = reader.skip()?;
        if key.eq_str(name) {
            // Two values for one argument: the header can be right for one of them only.
            if seen {
                return Ok(Agreement::Different);
            }
            seen = true;
            found = agree(value, rest, kind, header, depth_max)?;
        }
    }
    Ok(found)
}

fn compare(
    reader: &mut Reader<'_>,
    kind: ParamKind,
    header: Option<&[u8]>,
) -> Result<Agreement, JsonError> {
    let actual = reader.peek()?;
    if actual == Kind::Null {
        return Ok(Agreement::of_missing(header));
    }
    let Some(header) = header else {
        return Ok(Agreement::HeaderMissing);
    };
    let same = match (kind, actual) {
        (ParamKind::Text, Kind::String) => equals(header, reader.string()?),
        (ParamKind::Boolean, Kind::True) => equals_bytes(header, b"true"),
        (ParamKind::Boolean, Kind::False) => equals_bytes(header, b"false"),
        (ParamKind::Integer, Kind::Number) => {
            let number = reader.number()?;
            Ok(number.raw().as_bytes() == header || same_integer(number.raw().as_bytes(), header))
        }
        // The argument has the wrong type: the tool says so itself, better than a header check can.
        _ => return Ok(Agreement::Same),
    };
    Ok(match same {
        Ok(true) => Agreement::Same,
        Ok(false) => Agreement::Different,
        Err(_) => Agreement::Malformed,
    })
}

/// Whether two number texts are the same integer within ±(2^53−1).
fn same_integer(a: &[u8], b: &[u8]) -> bool {
    let read = |text: &[u8]| {
        let mut reader = Reader::new(text, 1);
        let value = reader.number().ok()?.as_f64();
        reader.end().ok()?;
        (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0).then_some(value)
    };
    matches!((read(a), read(b)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(header: &str, path: &[&str], kind: ParamKind) -> ParamBinding {
        ParamBinding {
            header: header.into(),
            path: path.iter().map(|name| (*name).to_owned()).collect(),
            kind,
        }
    }

    fn check(
        bindings: &[ParamBinding],
        arguments: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Option<ParamFault> {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        match check_params(bindings, arguments.map(str::as_bytes), fields, 32) {
            Ok(()) => None,
            Err(Reason::ParamHeader { fault, .. }) => Some(fault),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_text_argument_and_its_header_have_to_agree() {
        let region = [binding("Region", &["region"], ParamKind::Text)];
        let args = Some(r#"{"region":"Hello","x":1}"#);
        assert_eq!(
            check(&region, args, &[("mcp-param-region", " Hello ")]),
            None
        );
        assert_eq!(
            check(
                &region,
                args,
                &[("Mcp-Param-Region", "=?base64?SGVsbG8=?=")]
            ),
            None
        );
        assert_eq!(
            check(&region, args, &[("Mcp-Param-Region", "hello")]),
            Some(ParamFault::Differs)
        );
        assert_eq!(check(&region, args, &[]), Some(ParamFault::Missing));
        assert_eq!(
            check(&region, args, &[("Mcp-Param-Region", "=?base64?SGVsbG8?=")]),
            Some(ParamFault::Malformed)
        );
        assert_eq!(
            check(
                &region,
                args,
                &[("Mcp-Param-Region", "Hello"), ("mcp-param-REGION", "x")]
            ),
            Some(ParamFault::Doubled)
        );
    }

    #[test]
    fn a_null_or_missing_argument_has_no_header() {
        let region = [binding("Region", &["region"], ParamKind::Text)];
        for arguments in [None, Some("{}"), Some(r#"{"region":null}"#)] {
            assert_eq!(check(&region, arguments, &[]), None);
            assert_eq!(
                check(&region, arguments, &[("Mcp-Param-Region", "x")]),
                Some(ParamFault::Unasked)
            );
        }
    }

    #[test]
    fn integers_are_compared_as_numbers() {
        let count = [binding("Count", &["page", "count"], ParamKind::Integer)];
        let args = Some(r#"{"page":{"count":42}}"#);
        for same in ["42", "42.0", "4.2e1"] {
            assert_eq!(
                check(&count, args, &[("Mcp-Param-Count", same)]),
                None,
                "{same}"
            );
        }
        for other in ["43", "42.5", "+42", "042", "", "0x2a", "42 43"] {
            assert_eq!(
                check(&count, args, &[("Mcp-Param-Count", other)]),
                Some(ParamFault::Differs),
                "{other}"
            );
        }
    }

    #[test]
    fn booleans_have_two_spellings_and_no_more() {
        let flag = [binding("Dry", &["dry"], ParamKind::Boolean)];
        assert_eq!(
            check(&flag, Some(r#"{"dry":true}"#), &[("Mcp-Param-Dry", "true")]),
            None
        );
        assert_eq!(
            check(&flag, Some(r#"{"dry":true}"#), &[("Mcp-Param-Dry", "True")]),
            Some(ParamFault::Differs)
        );
    }

    #[test]
    fn an_argument_that_stands_twice_never_agrees() {
        let region = [binding("Region", &["region"], ParamKind::Text)];
        let args = Some(r#"{"region":"a","r\u0065gion":"b"}"#);
        for value in ["a", "b"] {
            assert_eq!(
                check(&region, args, &[("Mcp-Param-Region", value)]),
                Some(ParamFault::Differs)
            );
        }
    }

    #[test]
    fn unknown_param_headers_are_somebody_elses() {
        assert_eq!(check(&[], Some("{}"), &[("Mcp-Param-Other", "x")]), None);
    }
}
