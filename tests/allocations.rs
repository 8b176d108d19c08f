//! The steady path asks the global allocator for nothing that wasmtime does not ask for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use margay::catalog::Catalog;
use margay::component::{CallContext, Component, Runtime, RuntimeOptions};
use margay::limits::Limits;
use margay::mcp::{HostRules, Sessions};
use margay::mem::ByteBudget;
use margay::ring::{RingOptions, UringRing};
use margay::shard::{
    ListenOptions, Service, ServiceOptions, Shard, Shared, Snapshot, bind_listeners,
};
use serde_json::json;

use crate::harness::{modern, request};

const WARM_UP: usize = 2_000;
const COUNTED: usize = 5_000;

fn runtime() -> (Arc<Runtime>, Vec<Arc<Component>>) {
    let runtime = Runtime::new(&Limits::default(), RuntimeOptions::default()).unwrap();
    let components = runtime.load_demo().unwrap();
    (runtime, components)
}

/// A client that sends the same request again and again, each time it has its answer.
fn talk(address: SocketAddr, bytes: &[u8], count: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..count {
        stream.write_all(bytes).unwrap();
        let read = stream.read(&mut buffer).unwrap();
        assert!(
            buffer[..read].starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..read])
        );
    }
}

/// Allocations of a shard's thread while it serves `COUNTED` requests, after as many as it takes to be warm.
fn allocations_of_a_shard(bytes: Vec<u8>) -> u64 {
    let (runtime, components) = runtime();
    let limits = Limits::default();
    let snapshot = Snapshot {
        catalog: Catalog::build(&components, 1, 500),
        hosts: HostRules::loopback(),
    };
    let sessions = Sessions::new(limits.session_count_max, 1_000_000);
    let budget = ByteBudget::new(limits.buffer_pool_bytes_max);
    let shared = Arc::new(Shared::new(limits, snapshot, sessions, runtime, 1));
    let options = ListenOptions {
        nodelay: true,
        keep_alive: None,
    };
    let (address, mut listeners) =
        bind_listeners("127.0.0.1:0".parse().unwrap(), 1, options).unwrap();
    let service = Service::new(
        0,
        Arc::clone(&shared),
        ServiceOptions {
            buffers: budget,
            access_log: None,
            audit: None,
        },
    );
    let mut shard = Shard::new(UringRing::new(RingOptions::default()).unwrap(), service);
    shard.listen(listeners.remove(0)).unwrap();

    let mut serve = |count: usize| {
        let done = Arc::new(AtomicBool::new(false));
        let (ended, bytes) = (Arc::clone(&done), bytes.clone());
        let client = std::thread::spawn(move || {
            talk(address, &bytes, count);
            ended.store(true, Ordering::Release);
        });
        let info = allocation_counter::measure(|| {
            while !done.load(Ordering::Acquire) {
                shard.turn(shared.now_ms()).unwrap();
                shard.rest();
                shard.ring_mut().wait(Duration::from_millis(1)).unwrap();
            }
        });
        client.join().unwrap();
        info.count_total
    };
    serve(WARM_UP);
    serve(COUNTED)
}

/// Allocations of the component's side alone for as many calls.
fn allocations_of_the_pool() -> u64 {
    let (runtime, components) = runtime();
    let echo = components
        .iter()
        .find(|component| component.name() == "echo")
        .unwrap();
    let mailbox = runtime.mailbox(|| {});
    let mut pool = runtime.instance_pool(mailbox);
    pool.follow(&components);
    let mut out = Vec::with_capacity(4096);
    let mut call = |count: usize| {
        allocation_counter::measure(|| {
            for ticket in 0..count as u64 {
                let context = CallContext {
                    ticket,
                    deadline: Instant::now() + Duration::from_secs(10),
                    behalf: None,
                };
                out.clear();
                let _ = pool.call(echo, 0, Some(br#"{"text":"steady"}"#), context, &mut out);
                pool.maintain(16);
            }
        })
        .count_total
    };
    call(WARM_UP);
    call(COUNTED)
}

/// What a connection and the noise of the first turns may cost; far below one allocation a request.
const PER_RUN: u64 = 200;

#[test]
fn answering_without_a_component_allocates_nothing() {
    let (body, headers) = modern(1, "tools/list", json!({}));
    let count = allocations_of_a_shard(request(&body, &headers).into_bytes());
    assert!(
        count < PER_RUN,
        "{count} allocations for {COUNTED} tools/list"
    );
}

#[test]
fn calling_a_component_allocates_only_what_wasmtime_does() {
    let (body, headers) = modern(
        1,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "steady"}}),
    );
    let shard = allocations_of_a_shard(request(&body, &headers).into_bytes());
    let pool = allocations_of_the_pool();
    assert!(
        pool >= COUNTED as u64,
        "an instance is not made without allocating: the counter counts nothing ({pool})"
    );
    let ours = shard.saturating_sub(pool);
    assert!(
        ours < PER_RUN,
        "{shard} allocations for {COUNTED} calls, {pool} of them in the pool"
    );
}
