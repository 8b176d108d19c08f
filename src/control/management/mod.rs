//! The management tools: an MCP server whose tools load components and grant permissions.
//!
//! It is a plane of its own. A model that runs a tool should not grant the tool its permissions, so these tools are off unless an
//! operator puts them on the admin listener, or into the catalogue. They work on the component directory, as the commands do, and
//! a running `margay serve` that watches the directory notices within a second.
//!
//! Both eras are spoken, one message at a time; nothing here is fast, and nothing has to be.
#![forbid(unsafe_code)]

mod desk;
mod endpoint;
mod tools;

use crate::mcp::reply::{self, CacheScope, Hints, Offer, Page};
use crate::mcp::route::{Process, route_stdio};
use crate::mcp::{Invocation, List, Operation, Reason, Refusal, Revision, Route, scan};
use crate::wire::json;

pub use desk::Desk;
pub use endpoint::{Answer, Endpoint};

/// What a client is told of the tools as a whole.
const INSTRUCTIONS: &str = "These tools change what the server offers and what its components may reach. \
Use them only when the person in charge asks for it. Permissions are granted here and nowhere else: \
never edit a policy file by other means.";

/// A client's conversation with the management tools.
#[derive(Debug, Default)]
pub struct Server {
    process: Process,
}

impl Server {
    /// Answers one message; none where it gets no answer. What it orders is done when this returns: it may take seconds.
    pub fn answer(&mut self, desk: &Desk, message: &[u8]) -> Option<Vec<u8>> {
        let depth_max = desk.json_depth_max();
        let routed =
            scan(message, depth_max).and_then(|message| route_stdio(&mut self.process, &message));
        let mut out = Vec::new();
        match routed {
            Ok(Route::Invoke(invocation)) => {
                if let Err(reason) = serve(desk, &invocation, &mut out) {
                    out.clear();
                    Refusal::new(reason, Some(invocation.id)).write(&mut out);
                }
            }
            Ok(Route::Notice(_) | Route::Response(_)) => return None,
            Err(refusal) => refusal.write(&mut out),
        }
        Some(out)
    }
}

fn serve<'b>(
    desk: &Desk,
    invocation: &Invocation<'b>,
    out: &mut Vec<u8>,
) -> Result<(), Reason<'b>> {
    let (id, era) = (&invocation.id, invocation.era());
    match invocation.operation {
        Operation::Initialize { negotiated, .. } => {
            let capabilities = capabilities(negotiated);
            reply::initialize_result(out, id, negotiated, &capabilities, Some(INSTRUCTIONS));
        }
        Operation::Discover => {
            let capabilities = capabilities(Revision::MODERN);
            reply::discover_result(out, id, &capabilities, Some(INSTRUCTIONS), HINTS);
        }
        Operation::Ping | Operation::SetLevel { .. } => reply::empty_result(out, id, era),
        Operation::ListTools { cursor: None } => {
            let entries = tools::listing();
            let page = Page {
                list: List::Tools,
                entries: entries.as_bytes(),
                next_cursor: None,
            };
            reply::list_result(out, id, era, &page, HINTS);
        }
        Operation::ListTools {
            cursor: Some(cursor),
        } => return Err(Reason::UnknownCursor { cursor }),
        Operation::CallTool {
            name, arguments, ..
        } => {
            let tool = tools::Tool::named(&name.to_cow()).ok_or(Reason::UnknownTool { name })?;
            match tool.read(arguments.unwrap_or(b"{}")) {
                Err(fault) => write_result(out, invocation, &Err(fault)),
                Ok(order) => write_result(out, invocation, &desk.carry_out(&order)),
            }
        }
        _ => {
            return Err(Reason::NotOffered {
                method: invocation.method(),
                revision: invocation.revision,
            });
        }
    }
    Ok(())
}

const HINTS: Hints = Hints {
    ttl_ms: 60_000,
    scope: CacheScope::Private,
};

fn capabilities(revision: Revision) -> Vec<u8> {
    let mut out = Vec::new();
    Offer::TOOLS.write(&mut out, revision);
    out
}

/// The text of the answer, as one content; one that could not be done says so in it.
fn write_result(out: &mut Vec<u8>, invocation: &Invocation<'_>, done: &Result<String, String>) {
    let (text, is_error) = match done {
        Ok(text) => (text, false),
        Err(text) => (text, true),
    };
    let mut members = b"\"content\":[{\"type\":\"text\",\"text\":".to_vec();
    json::write_str(&mut members, text);
    members.extend_from_slice(b"}],\"isError\":");
    members.extend_from_slice(if is_error { b"true" } else { b"false" });
    reply::call_result(out, &invocation.id, invocation.era(), &members);
}

/// What is said of a line that is longer than may be.
pub fn too_long(value: usize) -> Vec<u8> {
    let reason = Reason::TooLong {
        limit: "limits.body_bytes_max",
        value,
    };
    let mut out = Vec::new();
    Refusal::new(reason, None).write(&mut out);
    out
}
