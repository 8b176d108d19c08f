//! How work has ended, as the body of an answer.

use crate::component::{Asked, CallOutcome, CallReport};
use crate::mcp::reply;
use crate::mcp::{Era, Revision, WriteId, code};

use super::retry::{Binding, Sealer};

/// What a component has left.
pub(in super::super) struct Ending<'a> {
    /// The members of its result, or of its error.
    pub(in super::super) members: &'a [u8],
    /// How it ended.
    pub(in super::super) report: &'a CallReport,
    /// What it asked, where it has to run again.
    pub(in super::super) asked: Option<&'a Asked>,
}

/// With what questions are sealed, and when.
///
/// Units: milliseconds since 1970-01-01 UTC.
pub(in super::super) type Seal<'a> = (&'a Sealer, &'a Binding, u64);

/// Appends the answer to a request whose work has ended; the HTTP status that goes with it.
pub(in super::super) fn write_ending(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    revision: Revision,
    ending: &Ending<'_>,
    seal: Option<Seal<'_>>,
) -> u16 {
    let era = revision.era();
    match (ending.report.outcome, ending.asked, seal) {
        (CallOutcome::Error, _, _) => {
            reply::error_from(out, Some(id), ending.members);
            status(ending.members, era)
        }
        (CallOutcome::InputRequired, Some(asked), Some((sealer, binding, unix_ms))) => {
            match sealer.seal(&asked.recorded, binding, unix_ms) {
                Ok(state) => {
                    reply::input_required(out, id, Some(&asked.requests), Some(&state));
                    200
                }
                Err(reason) => {
                    reply::error(out, Some(id), code::INTERNAL_ERROR, &reason, None);
                    200
                }
            }
        }
        // A call may become a task only where that was offered to it, and ask by ending only in the modern era.
        (CallOutcome::InputRequired | CallOutcome::BecomeTask, _, _) => {
            let text = "the component asked in a way that this request does not allow";
            reply::error(out, Some(id), code::INTERNAL_ERROR, text, None);
            200
        }
        _ if ending.members.is_empty() => {
            reply::empty_result(out, id, era);
            200
        }
        _ => {
            let (members, meta) = ending.report.split(ending.members);
            reply::result_open(out, id, era);
            out.extend_from_slice(members);
            reply::result_close_with(out, era, meta);
            200
        }
    }
}

/// The HTTP status that goes with an error object: its code's, as for a refusal.
///
/// Source: 2026-07-28 basic/index, "Error Codes".
fn status(members: &[u8], era: Era) -> u16 {
    let digits = members.strip_prefix(br#""code":"#).unwrap_or_default();
    let end = digits.iter().position(|byte| *byte == b',');
    let number = std::str::from_utf8(&digits[..end.unwrap_or(0)]).ok();
    let code = number.and_then(|number| number.trim().parse().ok());
    match (era, code.unwrap_or(0)) {
        (Era::Modern, code::METHOD_NOT_FOUND) => 404,
        (Era::Modern, code::MISSING_CLIENT_CAPABILITY) => 400,
        _ => 200,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_status_of_its_code_in_the_modern_era_alone() {
        for (members, modern) in [
            (r#""code":-32601,"message":"x""#, 404),
            (r#""code":-32021,"message":"x","data":{}"#, 400),
            (r#""code":-32602,"message":"x""#, 200),
            (r#""code":7,"message":"\"code\":-32601""#, 200),
            (r#""message":"x""#, 200),
            ("", 200),
        ] {
            assert_eq!(status(members.as_bytes(), Era::Modern), modern, "{members}");
            assert_eq!(status(members.as_bytes(), Era::Legacy), 200, "{members}");
        }
    }
}
