//! The engine with a disk that fails on purpose and a runner that does as it is told.

use std::collections::HashMap as Map;
use std::future::Future;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use super::super::id::Owner;
use super::super::record::Question;
use super::super::run::Done;
use super::super::samples::{self, answers, asks, made, owner, result};
use super::*;
use crate::tape::{Backend, Recorder};
use crate::task::{Folder, Purpose, Tasks};

const PATIENCE: Duration = Duration::from_secs(20);

/// A disk in memory: what it holds would be there after a crash.
#[derive(Clone, Default)]
struct Disk {
    files: Arc<Mutex<Map<TaskId, Vec<u8>>>>,
    broken: Arc<AtomicBool>,
    /// Time that a write takes.
    slow: Arc<Mutex<Duration>>,
    at_once: Arc<AtomicUsize>,
    at_once_most: Arc<AtomicUsize>,
}

impl Disk {
    /// What a process that starts now would find.
    fn left(&self) -> Vec<Record> {
        let files = self.files.lock().unwrap();
        files
            .values()
            .map(|text| file::read(text).unwrap())
            .collect()
    }

    fn record(&self, id: TaskId) -> Option<Record> {
        let files = self.files.lock().unwrap();
        files.get(&id).map(|text| file::read(text).unwrap())
    }
}

impl Store for Disk {
    fn write(&self, id: TaskId, text: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send {
        let disk = self.clone();
        async move {
            let count = disk.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            disk.at_once_most.fetch_max(count, Ordering::SeqCst);
            let pause = *disk.slow.lock().unwrap();
            tokio::time::sleep(pause).await;
            disk.at_once.fetch_sub(1, Ordering::SeqCst);
            if disk.broken.load(Ordering::SeqCst) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            disk.files.lock().unwrap().insert(id, text);
            Ok(())
        }
    }

    fn remove(&self, id: TaskId) -> impl Future<Output = io::Result<()>> + Send {
        self.files.lock().unwrap().remove(&id);
        std::future::ready(Ok(()))
    }

    fn adopts(&self) -> bool {
        false
    }

    fn adopt(&self) -> Vec<Record> {
        Vec::new()
    }
}

/// Runs nothing by itself: the test ends each run.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<Started>>>, Arc<AtomicBool>);

struct Started {
    work: Work,
    done: Option<Done>,
    stopped: Arc<AtomicBool>,
}

impl Runner for Runs {
    fn run(&self, tool: &str, _: &Owner, work: &Work, done: Done) -> Result<Stop, NotRun> {
        if tool == "gone" {
            return Err(NotRun::Impossible("the component was removed".to_owned()));
        }
        if self.1.load(Ordering::SeqCst) {
            return Err(NotRun::Busy);
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        let started = Started {
            work: work.clone(),
            done: Some(done),
            stopped,
        };
        self.0.lock().unwrap().push(started);
        Ok(Box::new(move || flag.store(true, Ordering::SeqCst)))
    }
}

impl Runs {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn end(&self, index: usize, result: Result<RunEnd, NotRun>) {
        eventually("the run begins", || self.count() > index);
        let done = self.0.lock().unwrap()[index].done.take().unwrap();
        done(result);
    }

    fn is_stopped(&self, index: usize) -> bool {
        self.0.lock().unwrap()[index].stopped.load(Ordering::SeqCst)
    }
}

/// Counts.
#[derive(Default)]
struct Rings(Arc<AtomicUsize>);

impl Watcher for Rings {
    fn changed(&self, _: &Record) {}

    fn ring(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

struct Bench {
    tasks: Tasks,
    disk: Disk,
    runs: Runs,
    rung: Arc<AtomicUsize>,
}

impl Bench {
    fn with(disk: Disk, change: impl FnOnce(&mut Limits)) -> Self {
        let runs = Runs::default();
        let rung = Arc::new(AtomicUsize::new(0));
        let (left, bell) = (disk.left(), Arc::clone(&rung));
        let mut limits = Limits::default();
        change(&mut limits);
        let tasks = Tasks::start(EngineOptions {
            limits,
            store: disk.clone(),
            left,
            runner: Arc::new(runs.clone()),
            watcher: Box::new(Rings(bell)),
        });
        Self {
            tasks: tasks.unwrap(),
            disk,
            runs,
            rung,
        }
    }

    fn new() -> Self {
        Self::with(Disk::default(), |_| {})
    }

    fn ask(&self, tool: &str, ttl_ms: Option<u64>) -> Receiver<Word> {
        let (reply, word) = word();
        let new = NewTask {
            owner: owner(),
            tool: tool.into(),
            work: samples::work(),
            ttl_ms,
        };
        self.tasks.make(new, reply);
        word
    }

    fn make(&self) -> Arc<Record> {
        done(&self.ask("slow_compute", None))
    }

    fn update(&self, id: TaskId, keys: &[&str]) -> Word {
        let (reply, word) = word();
        self.tasks.update(id, answers(keys), reply);
        word.recv_timeout(PATIENCE).unwrap()
    }

    fn cancel(&self, id: TaskId) -> Word {
        let (reply, word) = word();
        self.tasks.cancel(id, reply);
        word.recv_timeout(PATIENCE).unwrap()
    }

    fn see(&self, id: TaskId) -> Option<Arc<Record>> {
        let entry = self.tasks.table().find(&id.text(), owner().principal)?;
        Some(entry.record())
    }

    fn until(&self, id: TaskId, holds: impl Fn(&State) -> bool) -> Arc<Record> {
        eventually("the task gets there", || {
            holds(&self.see(id).unwrap().state)
        });
        self.see(id).unwrap()
    }
}

/// Not every test lets its runs end, and the engine's end waits for them.
impl Drop for Bench {
    fn drop(&mut self) {
        self.runs.1.store(true, Ordering::SeqCst);
        for started in self.runs.0.lock().unwrap().iter_mut() {
            if let Some(done) = started.done.take() {
                done(Ok(RunEnd::Stopped));
            }
        }
    }
}

fn word() -> (Reply, Receiver<Word>) {
    let (sender, word) = sync_channel(1);
    (Box::new(move |told| drop(sender.send(told))), word)
}

fn done(word: &Receiver<Word>) -> Arc<Record> {
    match word.recv_timeout(PATIENCE).unwrap() {
        Word::Done(record) => record,
        other => panic!("{other:?}"),
    }
}

fn open(state: &State) -> Vec<&Question> {
    match state {
        State::InputRequired { open, .. } => open.iter().collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_task_goes_from_its_making_over_its_questions_to_its_result_and_each_step_is_on_the_disk() {
    let bench = Bench::new();
    let record = bench.make();
    let id = record.id;
    assert_eq!(
        bench.disk.record(id).as_ref(),
        Some(&*record),
        "durable before it is told"
    );
    assert_eq!(bench.see(id), Some(Arc::clone(&record)));

    bench.runs.end(0, Ok(asks(&["a", "b"])));
    let asking = bench.until(id, |state| open(state).len() == 2);
    assert_eq!(bench.disk.record(id).as_ref(), Some(&*asking));

    assert!(matches!(bench.update(id, &["a"]), Word::Done(_)));
    assert_eq!(
        open(&bench.see(id).unwrap().state).len(),
        1,
        "seen by the very next look"
    );
    assert!(matches!(bench.update(id, &["b", "unknown"]), Word::Done(_)));
    assert!(matches!(bench.see(id).unwrap().state, State::Working(_)));

    bench.runs.end(1, Ok(result("done")));
    let ended = bench.until(id, |state| matches!(state, State::Completed { .. }));
    assert_eq!(bench.disk.record(id).as_ref(), Some(&*ended));
    let second = bench.runs.0.lock().unwrap()[1].work.clone();
    assert_eq!(second.recorded.answers.len(), 2);
    let counts = bench.tasks.table().counts();
    assert_eq!((counts.made, counts.completed, counts.kept), (1, 1, 1));
}

#[test]
fn a_cancelled_run_is_stopped_and_keeps_its_place_until_it_has_ended() {
    let bench = Bench::with(Disk::default(), |limits| limits.task_running_max = 1);
    let first = bench.make();
    let second = bench.make();
    eventually("the first runs", || bench.runs.count() == 1);
    assert!(
        matches!(bench.cancel(first.id), Word::Done(record) if record.state == State::Cancelled)
    );
    assert!(bench.runs.is_stopped(0));
    assert!(matches!(bench.cancel(first.id), Word::Ended(_)));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(bench.runs.count(), 1, "the guest still computes");
    bench.runs.end(0, Ok(RunEnd::Stopped));
    eventually("the second runs", || bench.runs.count() == 2);
    assert_eq!(bench.see(first.id).unwrap().state, State::Cancelled);
    bench.runs.end(1, Ok(result("done")));
    bench.until(second.id, |state| matches!(state, State::Completed { .. }));
}

#[test]
fn runs_beyond_the_bound_wait_for_their_turn_and_a_cancelled_one_gives_its_turn_away() {
    let bench = Bench::with(Disk::default(), |limits| limits.task_running_max = 2);
    let records: Vec<_> = (0..5).map(|_| bench.make()).collect();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(bench.runs.count(), 2);
    assert_eq!(bench.tasks.table().counts().running, 5);
    bench.cancel(records[2].id);
    for index in 0..4 {
        bench.runs.end(index, Ok(result("done")));
    }
    for (index, record) in records.iter().enumerate() {
        let cancelled = index == 2;
        bench.until(record.id, |state| {
            matches!(state, State::Completed { .. }) != cancelled
                && !matches!(state, State::Working(_))
        });
    }
    assert_eq!(bench.runs.count(), 4);
}

#[test]
fn a_call_that_finds_no_worker_is_tried_again_and_one_that_has_no_component_fails() {
    let bench = Bench::new();
    let record = bench.make();
    bench.runs.end(0, Err(NotRun::Busy));
    bench.runs.end(1, Ok(result("at last")));
    bench.until(record.id, |state| matches!(state, State::Completed { .. }));

    let record = done(&bench.ask("gone", None));
    let failed = bench.until(record.id, |state| matches!(state, State::Failed { .. }));
    let State::Failed { members } = &failed.state else {
        unreachable!();
    };
    assert!(String::from_utf8_lossy(members).contains("the component was removed"));
}

#[test]
fn a_run_that_is_lost_is_a_failure() {
    let bench = Bench::new();
    let record = bench.make();
    eventually("the run begins", || bench.runs.count() == 1);
    drop(bench.runs.0.lock().unwrap()[0].done.take());
    bench.until(record.id, |state| matches!(state, State::Failed { .. }));
}

#[test]
fn an_expired_task_is_gone_with_its_file_and_its_run_is_stopped() {
    let bench = Bench::with(Disk::default(), |limits| {
        limits.task_ttl = Duration::from_millis(1_200);
        limits.task_ttl_max = Duration::from_secs(5);
    });
    let record = bench.make();
    assert_eq!(record.ttl_ms, 1_200);
    assert_eq!(done(&bench.ask("x", Some(u64::MAX))).ttl_ms, 5_000);
    assert_eq!(done(&bench.ask("x", Some(0))).ttl_ms, TTL_MS_MIN);
    let entry = bench
        .tasks
        .table()
        .find(&record.id.text(), owner().principal);
    let follow = entry.unwrap().follow();
    eventually("it expires", || bench.see(record.id).is_none());
    eventually("its file goes", || bench.disk.record(record.id).is_none());
    assert!(follow.entry().is_gone() && bench.rung.load(Ordering::SeqCst) > 0);
    eventually("its run is stopped", || bench.runs.is_stopped(0));
    assert_eq!(bench.cancel(record.id), Word::Refused(Refused::Unknown));
}

#[test]
fn a_task_is_kept_until_its_time_is_over_from_when_it_was_made() {
    let mut old = made(1).cancelled(samples::NOW_MS);
    let clock = Clock::start();
    old.created_ms = clock.now_ms() - 10_000;
    old.ttl_ms = 11_000;
    let mut older = made(2).cancelled(samples::NOW_MS);
    older.created_ms = clock.now_ms() - 10_000;
    older.ttl_ms = 9_000;
    let disk = Disk::default();
    for record in [&old, &older] {
        disk.files
            .lock()
            .unwrap()
            .insert(record.id, file::write(record));
    }
    let bench = Bench::with(disk, |_| {});
    eventually("what had expired goes", || {
        bench.disk.record(older.id).is_none()
    });
    assert!(bench.see(old.id).is_some());
    eventually("the other goes at its time", || bench.see(old.id).is_none());
    assert!(clock.now_ms() >= old.created_ms + 11_000);
}

#[test]
fn a_full_disk_refuses_new_tasks_and_answers_and_loses_no_result() {
    let bench = Bench::new();
    let (parked, working) = (bench.make(), bench.make());
    bench.runs.end(0, Ok(asks(&["a"])));
    bench.until(parked.id, |state| !open(state).is_empty());
    bench.disk.broken.store(true, Ordering::SeqCst);
    let refused = Word::Refused(Refused::NotStored);
    assert_eq!(
        bench.ask("x", None).recv_timeout(PATIENCE).unwrap(),
        refused
    );
    assert_eq!(bench.update(parked.id, &["a"]), refused);
    bench.runs.end(1, Ok(result("done")));
    eventually("it is offered", || {
        bench.tasks.table().counts().unstored >= 3
    });
    assert!(matches!(
        bench.see(working.id).unwrap().state,
        State::Working(_)
    ));
    bench.disk.broken.store(false, Ordering::SeqCst);
    bench.until(working.id, |state| matches!(state, State::Completed { .. }));
    assert!(bench.disk.record(working.id).unwrap().is_terminal());
    assert!(matches!(bench.update(parked.id, &["a"]), Word::Done(_)));
    let counts = bench.tasks.table().counts();
    assert_eq!((counts.kept, counts.refused), (2, 1));
}

#[test]
fn after_a_crash_at_any_moment_every_acknowledged_task_is_there() {
    for step in 0..4 {
        let bench = Bench::new();
        let record = bench.make();
        if step > 0 {
            bench.runs.end(0, Ok(asks(&["a"])));
            bench.until(record.id, |state| !open(state).is_empty());
        }
        if step > 1 {
            bench.update(record.id, &["a"]);
        }
        if step > 2 {
            bench.runs.end(1, Ok(result("done")));
            bench.until(record.id, |state| matches!(state, State::Completed { .. }));
        }
        let before = bench.see(record.id).unwrap();
        // A crash: the next process begins with what the disk has at this moment.
        let disk = Disk {
            files: Arc::new(Mutex::new(bench.disk.files.lock().unwrap().clone())),
            ..Disk::default()
        };
        let next = Bench::with(disk, |_| {});
        let after = next.until(record.id, |state| !matches!(state, State::Working(_)));
        match &before.state {
            State::Working(_) => {
                assert!(matches!(after.state, State::Failed { .. }));
                eventually("the failure is durable", || {
                    next.disk.record(record.id).unwrap().is_terminal()
                });
            }
            _ => assert_eq!(after.state, before.state),
        }
        if step == 1 {
            next.update(record.id, &["a"]);
            next.runs.end(0, Ok(result("after the restart")));
            next.until(record.id, |state| matches!(state, State::Completed { .. }));
        }
    }
}

#[test]
fn an_orderly_end_stops_runs_and_loses_nothing_that_was_asked_for() {
    let bench = Bench::new();
    *bench.disk.slow.lock().unwrap() = Duration::from_millis(30);
    let running = bench.make();
    eventually("it runs", || bench.runs.count() == 1);
    let words: Vec<_> = (0..100).map(|_| bench.ask("x", None)).collect();
    let runs = bench.runs.clone();
    let ender = std::thread::spawn(move || {
        eventually("it is stopped", || runs.is_stopped(0));
        for started in runs.0.lock().unwrap().iter_mut() {
            if let Some(done) = started.done.take() {
                done(Ok(RunEnd::Stopped));
            }
        }
    });
    bench.tasks.end();
    ender.join().unwrap();
    let mut made = 0;
    for word in words {
        match word.recv_timeout(PATIENCE).unwrap() {
            Word::Done(record) => {
                made += 1;
                assert!(bench.disk.record(record.id).is_some());
            }
            Word::Refused(Refused::Ending) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.disk.left().len(), made + 1);
    assert!(matches!(
        bench.disk.record(running.id).unwrap().state,
        State::Working(_)
    ));
    let word = bench.ask("x", None).recv_timeout(PATIENCE).unwrap();
    assert_eq!(word, Word::Refused(Refused::Ending));
}

#[test]
fn records_on_their_way_to_the_disk_are_bounded_and_all_arrive() {
    let bench = Bench::new();
    *bench.disk.slow.lock().unwrap() = Duration::from_millis(2);
    let words: Vec<_> = (0..300).map(|_| bench.ask("x", None)).collect();
    for word in &words {
        done(word);
    }
    assert_eq!(bench.disk.left().len(), 300);
    let most = bench.disk.at_once_most.load(Ordering::SeqCst);
    assert!((2..=WRITES_MAX).contains(&most), "{most} at once");
}

#[test]
fn tasks_on_a_real_disk_are_there_for_the_next_process() {
    for backend in [Backend::Uring, Backend::Plain] {
        let state = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(backend).unwrap();
        let start = |runs: &Runs| {
            let (store, left) =
                Folder::open(state.path(), Purpose::Serve, recorder.handle()).unwrap();
            let tasks = Tasks::start(EngineOptions {
                limits: Limits::default(),
                store,
                left,
                runner: Arc::new(runs.clone()),
                watcher: Box::new(Rings::default()),
            });
            tasks.unwrap()
        };
        let runs = Runs::default();
        let tasks = start(&runs);
        let make = || {
            let (reply, word) = word();
            let new = NewTask {
                owner: owner(),
                tool: "x".into(),
                work: samples::work(),
                ttl_ms: None,
            };
            tasks.make(new, reply);
            done(&word)
        };
        let records: Vec<_> = (0..20).map(|_| make()).collect();
        runs.end(0, Ok(result("done")));
        let see = |tasks: &Tasks, id: TaskId| {
            let entry = tasks.table().find(&id.text(), owner().principal);
            entry.unwrap().record()
        };
        eventually("one ends", || see(&tasks, records[0].id).is_terminal());
        runs.end(1, Ok(RunEnd::Stopped));
        for index in 2..20 {
            runs.end(index, Ok(asks(&["q"])));
        }
        eventually("all ask", || {
            records[2..]
                .iter()
                .all(|record| !open(&see(&tasks, record.id).state).is_empty())
        });
        drop(tasks);
        let tasks = start(&runs);
        assert!(matches!(
            see(&tasks, records[0].id).state,
            State::Completed { .. }
        ));
        eventually("the one at work has failed", || {
            matches!(see(&tasks, records[1].id).state, State::Failed { .. })
        });
        for record in &records[2..] {
            assert_eq!(open(&see(&tasks, record.id).state).len(), 1);
        }
    }
}
