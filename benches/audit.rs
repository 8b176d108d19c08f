//! What the audit log costs: an event on the shard's side, a line at the writer, and a million events from lane to disk.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::audit::{Event, Kind, Link, Outcome, write_members};
use margay::tape::{AuditOptions, Backend, Kept, Recorder};

const TIME_MS: u64 = 1_785_240_000_000;

fn event() -> Event<'static> {
    Event {
        principal: "key/build-server",
        source: Some([192, 0, 2, 17].into()),
        method: "tools/call",
        target: "search-documents",
        rule: "margay.yaml line 31",
        component_digest: "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea",
        arguments_hash: Some([0x5a; 32]),
        ..Event::new(Kind::ComponentInvocation, Outcome::Ok)
    }
}

fn shard_side(c: &mut Criterion) {
    let mut group = c.benchmark_group("audit/shard");
    group.bench_function("write members", |bencher| {
        let (mut out, event) = (Vec::with_capacity(1_024), event());
        bencher.iter(|| {
            out.clear();
            write_members(&mut out, black_box(&event));
            out.len()
        });
    });
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(Backend::Plain).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let options = AuditOptions::new(folder.path().join("audit"), [1; 32]);
    let log = runtime
        .block_on(recorder.handle().open_audit(options))
        .unwrap();
    let mut lane = runtime.block_on(log.lane()).unwrap();
    let event = event();
    // In bursts that the lane holds; the writer's time between them is not the shard's.
    group.bench_function("record", |bencher| {
        bencher.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            let mut left = count;
            while left > 0 {
                let burst = left.min(8_192);
                let start = Instant::now();
                for _ in 0..burst {
                    assert_eq!(lane.record(TIME_MS, black_box(&event)), Kept::Taken);
                }
                spent += start.elapsed();
                left -= burst;
                runtime.block_on(log.sync()).unwrap();
            }
            spent
        });
    });
    group.finish();
    drop(lane);
    recorder.stop();
}

fn writer_side(c: &mut Criterion) {
    let mut group = c.benchmark_group("audit/writer");
    let (mut members, mut out) = (Vec::new(), Vec::with_capacity(1_024));
    write_members(&mut members, &event());
    let mut link = Link::BEGINNING;
    link.append(&mut out, TIME_MS, &members);
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("chain a line", |bencher| {
        bencher.iter(|| {
            out.clear();
            link.append(&mut out, TIME_MS, black_box(&members));
            out.len()
        });
    });
    let text = String::from_utf8(members).unwrap();
    for number in 0..100 {
        let secret = margay::secret::Secret::new(format!("a-secret-of-some-length-{number}"));
        margay::secret::redactor().add(&secret);
    }
    group.bench_function("look for 100 secrets", |bencher| {
        bencher.iter(|| {
            margay::secret::redactor()
                .redact_json(black_box(&text))
                .len()
        });
    });
    group.finish();
}

/// A million events, as fast as the writer takes them.
fn whole(c: &mut Criterion) {
    const EVENTS: u64 = 1_000_000;
    let mut group = c.benchmark_group("audit/whole");
    group.sample_size(10);
    group.throughput(Throughput::Elements(EVENTS));
    group.measurement_time(Duration::from_secs(20));
    group.bench_function("a million events to the disk", |bencher| {
        bencher.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                let folder = tempfile::tempdir().unwrap();
                let recorder = Recorder::start(Backend::Uring).unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let options = AuditOptions::new(folder.path().join("audit"), [1; 32]);
                let log = runtime
                    .block_on(recorder.handle().open_audit(options))
                    .unwrap();
                let mut lane = runtime.block_on(log.lane()).unwrap();
                let event = event();
                let start = Instant::now();
                let mut told = 0;
                while told < EVENTS {
                    for _ in 0..8_192.min(EVENTS - told) {
                        assert_eq!(lane.record(TIME_MS, &event), Kept::Taken);
                        told += 1;
                    }
                    while log.stats().lines + 8_000 < told {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
                runtime.block_on(log.sync()).unwrap();
                spent += start.elapsed();
                assert_eq!(log.stats().lost, 0);
                recorder.stop();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, shard_side, writer_side, whole);
criterion_main!(benches);
