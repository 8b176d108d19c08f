//! Tasks for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::component::{Asked, Recorded};
use crate::mcp::{ClientCapabilities, Principal, Revision};

use super::id::{Owner, TaskId};
use super::record::{Order, Question, Record, RunEnd, State, Work};

pub(super) const NOW_MS: u64 = 1_785_240_000_000;

pub(super) fn order() -> Order {
    Order {
        arguments: br#"{"seconds": 60, "label":"\u00e4 \"x\""}"#.to_vec(),
        component: "jobs".into(),
        digest: "ab".repeat(32).into(),
        revision: Revision::V2026_07_28,
        capabilities: ClientCapabilities::TASKS.with(ClientCapabilities::ELICITATION_FORM),
        client_info: Some(br#"{"name":"c","version":"1"}"#.as_slice().into()),
        meta: None,
        principal: Some("somebody".into()),
        who: None,
    }
}

pub(super) fn owner() -> Owner {
    Owner {
        principal: Principal(7),
        session: None,
    }
}

pub(super) fn work() -> Work {
    Work {
        order: Arc::new(order()),
        recorded: Recorded::default(),
    }
}

/// A task that has just been made, with this number for an id.
pub(super) fn made(number: u8) -> Record {
    let id = TaskId::new([number; 16]);
    Record::new(id, owner(), "slow_compute".into(), work(), NOW_MS, 60_000)
}

pub(super) fn question(key: &str) -> Question {
    Question {
        key: key.into(),
        request: br#"{"method":"elicitation/create","params":{"message":"Sure?","requestedSchema":{"type":"object","properties":{}}}}"#
            .as_slice()
            .into(),
    }
}

/// The ending of a run that asks under these keys.
pub(super) fn asks(keys: &[&str]) -> RunEnd {
    let mut requests = b"{".to_vec();
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            requests.push(b',');
        }
        crate::wire::json::write_str(&mut requests, key);
        requests.push(b':');
        requests.extend_from_slice(&question(key).request);
    }
    requests.push(b'}');
    RunEnd::Asked(Box::new(Asked {
        requests,
        recorded: Recorded {
            answers: BTreeMap::new(),
            state: Some(vec![0, 255, 7]),
            round: 1,
        },
    }))
}

pub(super) fn answers(keys: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let answer = || br#"{"action":"accept","content":{"confirm":true}}"#.to_vec();
    keys.iter()
        .map(|key| ((*key).to_owned(), answer()))
        .collect()
}

pub(super) fn result(text: &str) -> RunEnd {
    RunEnd::Result {
        members: members(text),
        meta: Vec::new(),
        is_error: false,
    }
}

pub(super) fn members(text: &str) -> Vec<u8> {
    format!(r#""content":[{{"type":"text","text":"{text}"}}]"#).into_bytes()
}

/// A task in each state, at work first.
pub(super) fn in_each_state() -> Vec<Record> {
    let limits = crate::limits::Limits::default();
    let room = usize::MAX;
    let end = |number, ending| {
        made(number)
            .ended(ending, NOW_MS + 5, room, &limits)
            .unwrap()
    };
    let asking = end(2, asks(&["name", "with \"quotes\" \u{e4}"]));
    let mut answered = asking.clone();
    if let State::InputRequired { work, .. } = &mut answered.state {
        let recorded = Recorded {
            answers: answers(&["earlier", "\n"]),
            ..work.recorded.clone()
        };
        *work = Arc::new(Work {
            order: Arc::clone(&work.order),
            recorded,
        });
    }
    vec![
        made(1),
        asking,
        answered,
        end(4, result("done")),
        end(
            5,
            RunEnd::Result {
                members: members("no"),
                meta: br#""tool/x":{"a":1}"#.to_vec(),
                is_error: true,
            },
        ),
        end(
            6,
            RunEnd::Error {
                members: br#""code":-32602,"message":"no \"such\" thing","data":{"x":[1]}"#
                    .to_vec(),
            },
        ),
        made(7).cancelled(NOW_MS + 9),
    ]
}
