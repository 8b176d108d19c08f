//! Validating and walking JSON: one call message, a large string argument, many numbers; and `serde_json` on the same bytes.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::wire::json::{self, Reader};

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello, world"}}}"#;

fn long_string() -> Vec<u8> {
    let mut text = b"[\"".to_vec();
    text.extend(
        b"The quick brown fox jumps over the lazy dog. "
            .iter()
            .cycle()
            .take(64 << 10),
    );
    text.extend_from_slice(b"\"]");
    text
}

fn records() -> Vec<u8> {
    let mut text = b"[".to_vec();
    for index in 0..500 {
        if index > 0 {
            text.push(b',');
        }
        let record = format!(
            r#"{{"id":{index},"name":"record \"{index}\"","score":{}.25e1,"tags":["a","bb","ccc"],"ok":true,"none":null}}"#,
            index * 7
        );
        text.extend_from_slice(record.as_bytes());
    }
    text.push(b']');
    text
}

/// Reads what dispatch needs of a message: method, id, name, the range of the arguments.
fn walk(text: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(text, 128);
    let mut found = 0;
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        if key.eq_str("params") {
            reader.begin_object().ok()?;
            while let Some(key) = reader.key().ok()? {
                found += key.raw().len() + reader.skip().ok()?.len();
            }
        } else if key.eq_str("method") {
            found += reader.string().ok()?.raw().len();
        } else {
            found += reader.skip().ok()?.len();
        }
    }
    reader.end().ok()?;
    Some(found)
}

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json_scan");
    let texts = [
        ("call", CALL.to_vec()),
        ("long-string", long_string()),
        ("records", records()),
    ];
    for (name, text) in &texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{name}/validate"), |bencher| {
            bencher.iter(|| json::validate(black_box(text), 128).is_ok());
        });
        group.bench_function(format!("{name}/serde_json"), |bencher| {
            bencher
                .iter(|| serde_json::from_slice::<serde::de::IgnoredAny>(black_box(text)).is_ok());
        });
    }
    group.bench_function("call/walk", |bencher| {
        bencher.iter(|| walk(black_box(CALL)))
    });
    group.finish();
    let plain = "The quick brown fox jumps over the lazy dog.\n".repeat(100);
    let mut out = Vec::with_capacity(2 * plain.len());
    criterion.bench_function("json_scan/write", |bencher| {
        bencher.iter(|| {
            out.clear();
            json::write_str(&mut out, black_box(&plain));
            out.len()
        });
    });
}

criterion_group!(benches, scan);
criterion_main!(benches);
