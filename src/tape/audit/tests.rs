use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::audit::{Event, Fault, Head, Kind, Outcome, Report, Verifier};
use crate::tape::tests::{Fault as DiskFault, Faults, every_backend, wait};
use crate::tape::{Recorder, RecorderHandle};

const KEY: Key = [3; 32];

fn options(directory: &Path) -> AuditOptions {
    AuditOptions::new(directory.join("audit"), KEY)
}

fn open(recorder: &Recorder, options: AuditOptions) -> AuditLog {
    wait(recorder.handle().open_audit(options)).unwrap()
}

fn event(target: &str) -> Event<'_> {
    Event {
        target,
        principal: "key/test",
        ..Event::new(Kind::ComponentInvocation, Outcome::Ok)
    }
}

/// Everything in the directory as a reader with the key sees it.
fn verified(directory: &Path) -> Report {
    let head = fs::read(directory.join(HEAD_FILE)).ok();
    let mut verifier = Verifier::new(Some(KEY), head.and_then(|bytes| Head::read(&bytes)));
    for segment in segments(directory).unwrap() {
        verifier.file(&segment.name());
        let bytes = fs::read(&segment.path).unwrap();
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            match lines.peek() {
                Some(_) => verifier.line(line),
                None if line.is_empty() => {}
                None => verifier.torn(),
            }
        }
    }
    verifier.finish()
}

fn lines(directory: &Path) -> Vec<serde_json::Value> {
    let files = segments(directory).unwrap();
    let text: String = files
        .iter()
        .map(|file| fs::read_to_string(&file.path).unwrap())
        .collect();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn kinds(directory: &Path) -> Vec<String> {
    let kind = |line: &serde_json::Value| line["kind"].as_str().unwrap().to_owned();
    lines(directory).iter().map(kind).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn events_of_shards_and_of_others_are_one_chain_that_goes_on_after_a_restart() {
    every_backend(|recorder, directory| {
        let log = open(recorder, options(directory));
        let mut lane = wait(log.lane()).unwrap();
        for number in 0..100 {
            let target = format!("tool-{number}");
            assert_eq!(lane.record(1_785_240_000_000, &event(&target)), Kept::Taken);
        }
        log.audit().record(&event("from-elsewhere"));
        let synced = wait(log.sync()).unwrap();
        assert!(synced >= 103, "{synced}");
        let audit = directory.join("audit");
        let found = lines(&audit);
        assert_eq!(found[0]["kind"], "LogBegan");
        assert!(found.iter().any(|line| line["target"] == "from-elsewhere"));
        let first = found.iter().find(|line| line["target"] == "tool-0");
        assert_eq!(first.unwrap()["time"], "2026-07-28T12:00:00.000Z");
        // Another process may not write it meanwhile.
        let said = wait(recorder.handle().open_audit(options(directory))).unwrap_err();
        assert!(said.to_string().contains("another process"), "{said}");
    });
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let recorder = Recorder::start(crate::tape::Backend::Plain).unwrap();
        let log = open(&recorder, options(folder.path()));
        log.audit().record(&event("once"));
        recorder.stop();
        let audit = folder.path().join("audit");
        let report = verified(&audit);
        assert!(report.is_intact(), "{round}: {report:?}");
        let told = lines(&audit);
        let told = told.iter().filter(|line| line["target"] == "once").count();
        assert_eq!(told, round + 1);
    }
    let audit = folder.path().join("audit");
    assert_eq!(segments(&audit).unwrap().len(), 1);
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(&audit).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read it");
    }
}

#[test]
fn a_full_lane_is_counted_and_the_log_says_how_many_are_missing_since_when() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let recorder = Recorder::start_on(faults.clone()).unwrap();
    let mut wanted = options(folder.path());
    wanted.refuses_when_full = true;
    let log = open(&recorder, wanted);
    let mut lane = wait(log.lane()).unwrap();
    wait(log.sync()).unwrap();
    assert!(!lane.is_full());
    // The disk is full for as long as it takes.
    faults.fail_writes(DiskFault::Errno(libc::ENOSPC), 4);
    let mut taken = 0;
    while lane.record(0, &event("x")) == Kept::Taken {
        taken += 1;
        assert!(taken < 10 * LANE_EVENTS_MAX, "it never got full");
    }
    assert!(lane.is_full());
    for _ in 0..9 {
        assert_eq!(lane.record(0, &event("x")), Kept::Full);
    }
    assert_eq!(lane.lost(), 10);
    while wait(log.sync()).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!lane.is_full(), "there is room again");
    recorder.stop();
    let audit = folder.path().join("audit");
    let report = verified(&audit);
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.lost, 10);
    assert_eq!(log.stats().lost, 10);
    let kept = lines(&audit);
    let kept = kept.iter().filter(|line| line["target"] == "x").count();
    assert_eq!(kept, taken, "what was taken is written");
    assert!(log.stats().failures > 0);
}

#[test]
fn a_write_that_fails_halfway_leaves_nothing_and_loses_nothing() {
    for errno in [libc::ENOSPC, libc::EIO] {
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let recorder = Recorder::start_on(faults.clone()).unwrap();
        let log = open(&recorder, options(folder.path()));
        wait(log.sync()).unwrap();
        faults.fail_writes(DiskFault::Errno(errno), 1);
        log.audit().record(&event("kept"));
        assert!(wait(log.sync()).is_err(), "it is not durable yet");
        recorder.stop();
        let audit = folder.path().join("audit");
        assert!(verified(&audit).is_intact());
        assert!(lines(&audit).iter().any(|line| line["target"] == "kept"));
    }
}

#[test]
fn after_a_sync_that_failed_another_file_begins_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let recorder = Recorder::start_on(faults.clone()).unwrap();
    let log = open(&recorder, options(folder.path()));
    wait(log.sync()).unwrap();
    log.audit().record(&event("doubtful"));
    faults.fail_sync(libc::EIO);
    assert_eq!(wait(log.sync()), Err(Stopped::Lost));
    log.audit().record(&event("after"));
    wait(log.sync()).unwrap();
    recorder.stop();
    let audit = folder.path().join("audit");
    assert_eq!(segments(&audit).unwrap().len(), 2);
    let report = verified(&audit);
    let faults: Vec<_> = report.findings.iter().map(|one| &one.fault).collect();
    assert_eq!(faults, [&Fault::Told], "the chain itself goes on");
}

#[test]
fn files_follow_each_other_by_size_and_old_ones_go_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let run = |retention: Duration| {
        let recorder = Recorder::start(crate::tape::Backend::Plain).unwrap();
        let log = open(
            &recorder,
            AuditOptions {
                rotate_bytes: 4_096,
                retention,
                ..options(folder.path())
            },
        );
        for number in 0..60 {
            log.audit().record(&event(&format!("tool-{number}")));
            wait(log.sync()).unwrap();
        }
        recorder.stop();
    };
    run(Duration::from_secs(3_600));
    let count = segments(&audit).unwrap().len();
    assert!(count >= 4, "{count} files");
    assert!(verified(&audit).is_intact());
    let first = segments(&audit).unwrap()[0].clone();
    let old = std::time::SystemTime::now() - Duration::from_secs(7_200);
    let file = fs::File::options().write(true).open(&first.path).unwrap();
    file.set_modified(old).unwrap();
    run(Duration::from_secs(3_600));
    assert!(first.path.exists(), "made to look old, it is not");
    std::thread::sleep(Duration::from_millis(3_100));
    run(Duration::from_secs(3));
    assert!(!first.path.exists());
    assert!(kinds(&audit).iter().any(|kind| kind == "SegmentRemoved"));
    let report = verified(&audit);
    assert!(report.is_intact(), "{report:?}");
    assert!(report.first > 1);
    // Whoever removes the next is found out.
    fs::remove_file(&segments(&audit).unwrap()[0].path).unwrap();
    let report = verified(&audit);
    assert_eq!(report.findings[0].fault, Fault::NoBeginning);
}

#[test]
fn wherever_a_crash_cuts_what_was_synced_is_there_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let recorder = Recorder::start(crate::tape::Backend::Plain).unwrap();
    let log = open(&recorder, options(folder.path()));
    let mut lane = wait(log.lane()).unwrap();
    for _ in 0..50 {
        lane.record(0, &event("synced"));
    }
    let acknowledged = wait(log.sync()).unwrap();
    let durable = fs::metadata(audit.join("audit.0001.jsonl")).unwrap().len();
    for _ in 0..3 {
        lane.record(0, &event("not synced"));
    }
    // Written some milliseconds later, and not synced by anybody who asked.
    let crashed = folder.path().join("crashed");
    let wanted = acknowledged + 3;
    while log.stats().seq < wanted {
        std::thread::sleep(Duration::from_millis(1));
    }
    copy(&audit, &crashed);
    recorder.stop();
    let whole = fs::read(crashed.join("audit.0001.jsonl")).unwrap();
    let head = fs::read(crashed.join(HEAD_FILE)).unwrap();
    let durable = usize::try_from(durable).unwrap();
    assert!(whole.len() > durable);
    for length in durable..=whole.len() {
        fs::write(crashed.join("audit.0001.jsonl"), &whole[..length]).unwrap();
        let disk = std::rc::Rc::new(crate::tape::disk::PlainDisk);
        let mut wanted = options(folder.path());
        wanted.directory = crashed.clone();
        let local = tokio::task::LocalSet::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        local.block_on(&runtime, async {
            let (log, serving) = start(&disk, wanted).unwrap();
            log.audit().record(&event("after"));
            serving.stop().await;
        });
        let report = verified(&crashed);
        assert!(report.is_intact(), "{length}: {report:?}");
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines(&crashed) {
            let target = line["target"].as_str().unwrap_or_default();
            *count.entry(target.to_owned()).or_default() += 1;
        }
        assert_eq!((count["synced"], count["after"]), (50, 1), "{length}");
        // For the next cut: the head as the crash left it.
        fs::write(crashed.join(HEAD_FILE), &head).unwrap();
    }
}

#[test]
fn a_log_that_was_changed_is_not_touched_and_the_next_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let run = || {
        let recorder = Recorder::start(crate::tape::Backend::Plain).unwrap();
        let log = open(&recorder, options(folder.path()));
        log.audit().record(&event("x"));
        recorder.stop();
    };
    run();
    let path = audit.join("audit.0001.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replace("\"target\":\"x\"", "\"target\":\"y\"");
    assert_ne!(text, changed);
    fs::write(&path, &changed).unwrap();
    run();
    assert_eq!(fs::read_to_string(&path).unwrap(), changed);
    assert_eq!(segments(&audit).unwrap().len(), 2);
    let report = verified(&audit);
    let faults: Vec<_> = report.findings.iter().map(|one| &one.fault).collect();
    assert_eq!(faults, [&Fault::Changed, &Fault::Told]);
    // An end that was cut off at a line's end is known from the head.
    let path = audit.join("audit.0002.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().take(2).collect();
    fs::write(&path, format!("{}\n", kept.join("\n"))).unwrap();
    run();
    let told = kinds(&audit);
    assert_eq!(told.iter().filter(|kind| *kind == "DamageFound").count(), 2);
}

/// Whoever cuts the end off takes away what would tell of it, and lets the server write another.
#[test]
fn a_head_that_was_removed_is_told_and_one_that_was_not_written_yet_is_no_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let run = || {
        let recorder = Recorder::start(crate::tape::Backend::Plain).unwrap();
        let log = open(&recorder, options(folder.path()));
        log.audit().record(&event("x"));
        wait(log.sync()).unwrap();
        recorder.stop();
    };
    run();
    let path = audit.join("audit.0001.jsonl");
    let whole = fs::read(&path).unwrap();
    let kept = whole.split_inclusive(|byte| *byte == b'\n').take(2);
    let kept: Vec<u8> = kept.flatten().copied().collect();
    fs::write(&path, &kept).unwrap();
    fs::remove_file(audit.join(HEAD_FILE)).unwrap();
    run();
    let told = lines(&audit)
        .into_iter()
        .find(|line| line["kind"] == "DamageFound");
    let detail = told.unwrap()["detail"].to_string();
    assert!(detail.contains("no head"), "{detail}");
    assert!(!verified(&audit).is_intact());
    // Killed between the first lines and the first head: the head is that of a log without a line.
    fs::write(&path, &kept).unwrap();
    let beginning = Head::new(crate::audit::Link::BEGINNING, &KEY);
    fs::write(audit.join(HEAD_FILE), beginning.write()).unwrap();
    assert!(verified(&audit).is_intact(), "{:?}", verified(&audit));
    run();
    assert!(verified(&audit).is_intact(), "{:?}", verified(&audit));
    // Killed before the first line.
    fs::remove_file(&path).unwrap();
    fs::write(audit.join(HEAD_FILE), beginning.write()).unwrap();
    run();
    assert_eq!(kinds(&audit)[0], "LogBegan");
    assert!(verified(&audit).is_intact());
}

#[test]
fn a_secret_in_an_event_is_not_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "canary-of-the-audit-log";
    crate::secret::redactor().add(&crate::secret::Secret::new(secret));
    let recorder = Recorder::start(crate::tape::Backend::Plain).unwrap();
    let log = open(&recorder, options(folder.path()));
    log.audit().record(&Event {
        detail: &format!("GET https://x/?key={secret}\n"),
        ..event(secret)
    });
    recorder.stop();
    let audit = folder.path().join("audit");
    let text = fs::read_to_string(audit.join("audit.0001.jsonl")).unwrap();
    assert!(text.contains("?key=[redacted]\\n") && !text.contains("canary"));
    assert!(verified(&audit).is_intact());
}

#[test]
fn nobody_is_kept_waiting_by_a_recorder_that_has_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(crate::tape::Backend::Plain).unwrap();
    let handle: RecorderHandle = recorder.handle();
    let log = open(&recorder, options(folder.path()));
    let mut lane = wait(log.lane()).unwrap();
    recorder.stop();
    assert_eq!(wait(log.sync()), Err(Stopped::Gone));
    assert_eq!(lane.record(0, &event("x")), Kept::Full);
    assert!(wait(handle.open_audit(options(folder.path()))).is_err());
}
