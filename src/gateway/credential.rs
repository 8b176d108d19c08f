//! Requests whose credential an upstream does not take: they wait while control gets another, and are made again with it.
//!
//! An answer of 401, or of 403 for want of scopes, says that nothing was done, so whatever was asked may be asked again, also what
//! may not be repeated otherwise. Of one upstream a home asks once at a time.

use super::failure::Failure;
use super::pending::Purpose;
use super::word::CredentialWant;
use super::{Action, Gateway};
use crate::upstream::credential::Challenge;
use crate::upstream::http::AnswerHead;

/// Times that one request waits for another credential: one that ran out, and one that lacked scopes.
const WAITS_MAX: u32 = 2;

impl Gateway {
    /// Whether an answer says that the credential is to blame, and control can do something about it. The request waits then, if
    /// it is worth that, and nothing more is heard of its answer.
    pub(super) fn is_denied(&mut self, slot: u64, head: &AnswerHead) -> bool {
        let Some(pending) = self.pending.get(slot) else {
            return false;
        };
        let remote = pending.remote;
        if !self.routes[remote].remote.credential.is_managed() {
            return false;
        }
        let challenge = head.challenge.as_deref().and_then(Challenge::parse);
        let lacks_scopes = challenge.as_ref().is_some_and(Challenge::is_insufficient);
        if head.status != 401 && !(head.status == 403 && lacks_scopes) {
            return false;
        }
        let seen = pending.credential_seen;
        let waits = matches!(
            pending.purpose,
            Purpose::Caller(_)
                | Purpose::List(..)
                | Purpose::Discover
                | Purpose::Initialize
                | Purpose::Initialized
                | Purpose::SetLevel
                | Purpose::OldStream
        );
        let waits = waits && pending.credential_waits < WAITS_MAX;
        let is_asked = !self.routes[remote].credential_waiting.is_empty();
        if waits {
            self.release_place(slot, Some(true));
            self.take_back(slot);
            if let Some(pending) = self.pending.get_mut(slot) {
                pending.credential_waits += 1;
                pending.attempts = pending.attempts.saturating_sub(1);
                pending.status = 0;
            }
            self.routes[remote].credential_waiting.push(slot);
        } else if matches!(pending.purpose, Purpose::Caller(_)) {
            // It has had its turns.
            return false;
        }
        if !is_asked {
            self.act(Action::Credential(Box::new(CredentialWant {
                remote,
                port: self.port,
                seen,
                lacks_scopes,
                challenge: challenge.unwrap_or_default(),
            })));
        }
        waits
    }

    /// Control has another credential, or none and why.
    pub(super) fn credential_news(&mut self, remote: usize, news: &Result<(), String>) {
        let Some(route) = self.routes.get_mut(remote) else {
            return;
        };
        for slot in std::mem::take(&mut route.credential_waiting) {
            match news {
                // One that is over in the meantime is passed over.
                _ if !self.pending.contains(slot) => {}
                Ok(()) => self.ask_again(slot),
                Err(why) => self.fail(slot, Failure::credential(why)),
            }
        }
    }

    /// Makes a request again that nothing came of.
    fn ask_again(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let link = pending.link;
        match (&pending.purpose, link) {
            (Purpose::Discover, Some(_)) => self.send(slot),
            (Purpose::Initialize, Some(link)) => {
                self.end(slot, None);
                self.initialize(link);
            }
            (Purpose::Initialized, Some(link)) => {
                self.end(slot, None);
                self.complete_handshake(link);
            }
            (Purpose::SetLevel, Some(link)) => {
                self.end(slot, None);
                if let Some(found) = self.links.get_mut(link) {
                    // Whoever wants it says so again.
                    found.level = None;
                }
                self.prepared(link);
            }
            (Purpose::OldStream, Some(link)) => {
                self.end(slot, None);
                self.open_old_stream(link);
            }
            _ => self.advance(slot),
        }
    }
}
