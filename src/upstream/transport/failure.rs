//! How exchanges fail, in words.

use std::fmt;
use std::time::Duration;

use super::connection::Broken;
use super::{ExchangeKey, Sink, Transport, TransportEvent};
use crate::policy::{Failed, Reached};
use crate::upstream::http::ClientError;
use crate::upstream::remote::Remote;

/// A failure that could not be told where it happened.
#[derive(Debug)]
pub(super) struct Failure {
    pub key: ExchangeKey,
    pub reached: Reached,
    pub failed: Failed,
    pub why: String,
}

/// Which bound of time passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    Connect,
    Head,
    Call,
    Silence,
    /// It waited for a connection all the time.
    Waiting,
}

impl Broken {
    pub fn failed(&self) -> Failed {
        match self {
            Self::Client(ClientError::Truncated | ClientError::NoAnswer) => Failed::Connection,
            Self::Client(_) => Failed::Answer,
            Self::Socket(_) | Self::Tls(_) | Self::Cut | Self::Ended => Failed::Connection,
        }
    }
}

impl Late {
    pub fn failed(self) -> Failed {
        match self {
            Self::Waiting => Failed::Refused,
            _ => Failed::Deadline,
        }
    }

    /// Shape: `call_ms` is what the exchange was given.
    pub fn why(self, remote: &Remote, call_ms: u64) -> String {
        let (name, timeouts) = (remote.name(), &remote.settings.timeouts);
        let (what, key, bound) = match self {
            Self::Connect => ("no connection was made", "connect", timeouts.connect),
            Self::Head => ("no answer began", "head", timeouts.head),
            Self::Silence => ("its stream was silent", "silence", timeouts.silence),
            Self::Call => {
                let given = Duration::from_millis(call_ms);
                let bound = timeouts.call;
                return format!(
                    "upstream {name}: the answer was not over within {given:?}; upstreams.{name}.timeouts.call is {bound:?}"
                );
            }
            Self::Waiting => return max_active(remote, Duration::from_millis(call_ms)),
        };
        format!("upstream {name}: {what} for {bound:?}: upstreams.{name}.timeouts.{key}")
    }
}

fn max_active(remote: &Remote, waited: Duration) -> String {
    let (name, count) = (remote.name(), remote.settings.pool.max_active);
    format!(
        "upstream {name}: no connection became free within {waited:?}; upstreams.{name}.connection_pool.max_active is {count} for each thread"
    )
}

/// As many wait as may.
pub(super) fn too_many_wait(remote: &Remote, waiting: usize) -> String {
    let (name, count) = (remote.name(), remote.settings.pool.max_active);
    format!(
        "upstream {name}: {waiting} requests wait for a connection, as many as may; upstreams.{name}.connection_pool.max_active is {count}"
    )
}

impl Transport {
    /// Notes a failure of an exchange that was not sent, to be told at the end of the turn.
    pub(super) fn fail(&mut self, key: ExchangeKey, failed: Failed, why: String) {
        self.exchanges.remove(&key);
        self.failures.push(Failure {
            key,
            reached: Reached::Nothing,
            failed,
            why,
        });
    }

    /// Tells what was noted.
    pub(super) fn tell_failures(&mut self, sink: &mut Sink<'_>) {
        for failure in self.failures.drain(..) {
            self.stats.failures += 1;
            sink(TransportEvent::Failed {
                key: failure.key,
                reached: failure.reached,
                failed: failure.failed,
                why: &failure.why,
                last_event_id: &[],
                retry_ms: None,
            });
        }
    }
}

/// What goes wrong with an upstream, with its name in front.
pub(super) fn of(remote: &Remote, problem: impl fmt::Display) -> String {
    format!("upstream {}: {problem}", remote.name())
}
