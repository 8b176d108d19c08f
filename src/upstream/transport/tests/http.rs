//! One exchange: what is sent, and what is told of the answer.

use super::*;

#[test]
fn a_call_is_one_write_and_its_answer_one_message() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    let mut request = post(1, &remote, r#"{"id":1}"#);
    request.head = HeadFacts {
        revision: Some(crate::mcp::Revision::MODERN),
        session: Some(Arc::from(b"abc".as_slice())),
        mirrored: Some(("tools/call".into(), Some("echo".into()))),
        parameters: vec![("Mcp-Param-City".to_owned(), "Köln".to_owned())],
        last_event_id: None,
    };
    thread.begin(request);
    thread.settle();
    let peer = server.accept().unwrap();
    let asked = text(&peer.take());
    assert!(
        asked.starts_with("POST /mcp HTTP/1.1\r\nHost: localhost\r\n"),
        "{asked}"
    );
    for field in [
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Session-Id: abc",
        "Mcp-Method: tools/call",
        "Mcp-Name: echo",
        "Mcp-Param-City: =?base64?S8O2bG4=?=",
        "Content-Length: 8",
    ] {
        assert!(
            asked.contains(&format!("\r\n{field}\r\n")),
            "{field}: {asked}"
        );
    }
    assert!(asked.ends_with("\r\n\r\n{\"id\":1}"));
    assert!(
        thread.take().is_empty(),
        "nothing is told before it is said"
    );
    peer.write(json(r#"{"id":1,"result":{}}"#).as_bytes());
    assert_eq!(
        thread.take(),
        [
            Told::Head(1, 200),
            Told::Message(1, r#"{"id":1,"result":{}}"#.to_owned()),
            Told::End(1, String::new(), None),
        ]
    );
    let stats = thread.transport.stats();
    assert_eq!((stats.requests, stats.connects, stats.idle), (1, 1, 1));
    assert_eq!(stats.bytes_sent, asked.len() as u64);
    thread.is_gone();
}

#[test]
fn a_large_body_is_sent_whole_and_not_copied() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    let body = "x".repeat(300_000);
    let mut request = post(1, &remote, &body);
    let before = request.body.as_ptr();
    let written = request.write(&thread.buffers).unwrap();
    assert_eq!(written.body.as_ptr(), before);
    drop(written);
    thread.begin(post(1, &remote, &body));
    thread.settle();
    let peer = server.accept().unwrap();
    assert!(peer.take().ends_with(body.as_bytes()));
    peer.write(json("1").as_bytes());
    assert_eq!(thread.take().len(), 3);
    thread.is_gone();
}

/// Answers, and what is told of them.
fn answers() -> Vec<(String, Vec<Told>)> {
    let end = |id: &str, retry| Told::End(1, id.to_owned(), retry);
    let message = |text: &str| Told::Message(1, text.to_owned());
    vec![
        (json("{}"), vec![Told::Head(1, 200), message("{}"), end("", None)]),
        (
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned(),
            vec![Told::Head(1, 202), end("", None)],
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            vec![Told::Head(1, 204), end("", None)],
        ),
        (
            "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull"
                .to_owned(),
            vec![Told::Head(1, 202), end("", None)],
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                .to_owned(),
            vec![Told::Head(1, 400), message("{}"), end("", None)],
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 4\r\n\r\ngone".to_owned(),
            vec![
                Told::Head(1, 302),
                Told::Other(1, "gone".to_owned()),
                end("", None),
            ],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n"
                .to_owned(),
            vec![Told::Head(1, 200), message("{\"a\":1}"), end("", None)],
        ),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n\
             2d\r\nid: 7-1\nretry: 250\ndata:\n\n: alive\n\ndata: {}\n\n\r\n\
             25\r\nevent: endpoint\ndata: /m\n\ndata: [1]\n\n\r\n\
             0\r\n\r\n"
                .to_owned(),
            vec![
                Told::Head(1, 200),
                message("{}"),
                Told::Event(1, "endpoint".to_owned(), "/m".to_owned()),
                message("[1]"),
                end("7-1", Some(250)),
            ],
        ),
    ]
}

#[test]
fn an_answer_is_told_the_same_wherever_its_bytes_are_split() {
    for (bytes, expected) in answers() {
        for split in 0..bytes.len() {
            let mut thread = Thread::new();
            let server = thread.network.serve(address(80));
            let remote = remote(0, &[80], PoolRules::default(), None);
            thread.begin(post(1, &remote, "{}"));
            thread.settle();
            let peer = server.accept().unwrap();
            peer.write(&bytes.as_bytes()[..split]);
            thread.settle();
            peer.write(&bytes.as_bytes()[split..]);
            assert_eq!(thread.take(), expected, "{bytes:?} split at {split}");
            assert_eq!(thread.transport.stats().idle, 1, "it may serve another");
        }
    }
}

#[test]
fn an_answer_is_told_the_same_in_pieces_of_any_size() {
    for (seed, (bytes, expected)) in answers().into_iter().enumerate() {
        for piece_bytes in [1, 2, 3, 7] {
            let mut thread = Thread::with(seed as u64, Faults::survivable(seed as u64));
            let server = thread.network.serve(address(80));
            let remote = remote(0, &[80], PoolRules::default(), None);
            thread.begin(post(1, &remote, "{}"));
            thread.settle();
            let peer = server.accept().unwrap();
            for piece in bytes.as_bytes().chunks(piece_bytes) {
                peer.write(piece);
                thread.step();
            }
            assert_eq!(
                thread.take(),
                expected,
                "{bytes:?} in pieces of {piece_bytes}"
            );
            thread.is_gone();
        }
    }
}

#[test]
fn a_stream_that_ends_with_its_connection_is_over_and_one_that_is_cut_is_not() {
    for cut in [false, true] {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(80));
        let remote = remote(0, &[80], PoolRules::default(), None);
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        let peer = server.accept().unwrap();
        peer.write(format!("{EVENTS}id: 4\ndata: a\n\ndata: cut").as_bytes());
        thread.settle();
        if cut {
            peer.reset();
        } else {
            peer.finish();
        }
        let told = thread.take();
        assert_eq!(
            told[..2],
            [Told::Head(1, 200), Told::Message(1, "a".to_owned())]
        );
        match (&told[2], cut) {
            (Told::End(1, id, None), false) => assert_eq!(id, "4"),
            (Told::Failed(1, Reached::Answering, Failed::Connection, why), true) => {
                assert_eq!(why, "upstream weather: connection reset by peer");
            }
            other => panic!("{other:?}"),
        }
        thread.is_gone();
    }
}

#[test]
fn garbage_is_the_upstream_s_failure_and_ends_the_connection() {
    for (bytes, why) in [
        ("SSH-2.0-OpenSSH\r\n\r\n", ""),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
            "compressed",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
            "limits.body_bytes_max",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "",
        ),
    ] {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(80));
        let remote = remote(0, &[80], PoolRules::default(), None);
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        let peer = server.accept().unwrap();
        peer.write(bytes.as_bytes());
        let told = thread.take();
        let Some(Told::Failed(1, Reached::Answering, Failed::Answer, said)) = told.last() else {
            panic!("{bytes:?}: {told:?}");
        };
        assert!(
            said.starts_with("upstream weather: ") && said.contains(why),
            "{said}"
        );
        assert!(peer.is_closed());
        thread.is_gone();
    }
}

#[test]
fn a_connection_that_ends_before_the_answer_may_have_been_asked() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    server.accept().unwrap().finish();
    let told = thread.take();
    let [Told::Failed(1, Reached::Sent, Failed::Connection, why)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(why.contains("before the answer began"), "{why}");
    thread.is_gone();
}

#[test]
fn what_no_head_can_hold_is_refused_and_its_connection_kept() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    let mut request = post(1, &remote, "{}");
    request.head.session = Some(Arc::from(b"a\r\nX: y".as_slice()));
    thread.begin(request);
    let told = thread.take();
    let [Told::Failed(1, Reached::Nothing, Failed::Refused, why)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(why.contains("Mcp-Session-Id"), "{why}");
    assert_eq!(server.accept().unwrap().take(), b"");
    assert_eq!(thread.transport.stats().idle, 1);
    thread.is_gone();
}

#[test]
fn an_answer_before_the_request_is_out_is_told_and_the_connection_waits_for_the_rest() {
    for reads_on in [true, false] {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(80));
        let remote = remote(0, &[80], PoolRules::default(), None);
        thread.begin(post(1, &remote, &"x".repeat(100_000)));
        let peer = loop {
            thread.step();
            if let Some(peer) = server.accept() {
                break peer;
            }
        };
        peer.set_window(Some(1_000));
        thread.settle();
        peer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(
            thread.take(),
            [Told::Head(1, 413), Told::End(1, String::new(), None)]
        );
        assert_eq!(thread.transport.stats().idle, 0, "it is not free yet");
        if reads_on {
            peer.set_window(None);
            thread.settle();
            assert_eq!(thread.transport.stats().idle, 1);
        } else {
            thread.wait(2_000);
            assert!(peer.is_closed());
        }
        thread.is_gone();
    }
}
