//! The promise: a request's memory costs nanoseconds, and a reused arena allocates nothing.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use margay::mem::{Arena, ArenaPool};

fn arena(criterion: &mut Criterion) {
    let mut arena = Arena::new(1 << 20);
    criterion.bench_function("arena/100 pieces of 40 bytes, reset", |bencher| {
        bencher.iter(|| {
            for _ in 0..100 {
                black_box(arena.alloc_bytes(black_box(&[7; 40])).is_ok());
            }
            arena.reset();
        });
    });
    let body = vec![7u8; 4096];
    let pool = ArenaPool::new(1 << 20, 1 << 16, 16);
    criterion.bench_function("arena/take, gather 3 x 4 KiB, give back", |bencher| {
        bencher.iter(|| {
            let arena = pool.take();
            black_box(arena.gather(&[&body, &body, &body]).is_ok());
        });
    });
}

criterion_group!(benches, arena);
criterion_main!(benches);
