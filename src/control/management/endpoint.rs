//! The management tools over HTTP: one endpoint of the admin listener, in both eras.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::Limits;
use crate::mcp::route::{self, HttpFacts};
use crate::mcp::{
    Invocation, NewSession, Operation, Principal, Reason, Refusal, Respond, Route, Sessions, scan,
};
use crate::wire::sse;

use super::{Desk, serve};

/// An answer of the endpoint.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
    /// Whether the body is an event, for a client that accepts nothing else.
    pub is_event: bool,
    /// The session that it opened.
    pub session: Option<String>,
}

impl Answer {
    fn of(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            body,
            is_event: false,
            session: None,
        }
    }
}

/// The endpoint. One for the process; cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    desk: Arc<Desk>,
    sessions: Arc<Sessions>,
    epoch: Instant,
}

impl Endpoint {
    /// An endpoint that gives orders to this desk.
    pub fn new(desk: Desk, limits: &Limits) -> Self {
        Self {
            desk: Arc::new(desk),
            sessions: Arc::new(Sessions::of(limits)),
            epoch: Instant::now(),
        }
    }

    /// The longest body that is read.
    pub fn body_bytes_max(&self) -> usize {
        self.desk.body_bytes_max()
    }

    /// Answers a POST. Blocks while its order is carried out.
    pub fn post(&self, facts: &HttpFacts<'_>, principal: Principal, body: &[u8]) -> Answer {
        match self.routed(facts, principal, body) {
            Ok(answer) => answer,
            Err(refusal) => refused(&refusal),
        }
    }

    /// Answers a DELETE: ends a session.
    pub fn delete(&self, facts: &HttpFacts<'_>, principal: Principal) -> Answer {
        match route::delete(facts, &self.sessions, principal, self.now_ms()) {
            Ok(_) => Answer::of(204, Vec::new()),
            Err(refusal) => refused(&refusal),
        }
    }

    fn routed<'b>(
        &self,
        facts: &HttpFacts<'b>,
        principal: Principal,
        body: &'b [u8],
    ) -> Result<Answer, Refusal<'b>> {
        let accept = route::admit_post(facts)?;
        let message = scan(body, self.desk.json_depth_max())?;
        let (sessions, now_ms) = (&self.sessions, self.now_ms());
        match route::post(facts, accept, &message, sessions, principal, now_ms)? {
            Route::Notice(_) | Route::Response(_) => Ok(Answer::of(202, Vec::new())),
            Route::Invoke(invocation) => {
                let refuse = |reason| Refusal::new(reason, Some(invocation.id));
                let session = self.session(&invocation, principal).map_err(refuse)?;
                let mut out = Vec::new();
                serve(&self.desk, &invocation, &mut out).map_err(refuse)?;
                let is_event = invocation.respond == Respond::Events;
                if is_event {
                    let mut event = Vec::with_capacity(out.len() + 32);
                    sse::write_event(&mut event, None, Some("message"), &out);
                    out = event;
                }
                Ok(Answer {
                    is_event,
                    session,
                    ..Answer::of(200, out)
                })
            }
        }
    }

    /// The session that an `initialize` opens.
    fn session(
        &self,
        invocation: &Invocation<'_>,
        principal: Principal,
    ) -> Result<Option<String>, Reason<'static>> {
        let Operation::Initialize { negotiated, .. } = invocation.operation else {
            return Ok(None);
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| Reason::Internal)?;
        let new = NewSession {
            random,
            principal,
            revision: negotiated,
            capabilities: invocation.capabilities,
            client_info: invocation.client_info(),
            now_ms: self.now_ms(),
        };
        let session = self.sessions.create(new).map_err(|_| Reason::Overloaded {
            limit: "limits.session_count_max",
            value: self.desk.session_count_max(),
        })?;
        let text = session.text();
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn refused(refusal: &Refusal<'_>) -> Answer {
    let mut body = Vec::new();
    refusal.write(&mut body);
    Answer::of(refusal.http_status, body)
}
