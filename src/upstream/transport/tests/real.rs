//! The same on the kernel's own interfaces, against servers of the standard library.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::*;
use crate::ring::{EpollRing, RingOptions, UringRing};

/// Answers every request on a connection with its own body.
fn serve(stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if writer.write_all(json(&text(&body)).as_bytes()).is_err() {
            return;
        }
    }
}

/// Turns until so many ended.
fn turn_until<R: Ring>(
    ring: &mut R,
    transport: &mut Transport,
    told_here: &mut Vec<Told>,
    ends: usize,
) {
    let start = Instant::now();
    let mut completions = Vec::new();
    loop {
        let now_ms = 1_000 + start.elapsed().as_millis() as u64;
        ring.turn(&mut completions).unwrap();
        let mut sink = |event: TransportEvent<'_>| told_here.push(told(event));
        for completion in completions.drain(..) {
            transport.complete(ring, completion, now_ms, &mut sink);
        }
        transport.flush(ring, now_ms, &mut sink);
        let ended =
            |told: &&Told| matches!(told, Told::End(..) | Told::Failed(..) | Told::Ended(..));
        if told_here.iter().filter(ended).count() >= ends {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{told_here:?}");
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn over_http<R: Ring>(mut ring: R) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    let mut transport = Transport::new(options(BufferPool::with_limit(64 << 20)));
    let rules = PoolRules {
        max_active: 4,
        ..PoolRules::default()
    };
    let remote = remote(0, &[port], rules, None);
    let mut told = Vec::new();
    let sizes = [2, 100, 5_000, 200_000];
    for key in 0..200 {
        let body = "1".repeat(sizes[key % sizes.len()]);
        transport.begin(&mut ring, post(key as u64, &remote, &body), 1_000);
    }
    turn_until(&mut ring, &mut transport, &mut told, 200);
    for key in 0..200 {
        let body = "1".repeat(sizes[key % sizes.len()]);
        assert!(told.contains(&Told::Message(key as u64, body)), "{key}");
    }
    let stats = transport.stats();
    assert_eq!((stats.connects, stats.requests, stats.idle), (4, 200, 4));
    let gone = post(1_000, &super::remote(1, &[1], rules, None), "{}");
    transport.begin(&mut ring, gone, 1_000);
    told.clear();
    turn_until(&mut ring, &mut transport, &mut told, 1);
    assert!(
        matches!(&told[0], Told::Failed(1_000, Reached::Nothing, Failed::Connection, why) if why.contains("connection refused")),
        "{told:?}"
    );
}

fn over_lines<R: Ring>(mut ring: R) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let mut writer = theirs.try_clone().unwrap();
        for line in BufReader::new(theirs).lines() {
            writer
                .write_all(format!("{}\n", line.unwrap()).as_bytes())
                .unwrap();
        }
    });
    let mut transport = Transport::new(options(BufferPool::with_limit(64 << 20)));
    transport
        .adopt(&mut ring, StreamKey(1), ours.into())
        .unwrap();
    let mut told = Vec::new();
    let lines: Vec<String> = (0..2_000)
        .map(|n| format!("{n}{}", "x".repeat(n % 300)))
        .collect();
    for line in &lines {
        transport.write_line(StreamKey(1), line.as_bytes()).unwrap();
    }
    transport.shutdown_stream(&mut ring, StreamKey(1));
    turn_until(&mut ring, &mut transport, &mut told, 1);
    let mut expected: Vec<Told> = lines.into_iter().map(|line| Told::Line(1, line)).collect();
    expected.push(Told::Ended(1, "its output ended".to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn exchanges_go_over_io_uring() {
    over_http(UringRing::new(RingOptions::default()).unwrap());
}

#[test]
fn exchanges_go_over_epoll() {
    over_http(EpollRing::new(RingOptions::default()).unwrap());
}

#[test]
fn lines_go_over_io_uring() {
    over_lines(UringRing::new(RingOptions::default()).unwrap());
}

#[test]
fn lines_go_over_epoll() {
    over_lines(EpollRing::new(RingOptions::default()).unwrap());
}
