//! What one message costs between its body and its answer: scan, route, reply.
//!
//! The promise: a `tools/call` of a hundred bytes is read, settled and answered in well under a microsecond, in either era.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::mcp::{
    Accept, ClientCapabilities, HttpFacts, NewSession, Principal, Revision, Route, Sessions,
    neutralise, reply, route, scan,
};

const DEPTH_MAX: usize = 128;

const LEGACY: &str = r#"{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello, margay"}}}"#;

const MODERN: &str = r#"{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello, margay"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}}}"#;

const MEMBERS: &[u8] = br#""content":[{"type":"text","text":"hello, margay"}]"#;

fn answer(body: &[u8], facts: &HttpFacts<'_>, sessions: &Sessions, out: &mut Vec<u8>) {
    let route = scan(body, DEPTH_MAX).and_then(|message| {
        route::post(
            facts,
            Accept::ALL,
            &message,
            sessions,
            Principal::ANONYMOUS,
            1,
        )
    });
    out.clear();
    match route {
        Ok(Route::Invoke(invocation)) => {
            reply::call_result(out, &invocation.id, invocation.era(), MEMBERS);
        }
        Ok(_) => {}
        Err(refusal) => refusal.write(out),
    }
}

fn message(criterion: &mut Criterion) {
    let sessions = Sessions::new(1000, 3_600_000);
    let id = sessions.create(NewSession {
        random: [7; 16],
        principal: Principal::ANONYMOUS,
        revision: Revision::V2025_11_25,
        capabilities: ClientCapabilities::NONE,
        client_info: None,
        now_ms: 0,
    });
    let session = id.expect("an empty table has room").text();
    let legacy = HttpFacts {
        session_id: Some(&session),
        protocol_version: Some(b"2025-11-25"),
        ..HttpFacts::default()
    };
    let modern = HttpFacts {
        protocol_version: Some(b"2026-07-28"),
        mcp_method: Some(b"tools/call"),
        mcp_name: Some(b"echo"),
        ..HttpFacts::default()
    };
    let mut out = Vec::with_capacity(4096);

    let mut group = criterion.benchmark_group("message");
    for (name, body) in [("legacy", LEGACY), ("modern", MODERN)] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("scan {name}"), |bencher| {
            bencher.iter(|| scan(black_box(body.as_bytes()), DEPTH_MAX).is_ok());
        });
    }
    for (name, body, facts) in [("legacy", LEGACY, &legacy), ("modern", MODERN, &modern)] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("scan, route, reply {name}"), |bencher| {
            bencher.iter(|| answer(black_box(body.as_bytes()), facts, &sessions, &mut out));
        });
        assert!(
            out.starts_with(br#"{"jsonrpc":"2.0","id":12,"result""#),
            "the call is served"
        );
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("refuse a differing name", |bencher| {
        let facts = HttpFacts {
            mcp_name: Some(b"other"),
            ..modern
        };
        bencher.iter(|| answer(black_box(MODERN.as_bytes()), &facts, &sessions, &mut out));
    });
    group.finish();
}

/// What it costs to look at an answer's text for what could drive a terminal: nothing in it, accents and emoji, a log full of line ends,
/// and one of colours.
fn neutral(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("neutralise");
    for (name, piece, harmful) in [
        ("plain", "The weather in Porto is fine today. ", false),
        ("accents", "São João não é só em Évora — né? ☀️ ", false),
        (
            "line ends",
            "one line of a log, as logs have them\\n",
            false,
        ),
        (
            "colours",
            "\\u001b[31mred\\u001b[0m and plain text\\n",
            true,
        ),
    ] {
        let text = format!("\"{}\"", piece.repeat(4096 / piece.len()));
        let made = neutralise(text.as_bytes());
        assert_eq!(made.as_ref() != text.as_bytes(), harmful, "{name}");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| neutralise(black_box(text.as_bytes())).len());
        });
    }
    group.finish();
}

criterion_group!(benches, message, neutral);
criterion_main!(benches);
