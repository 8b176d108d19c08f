//! What calls upstreams, put together as a shard does it: ring, HTTP client, multiplexer and child against real servers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use margay::mcp::{Revision, Shape};
use margay::mem::{Output, SharedBytes};
use margay::ring::{Completion, EpollRing, Ring, RingOptions, SocketKey, UringRing};
use margay::upstream::envelope::Envelope;
use margay::upstream::http::{
    ClientConnection, ClientEvent, ClientLimits, Endpoint, Facts, Media, Url,
};
use margay::upstream::multiplex::{IdText, MultiplexRules, Multiplexer, Received};
use margay::upstream::session::UpstreamFacts;
use margay::upstream::stdio::{ChildSpec, ResourceLimits, spawn};
use margay::upstream::{era, say};
use margay::wire::http1::{HeadLimits, Method};
use margay::wire::stdio::{Line, LineSplitter};
use serde_json::{Value, json};

use crate::harness::{Appliance, binary, scratch};

const PATIENCE: Duration = Duration::from_secs(20);
const DEPTH_MAX: usize = 64;

fn rules() -> MultiplexRules {
    MultiplexRules {
        call_count_max: 100,
        ask_count_max: 10,
        first: 0,
        step: 1,
        depth_max: DEPTH_MAX,
    }
}

fn limits() -> ClientLimits {
    ClientLimits {
        head: HeadLimits {
            bytes_max: 16 << 10,
            count_max: 100,
        },
        body_bytes_max: 1 << 20,
        chunk_overhead_bytes_max: 16 << 10,
    }
}

/// Turns the ring until `done` says so.
fn drive<R: Ring>(ring: &mut R, mut done: impl FnMut(&mut R, Completion) -> bool) {
    let start = Instant::now();
    let mut completions = Vec::new();
    loop {
        ring.turn(&mut completions).unwrap();
        for completion in completions.drain(..) {
            if done(ring, completion) {
                return;
            }
        }
        assert!(start.elapsed() < PATIENCE, "nothing more comes");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Sends these bytes, and gives back what the answers to so many requests tell: head and body.
fn ask<R: Ring>(
    ring: &mut R,
    socket: SocketKey,
    connection: &mut ClientConnection,
    request: Vec<u8>,
    count: usize,
) -> Vec<(u16, Media, Vec<u8>)> {
    ring.send(socket, Output::from(SharedBytes::from(request)));
    for _ in 0..count {
        connection.begin(Method::Post, 0);
    }
    let mut answers: Vec<(u16, Media, Vec<u8>)> = Vec::new();
    drive(ring, |_, completion| {
        match completion {
            Completion::Received { bytes, .. } => connection
                .receive(&bytes, 0, &mut |event| match event {
                    ClientEvent::Head(head) => answers.push((head.status, head.media, Vec::new())),
                    ClientEvent::Body(body) => answers.last_mut().unwrap().2 = body.to_vec(),
                    ClientEvent::Item(item) => panic!("{item:?}"),
                    ClientEvent::End => {}
                })
                .unwrap(),
            Completion::Connected { .. } | Completion::Sent { .. } => {}
            other => panic!("{other:?}"),
        }
        connection.outstanding() == 0
    });
    answers
}

fn over_http<R: Ring>(mut ring: R) {
    let appliance = Appliance::start();
    let url = Url::parse(&format!("http://{}/mcp", appliance.address)).unwrap();
    let endpoint = Endpoint::new(&url, &[]).unwrap();
    let socket = ring.connect(appliance.address).unwrap();
    ring.receive(socket);
    let mut connection = ClientConnection::new(limits());
    let mut multiplexer = Multiplexer::new(rules());

    let number = multiplexer
        .number(0, IdText::new(b"0").unwrap(), None)
        .unwrap();
    let (mut body, mut request) = (Vec::new(), Vec::new());
    say::discover(&mut body, number, b"{}");
    let modern = |method, name| Facts {
        revision: Some(Revision::MODERN),
        mirrored: Some((method, name)),
        ..Facts::default()
    };
    endpoint
        .write_post(&mut request, &modern("server/discover", None), body.len())
        .unwrap();
    request.extend_from_slice(&body);
    let answers = ask(&mut ring, socket, &mut connection, request, 1);
    assert_eq!((answers[0].0, answers[0].1), (200, Media::Json));
    let Received::Answer { envelope, .. } =
        multiplexer.receive(&answers[0].2, Some(number)).unwrap()
    else {
        panic!("an answer");
    };
    let result = envelope.result.unwrap();
    assert!(era::lists_modern(result.text));
    let finding = era::judge_http(
        era::Question::Discover,
        200,
        era::Answer::Result { modern: true },
    );
    assert_eq!(finding, era::Finding::Speaks(era::Spoken::Modern));

    // Four callers with the same id, pipelined in one burst on the connection that is open.
    let mut burst = Vec::new();
    let mut numbers = Vec::new();
    for caller in 1..5 {
        let mut call = Vec::new();
        let body = json!({"jsonrpc": "2.0", "id": "same", "method": "tools/call", "params": {
            "name": "echo", "arguments": {"text": format!("canary {caller}")},
            "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}},
        }})
        .to_string();
        let envelope = Envelope::read(body.as_bytes(), DEPTH_MAX).unwrap();
        numbers.push(
            multiplexer
                .begin(caller, &envelope, &[], &mut call)
                .unwrap(),
        );
        endpoint
            .write_post(&mut burst, &modern("tools/call", Some("echo")), call.len())
            .unwrap();
        burst.extend_from_slice(&call);
    }
    let answers = ask(&mut ring, socket, &mut connection, burst, 4);
    let mut seen = HashMap::new();
    for ((_, _, body), number) in answers.iter().zip(numbers) {
        match multiplexer.receive(body, Some(number)).unwrap() {
            Received::Answer {
                caller,
                id,
                envelope,
            } => {
                assert_eq!(id.as_bytes(), b"\"same\"");
                let result: Value = serde_json::from_slice(envelope.result.unwrap().text).unwrap();
                seen.insert(caller, result["content"][0]["text"].clone());
            }
            other => panic!("{other:?}"),
        }
    }
    for caller in 1..5 {
        assert_eq!(seen[&caller], json!(format!("canary {caller}")));
    }
    assert!(connection.is_reusable());
    ring.close(socket);
    drive(&mut ring, |_, completion| {
        matches!(completion, Completion::Closed { .. })
    });
}

#[test]
fn the_http_client_calls_a_real_server_over_io_uring() {
    over_http(UringRing::new(RingOptions::default()).unwrap());
}

#[test]
fn the_http_client_calls_a_real_server_over_epoll() {
    over_http(EpollRing::new(RingOptions::default()).unwrap());
}

fn over_stdio<R: Ring>(mut ring: R) {
    let folder = scratch("upstream");
    let variable = |name: &str, value: &str| (name.into(), value.into());
    let spec = ChildSpec {
        name: "margay".to_owned(),
        program: binary().into(),
        arguments: vec!["stdio".into()],
        environment: vec![
            variable("PATH", "/usr/bin:/bin"),
            variable("XDG_DATA_HOME", folder.to_str().unwrap()),
            variable("XDG_CACHE_HOME", folder.to_str().unwrap()),
        ],
        directory: None,
        limits: ResourceLimits::default(),
        close_ms: 5_000,
        term_ms: 1_000,
    };
    let mut child = spawn(&spec, &binary()).unwrap();
    let socket = ring.adopt(child.stream).unwrap();
    ring.receive(socket);
    let mut multiplexer = Multiplexer::new(rules());
    let mut out = Vec::new();
    let number = multiplexer
        .number(0_u32, IdText::new(b"0").unwrap(), None)
        .unwrap();
    say::initialize(&mut out, number, Revision::V2025_11_25, b"{}");
    out.push(b'\n');
    say::initialized(&mut out);
    out.push(b'\n');
    for caller in 1..=20 {
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": format!("canary {caller}")}}});
        let body = body.to_string();
        let envelope = Envelope::read(body.as_bytes(), DEPTH_MAX).unwrap();
        multiplexer.begin(caller, &envelope, &[], &mut out).unwrap();
        out.push(b'\n');
    }
    ring.send(socket, Output::from(SharedBytes::from(out)));
    let mut lines = LineSplitter::new(1 << 20);
    let mut answered = HashMap::new();
    drive(&mut ring, |_, completion| {
        if let Completion::Received { bytes, .. } = completion {
            let mut input = &bytes[..];
            while let Some(line) = lines.next_line(&mut input) {
                let Line::Complete(line) = line else {
                    panic!("too long")
                };
                match multiplexer.receive(line, None).unwrap() {
                    Received::Answer {
                        caller,
                        id,
                        envelope,
                    } => {
                        assert_eq!(
                            (id.as_bytes(), envelope.shape),
                            (&b"0"[..], Shape::Response)
                        );
                        let result = envelope.result.unwrap().text.to_vec();
                        assert!(answered.insert(caller, result).is_none());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        answered.len() == 21
    });
    let facts = UpstreamFacts::read(&answered[&0]).unwrap();
    assert_eq!(facts.revision, Revision::V2025_11_25);
    for caller in 1..=20 {
        let result: Value = serde_json::from_slice(&answered[&caller]).unwrap();
        assert_eq!(
            result["content"][0]["text"],
            json!(format!("canary {caller}"))
        );
    }
    ring.shutdown(socket);
    drive(&mut ring, |_, completion| {
        matches!(completion, Completion::EndOfStream { .. })
    });
    assert_eq!(
        child.keeper.wait().unwrap().code(),
        Some(0),
        "it ends with its input"
    );
}

#[test]
fn a_shared_child_answers_each_caller_over_io_uring() {
    over_stdio(UringRing::new(RingOptions::default()).unwrap());
}

#[test]
fn a_shared_child_answers_each_caller_over_epoll() {
    over_stdio(EpollRing::new(RingOptions::default()).unwrap());
}
