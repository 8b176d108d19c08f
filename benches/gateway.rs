//! What a gateway adds to a call beside its sockets: from a client's request to the upstream's, and from its answer to the client's.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::audit::Audit;
use margay::gateway::{Action, Call, CallerKey, Gateway, GatewayOptions};
use margay::limits::Limits;
use margay::mcp::{ClientCapabilities, Method, Principal, Revision};
use margay::upstream::http::{AnswerHead, Url};
use margay::upstream::remote::{Place, Remote};
use margay::upstream::settings::{EraChoice, Replica, Transport, Upstream};
use margay::upstream::transport::TransportEvent;

fn remote() -> Arc<Remote> {
    let url = Url::parse("http://127.0.0.1:1/mcp").expect("a URL");
    let place = Place::new(url.clone(), 1, Vec::new(), None).expect("no fields");
    let transport = Transport::Http {
        replicas: vec![Replica { url, weight: 1 }],
        headers: Vec::new(),
        tls: Default::default(),
    };
    let mut settings = Upstream::new("up", transport);
    settings.era = EraChoice::Modern;
    settings.health.rules = None;
    Arc::new(Remote::new(0, settings, vec![place]))
}

fn call(remote: &Arc<Remote>, message: &[u8]) -> Box<Call> {
    Box::new(Call {
        caller: CallerKey { port: 1, ticket: 7 },
        principal: Principal::ANONYMOUS,
        revision: Revision::MODERN,
        session: None,
        remote: Arc::clone(remote),
        method: Method::CallTool,
        message: message.to_vec(),
        target: "echo".into(),
        is_renamed: true,
        mirrored: Vec::new(),
        capabilities: ClientCapabilities::NONE,
        client_info: None,
        log_level: None,
        is_repeatable: false,
        patience: Arc::default(),
        outbox: Err("nobody listens"),
    })
}

/// One call there and back; the bytes of its answer.
fn there_and_back(
    gateway: &mut Gateway,
    remote: &Arc<Remote>,
    message: &[u8],
    text: &str,
) -> usize {
    gateway.begin(call(remote, message));
    let mut head = AnswerHead::default();
    head.status = 200;
    let mut answered = 0;
    while let Some(action) = gateway.next_action() {
        match action {
            Action::Exchange(request) => {
                let id = request
                    .body
                    .split(|byte| *byte == b':')
                    .nth(2)
                    .expect("an id");
                let id =
                    std::str::from_utf8(id.split(|byte| *byte == b',').next().expect("a number"))
                        .expect("digits");
                let answer = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":"{text}"}}]}}}}"#
                );
                let key = request.key;
                gateway.take(TransportEvent::Head { key, head: &head });
                gateway.take(TransportEvent::Message {
                    key,
                    text: answer.as_bytes(),
                });
                gateway.take(TransportEvent::End {
                    key,
                    last_event_id: b"",
                    retry_ms: None,
                });
            }
            Action::Done(_, done) => answered = done.body.len(),
            _ => {}
        }
    }
    assert!(answered > 0, "every call is answered");
    answered
}

fn gateway(criterion: &mut Criterion) {
    let remote = remote();
    let mut group = criterion.benchmark_group("gateway");
    for (name, size) in [("small", 16), ("64_kib", 64 << 10)] {
        let text = "x".repeat(size);
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":41,"method":"tools/call","params":{{"name":"up__echo","arguments":{{"text":"{text}"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        let options = GatewayOptions {
            port: 0,
            homes: 0..1,
            limits: Limits::default(),
            seed: 7,
            task_key: [1; 32],
            audit: Audit::off(),
        };
        let mut home = Gateway::new(std::slice::from_ref(&remote), options);
        home.set_now(1_000);
        group.throughput(Throughput::Bytes(2 * size as u64));
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| there_and_back(&mut home, &remote, black_box(message.as_bytes()), &text));
        });
    }
    group.finish();
}

criterion_group!(benches, gateway);
criterion_main!(benches);
