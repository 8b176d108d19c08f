//! Which era an upstream speaks: found out once, remembered for its origin or process.
//!
//! A modern server answers `server/discover`; a legacy one says something else, and what exactly no two agree on. So the modern
//! question is asked first, a few answers count as modern, and anything else leads to the handshake, and from there, over
//! HTTP, to the old pair of endpoints. What says nothing about the era (no connection, 401, 500) is a failure to be
//! tried again, and is never remembered.
//!
//! Source: 2026-07-28 basic/transports, backward compatibility; SEP-2243.

use std::collections::HashMap;

use crate::mcp::Revision;
use crate::mcp::code::{
    HEADER_MISMATCH, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CLIENT_CAPABILITY,
    UNSUPPORTED_PROTOCOL_VERSION,
};
use crate::wire::json::{Kind, Reader};

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// 2026-07-28: requests that stand alone.
    Modern,
    /// A handshake and a session, over streamable HTTP or stdio.
    Legacy,
    /// 2024-11-05 over HTTP: a stream that names the endpoint to post to.
    HttpSse,
}

/// What an upstream answered to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A result. Whether it is one of `server/discover` that lists the modern revision.
    Result {
        /// See [`lists_modern`].
        modern: bool,
    },
    /// A JSON-RPC error with this code.
    Error(i64),
    /// No JSON-RPC message.
    Nothing,
}

/// What a probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The era is known.
    Speaks(Spoken),
    /// Not this one: ask the next question.
    Next(Question),
    /// Nothing was learnt: the upstream is down, or wants credentials.
    Failed,
}

/// What to ask an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A modern `server/discover`.
    Discover,
    /// A legacy `initialize`.
    Initialize,
    /// A GET for an event stream whose first event is `endpoint`.
    OpenStream,
}

/// What an HTTP answer to a question says; the first question is [`Question::Discover`].
pub fn judge_http(question: Question, status: u16, answer: Answer) -> Finding {
    // Credentials, overload and defects say nothing about the era.
    if matches!(status, 401 | 403 | 408 | 429 | 500..) {
        return Finding::Failed;
    }
    match question {
        Question::Discover if is_modern_http(status, answer) => Finding::Speaks(Spoken::Modern),
        Question::Discover => Finding::Next(Question::Initialize),
        Question::Initialize => match (status, answer) {
            (200, Answer::Result { .. }) => Finding::Speaks(Spoken::Legacy),
            (400 | 404 | 405, _) => Finding::Next(Question::OpenStream),
            _ => Finding::Failed,
        },
        Question::OpenStream if status == 200 => Finding::Speaks(Spoken::HttpSse),
        Question::OpenStream => Finding::Failed,
    }
}

fn is_modern_http(status: u16, answer: Answer) -> bool {
    match (status, answer) {
        (200, Answer::Result { modern }) => modern,
        (400, Answer::Error(code)) => is_modern_code(code) || code == i64::from(INVALID_PARAMS),
        (404, Answer::Error(code)) => code == i64::from(METHOD_NOT_FOUND),
        _ => false,
    }
}

/// What a child's answer to `server/discover` says; `None`: none came in time.
///
/// Shape: servers that are legacy answer in every way, also with -32602, and some then answer modern requests all the same:
/// only what no legacy server says counts.
pub fn judge_stdio(answer: Option<Answer>) -> Spoken {
    match answer {
        Some(Answer::Result { modern: true }) => Spoken::Modern,
        Some(Answer::Error(code)) if is_modern_code(code) => Spoken::Modern,
        _ => Spoken::Legacy,
    }
}

fn is_modern_code(code: i64) -> bool {
    [
        HEADER_MISMATCH,
        MISSING_CLIENT_CAPABILITY,
        UNSUPPORTED_PROTOCOL_VERSION,
    ]
    .iter()
    .any(|modern| i64::from(*modern) == code)
}

/// Whether the result of a `server/discover`, which is valid JSON, lists the modern revision.
pub fn lists_modern(result: &[u8]) -> bool {
    let mut reader = Reader::new(result, crate::wire::json::DEPTH_CAP);
    let mut found = || {
        reader.begin_object().ok()?;
        while let Some(key) = reader.key().ok()? {
            if !key.eq_str("supportedVersions") || reader.peek().ok()? != Kind::Array {
                reader.skip().ok()?;
                continue;
            }
            reader.begin_array().ok()?;
            while reader.element().ok()? {
                if reader.peek().ok()? != Kind::String {
                    reader.skip().ok()?;
                } else if reader.string().ok()?.eq_str(Revision::MODERN.as_str()) {
                    return Some(());
                }
            }
        }
        None
    };
    found().is_some()
}

/// The eras that were found, by origin. One for each shard, or one behind a snapshot.
#[derive(Clone, Debug)]
pub struct EraCache {
    found: HashMap<String, (Spoken, u64)>,
    count_max: usize,
    lasts_ms: u64,
}

impl EraCache {
    /// A cache of at most `count_max` origins, each forgotten after `lasts_ms`: servers are replaced by newer ones.
    pub fn new(count_max: usize, lasts_ms: u64) -> Self {
        Self {
            found: HashMap::new(),
            count_max,
            lasts_ms,
        }
    }

    /// What is known of an origin.
    pub fn get(&self, origin: &str, now_ms: u64) -> Option<Spoken> {
        let (spoken, until_ms) = self.found.get(origin)?;
        (now_ms < *until_ms).then_some(*spoken)
    }

    /// Remembers what was found.
    pub fn put(&mut self, origin: &str, spoken: Spoken, now_ms: u64) {
        if self.found.len() >= self.count_max && !self.found.contains_key(origin) {
            self.found.retain(|_, (_, until_ms)| now_ms < *until_ms);
            let oldest = self.found.iter().min_by_key(|(_, (_, until_ms))| *until_ms);
            if self.found.len() >= self.count_max
                && let Some(oldest) = oldest.map(|(origin, _)| origin.clone())
            {
                self.found.remove(&oldest);
            }
        }
        let until_ms = now_ms.saturating_add(self.lasts_ms);
        self.found.insert(origin.to_owned(), (spoken, until_ms));
    }

    /// Forgets an origin: it answered as the other era does.
    pub fn forget(&mut self, origin: &str) {
        self.found.remove(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Finding::{Failed, Next, Speaks};

    #[test]
    fn the_modern_question_is_judged_by_what_only_modern_servers_say() {
        let judge = |status, answer| judge_http(Question::Discover, status, answer);
        let legacy = Next(Question::Initialize);
        for (status, answer, expected) in [
            (200, Answer::Result { modern: true }, Speaks(Spoken::Modern)),
            (200, Answer::Result { modern: false }, legacy),
            (400, Answer::Error(-32020), Speaks(Spoken::Modern)),
            (400, Answer::Error(-32021), Speaks(Spoken::Modern)),
            (400, Answer::Error(-32022), Speaks(Spoken::Modern)),
            (400, Answer::Error(-32602), Speaks(Spoken::Modern)),
            (404, Answer::Error(-32601), Speaks(Spoken::Modern)),
            (200, Answer::Error(-32601), legacy),
            (400, Answer::Error(-32000), legacy),
            (400, Answer::Error(-32600), legacy),
            (400, Answer::Nothing, legacy),
            (404, Answer::Nothing, legacy),
            (405, Answer::Nothing, legacy),
            (406, Answer::Nothing, legacy),
            (415, Answer::Error(-32000), legacy),
            (202, Answer::Nothing, legacy),
            (401, Answer::Nothing, Failed),
            (403, Answer::Error(-32020), Failed),
            (429, Answer::Nothing, Failed),
            (500, Answer::Error(-32603), Failed),
            (503, Answer::Nothing, Failed),
        ] {
            assert_eq!(judge(status, answer), expected, "{status} {answer:?}");
        }
    }

    #[test]
    fn the_handshake_leads_to_a_session_or_to_the_old_endpoints() {
        let judge = |status, answer| judge_http(Question::Initialize, status, answer);
        assert_eq!(
            judge(200, Answer::Result { modern: false }),
            Speaks(Spoken::Legacy)
        );
        for status in [400, 404, 405] {
            assert_eq!(judge(status, Answer::Nothing), Next(Question::OpenStream));
        }
        assert_eq!(judge(200, Answer::Error(-32603)), Failed);
        assert_eq!(judge(502, Answer::Nothing), Failed);
        assert_eq!(
            judge_http(Question::OpenStream, 200, Answer::Nothing),
            Speaks(Spoken::HttpSse)
        );
        assert_eq!(
            judge_http(Question::OpenStream, 404, Answer::Nothing),
            Failed
        );
    }

    #[test]
    fn a_child_is_modern_only_where_it_says_so() {
        assert_eq!(
            judge_stdio(Some(Answer::Result { modern: true })),
            Spoken::Modern
        );
        assert_eq!(judge_stdio(Some(Answer::Error(-32022))), Spoken::Modern);
        let legacy = [
            None,
            Some(Answer::Result { modern: false }),
            Some(Answer::Error(-32601)),
            Some(Answer::Error(-32602)),
            Some(Answer::Nothing),
        ];
        assert!(
            legacy
                .into_iter()
                .all(|answer| judge_stdio(answer) == Spoken::Legacy)
        );
    }

    #[test]
    fn a_discovery_lists_its_revisions() {
        for (result, expected) in [
            (r#"{"supportedVersions":["2025-11-25","2026-07-28"]}"#, true),
            (
                r#"{"a":{"supportedVersions":["2026-07-28"]},"supportedVersions":["2025-11-25"]}"#,
                false,
            ),
            (r#"{"supportedVersions":"2026-07-28"}"#, false),
            (r#"{"supportedVersions":[1,null,["2026-07-28"]]}"#, false),
            (r#"{"\u0073upportedVersions":[5,"2026-07-2\u0038"]}"#, true),
            ("{}", false),
        ] {
            assert_eq!(lists_modern(result.as_bytes()), expected, "{result}");
        }
    }

    #[test]
    fn what_was_found_is_remembered_for_a_while_and_within_bounds() {
        let mut cache = EraCache::new(2, 100);
        cache.put("http://a", Spoken::Modern, 0);
        cache.put("http://b", Spoken::Legacy, 10);
        assert_eq!(cache.get("http://a", 99), Some(Spoken::Modern));
        assert_eq!(cache.get("http://a", 100), None);
        cache.put("http://c", Spoken::HttpSse, 20);
        assert_eq!(cache.get("http://a", 20), None, "the oldest gives way");
        assert_eq!(cache.get("http://b", 20), Some(Spoken::Legacy));
        cache.forget("http://b");
        assert_eq!(cache.get("http://b", 20), None);
        cache.put("http://c", Spoken::Legacy, 50);
        assert_eq!(cache.get("http://c", 140), Some(Spoken::Legacy));
    }
}
