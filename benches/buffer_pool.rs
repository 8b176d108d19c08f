//! The promise: taking a pooled buffer and giving it back costs nanoseconds and allocates nothing.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use margay::mem::{BufferPool, Output, SharedBytes, Slab};

fn buffer_pool(criterion: &mut Criterion) {
    let pool = BufferPool::with_limit(16 << 20);
    for bytes in [100, 10_000, 500_000] {
        criterion.bench_function(&format!("buffer_pool/take {bytes}, give back"), |bencher| {
            bencher.iter(|| black_box(pool.take(black_box(bytes)).is_ok()));
        });
    }
    let shared = SharedBytes::from(vec![7u8; 100]);
    criterion.bench_function("output/head and shared body", |bencher| {
        bencher.iter(|| {
            let mut output = Output::new();
            if let Ok(mut head) = pool.take(100) {
                head.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
                black_box(output.push(head).is_ok());
            }
            black_box(output.push(shared.clone()).is_ok());
            output
        });
    });
    let mut slab = Slab::new(1_000);
    criterion.bench_function("slab/insert, get, remove", |bencher| {
        bencher.iter(|| {
            if let Ok(key) = slab.insert(black_box(7u64)) {
                black_box(slab.get(key));
                black_box(slab.remove(key));
            }
        });
    });
}

criterion_group!(benches, buffer_pool);
criterion_main!(benches);
