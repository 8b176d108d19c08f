use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::super::record::Order;
use super::super::samples::{self, owner};
use super::*;
use crate::catalog::Catalog;
use crate::component::{Component, RuntimeOptions};

/// `quick: func()` and `spin: func()`.
const JOBS: &str = r#"(component
  (core module $m (func (export "quick")) (func (export "spin") (loop $more (br $more))))
  (core instance $i (instantiate $m))
  (func (export "quick") (canon lift (core func $i "quick")))
  (func (export "spin") (canon lift (core func $i "spin"))))"#;

struct Bench {
    runner: Box<dyn Runner>,
    component: Arc<Component>,
}

impl Bench {
    fn new(task_deadline: Duration) -> Self {
        let limits = Limits {
            task_deadline,
            instance_count_max: 8,
            ..Limits::default()
        };
        let options = RuntimeOptions {
            worker_count: 1,
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::new(&limits, options).unwrap();
        let component = runtime.load("jobs", JOBS.as_bytes()).unwrap();
        let catalog = Catalog::build(std::slice::from_ref(&component), 1, 100);
        let find = move |name: &str| catalog.tool(name).cloned();
        Self {
            runner: Box::new(ComponentRunner::new(runtime, limits, find)),
            component,
        }
    }

    /// The end of a run, which is stopped after a moment if `stops`.
    fn run(&self, tool: &str, work: &Work, stops: bool) -> Result<RunEnd, NotRun> {
        let (sender, ended) = sync_channel(1);
        let done = Box::new(move |result| drop(sender.send(result)));
        let stop = self.runner.run(tool, &owner(), work, done)?;
        if stops {
            std::thread::sleep(Duration::from_millis(50));
            stop();
            stop();
        }
        ended.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn work(&self) -> Work {
        let order = Order {
            arguments: b"{}".to_vec(),
            component: "jobs".into(),
            digest: self.component.digest().as_ref().into(),
            ..samples::order()
        };
        Work {
            order: Arc::new(order),
            recorded: Recorded::default(),
        }
    }
}

#[test]
fn a_run_ends_as_its_call_does_or_as_it_is_stopped() {
    let bench = Bench::new(Duration::from_secs(20));
    let work = bench.work();
    let ended = bench.run("quick", &work, false).unwrap();
    assert!(
        matches!(&ended, RunEnd::Result { is_error: false, meta, .. } if meta.is_empty()),
        "{ended:?}"
    );
    assert_eq!(bench.run("spin", &work, true), Ok(RunEnd::Stopped));
    let hasty = Bench::new(Duration::from_millis(50));
    assert_eq!(
        hasty.run("spin", &hasty.work(), false),
        Ok(RunEnd::Deadline)
    );
    let wrong = Work {
        order: Arc::new(Order {
            arguments: br#"{"unknown":1}"#.to_vec(),
            ..(*work.order).clone()
        }),
        ..work
    };
    let refused = bench.run("quick", &wrong, false);
    assert!(
        matches!(refused, Ok(RunEnd::Result { is_error: true, .. })),
        "{refused:?}"
    );
}

#[test]
fn answers_are_for_the_component_that_asked_and_no_other() {
    let bench = Bench::new(Duration::from_secs(20));
    let mut work = bench.work();
    work.order = Arc::new(Order {
        digest: "00".repeat(32).into(),
        ..(*work.order).clone()
    });
    assert!(
        bench.run("quick", &work, false).is_ok(),
        "nobody has answered yet"
    );
    work.recorded.answers = samples::answers(&["key"]);
    let Err(NotRun::Impossible(why)) = bench.run("quick", &work, false) else {
        panic!("it was run");
    };
    assert!(why.contains("component jobs was replaced"), "{why}");
    let Err(NotRun::Impossible(why)) = bench.run("gone", &bench.work(), false) else {
        panic!("it was run");
    };
    assert!(why.contains("`gone`"), "{why}");
}
