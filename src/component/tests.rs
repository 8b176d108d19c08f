//! What the module promises, held against hand-written components.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::limits::Limits;

mod clock;
mod granted;
mod guests;
mod host;
pub(crate) mod hosted;
mod hostile;
mod lifecycle;
mod living;
mod offers;
mod values;

/// A runtime with one shard's pool, as a test drives it.
struct Bench {
    runtime: Arc<Runtime>,
    pool: InstancePool,
}

impl Bench {
    fn new() -> Self {
        Self::with(small_limits(), EngineChoice::Auto)
    }

    fn with(limits: Limits, engine: EngineChoice) -> Self {
        let runtime = Runtime::new(
            &limits,
            RuntimeOptions {
                cache_dir: None,
                worker_count: 2,
                engine,
                ..RuntimeOptions::default()
            },
        )
        .unwrap();
        let mailbox = runtime.mailbox(|| {});
        let pool = runtime.instance_pool(mailbox);
        Self { runtime, pool }
    }

    fn load(&self, text: &str) -> Arc<Component> {
        self.runtime.load("test", text.as_bytes()).unwrap()
    }

    /// Calls the first tool and waits for its end, wherever that is.
    fn call(&mut self, component: &Arc<Component>, arguments: &str) -> (CallOutcome, Value) {
        self.call_within(component, arguments, Duration::from_secs(20))
    }

    fn call_within(
        &mut self,
        component: &Arc<Component>,
        arguments: &str,
        time: Duration,
    ) -> (CallOutcome, Value) {
        let mut out = Vec::new();
        let call = CallContext {
            ticket: 7,
            deadline: Instant::now() + time,
            behalf: None,
        };
        match self
            .pool
            .call(component, 0, Some(arguments.as_bytes()), call, &mut out)
        {
            Started::Done(report) => (report.outcome, object(&out)),
            Started::Asked(asked, _) => panic!("{asked:?}"),
            Started::Moved(_) => {
                assert!(out.is_empty(), "a call that moved has written nothing");
                let finished = self.finished();
                assert_eq!(finished.ticket, 7);
                (finished.report.outcome, object(&finished.members))
            }
        }
    }

    fn finished(&self) -> Finished {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(finished) = self.pool.mailbox().take() {
                return finished;
            }
            assert!(Instant::now() < end, "no call finished");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Limits that keep a test's engines quick to make.
fn small_limits() -> Limits {
    Limits {
        instance_count_max: 20,
        memory_bytes_max: 16 << 20,
        ..Limits::default()
    }
}

/// The members as an object.
fn object(members: &[u8]) -> Value {
    let text = format!("{{{}}}", std::str::from_utf8(members).unwrap());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}
