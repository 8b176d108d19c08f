//! What has to hold for any course of appending, leaving and coming back, as a function that panics where it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{EventId, EventLimits, SessionEvents, StreamId};
use crate::mcp::changes::Changes;
use crate::mem::ByteBudget;

const LIMITS: EventLimits = EventLimits {
    count_max: 6,
    bytes_max: 700,
    keep_ms: 40,
    subscription_count_max: 4,
};

/// Small enough for the course to meet it.
const BUDGET_BYTES: usize = 600;

/// Streams of which the course speaks at a time.
const STREAMS_MAX: usize = 4;

/// What a stream was sent and where its client stands.
#[derive(Default)]
struct Model {
    sent: Vec<Vec<u8>>,
    read: u64,
    owner: u64,
    finished: bool,
}

/// Follows a course beside a model that keeps everything.
///
/// Shape: any bytes, two to a step: what to do, and to which stream.
pub(crate) fn check(course: &[u8]) {
    let budget = ByteBudget::new(BUDGET_BYTES);
    let changes = Arc::new(Changes::default());
    let told = changes.now();
    let events = SessionEvents::new(LIMITS, changes, Arc::clone(&budget), told);
    let mut streams = BTreeMap::from([(StreamId::SESSION, Model::default())]);
    for (step, pair) in course.chunks_exact(2).enumerate() {
        let now_ms = step as u64;
        let pick = usize::from(pair[1]) % streams.len();
        let Some((&stream, model)) = streams.iter_mut().nth(pick) else {
            continue;
        };
        match pair[0] % 8 {
            0 => {
                let opened = events.open(now_ms + 1).expect("the session is open");
                let model = Model {
                    owner: now_ms + 1,
                    ..Model::default()
                };
                assert!(streams.insert(opened, model).is_none(), "a stream twice");
            }
            1..=3 => append(&events, stream, model, pair[1], now_ms),
            4 | 5 => read(&events, stream, model, usize::from(pair[1])),
            6 => {
                if let Ok(attached) = events.attach(stream, now_ms + 1) {
                    assert_eq!(attached.displaced, model.owner);
                    model.owner = now_ms + 1;
                }
            }
            _ => {
                assert_eq!(events.detach(stream, model.owner), model.owner != 0);
                model.owner = 0;
                if stream != StreamId::SESSION && pair[1] & 0x80 != 0 {
                    events.finish(stream);
                    model.finished = true;
                }
            }
        }
        assert!(budget.used() <= LIMITS.bytes_max.min(BUDGET_BYTES));
        let attached = streams.values().any(|model| model.owner != 0);
        assert_eq!(events.is_attached(), attached);
        if streams.len() > STREAMS_MAX {
            let (stream, model) = streams.pop_last().expect("there are some");
            events.detach(stream, model.owner);
            events.finish(stream);
        }
    }
    events.close();
    assert_eq!(budget.used(), 0, "everything is given back");
}

fn append(events: &SessionEvents, stream: StreamId, model: &mut Model, size: u8, now_ms: u64) {
    let message = vec![b'a' + size % 26; usize::from(size)];
    match events.append(stream, &message, now_ms) {
        Ok(appended) => {
            model.sent.push(message);
            let seq = model.sent.len() as u64;
            assert_eq!(appended.id, EventId { stream, seq });
            assert_eq!(appended.owner, model.owner);
            let text = appended.id.to_string();
            assert_eq!(EventId::parse(text.as_bytes()), Some(appended.id));
        }
        Err(_) => assert!(model.finished && model.owner == 0, "forgotten too early"),
    }
}

fn read(events: &SessionEvents, stream: StreamId, model: &mut Model, bytes_max: usize) {
    let Ok(replay) = events.read_after(stream, model.read, bytes_max) else {
        assert!(model.finished && model.owner == 0, "forgotten too early");
        return;
    };
    let mut seq = model.read;
    for event in &replay.events {
        assert!(event.seq > seq, "in order, and none twice");
        seq = event.seq;
        let sent = &model.sent[event.seq as usize - 1];
        assert_eq!(&*event.message, sent.as_slice(), "the event of this number");
    }
    assert!(replay.last >= seq && replay.last <= model.sent.len() as u64);
    assert_eq!(
        replay.last - model.read,
        replay.gone + replay.events.len() as u64,
        "what is not there is counted"
    );
    assert_eq!(replay.more, replay.last < model.sent.len() as u64);
    assert_eq!(replay.completed, model.finished);
    model.read = replay.last;
}
