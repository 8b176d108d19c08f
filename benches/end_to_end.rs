//! One request over loopback, from the client's write to the last byte of its answer: a shard on its own thread with a real ring.
//!
//! Most of the time is the kernel's TCP stack; what moves here and not in the other benchmarks is the loop. The groups whose
//! names end in `_tls` have TLS between the two, which the client's side pays for as well.

#![allow(missing_docs)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::catalog::Catalog;
use margay::component::{Runtime, RuntimeOptions};
use margay::limits::Limits;
use margay::mcp::{HostRules, Sessions};
use margay::mem::ByteBudget;
use margay::shard::{
    IoKind, ListenOptions, ServiceOptions, ShardThread, Shared, Snapshot, TlsListener, TlsSetup,
    bind_listeners,
};

#[allow(dead_code, clippy::unwrap_used)]
#[path = "../tests/harness/authority.rs"]
mod authority;

use authority::Authority;

/// A modern request with its headers.
fn request(method: &str, name: &str, params: &str) -> Vec<u8> {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{meta}}}}}"#);
    let name = if name.is_empty() {
        String::new()
    } else {
        format!("Mcp-Name: {name}\r\n")
    };
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn echo(text: &str) -> Vec<u8> {
    request(
        "tools/call",
        "echo",
        &format!(r#""name":"echo","arguments":{{"text":"{text}"}},"#),
    )
}

/// Sends the bytes in one write and reads answers until as many bytes have come as they have.
fn exchange(
    stream: &mut (impl Read + Write),
    bytes: &[u8],
    answer_bytes: usize,
    buffer: &mut Vec<u8>,
) {
    stream.write_all(bytes).expect("the shard reads");
    buffer.resize(answer_bytes, 0);
    stream.read_exact(buffer).expect("the shard answers");
}

fn start(io: IoKind, tls: Option<TlsSetup>) -> (SocketAddr, Arc<Shared>, ShardThread) {
    let limits = Limits::default();
    let runtime =
        Runtime::new(&limits, RuntimeOptions::default()).expect("this host has the address space");
    let components = runtime.load_demo().expect("the demo components are whole");
    let snapshot = Snapshot {
        catalog: Catalog::build(&components, 1, 500),
        hosts: HostRules::loopback(),
    };
    let budget = ByteBudget::new(limits.buffer_pool_bytes_max);
    let sessions = Sessions::new(limits.session_count_max, 1_000_000);
    let shared = Shared::new(limits, snapshot, sessions, runtime, 1);
    let shared = Arc::new(match tls {
        Some(setup) => shared.with_tls(Arc::new(TlsListener::new(setup))),
        None => shared,
    });
    let options = ListenOptions {
        nodelay: true,
        keep_alive: None,
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (address, listeners) = bind_listeners(any, 1, options).expect("loopback has a free port");
    let service = ServiceOptions {
        buffers: budget,
        access_log: None,
        audit: None,
    };
    let thread = ShardThread::start(0, io, Arc::clone(&shared), listeners, service)
        .expect("this host is fit");
    (address, shared, thread)
}

/// The length of one answer, read by its own `Content-Length`.
fn answer_bytes(stream: &mut (impl Read + Write), bytes: &[u8]) -> usize {
    stream.write_all(bytes).expect("the shard reads");
    let mut seen = vec![0; 1 << 20];
    let mut filled = 0;
    loop {
        filled += stream.read(&mut seen[filled..]).expect("the shard answers");
        let text = String::from_utf8_lossy(&seen[..filled]);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length:"))
            .expect("a length");
        let whole = head.len() + 4 + length.trim().parse::<usize>().expect("digits");
        if filled >= whole {
            return whole;
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the shard accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

fn secured(criterion: &mut Criterion) {
    let cases = [
        ("echo_11_bytes", echo("hello world")),
        ("echo_10_kilobytes", echo(&"x".repeat(10_000))),
    ];
    let authority = Authority::new();
    let config = authority.client();
    for (kind, io) in [("io_uring", IoKind::Uring), ("epoll", IoKind::Epoll)] {
        let setup = TlsSetup {
            config: Arc::new(authority::server(&authority.sign("localhost"), None)),
            clients: None,
            expires_unix_s: None,
        };
        let (address, shared, thread) = start(io, Some(setup));
        let connect = || {
            let name = "localhost".try_into().expect("a name");
            let client = rustls::ClientConnection::new(Arc::clone(&config), name);
            rustls::StreamOwned::new(client.expect("a configuration"), connect(address))
        };
        let mut group = criterion.benchmark_group(format!("end_to_end/{kind}_tls"));
        group.throughput(Throughput::Elements(1));
        for (name, bytes) in &cases {
            let mut stream = connect();
            let length = answer_bytes(&mut stream, bytes);
            let mut buffer = Vec::new();
            group.bench_function(*name, |bencher| {
                bencher.iter(|| exchange(&mut stream, black_box(bytes), length, &mut buffer));
            });
        }
        let resumes = || answer_bytes(&mut connect(), &cases[0].1);
        group.bench_function("connect_with_a_ticket_and_echo_11_bytes", |bencher| {
            bencher.iter(resumes);
        });
        group.finish();
        shared.drain();
        thread.join().expect("the shard drains");
    }
}

fn loopback(criterion: &mut Criterion) {
    let cases = [
        ("tools_list", request("tools/list", "", "")),
        ("echo_11_bytes", echo("hello world")),
        ("echo_10_kilobytes", echo(&"x".repeat(10_000))),
    ];
    for (kind, io) in [("io_uring", IoKind::Uring), ("epoll", IoKind::Epoll)] {
        let (address, shared, thread) = start(io, None);
        let connect = || connect(address);
        let mut group = criterion.benchmark_group(format!("end_to_end/{kind}"));
        for (name, bytes) in &cases {
            let length = answer_bytes(&mut connect(), bytes);
            let mut stream = connect();
            let mut buffer = Vec::new();
            group.throughput(Throughput::Elements(1));
            group.bench_function(*name, |bencher| {
                bencher.iter(|| exchange(&mut stream, black_box(bytes), length, &mut buffer));
            });
        }
        let length = answer_bytes(&mut connect(), &cases[1].1);
        let pipelined = cases[1].1.repeat(16);
        let mut stream = connect();
        let mut buffer = Vec::new();
        group.throughput(Throughput::Elements(16));
        group.bench_function("echo_11_bytes_16_pipelined", |bencher| {
            bencher.iter(|| exchange(&mut stream, black_box(&pipelined), 16 * length, &mut buffer));
        });
        group.finish();
        drop(stream);
        shared.drain();
        thread.join().expect("the shard drains");
    }
}

criterion_group!(benches, loopback, secured);
criterion_main!(benches);
