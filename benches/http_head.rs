//! Parsing a request head: what a browser-like client, an MCP client and a minimal one send, and `httparse` on the same bytes.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::wire::http1::{HeadLimits, HeadScan, parse_head, parse_head_from, response};

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 16 << 10,
    count_max: 100,
};

const MINIMAL: &[u8] =
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n\
Accept: application/json, text/event-stream\r\nContent-Length: 107\r\n\r\n";

const SESSION: &[u8] = b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: keep-alive\r\n\
content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
mcp-session-id: 6f1d2c3b4a5968778695a4b3c2d1e0f0\r\nmcp-protocol-version: 2025-11-25\r\naccept-language: *\r\n\
sec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\ncontent-length: 107\r\n\r\n";

const BROWSER: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\r\n";

fn head(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http_head");
    for (name, text) in [
        ("minimal", MINIMAL),
        ("session", SESSION),
        ("browser", BROWSER),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| parse_head(black_box(text), &LIMITS).is_ok());
        });
        group.bench_function(format!("{name}/httparse"), |bencher| {
            bencher.iter(|| {
                let mut fields = [httparse::EMPTY_HEADER; 32];
                httparse::Request::new(&mut fields)
                    .parse(black_box(text))
                    .is_ok()
            });
        });
    }
    group.throughput(Throughput::Bytes(SESSION.len() as u64));
    group.bench_function("session/byte-by-byte", |bencher| {
        bencher.iter(|| {
            let mut scan = HeadScan::default();
            (1..=SESSION.len())
                .all(|end| parse_head_from(&mut scan, black_box(&SESSION[..end]), &LIMITS).is_ok())
        });
    });
    group.finish();
    let mut out = Vec::with_capacity(4096);
    criterion.bench_function("http_head/answer", |bencher| {
        bencher.iter(|| {
            out.clear();
            let reserved = response::reserve_json_head(&mut out, true);
            out.extend_from_slice(black_box(b"{}"));
            reserved.finish(&mut out);
            out.len()
        });
    });
}

criterion_group!(benches, head);
criterion_main!(benches);
