//! Requests that end with questions and come again with their answers: what one attempt leaves to the next, sealed.

use std::time::Duration;

use crate::component::Recorded;
use crate::limits::Limits;
use crate::mcp::request_state::{
    self, RequestDigest, RequestState, STATE_NONCE_BYTES, StateKey, StateTooLong,
};
use crate::mcp::route::Retry;
use crate::mcp::{Era, Invocation, Operation, Principal, Reason};

/// Which request a state belongs to, and whose.
#[derive(Clone, Debug)]
pub(in super::super) struct Binding {
    principal: Principal,
    digest: RequestDigest,
}

impl Binding {
    /// Of a request that may end with questions; none of any other.
    pub(super) fn of(
        invocation: &Invocation<'_>,
        principal: Principal,
        depth_max: usize,
    ) -> Option<Box<Self>> {
        if invocation.era() == Era::Legacy {
            return None;
        }
        let (name, arguments) = match invocation.operation {
            Operation::CallTool {
                name, arguments, ..
            }
            | Operation::GetPrompt {
                name, arguments, ..
            } => (name, arguments),
            Operation::ReadResource { uri, .. } => (uri, None),
            _ => return None,
        };
        let method = invocation.method();
        let digest = RequestDigest::new(method, &name.to_cow(), arguments, depth_max);
        // The message was scanned: its arguments are JSON of that depth.
        let digest = digest.ok()?;
        Some(Box::new(Self { principal, digest }))
    }
}

/// What states are sealed with.
pub(in super::super) struct Sealer {
    key: StateKey,
    bytes_max: usize,
    deadline: Duration,
}

impl Sealer {
    pub(super) fn new(key: StateKey, limits: &Limits) -> Self {
        Self {
            key,
            bytes_max: limits.request_state_bytes_max,
            deadline: limits.request_state_deadline,
        }
    }

    /// What earlier attempts left, with the answers that this one brings.
    ///
    /// Shape: an answer counts from the attempt that brought it first.
    /// Errors: the state is none of ours, or not for this request any longer.
    pub(super) fn reopen<'b>(
        &self,
        retry: Retry<'b>,
        binding: &Binding,
        unix_ms: u64,
    ) -> Result<Recorded, Reason<'b>> {
        let state = match retry.request_state {
            None => RequestState::default(),
            Some(sealed) => {
                let digest = || Some(binding.digest);
                let (key, principal) = (&self.key, binding.principal);
                request_state::open(key, principal, digest, sealed, unix_ms, self.bytes_max)
                    .map_err(|fault| Reason::State { fault })?
            }
        };
        let mut recorded = Recorded {
            answers: state.answers.into_iter().collect(),
            state: state.guest,
            round: state.round,
        };
        for (key, answer) in retry.answers() {
            let answers = recorded.answers.entry(key.to_cow().into_owned());
            answers.or_insert_with(|| answer.to_vec());
        }
        Ok(recorded)
    }

    /// Seals what an attempt leaves.
    ///
    /// Errors: in words for the caller.
    pub(super) fn seal(
        &self,
        recorded: &Recorded,
        binding: &Binding,
        unix_ms: u64,
    ) -> Result<String, String> {
        let mut nonce = [0; STATE_NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let deadline_ms = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
        let answers = recorded.answers.iter();
        let state = RequestState {
            expiry_ms: unix_ms.saturating_add(deadline_ms),
            round: recorded.round,
            answers: answers
                .map(|(key, answer)| (key.clone(), answer.clone()))
                .collect(),
            guest: recorded.state.clone(),
        };
        let (key, principal, digest) = (&self.key, binding.principal, binding.digest);
        request_state::seal(key, nonce, principal, digest, &state, self.bytes_max).map_err(
            |StateTooLong { bytes, bytes_max }| {
                format!(
                    "what this call has to remember takes {bytes} bytes, and limits.request_state_bytes_max is {bytes_max}: answer in \
                     fewer words, or have the operator raise it"
                )
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::route::{Process, Route, route_stdio};
    use crate::mcp::{StateFault, scan};

    fn sealer(key: u8) -> Sealer {
        Sealer::new(StateKey::new([key; 32]), &Limits::default())
    }

    /// Reads a modern `tools/call` with these further members of its parameters, and looks at it.
    fn with<T>(
        name: &str,
        arguments: &str,
        more: &str,
        then: impl FnOnce(&Binding, Option<Retry<'_>>) -> T,
    ) -> T {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}{more},"_meta":{{
            "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        let message = scan(text.as_bytes(), 16).unwrap();
        let Ok(Route::Invoke(invocation)) = route_stdio(&mut Process::default(), &message) else {
            panic!("not a request: {text}");
        };
        let Operation::CallTool { retry, .. } = invocation.operation else {
            panic!("not a call");
        };
        let binding = Binding::of(&invocation, Principal(7), 16).unwrap();
        then(&binding, retry)
    }

    fn left() -> Recorded {
        Recorded {
            answers: [("name".to_owned(), br#"{"action":"accept"}"#.to_vec())].into(),
            state: Some(b"mine".to_vec()),
            round: 1,
        }
    }

    fn reopened(
        sealer: &Sealer,
        name: &str,
        arguments: &str,
        more: &str,
        at_ms: u64,
    ) -> Result<Recorded, StateFault> {
        with(name, arguments, more, |binding, retry| {
            sealer
                .reopen(retry.unwrap(), binding, at_ms)
                .map_err(|reason| match reason {
                    Reason::State { fault } => fault,
                    other => panic!("{other}"),
                })
        })
    }

    #[test]
    fn a_retry_finds_what_was_left_and_adds_its_answers() {
        let ours = sealer(1);
        let sealed = with("t", r#"{"a":1,"b":2}"#, "", |binding, _| {
            ours.seal(&left(), binding, 1_000).unwrap()
        });
        let more = format!(
            r#","requestState":"{sealed}","inputResponses":{{"colour":{{"action":"decline"}},"name":{{"action":"cancel"}}}}"#
        );
        // Written another way it is the same request.
        let found = reopened(&ours, "t", r#"{ "b":2, "a":1 }"#, &more, 2_000).unwrap();
        assert_eq!(
            (found.state.as_deref(), found.round),
            (Some(&b"mine"[..]), 1)
        );
        assert_eq!(
            found.answers["name"], br#"{"action":"accept"}"#,
            "the first answer counts"
        );
        assert_eq!(found.answers["colour"], br#"{"action":"decline"}"#);
    }

    #[test]
    fn a_state_is_good_for_its_request_its_server_and_its_time_alone() {
        let ours = sealer(1);
        let sealed = with("t", "{}", "", |binding, _| {
            ours.seal(&left(), binding, 1_000).unwrap()
        });
        let more = format!(r#","requestState":"{sealed}""#);
        assert!(reopened(&ours, "t", "{}", &more, 1_000).is_ok());
        let other = reopened(&ours, "u", "{}", &more, 1_000);
        assert_eq!(other, Err(StateFault::OtherRequest));
        let other = reopened(&ours, "t", r#"{"a":1}"#, &more, 1_000);
        assert_eq!(other, Err(StateFault::OtherRequest));
        let late = reopened(&ours, "t", "{}", &more, 10_000_000);
        assert_eq!(late, Err(StateFault::Expired));
        let foreign = reopened(&sealer(2), "t", "{}", &more, 1_000);
        assert_eq!(foreign, Err(StateFault::Forged));
        let changed = more.replace("requestState\":\"", "requestState\":\"A");
        assert_eq!(
            reopened(&ours, "t", "{}", &changed, 1_000),
            Err(StateFault::Forged)
        );
    }

    #[test]
    fn answers_without_a_state_are_taken() {
        let more = r#","inputResponses":{"name":{"action":"accept"}}"#;
        let found = reopened(&sealer(1), "t", "{}", more, 1).unwrap();
        assert_eq!(
            (found.answers.len(), found.round, found.state),
            (1, 0, None)
        );
    }

    #[test]
    fn a_state_that_is_too_long_names_its_limit() {
        let limits = Limits {
            request_state_bytes_max: 100,
            ..Limits::default()
        };
        let small = Sealer::new(StateKey::new([1; 32]), &limits);
        let words = with("t", "{}", "", |binding, _| {
            small.seal(&left(), binding, 1).unwrap_err()
        });
        assert!(
            words.contains("limits.request_state_bytes_max is 100"),
            "{words}"
        );
    }
}
