//! What a component may know of a request, and how it may speak before its answer.

use std::sync::Arc;

use crate::component::{Asking, Caller, Outbox, Recorded};
use crate::mcp::{Era, InlineId, Invocation};

/// Who hears a call before its answer.
pub(super) enum Hearing {
    /// Its client: what the call says goes here.
    Client(Arc<Outbox>),
    /// Nobody, and why.
    Nobody(&'static str),
}

/// The caller of a component's work.
///
/// Shape: `client_info` is what a legacy session or process keeps; a modern request brings its own. `recorded` is what earlier
/// attempts left.
pub(super) fn caller(
    invocation: &Invocation<'_>,
    principal: Option<Arc<str>>,
    client_info: Option<Box<[u8]>>,
    hearing: Hearing,
    recorded: Recorded,
) -> Caller {
    let asking = match (invocation.era(), &hearing) {
        (Era::Modern, _) => Asking::Rerun(recorded),
        (Era::Legacy, Hearing::Client(_)) => Asking::Live,
        (Era::Legacy, Hearing::Nobody(why)) => Asking::Never(why),
    };
    let outbox = match hearing {
        Hearing::Client(outbox) => Some(outbox),
        Hearing::Nobody(_) => None,
    };
    Caller {
        method: invocation.method().name(),
        revision: invocation.revision,
        session: invocation.session,
        principal,
        behalf: None,
        capabilities: invocation.capabilities,
        client_info: invocation.client_info().map(Box::from).or(client_info),
        meta: invocation.meta.map(Box::from),
        progress_token: invocation.progress_token.as_ref().map(InlineId::new),
        log_level: invocation.log_level,
        is_task: false,
        may_become_task: false,
        asking,
        outbox,
    }
}
