//! One test for each promise of the recorder, on the real disks and on one that fails on purpose.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::disk::{Disk, Open, PlainDisk};
use super::*;

/// What happens to the next operations, in order; afterwards all goes well.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<Plan>>);

#[derive(Default)]
pub(super) struct Plan {
    writes: VecDeque<Fault>,
    syncs: VecDeque<Fault>,
    /// Fails the operation of this number, of any kind, counted down.
    nth: Option<usize>,
    sync_count: usize,
    directory_sync_count: usize,
    slow_sync: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    None,
    Short(usize),
    Errno(i32),
}

impl Plan {
    fn tick(&mut self) -> io::Result<()> {
        match &mut self.nth {
            Some(0) => {
                self.nth = None;
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Faults {
    /// The next writes fail so, this many.
    pub(super) fn fail_writes(&self, fault: Fault, count: usize) {
        let mut plan = self.0.lock().unwrap();
        plan.writes.extend(std::iter::repeat_n(fault, count));
    }

    /// The next sync fails so.
    pub(super) fn fail_sync(&self, errno: i32) {
        let mut plan = self.0.lock().unwrap();
        plan.syncs.push_back(Fault::Errno(errno));
    }
}

impl Disk for Faults {
    type File = std::fs::File;
    type Buffer = Box<[u8]>;

    fn buffer(&self) -> Option<Box<[u8]>> {
        PlainDisk.buffer()
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<(std::fs::File, u64)> {
        self.0.lock().unwrap().tick()?;
        PlainDisk.open(path, how)
    }

    async fn write(
        &self,
        file: &Self::File,
        buffer: Box<[u8]>,
        range: Range<usize>,
        at: u64,
    ) -> (io::Result<usize>, Box<[u8]>) {
        let fault = {
            let mut plan = self.0.lock().unwrap();
            match plan.tick() {
                Ok(()) => plan.writes.pop_front().unwrap_or(Fault::None),
                Err(error) => return (Err(error), buffer),
            }
        };
        let range = match fault {
            Fault::None => range,
            Fault::Short(count) => range.start..range.end.min(range.start + count),
            Fault::Errno(errno) => {
                // As a full disk does: part of it is there.
                let half = range.start..range.start + range.len() / 2;
                let (_, buffer) = PlainDisk.write(file, buffer, half, at).await;
                return (Err(io::Error::from_raw_os_error(errno)), buffer);
            }
        };
        PlainDisk.write(file, buffer, range, at).await
    }

    async fn sync(&self, file: &Self::File) -> io::Result<()> {
        let slow = {
            let mut plan = self.0.lock().unwrap();
            plan.tick()?;
            plan.sync_count += 1;
            if let Some(Fault::Errno(errno)) = plan.syncs.pop_front() {
                return Err(io::Error::from_raw_os_error(errno));
            }
            plan.slow_sync
        };
        if let Some(time) = slow {
            tokio::time::sleep(time).await;
        }
        PlainDisk.sync(file).await
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        {
            let mut plan = self.0.lock().unwrap();
            plan.tick()?;
            plan.directory_sync_count += 1;
        }
        PlainDisk.sync_directory(path).await
    }

    async fn close(&self, file: Self::File) {
        PlainDisk.close(file).await;
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().unwrap().tick()?;
        PlainDisk.rename(from, to)
    }
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn open(recorder: &Recorder, path: &Path) -> (LogKey, LogProducer) {
    wait(async {
        let handle = recorder.handle();
        let log = handle
            .open_log(path.to_owned(), LogOptions::default())
            .await
            .unwrap();
        let producer = handle.producer(&log).await.unwrap();
        (log, producer)
    })
}

fn numbers(text: &str) -> Vec<usize> {
    text.lines()
        .map(|line| {
            line.parse()
                .unwrap_or_else(|_| panic!("torn line {line:?}"))
        })
        .collect()
}

pub(super) fn every_backend(test: impl Fn(&Recorder, &Path)) {
    for backend in [Backend::Uring, Backend::Plain] {
        let directory = tempfile::tempdir().unwrap();
        let recorder =
            Recorder::start(backend).unwrap_or_else(|problem| panic!("{backend:?}: {problem}"));
        test(&recorder, directory.path());
    }
}

#[test]
fn frames_of_two_lanes_arrive_whole_and_each_lane_in_order() {
    every_backend(|recorder, directory| {
        let path = directory.join("log");
        let (log, first) = open(recorder, &path);
        let second = wait(recorder.handle().producer(&log)).unwrap();
        for number in 0..3_000 {
            assert!(first.try_push(format!("{}\n", number * 2).as_bytes()));
            assert!(second.try_push(format!("{}\n", number * 2 + 1).as_bytes()));
        }
        wait(recorder.handle().sync(&log)).unwrap();
        let all = numbers(&std::fs::read_to_string(&path).unwrap());
        for parity in 0..2 {
            let lane: Vec<usize> = all
                .iter()
                .copied()
                .filter(|number| number % 2 == parity)
                .collect();
            assert_eq!(
                lane,
                (0..3_000)
                    .map(|number| number * 2 + parity)
                    .collect::<Vec<_>>()
            );
        }
        assert_eq!((log.stats().frames, log.stats().lost), (6_000, 0));
    });
}

#[test]
fn a_secret_in_a_frame_is_not_in_the_file() {
    let canary = "canary-of-the-access-log";
    crate::secret::redactor().add(&crate::secret::Secret::new(canary));
    every_backend(|recorder, directory| {
        let path = directory.join("log");
        let (log, producer) = open(recorder, &path);
        let line = format!("{{\"target\":\"{canary}\"}}\n");
        assert!(producer.try_push(line.as_bytes()));
        // The longest that can be, of what is longer without them.
        crate::secret::redactor().add(&crate::secret::Secret::new("sixsix"));
        assert!(producer.try_push("sixsix-".repeat(9_000).as_bytes()));
        wait(recorder.handle().sync(&log)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"target\":\"[redacted]\"}\n{\"redacted\":true}\n");
    });
}

#[test]
fn frames_reach_the_file_without_anyone_asking() {
    every_backend(|recorder, directory| {
        let path = directory.join("log");
        let (_log, producer) = open(recorder, &path);
        assert!(producer.try_push(b"1\n"));
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while std::fs::read_to_string(&path).unwrap() != "1\n" {
            assert!(
                std::time::Instant::now() < deadline,
                "the frame never arrived"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    });
}

#[test]
fn stopping_drains_every_lane_and_then_refuses() {
    for backend in [Backend::Uring, Backend::Plain] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let recorder = Recorder::start(backend).unwrap();
        let (log, producer) = open(&recorder, &path);
        (0..4_000).for_each(|number| assert!(producer.try_push(format!("{number}\n").as_bytes())));
        let handle = recorder.handle();
        recorder.stop();
        assert_eq!(
            numbers(&std::fs::read_to_string(&path).unwrap()),
            (0..4_000).collect::<Vec<_>>()
        );
        assert!(!producer.try_push(b"late\n"));
        assert_eq!(producer.dropped(), 1);
        assert_eq!(wait(handle.sync(&log)), Err(Stopped::Gone));
    }
}

#[test]
fn short_writes_are_continued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let faults = Faults::default();
    faults.0.lock().unwrap().writes = [1, 7, 1, 100, 3].into_iter().map(Fault::Short).collect();
    let recorder = Recorder::start_on(faults).unwrap();
    let (log, producer) = open(&recorder, &path);
    (0..500).for_each(|number| assert!(producer.try_push(format!("{number}\n").as_bytes())));
    wait(recorder.handle().sync(&log)).unwrap();
    assert_eq!(
        numbers(&std::fs::read_to_string(&path).unwrap()),
        (0..500).collect::<Vec<_>>()
    );
    assert_eq!(log.stats().failures, 0);
}

#[test]
fn a_full_disk_seals_the_log_at_a_whole_frame_and_what_is_lost_is_counted() {
    for failing in 0..4_u64 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let faults = Faults::default();
        let plan = (0..failing)
            .map(|_| Fault::None)
            .chain([Fault::Errno(libc::ENOSPC)])
            .collect();
        faults.0.lock().unwrap().writes = plan;
        let recorder = Recorder::start_on(faults).unwrap();
        let (log, producer) = open(&recorder, &path);
        let (mut pushed, mut failed) = (0, 0);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        // Until the log has failed and come back.
        while failed == 0
            || log.stats().frames + log.stats().lost < pushed
            || log.stats().frames <= failing
        {
            assert!(producer.try_push(format!("{pushed}\n").as_bytes()));
            pushed += 1;
            failed += u64::from(wait(recorder.handle().sync(&log)).is_err());
            assert!(
                std::time::Instant::now() < deadline,
                "the log did not come back: {:?}",
                log.stats()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        recorder.stop();
        let stats = log.stats();
        assert_eq!(stats.failures, 1);
        assert_eq!(
            stats.frames + stats.lost,
            pushed,
            "a frame is neither written nor counted as lost"
        );
        assert!(failed >= 1, "losing frames must not be answered as success");
        let sealed =
            std::fs::read_to_string(directory.path().join("log.sealed-1")).unwrap_or_default();
        let fresh = std::fs::read_to_string(&path).unwrap();
        assert_eq!(numbers(&sealed).len() as u64, failing);
        assert_eq!(
            (numbers(&sealed).len() + numbers(&fresh).len()) as u64,
            stats.frames
        );
    }
}

#[test]
fn nothing_is_appended_to_a_file_whose_sync_failed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let faults = Faults::default();
    faults.0.lock().unwrap().syncs = [Fault::Errno(libc::EIO)].into();
    let recorder = Recorder::start_on(faults).unwrap();
    let (log, producer) = open(&recorder, &path);
    assert!(producer.try_push(b"1\n"));
    assert_eq!(wait(recorder.handle().sync(&log)), Err(Stopped::Lost));
    std::thread::sleep(Duration::from_millis(300));
    assert!(producer.try_push(b"2\n"));
    assert_eq!(wait(recorder.handle().sync(&log)), Ok(()));
    assert_eq!(
        std::fs::read_to_string(directory.path().join("log.sealed-1")).unwrap(),
        "1\n"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    assert_eq!(log.stats().failures, 1);
}

#[test]
fn many_who_wait_share_few_syncs() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    faults.0.lock().unwrap().slow_sync = Some(Duration::from_millis(20));
    let recorder = Recorder::start_on(faults.clone()).unwrap();
    let (log, producer) = open(&recorder, &directory.path().join("log"));
    wait(async {
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..200 {
            assert!(producer.try_push(b"frame\n"));
            let (handle, log) = (recorder.handle(), log.clone());
            waiting.spawn(async move { handle.sync(&log).await });
        }
        while let Some(answer) = waiting.join_next().await {
            assert_eq!(answer.unwrap(), Ok(()));
        }
    });
    let count = faults.0.lock().unwrap().sync_count;
    assert!((1..=10).contains(&count), "200 waiters took {count} syncs");
}

#[test]
fn a_torn_last_line_is_cut_and_the_rest_is_kept() {
    every_backend(|recorder, directory| {
        let path = directory.join("log");
        std::fs::write(&path, "1\n2\n{\"torn").unwrap();
        let (log, producer) = open(recorder, &path);
        assert!(producer.try_push(b"3\n"));
        wait(recorder.handle().sync(&log)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
    });
}

#[test]
fn a_file_that_is_no_log_or_is_in_use_or_is_no_file_is_refused_untouched() {
    every_backend(|recorder, directory| {
        let refused = |path: &Path| {
            wait(
                recorder
                    .handle()
                    .open_log(path.to_owned(), LogOptions::default()),
            )
            .expect_err("must be refused")
            .to_string()
        };
        let foreign = directory.join("foreign");
        std::fs::write(&foreign, "no line end").unwrap();
        assert!(refused(&foreign).contains("not a log"));
        assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "no line end");
        let busy = directory.join("busy");
        let _open = open(recorder, &busy);
        assert!(refused(&busy).contains("another process"));
        assert!(refused(Path::new("/dev/null")).contains("not a regular file"));
        assert!(refused(&directory.join("missing/log")).contains("No such file"));
    });
}

#[test]
fn a_rotated_log_continues_in_a_new_file() {
    every_backend(|recorder, directory| {
        let path = directory.join("log");
        let (log, producer) = open(recorder, &path);
        assert!(producer.try_push(b"1\n"));
        wait(recorder.handle().sync(&log)).unwrap();
        std::fs::rename(&path, directory.join("log.1")).unwrap();
        assert!(producer.try_push(b"2\n"));
        wait(recorder.handle().reopen()).unwrap();
        assert!(producer.try_push(b"3\n"));
        wait(recorder.handle().sync(&log)).unwrap();
        assert_eq!(
            std::fs::read_to_string(directory.join("log.1")).unwrap(),
            "1\n2\n"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
    });
}

#[test]
fn a_log_that_somebody_cuts_goes_on_at_its_new_end() {
    every_backend(|recorder, directory| {
        let path = directory.join("log");
        let (log, producer) = open(recorder, &path);
        assert!(producer.try_push(b"1\n"));
        wait(recorder.handle().sync(&log)).unwrap();
        std::fs::File::create(&path).unwrap();
        assert!(producer.try_push(b"2\n"));
        wait(recorder.handle().sync(&log)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    });
}

#[test]
fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
    every_backend(|recorder, directory| {
        let path = directory.join("file");
        for length in [0, 1, 65_536, 65_537, 1_000_000] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            wait(recorder.handle().write_file(path.clone(), bytes.clone())).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 1);
        wait(recorder.handle().remove_file(path.clone())).unwrap();
        assert!(!path.exists());
        assert!(wait(recorder.handle().remove_file(path)).is_err());
    });
}

#[test]
fn files_that_wait_together_share_the_sync_of_their_directory() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    faults.0.lock().unwrap().slow_sync = Some(Duration::from_millis(20));
    let recorder = Recorder::start_on(faults.clone()).unwrap();
    let path = |number: usize| directory.path().join(number.to_string());
    wait(async {
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..40 {
            let handle = recorder.handle();
            let path = path(number);
            waiting.spawn(async move { handle.write_file(path, number.to_string().into()).await });
        }
        while let Some(answer) = waiting.join_next().await {
            answer.unwrap().unwrap();
        }
    });
    for number in 0..40 {
        assert_eq!(
            std::fs::read_to_string(path(number)).unwrap(),
            number.to_string()
        );
    }
    let plan = faults.0.lock().unwrap();
    assert_eq!(plan.sync_count, 40, "each file is synced");
    assert!(
        (1..=10).contains(&plan.directory_sync_count),
        "40 files took {} syncs of one directory",
        plan.directory_sync_count
    );
}

#[test]
fn jobs_of_one_file_are_done_in_their_order_also_within_a_round() {
    every_backend(|recorder, directory| {
        let (held, path) = (directory.join("held"), directory.join("file"));
        let handle = recorder.handle();
        wait(async {
            // The first job keeps the recorder busy, so that the others wait for one round.
            let (first, one, gone, two) = tokio::join!(
                handle.write_file(held, vec![b'x'; 1_000_000]),
                handle.write_file(path.clone(), b"one".to_vec()),
                handle.remove_file(path.clone()),
                handle.write_file(path.clone(), b"two".to_vec()),
            );
            for result in [first, one, gone, two] {
                result.unwrap();
            }
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 2);
    });
}

#[test]
fn whichever_operation_fails_a_replaced_file_has_the_old_content_or_the_new() {
    let new = vec![b'n'; 200_000];
    for nth in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let faults = Faults::default();
        faults.0.lock().unwrap().nth = Some(nth);
        let recorder = Recorder::start_on(faults.clone()).unwrap();
        let result = wait(recorder.handle().write_file(path.clone(), new.clone()));
        let found = std::fs::read(&path).unwrap();
        assert!(
            found == b"old" || found == new,
            "operation {nth} failed and the file is torn"
        );
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "operation {nth} left a file behind"
        );
        if result.is_ok() {
            assert!(
                faults.0.lock().unwrap().nth.is_some(),
                "a failure was answered as success"
            );
            assert!(found == new && nth >= 7, "only {nth} operations were tried");
            break;
        }
    }
}

#[test]
fn jobs_asked_for_before_the_stop_are_done() {
    every_backend(|recorder, directory| {
        let path = directory.join("file");
        let handle = recorder.handle();
        let mut asked = Box::pin(handle.write_file(path.clone(), vec![b'x'; 300_000]));
        // Polled once: asked, not awaited.
        wait(async {
            assert!(
                tokio::time::timeout(Duration::ZERO, &mut asked)
                    .await
                    .is_err()
                    || path.exists()
            )
        });
        drop(asked);
        let other = directory.join("other");
        wait(handle.write_file(other, vec![1])).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 300_000);
    });
}
