//! The session that a legacy upstream keeps for us: made at the first call, made again when it is lost, ended when ours ends.
//!
//! ```text
//!   absent ──▶ initializing ──▶ ready ──404──▶ absent ──▶ …        ready ──end──▶ over (DELETE)
//! ```
//!
//! What the caller had set (its log level, its subscriptions) is said again in a new session. A loss counts only for the
//! session that it is about: a 404 to a request of the one before changes nothing. An upstream that loses every session it
//! makes is asked ever less often.
//!
//! One such session belongs to one principal; it is never shared.

use std::collections::BTreeSet;
use std::fmt;

use crate::mcp::Revision;
use crate::wire::json::{Kind, Reader};

/// Subscriptions that are said again in a new session.
const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Milliseconds before the second attempt at a session that failed or was lost at once; they double.
const BACKOFF_FIRST_MS: u64 = 100;
/// The longest.
const BACKOFF_MAX_MS: u64 = 30_000;
/// A session that lived so long was a good one.
const GOOD_MS: u64 = 10_000;

/// What a call has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Go on: there is a session.
    Nothing,
    /// Send `initialize` first, and say [`LegacySession::initialized`] or [`LegacySession::failed`].
    Initialize,
    /// Wait: another call has sent it.
    Wait,
    /// Refuse: attempts fail; try again after so many milliseconds.
    Refuse {
        /// When the next attempt may be made.
        retry_in_ms: u64,
    },
    /// Refuse: the session was ended.
    Over,
}

/// Which of the sessions that there were a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionNumber(u64);

/// What an upstream said of itself in its answer to `initialize`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFacts {
    /// The revision that is spoken.
    pub revision: Revision,
    /// `capabilities`, as JSON text.
    pub capabilities: Box<[u8]>,
    /// `serverInfo`, as JSON text.
    pub server_info: Option<Box<[u8]>>,
    /// `instructions`, as JSON text.
    pub instructions: Option<Box<[u8]>>,
}

/// Why an answer to `initialize` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It has no `protocolVersion` or no `capabilities`.
    Malformed,
    /// It speaks a revision that we do not, or that has no handshake. Some servers echo whatever they are asked for.
    Revision(String),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "the answer to initialize lacks its protocolVersion or its capabilities",
            ),
            Self::Revision(revision) => {
                write!(
                    f,
                    "the upstream speaks {revision:?}, which is no revision with a handshake"
                )
            }
        }
    }
}

impl std::error::Error for HandshakeError {}

impl UpstreamFacts {
    /// Reads the result of an `initialize`, which is valid JSON.
    ///
    /// Errors: it cannot be gone on with.
    pub fn read(result: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(result, crate::wire::json::DEPTH_CAP);
        Self::members(&mut reader).unwrap_or(Err(HandshakeError::Malformed))
    }

    /// `None` where the text is not what it should be.
    fn members(reader: &mut Reader<'_>) -> Option<Result<Self, HandshakeError>> {
        let (mut revision, mut capabilities, mut server_info, mut instructions) =
            (None, None, None, None);
        reader.begin_object().ok()?;
        while let Some(key) = reader.key().ok()? {
            let kind = reader.peek().ok()?;
            if key.eq_str("protocolVersion") && kind == Kind::String {
                revision = Some(reader.string().ok()?.to_cow().into_owned());
                continue;
            }
            let text = reader.skip().ok()?;
            let slot = match kind {
                Kind::Object if key.eq_str("capabilities") => &mut capabilities,
                Kind::Object if key.eq_str("serverInfo") => &mut server_info,
                Kind::String if key.eq_str("instructions") => &mut instructions,
                _ => continue,
            };
            *slot = Some(Box::<[u8]>::from(text));
        }
        let name = revision?;
        let revision =
            Revision::parse(name.as_bytes()).filter(|revision| *revision != Revision::MODERN);
        Some(match revision {
            None => Err(HandshakeError::Revision(name)),
            Some(revision) => Ok(Self {
                revision,
                capabilities: capabilities?,
                server_info,
                instructions,
            }),
        })
    }
}

#[derive(Clone, Debug)]
enum State {
    Absent,
    Initializing,
    Ready {
        /// None where the upstream keeps no sessions.
        id: Option<Box<[u8]>>,
        facts: Box<UpstreamFacts>,
        since_ms: u64,
    },
    Over,
}

/// One session with one upstream.
#[derive(Clone, Debug)]
pub struct LegacySession {
    state: State,
    number: u64,
    failures: u32,
    not_before_ms: u64,
    log_level: Option<&'static str>,
    subscriptions: BTreeSet<Box<str>>,
}

impl Default for LegacySession {
    fn default() -> Self {
        Self {
            state: State::Absent,
            number: 0,
            failures: 0,
            not_before_ms: 0,
            log_level: None,
            subscriptions: BTreeSet::new(),
        }
    }
}

impl LegacySession {
    /// What a call has to do now. [`Need::Initialize`] is given to one caller only, until it says how that went.
    pub fn need(&mut self, now_ms: u64) -> Need {
        match self.state {
            State::Ready { .. } => Need::Nothing,
            State::Initializing => Need::Wait,
            State::Over => Need::Over,
            State::Absent if now_ms < self.not_before_ms => Need::Refuse {
                retry_in_ms: self.not_before_ms - now_ms,
            },
            State::Absent => {
                self.state = State::Initializing;
                Need::Initialize
            }
        }
    }

    /// The answer to `initialize` came. Send `notifications/initialized` next, then what [`LegacySession::to_repeat`] says.
    ///
    /// Shape: `id` is the answer's `Mcp-Session-Id`. `false`: the session was ended meanwhile; end the new one, too.
    pub fn initialized(
        &mut self,
        id: Option<Box<[u8]>>,
        facts: UpstreamFacts,
        now_ms: u64,
    ) -> bool {
        if !matches!(self.state, State::Initializing) {
            return false;
        }
        self.number += 1;
        self.state = State::Ready {
            id,
            facts: Box::new(facts),
            since_ms: now_ms,
        };
        true
    }

    /// What it was with has been replaced by another, which knows no session: a restarted child.
    pub fn renew(&mut self) {
        if !matches!(self.state, State::Over) {
            self.state = State::Absent;
        }
    }

    /// A call was answered in it: it is a good one, however long it lasts.
    pub fn proved(&mut self) {
        self.failures = 0;
        self.not_before_ms = 0;
    }

    /// `initialize` failed: whoever waited is refused.
    pub fn failed(&mut self, now_ms: u64) {
        if matches!(self.state, State::Initializing) {
            self.state = State::Absent;
            self.back_off(now_ms);
        }
    }

    /// The upstream does not know the session of this request (404). Whether that was the one in force: what it did not know
    /// it did not do, so the request may be made again in a new one.
    pub fn lost(&mut self, number: SessionNumber, now_ms: u64) -> bool {
        let State::Ready { since_ms, .. } = self.state else {
            return false;
        };
        if number.0 != self.number {
            return false;
        }
        if now_ms.saturating_sub(since_ms) >= GOOD_MS {
            self.failures = 0;
            self.not_before_ms = 0;
        } else {
            self.back_off(now_ms);
        }
        self.state = State::Absent;
        true
    }

    /// Ends the session for good; the id to send a DELETE for, if there is one.
    pub fn end(&mut self) -> Option<Box<[u8]>> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Ready { id, .. } => id,
            _ => None,
        }
    }

    /// The session in force: its number, its id for the header, and what the upstream said.
    pub fn current(&self) -> Option<(SessionNumber, Option<&[u8]>, &UpstreamFacts)> {
        match &self.state {
            State::Ready { id, facts, .. } => {
                Some((SessionNumber(self.number), id.as_deref(), facts))
            }
            _ => None,
        }
    }

    /// Remembers the level that the caller has set.
    pub fn set_log_level(&mut self, level: &'static str) {
        self.log_level = Some(level);
    }

    /// Remembers a subscription; `false`: there are too many.
    pub fn subscribe(&mut self, uri: &str) -> bool {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX && !self.subscriptions.contains(uri) {
            return false;
        }
        self.subscriptions.insert(uri.into());
        true
    }

    /// Forgets a subscription.
    pub fn unsubscribe(&mut self, uri: &str) {
        self.subscriptions.remove(uri);
    }

    /// What a new session has to be told: the log level, and every subscription.
    pub fn to_repeat(&self) -> (Option<&'static str>, impl Iterator<Item = &str>) {
        (self.log_level, self.subscriptions.iter().map(AsRef::as_ref))
    }

    fn back_off(&mut self, now_ms: u64) {
        // The first failure costs nothing: a server that was restarted is there again.
        let wait_ms = match self.failures {
            0 => 0,
            failures => (BACKOFF_FIRST_MS << (failures - 1).min(16)).min(BACKOFF_MAX_MS),
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before_ms = now_ms.saturating_add(wait_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> UpstreamFacts {
        UpstreamFacts::read(br#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}"#)
            .unwrap()
    }

    fn ready(session: &mut LegacySession, id: &[u8], now_ms: u64) -> SessionNumber {
        assert_eq!(session.need(now_ms), Need::Initialize);
        assert!(session.initialized(Some(id.into()), facts(), now_ms));
        session.current().unwrap().0
    }

    #[test]
    fn one_call_makes_the_session_and_the_others_wait() {
        let mut session = LegacySession::default();
        assert_eq!(session.need(0), Need::Initialize);
        assert_eq!((session.need(0), session.need(5)), (Need::Wait, Need::Wait));
        assert!(session.current().is_none());
        assert!(session.initialized(Some(b"id".as_slice().into()), facts(), 5));
        assert_eq!(session.need(6), Need::Nothing);
        let (_, id, found) = session.current().unwrap();
        assert_eq!(
            (id, found.revision),
            (Some(&b"id"[..]), Revision::V2025_06_18)
        );
        assert!(!session.initialized(None, facts(), 7), "nobody asked");
    }

    #[test]
    fn a_lost_session_is_made_again_once_and_told_what_was_set() {
        let mut session = LegacySession::default();
        session.set_log_level("debug");
        assert!(session.subscribe("b:") && session.subscribe("a:") && session.subscribe("c:"));
        session.unsubscribe("c:");
        let first = ready(&mut session, b"1", 0);
        assert!(session.lost(first, 20_000));
        let second = ready(&mut session, b"2", 20_000);
        assert!(!session.lost(first, 20_001), "it is about the one before");
        assert_eq!(session.current().unwrap().1, Some(&b"2"[..]));
        let (level, uris) = session.to_repeat();
        assert_eq!(
            (level, uris.collect::<Vec<_>>()),
            (Some("debug"), vec!["a:", "b:"])
        );
        assert!(session.lost(second, 20_002));
    }

    #[test]
    fn an_upstream_that_loses_every_session_is_asked_ever_less() {
        let mut session = LegacySession::default();
        let mut now_ms = 0;
        let mut waits = Vec::new();
        for round in 0..12 {
            match session.need(now_ms) {
                Need::Initialize => {}
                Need::Refuse { retry_in_ms } => {
                    waits.push(retry_in_ms);
                    now_ms += retry_in_ms;
                    assert_eq!(session.need(now_ms), Need::Initialize);
                }
                other => panic!("{other:?}"),
            }
            if round % 2 == 0 {
                session.failed(now_ms);
            } else {
                assert!(session.initialized(None, facts(), now_ms));
                let number = session.current().unwrap().0;
                assert!(session.lost(number, now_ms));
            }
        }
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(*waits.last().unwrap(), 30_000);
    }

    #[test]
    fn an_ended_session_stays_ended_and_a_late_one_is_ended_too() {
        let mut session = LegacySession::default();
        ready(&mut session, b"7", 0);
        assert_eq!(session.end().as_deref(), Some(&b"7"[..]));
        assert_eq!((session.end(), session.need(0)), (None, Need::Over));
        let mut session = LegacySession::default();
        session.need(0);
        assert_eq!(session.end(), None);
        assert!(!session.initialized(Some(b"late".as_slice().into()), facts(), 1));
        session.failed(2);
        assert_eq!(session.need(u64::MAX), Need::Over);
    }

    #[test]
    fn an_upstream_s_word_is_checked() {
        let read = |text: &str| UpstreamFacts::read(text.as_bytes());
        let whole = read(
            r#"{"serverInfo":{"name":"x"},"capabilities":{"tools":{}},"instructions":"do\n","protocolVersion":"2024-11-05","other":1}"#,
        )
        .unwrap();
        assert_eq!(whole.revision, Revision::V2024_11_05);
        assert_eq!(&*whole.capabilities, br#"{"tools":{}}"#);
        assert_eq!(whole.server_info.as_deref(), Some(&br#"{"name":"x"}"#[..]));
        assert_eq!(whole.instructions.as_deref(), Some(&br#""do\n""#[..]));
        for revision in ["1999-01-01", "2026-07-28", ""] {
            let text = format!(r#"{{"protocolVersion":"{revision}","capabilities":{{}}}}"#);
            assert_eq!(
                read(&text),
                Err(HandshakeError::Revision(revision.to_owned()))
            );
        }
        for text in [
            "{}",
            r#"{"protocolVersion":"2025-06-18"}"#,
            r#"{"protocolVersion":20250618,"capabilities":{}}"#,
            r#"{"protocolVersion":"2025-06-18","capabilities":[]}"#,
            "[]",
        ] {
            assert_eq!(read(text), Err(HandshakeError::Malformed), "{text}");
        }
    }

    #[test]
    fn subscriptions_are_bounded() {
        let mut session = LegacySession::default();
        for number in 0..SUBSCRIPTIONS_MAX {
            assert!(session.subscribe(&format!("u:{number}")));
        }
        assert!(!session.subscribe("one more") && session.subscribe("u:0"));
    }
}
