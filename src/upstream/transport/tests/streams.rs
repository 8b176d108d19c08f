//! Streams of lines.

use super::*;
use crate::ring::sim::Random;

const KEY: StreamKey = StreamKey(5);

fn adopted(thread: &mut Thread) -> SimClient {
    thread
        .transport
        .adopt(&mut thread.ring, KEY, descriptor())
        .unwrap();
    thread.network.take_adopted().unwrap()
}

fn line(text: &str) -> Told {
    Told::Line(5, text.to_owned())
}

#[test]
fn lines_of_one_turn_leave_as_one_write_and_in_order() {
    let mut thread = Thread::new();
    let child = adopted(&mut thread);
    thread.settle();
    let submitted = thread.ring.stats().submitted;
    for number in 0..100 {
        thread
            .transport
            .write_line(KEY, format!("{{\"id\":{number}}}").as_bytes())
            .unwrap();
    }
    thread.settle();
    assert_eq!(thread.ring.stats().submitted - submitted, 1, "one write");
    let expected: String = (0..100)
        .map(|number| format!("{{\"id\":{number}}}\n"))
        .collect();
    assert_eq!(text(&child.take()), expected);
    thread.transport.close_stream(&mut thread.ring, KEY);
    thread.is_gone();
    assert!(thread.told.is_empty(), "who closes it knows");
}

#[test]
fn no_more_lines_leave_in_one_write_than_may() {
    let mut thread = Thread::new();
    let child = adopted(&mut thread);
    thread.transport.set_burst(KEY, 3);
    thread.settle();
    let submitted = thread.ring.stats().submitted;
    for number in 0..10 {
        thread
            .transport
            .write_line(KEY, number.to_string().as_bytes())
            .unwrap();
    }
    thread.transport.shutdown_stream(&mut thread.ring, KEY);
    thread.settle();
    let writes = thread.ring.stats().submitted - submitted;
    assert!(
        (4..=5).contains(&writes),
        "three and three and three and one: {writes}"
    );
    let expected: String = (0..10).map(|number| format!("{number}\n")).collect();
    assert_eq!(text(&child.take()), expected, "and in order");
    child.finish();
    thread.settle();
    thread.is_gone();
}

#[test]
fn lines_come_whole_however_their_bytes_come() {
    let lines = ["{\"a\":1}", "[{},{}]", "x"];
    let bytes = b"{\"a\":1}\n\n\r\n[{},{}]\r\nx";
    for split in 0..=bytes.len() {
        let mut thread = Thread::with(split as u64, Faults::survivable(split as u64));
        let child = adopted(&mut thread);
        child.write(&bytes[..split]);
        thread.settle();
        child.write(&bytes[split..]);
        thread.settle();
        child.finish();
        let mut expected: Vec<Told> = lines.iter().map(|text| line(text)).collect();
        expected.push(Told::Ended(5, "its output ended".to_owned()));
        assert_eq!(thread.take(), expected, "split at {split}");
        thread.is_gone();
    }
}

#[test]
fn an_endless_line_ends_the_stream_and_is_not_kept() {
    let mut thread = Thread::new();
    let child = adopted(&mut thread);
    child.write(b"{}\n");
    let mut sent = 0;
    while thread.transport.streams.contains_key(&KEY) {
        child.write(&[b'x'; 64 << 10]);
        sent += 64 << 10;
        thread.settle();
        assert!(sent <= LINE_BYTES_MAX + (128 << 10), "it reads on");
    }
    let told = thread.take();
    assert_eq!(told[0], line("{}"));
    let Told::Ended(5, why) = &told[1] else {
        panic!("{told:?}");
    };
    assert!(
        why.contains("1048576") && why.contains("limits.body_bytes_max"),
        "{why}"
    );
    assert_eq!(told.len(), 2);
    assert!(child.is_closed());
    thread.is_gone();
}

#[test]
fn a_child_that_does_not_read_fills_a_bounded_queue() {
    let mut thread = Thread::new();
    thread.transport.options.stream_queue_bytes_max = 1_000;
    let child = adopted(&mut thread);
    child.set_window(Some(0));
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..200 {
        match thread.transport.write_line(KEY, &[b'x'; 99]) {
            Ok(()) => taken += 1,
            Err(full) => {
                assert_eq!(full.bytes_max, 1_000);
                refused += 1;
            }
        }
        thread.settle();
    }
    assert_eq!((taken, refused), (10, 190));
    child.set_window(None);
    thread.settle();
    assert_eq!(child.take().len(), 1_000, "what was taken arrives");
    let long = vec![b'y'; 5_000];
    assert!(
        thread.transport.write_line(KEY, &long).is_ok(),
        "a line alone may be longer"
    );
    thread.settle();
    assert_eq!(child.take().len(), 5_001);
    thread.transport.close_stream(&mut thread.ring, KEY);
    thread.is_gone();
}

#[test]
fn a_shutdown_follows_what_is_queued_and_the_child_may_still_speak() {
    let mut thread = Thread::new();
    let child = adopted(&mut thread);
    child.set_window(Some(3));
    thread.transport.write_line(KEY, b"first").unwrap();
    thread.settle();
    thread.transport.write_line(KEY, b"last").unwrap();
    thread.transport.shutdown_stream(&mut thread.ring, KEY);
    thread.settle();
    assert!(!child.is_finished());
    child.set_window(None);
    thread.settle();
    assert_eq!(text(&child.take()), "first\nlast\n");
    assert!(child.is_finished() && !child.is_closed());
    child.write(b"bye\n");
    child.finish();
    assert_eq!(
        thread.take(),
        [line("bye"), Told::Ended(5, "its output ended".to_owned())]
    );
    assert!(thread.transport.write_line(KEY, b"to nobody").is_ok());
    thread.is_gone();
}

#[test]
fn a_paused_stream_loses_nothing_and_keeps_the_order() {
    for seed in 0..200 {
        let mut thread = Thread::with(seed, Faults::survivable(seed));
        let mut random = Random::new(seed);
        let child = adopted(&mut thread);
        let bytes: Vec<u8> = (0..60)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let count = (1 + random.below(20) as usize).min(left.len());
            let (piece, rest) = left.split_at(count);
            left = rest;
            child.write(piece);
            match random.below(4) {
                0 => thread.transport.pause_stream(&mut thread.ring, KEY),
                1 => thread.transport.resume_stream(&mut thread.ring, KEY),
                2 => thread.step(),
                _ => thread.settle(),
            }
        }
        child.finish();
        thread.settle();
        thread.transport.resume_stream(&mut thread.ring, KEY);
        let mut expected: Vec<Told> = (0..60).map(|n| line(&n.to_string())).collect();
        expected.push(Told::Ended(5, "its output ended".to_owned()));
        assert_eq!(thread.take(), expected, "seed {seed}");
        thread.is_gone();
    }
}

#[test]
fn a_broken_stream_says_why() {
    let mut thread = Thread::new();
    let child = adopted(&mut thread);
    thread.settle();
    child.reset();
    assert_eq!(
        thread.take(),
        [Told::Ended(5, "connection reset by peer".to_owned())]
    );
    thread.is_gone();
}
