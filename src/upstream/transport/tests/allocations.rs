//! What a call takes from the global allocator.

use super::*;

/// One call on a connection that is there; the allocations of the table, which are all but those of the simulation.
fn call(thread: &mut Thread, request: Request, peer: &SimClient, answer: &[u8]) -> u64 {
    let mut count = 0;
    let mut seen = 0;
    let mut request = Some(request);
    let mut is_answered = false;
    for _ in 0..20 {
        let mut completions = Vec::new();
        thread.ring.turn(&mut completions).unwrap();
        let measured = allocation_counter::measure(|| {
            let mut sink = |event: TransportEvent<'_>| {
                seen += usize::from(matches!(event, TransportEvent::Message { .. }));
            };
            if let Some(request) = request.take() {
                thread
                    .transport
                    .begin(&mut thread.ring, request, thread.now_ms);
            }
            for completion in completions.drain(..) {
                thread
                    .transport
                    .complete(&mut thread.ring, completion, thread.now_ms, &mut sink);
            }
            thread
                .transport
                .flush(&mut thread.ring, thread.now_ms, &mut sink);
        });
        count += measured.count_total;
        if !is_answered && !peer.take().is_empty() {
            peer.write(answer);
            is_answered = true;
        }
    }
    assert!(is_answered && seen == 1, "one answer, {seen} messages");
    count
}

#[test]
fn a_call_on_a_connection_that_is_there_allocates_nothing_but_its_body() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(0, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    peer.take();
    peer.write(json("{}").as_bytes());
    thread.settle();
    let answer = json(&"1".repeat(500));
    let counts: Vec<u64> = (1..100)
        .map(|key| {
            let request = post(key, &remote, "{\"method\":\"tools/call\"}");
            call(&mut thread, request, &peer, answer.as_bytes())
        })
        .collect();
    // The first ones make room.
    assert_eq!(counts[10..].iter().sum::<u64>(), 0, "{counts:?}");
    thread.is_gone();
}
