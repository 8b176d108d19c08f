//! Credentials for upstreams: got when one is refused, renewed before they run out, put in force for every home at once.
//!
//! ```text
//!   home ──CredentialWant──▶ Keeper ──▶ Account: discover, authorize, ask for a token ──▶ Remote.credential
//!        ◀─Word::Credential──
//! ```
//!
//! Invariants: of one upstream one token is asked for at a time, whoever waits for it; there is a bound on how often; a caller's
//! token is never part of it; no token is in a log, in an error or in any file but the one of the store.

mod account;
mod authorize;
mod discover;
mod login;
mod store;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::upstreams::WantSource;
use crate::audit::{Audit, Event, Kind, Outcome};
use crate::gateway::CredentialWant;
use crate::secret::{Registered, redactor};
use crate::upstream::credential::{Issued, Tokens};
use crate::upstream::remote::Remote;
pub use account::{Account, Why};

/// Times that a token of one upstream is asked for within [`WINDOW`] because one was refused.
const ATTEMPTS_MAX: usize = 8;
const WINDOW: Duration = Duration::from_secs(60);
/// What has just failed is not tried again at once.
const FAILURE_LASTS: Duration = Duration::from_secs(1);
/// The most time before its end that a token is renewed.
const MARGIN_MAX: Duration = Duration::from_secs(60);
/// The least between two renewals.
const RENEWAL_MIN: Duration = Duration::from_secs(5);
/// How far ahead a renewal is planned at the most: who says more is asked again then.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Tokens of one upstream that are redacted: an access token and a refresh token, of now and of before.
const REDACTED_MAX: usize = 4;

/// One upstream's.
struct Place {
    remote: Arc<Remote>,
    /// None while it is at work.
    account: Option<Account>,
    /// The homes that wait.
    waiting: Vec<u16>,
    /// When the token in force is renewed.
    renew_at: Option<Instant>,
    is_renewal: bool,
    attempts: VecDeque<Instant>,
    failed: Option<(Instant, String)>,
    /// The tokens in force and those before them, which calls may still have with them: nothing that is written shows them.
    redacted: VecDeque<Registered>,
}

/// What work on one upstream's credential came to.
struct Worked {
    index: usize,
    account: Account,
    result: Result<Tokens, String>,
}

/// Keeps the credentials of all upstreams.
pub(crate) struct Keeper<T> {
    places: Vec<Place>,
    tell: T,
    audit: Audit,
    work: JoinSet<Worked>,
}

impl<T> Keeper<T>
where
    T: Fn(u16, usize, Result<(), String>),
{
    /// Of these accounts; `tell` hands a home its news of an upstream, `audit` hears of each credential that was got or not.
    pub(crate) fn new(accounts: Vec<Account>, audit: Audit, tell: T) -> Self {
        let places = accounts.into_iter().map(|account| Place {
            remote: Arc::clone(&account.remote),
            account: Some(account),
            waiting: Vec::new(),
            renew_at: None,
            is_renewal: false,
            attempts: VecDeque::new(),
            failed: None,
            redacted: VecDeque::new(),
        });
        Self {
            places: places.collect(),
            tell,
            audit,
            work: JoinSet::new(),
        }
    }

    /// Takes wishes until there are no more.
    pub(crate) async fn run(mut self, wants: Arc<impl WantSource>) {
        loop {
            let due = self.places.iter().filter(|place| place.account.is_some());
            let due = due.filter_map(|place| place.renew_at).min();
            let far = Instant::now() + AHEAD_MAX;
            tokio::select! {
                want = wants.next_want() => match want {
                    Some(want) => self.wanted(want),
                    None => return,
                },
                Some(worked) = self.work.join_next() => match worked {
                    Ok(worked) => self.worked(worked),
                    Err(error) => tracing::error!(%error, "a credential's task broke; this is a defect of margay"),
                },
                () = sleep_until(due.unwrap_or(far)), if due.is_some() => self.renew(),
            }
        }
    }

    fn wanted(&mut self, want: CredentialWant) {
        let now = Instant::now();
        let is_its = |place: &Place| place.remote.index == want.remote;
        let Some(index) = self.places.iter().position(is_its) else {
            let why = "nothing gets credentials for it".to_owned();
            return (self.tell)(want.port, want.remote, Err(why));
        };
        let place = &mut self.places[index];
        if place.remote.credential.generation() > want.seen {
            // Another home was faster.
            return (self.tell)(want.port, want.remote, Ok(()));
        }
        place.waiting.push(want.port);
        let Some(mut account) = place.account.take() else {
            return;
        };
        if let Err(why) = place.admit(now) {
            place.account = Some(account);
            return self.tell_all(index, &Err(why));
        }
        place.is_renewal = false;
        let why = Why {
            challenge: want.challenge,
            lacks_scopes: want.lacks_scopes,
        };
        self.work.spawn(async move {
            let result = account.obtain(&why).await;
            Worked {
                index,
                account,
                result,
            }
        });
    }

    /// Renews what is due.
    fn renew(&mut self) {
        let now = Instant::now();
        for (index, place) in self.places.iter_mut().enumerate() {
            if place.renew_at.is_none_or(|due| due > now) {
                continue;
            }
            let Some(mut account) = place.account.take() else {
                continue;
            };
            place.renew_at = None;
            place.is_renewal = true;
            self.work.spawn(async move {
                let result = account.renew().await;
                Worked {
                    index,
                    account,
                    result,
                }
            });
        }
    }

    fn worked(&mut self, worked: Worked) {
        let Worked {
            index,
            account,
            result,
        } = worked;
        let now = Instant::now();
        let place = &mut self.places[index];
        place.account = Some(account);
        let remote = Arc::clone(&place.remote);
        let name = remote.name();
        // It goes on to callers, and a server may repeat in it what it was shown.
        let result = result.map_err(|why| redactor().redact(&why).into_owned());
        tell_log(&self.audit, name, &result);
        let news = match result {
            Ok(tokens) => {
                place.redact(&tokens);
                let generation = place.remote.credential.generation() + 1;
                let issued = Issued::bearer(generation, &tokens.access);
                place.remote.credential.publish(issued);
                place.failed = None;
                place.renew_at = tokens.expires_in_s.map(|seconds| now + renewal_in(seconds));
                tracing::info!(
                    upstream = name,
                    expires_in_s = tokens.expires_in_s,
                    "has another credential"
                );
                Ok(())
            }
            // The one in force may be good for a while; when it is refused there is more to be said.
            Err(why) if place.is_renewal && place.waiting.is_empty() => {
                tracing::warn!(upstream = name, "its credential was not renewed: {why}");
                return;
            }
            Err(why) => {
                let is_known = matches!(&place.failed, Some((_, known)) if *known == why);
                if !is_known {
                    tracing::warn!(upstream = name, "there is no credential for it: {why}");
                }
                place.failed = Some((now, why.clone()));
                Err(format!("there is no credential for it: {why}"))
            }
        };
        self.tell_all(index, &news);
    }

    fn tell_all(&mut self, index: usize, news: &Result<(), String>) {
        let place = &mut self.places[index];
        let remote = place.remote.index;
        for port in std::mem::take(&mut place.waiting) {
            (self.tell)(port, remote, news.clone());
        }
    }
}

/// Tells the audit log that we were given a credential for an upstream, or were not. Never the credential.
fn tell_log(audit: &Audit, upstream: &str, result: &Result<Tokens, String>) {
    let (outcome, why) = match result {
        Ok(_) => (Outcome::Ok, ""),
        Err(why) => (Outcome::Failed, why.as_str()),
    };
    audit.record(&Event {
        principal: "margay",
        method: "credential",
        target: upstream,
        detail: why,
        ..Event::new(Kind::SensitiveDataAccess, outcome)
    });
}

impl Place {
    fn redact(&mut self, tokens: &Tokens) {
        let secrets = std::iter::once(&tokens.access).chain(&tokens.refresh);
        self.redacted
            .extend(secrets.map(|secret| redactor().keep(secret)));
        while self.redacted.len() > REDACTED_MAX {
            self.redacted.pop_front();
        }
    }

    /// Whether a token may be asked for now.
    fn admit(&mut self, now: Instant) -> Result<(), String> {
        if let Some((at, why)) = &self.failed
            && now < *at + FAILURE_LASTS
        {
            return Err(format!("there is no credential for it: {why}"));
        }
        while self.attempts.front().is_some_and(|at| now >= *at + WINDOW) {
            self.attempts.pop_front();
        }
        if self.attempts.len() >= ATTEMPTS_MAX {
            let last = self
                .failed
                .as_ref()
                .map_or("each was refused", |(_, why)| why);
            return Err(format!(
                "credentials were asked for {ATTEMPTS_MAX} times within {} s: {last}",
                WINDOW.as_secs()
            ));
        }
        self.attempts.push_back(now);
        Ok(())
    }
}

/// When a token that lasts so long is renewed.
fn renewal_in(expires_in_s: u64) -> Duration {
    let lasts = Duration::from_secs(expires_in_s);
    let margin = (lasts / 4).min(MARGIN_MAX);
    (lasts - margin).clamp(RENEWAL_MIN, AHEAD_MAX)
}

#[cfg(test)]
mod tests;
