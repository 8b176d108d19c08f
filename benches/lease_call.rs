//! What a call costs, from argument text to result text: with an instance that is ready, with one that is made for the call,
//! and on two threads at once. The promise: a ready instance is a fraction of a microsecond away, and two threads serve
//! at least 1.8 times what one does.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::component::{CallContext, Component, InstancePool, Runtime, RuntimeOptions, Started};
use margay::limits::Limits;

fn runtime() -> Arc<Runtime> {
    Runtime::new(
        &Limits::default(),
        RuntimeOptions {
            worker_count: 1,
            ..RuntimeOptions::default()
        },
    )
    .expect("this host can run components")
}

fn call(pool: &mut InstancePool, component: &Arc<Component>, arguments: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let context = CallContext {
        ticket: 0,
        deadline: Instant::now() + Duration::from_secs(10),
        behalf: None,
    };
    match pool.call(component, 0, Some(arguments), context, out) {
        Started::Done(report) => {
            black_box(report);
        }
        Started::Moved(_) => while pool.mailbox().take().is_none() {},
        Started::Asked(..) => unreachable!("the demo asks nothing"),
    }
}

/// Calls with upkeep between them, as a shard does; the time of `count` of them.
fn steady(
    pool: &mut InstancePool,
    component: &Arc<Component>,
    arguments: &[u8],
    count: u64,
) -> Duration {
    let mut out = Vec::new();
    let started = Instant::now();
    for _ in 0..count {
        call(pool, component, arguments, &mut out);
        pool.maintain(1);
    }
    started.elapsed()
}

fn benches(criterion: &mut Criterion) {
    let runtime = runtime();
    let demo = runtime.load_demo().expect("the embedded components load");
    for bytes in [100, 10_000] {
        let arguments = format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)).into_bytes();
        let mut group = criterion.benchmark_group(format!("echo_{bytes}"));
        group.throughput(Throughput::Elements(1));
        let mut pool = runtime.instance_pool(runtime.mailbox(|| {}));
        pool.follow(&demo);
        let mut out = Vec::new();
        group.bench_function("ready_hot_path", |bencher| {
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    while pool.maintain(8) {}
                    let started = Instant::now();
                    call(&mut pool, &demo[0], &arguments, &mut out);
                    spent += started.elapsed();
                }
                spent
            });
        });
        group.bench_function("with_upkeep", |bencher| {
            bencher.iter_custom(|count| steady(&mut pool, &demo[0], &arguments, count));
        });
        let mut fresh = runtime.instance_pool(runtime.mailbox(|| {}));
        group.bench_function("fresh", |bencher| {
            bencher.iter(|| call(&mut fresh, &demo[0], &arguments, &mut out))
        });
        group.bench_function("two_threads", |bencher| {
            bencher.iter_custom(|count| {
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        let (runtime, demo, arguments) =
                            (Arc::clone(&runtime), demo.clone(), arguments.clone());
                        std::thread::spawn(move || {
                            let mut pool = runtime.instance_pool(runtime.mailbox(|| {}));
                            steady(&mut pool, &demo[0], &arguments, count)
                        })
                    })
                    .collect();
                // Each thread made `count` calls: half the time a call, if they do not disturb each other.
                threads
                    .into_iter()
                    .map(|thread| thread.join().expect("the thread calls"))
                    .max()
                    .unwrap_or_default()
                    / 2
            });
        });
        group.finish();
    }
    let mut pool = runtime.instance_pool(runtime.mailbox(|| {}));
    pool.follow(&demo);
    let mut out = Vec::new();
    criterion.bench_function("time_with_wasi", |bencher| {
        bencher.iter(|| {
            call(&mut pool, &demo[1], b"{}", &mut out);
            pool.maintain(1);
        });
    });
    let order = br#"{"order":{"id":1,"customer":"Ada","priority":"high","items":[{"sku":"A-1","count":2,"price":9.5}],
        "shipping":{"tag":"post","val":["Berlin",10115]},"extras":["express"],"discount":{"ok":5}}}"#;
    criterion.bench_function("order_of_many_types", |bencher| {
        bencher.iter(|| {
            call(&mut pool, &demo[2], order, &mut out);
            pool.maintain(1);
        });
    });
}

criterion_group! { name = lease_call; config = Criterion::default().measurement_time(Duration::from_secs(2)); targets = benches }
criterion_main!(lease_call);
