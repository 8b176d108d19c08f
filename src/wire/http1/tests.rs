//! Labelled heads with their verdicts, each judged whole, byte by byte and at every two-way split.

use super::*;
use cases::{all_cases, with};

mod cases;

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 16 << 10,
    count_max: 100,
};

/// 0 for a head, else the status; `None` while there is no verdict.
fn status(verdict: &Result<Parsed<'_>, HeadError>) -> Option<u16> {
    match verdict {
        Ok(Parsed::Partial) => None,
        Ok(Parsed::Head(_)) => Some(0),
        Err(error) => Some(error.status()),
    }
}

#[test]
fn every_labelled_head_gets_its_verdict() {
    let cases = all_cases();
    assert!(cases.len() >= 800, "{}", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let verdict = parse_head(&case.bytes, &LIMITS);
            let found = status(&verdict);
            (found != Some(case.status))
                .then(|| format!("{}: {found:?}, not {}", case.label, case.status))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} wrong:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_labelled_head_gets_its_verdict_at_every_split() {
    for case in all_cases() {
        let whole = parse_head(&case.bytes, &LIMITS);
        let stride = case.bytes.len() / 512 + 1;
        for split in (0..case.bytes.len()).step_by(stride) {
            let mut scan = HeadScan::default();
            let mut verdict = parse_head_from(&mut scan, &case.bytes[..split], &LIMITS);
            if verdict == Ok(Parsed::Partial) {
                verdict = parse_head_from(&mut scan, &case.bytes, &LIMITS);
            }
            assert_eq!(verdict, whole, "{} at {split}", case.label);
        }
        let mut scan = HeadScan::default();
        let verdict = (1..=case.bytes.len())
            .map(|end| parse_head_from(&mut scan, &case.bytes[..end], &LIMITS))
            .find(|verdict| *verdict != Ok(Parsed::Partial));
        assert_eq!(verdict, Some(whole), "{} byte by byte", case.label);
    }
}

#[test]
fn a_prefix_of_a_valid_head_is_partial_and_never_an_error() {
    for case in all_cases().iter().filter(|case| case.status == 0) {
        let Ok(Parsed::Head(head)) = parse_head(&case.bytes, &LIMITS) else {
            panic!("{}", case.label)
        };
        for end in (0..head.len).step_by(head.len / 512 + 1) {
            assert_eq!(
                parse_head(&case.bytes[..end], &LIMITS),
                Ok(Parsed::Partial),
                "{} at {end}",
                case.label
            );
        }
    }
}

/// Whether the oracle takes exactly these bytes as one head.
fn httparse_accepts(head: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(head) == Ok(httparse::Status::Complete(head.len()))
}

#[test]
fn nothing_is_accepted_that_httparse_refuses() {
    for case in all_cases() {
        check(&case.bytes, httparse_accepts);
    }
}

#[test]
fn one_changed_byte_never_breaks_a_promise() {
    let head = b"POST /mcp?a=%20 HTTP/1.1\r\nHost: [::1]:80\r\nAccept: a/b\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{}";
    for at in 0..head.len() {
        for byte in 0..=255u8 {
            let mut changed = head.to_vec();
            changed[at] = byte;
            let verdict = parse_head(&changed, &LIMITS);
            if let Ok(Parsed::Head(found)) = verdict {
                assert!(
                    httparse_accepts(&changed[..found.len]),
                    "{}",
                    changed.escape_ascii()
                );
            }
            let mut inserted = head.to_vec();
            inserted.insert(at, byte);
            if byte % 16 == 10 || byte % 16 == 13 || byte % 64 == 0 {
                check(&changed, httparse_accepts);
                check(&inserted, httparse_accepts);
            }
        }
    }
}

proptest::proptest! {
    // A failure found becomes a labelled case above, not a file of seeds.
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn heads_from_pieces_of_heads_keep_the_promises(pieces in proptest::collection::vec(0..PIECES.len(), 1..24)) {
        let data: Vec<u8> = pieces.iter().flat_map(|index| PIECES[*index].iter().copied()).collect();
        check(&data, httparse_accepts);
    }

    #[test]
    fn any_bytes_keep_the_promises(data in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        check(&data, httparse_accepts);
    }
}

const PIECES: [&[u8]; 32] = [
    b"POST /mcp HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"GET ",
    b"/",
    b" HTTP/1.1",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"Host: a\r\n",
    b"host:b",
    b"Content-Length: 5\r\n",
    b"Content-Length:",
    b"Transfer-Encoding: chunked\r\n",
    b"chunked",
    b"gzip, ",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"Accept: */*\r\n",
    b"\0",
    b"\x7f",
    b"\xff",
    b"0",
    b"18446744073709551616",
    b",",
    b"http://a",
    b"*",
    b"Mcp-Name: x\r\n",
];

fn head_of(text: &str) -> Head<'_> {
    match parse_head(text.as_bytes(), &LIMITS) {
        Ok(Parsed::Head(head)) => head,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_head_says_what_was_sent() {
    let text = with(
        "Origin: http://o\r\nContent-Type: application/json\r\naccept: a/b\r\nAccept: c/d\r\nAuthorization: Bearer x\r\n\
         Mcp-Session-Id: s\r\nMCP-Protocol-Version: v\r\nMcp-Method: m\r\nMcp-Name: n\r\nLast-Event-ID: 7\r\nContent-Encoding: gzip\r\n\
         Mcp-Param-City:  Paris \r\nContent-Length: 12\r\nExpect: 100-continue\r\n",
    );
    let head = head_of(&text);
    assert_eq!(
        (head.method, head.target, head.version),
        (Method::Post, b"/mcp".as_slice(), Version::H11)
    );
    assert_eq!(head.framing, Framing::Length(12));
    assert!(head.keep_alive && head.expect_continue && head.accept_repeated);
    let found = [
        head.host,
        head.origin,
        head.content_type,
        head.accept,
        head.authorization,
        head.mcp_session_id,
        head.mcp_protocol_version,
        head.mcp_method,
        head.mcp_name,
        head.last_event_id,
        head.content_encoding,
    ];
    let sent = [
        "localhost",
        "http://o",
        "application/json",
        "a/b",
        "Bearer x",
        "s",
        "v",
        "m",
        "n",
        "7",
        "gzip",
    ];
    assert_eq!(found.map(Option::unwrap), sent.map(str::as_bytes));
    assert_eq!(
        head.values("ACCEPT").collect::<Vec<_>>(),
        [b"a/b".as_slice(), b"c/d"]
    );
    assert_eq!(head.fields.count(), 15);
    assert_eq!(
        { head.fields }.nth(12),
        Some((b"Mcp-Param-City".as_slice(), b"Paris".as_slice()))
    );
    assert_eq!(head.len, text.len());
}

#[test]
fn the_connection_stays_open_as_the_version_and_the_field_say() {
    for (version, lines, open) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let text = with(lines).replace("1.1", version);
        assert_eq!(head_of(&text).keep_alive, open, "{version} {lines}");
    }
}

#[test]
fn only_a_body_to_come_is_worth_a_continue() {
    for (lines, expected) in [
        ("Expect: 100-continue\r\nContent-Length: 1\r\n", true),
        (
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
            true,
        ),
        ("Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("Expect: 100-continue\r\n", false),
    ] {
        assert_eq!(head_of(&with(lines)).expect_continue, expected, "{lines}");
    }
}

#[test]
fn bytes_after_a_head_are_the_next_ones() {
    let first = with("Content-Length: 2\r\n");
    let text = format!("{first}{{}}{first}");
    assert_eq!(head_of(&text).len, first.len());
}

#[test]
fn a_head_in_single_bytes_costs_linear_time() {
    // The scan stands in the line that is not complete, and has seen every byte: the next byte costs itself and no more.
    let text =
        with(&"X: y\r\n".repeat(90)).replacen("X: y", &format!("X: {}", "y".repeat(15_000)), 1);
    let mut scan = HeadScan::default();
    let mut judged_bytes = 0;
    for end in 1..text.len() {
        let unseen_from = scan.seen_bytes();
        assert_eq!(
            parse_head_from(&mut scan, &text.as_bytes()[..end], &LIMITS),
            Ok(Parsed::Partial)
        );
        assert_eq!(scan.seen_bytes(), end, "at {end}");
        judged_bytes += end - unseen_from;
    }
    assert_eq!(judged_bytes, text.len() - 1);
    assert!(matches!(
        parse_head_from(&mut scan, text.as_bytes(), &LIMITS),
        Ok(Parsed::Head(_))
    ));
}

#[test]
fn a_response_head_is_read_by_the_oracle_as_it_was_meant() {
    use response::{Body, write_head};
    for (status, body, keep_alive, length, close) in [
        (200, Body::Length(7), true, Some("7"), false),
        (404, Body::Length(0), false, Some("0"), true),
        (200, Body::Stream, true, None, true),
        (202, Body::Empty, true, Some("0"), false),
        (204, Body::Empty, true, None, false),
        (599, Body::Empty, false, Some("0"), true),
    ] {
        let mut out = Vec::new();
        write_head(
            &mut out,
            status,
            Some("text/plain"),
            body,
            keep_alive,
            &[("X-A", "b"), ("X-C", "d\r\nE: f")],
        );
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        assert_eq!(
            response.parse(&out),
            Ok(httparse::Status::Complete(out.len()))
        );
        assert_eq!(response.code, Some(status));
        let value = |name: &str| {
            let mut found = response.headers.iter().filter(|field| field.name == name);
            found
                .next()
                .map(|field| std::str::from_utf8(field.value).unwrap())
        };
        assert_eq!(value("Content-Length"), length);
        assert_eq!(value("Connection"), close.then_some("close"));
        assert_eq!(value("X-A"), Some("b"));
        assert_eq!(
            (value("X-C"), value("E")),
            (None, None),
            "a value cannot start a new line"
        );
    }
}

#[test]
fn a_reserved_head_gets_the_length_of_what_follows() {
    for (size, keep_alive) in [
        (0, true),
        (1, false),
        (9, true),
        (10, true),
        (123_456, false),
    ] {
        let mut out = b"before".to_vec();
        let reserved = response::reserve_json_head(&mut out, keep_alive);
        out.resize(out.len() + size, b'x');
        reserved.finish(&mut out);
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = response.parse(&out[6..]) else {
            panic!()
        };
        assert_eq!(out.len() - 6 - length, size);
        let found = response
            .headers
            .iter()
            .find(|field| field.name == "Content-Length")
            .unwrap();
        assert_eq!(std::str::from_utf8(found.value).unwrap(), size.to_string());
        assert_eq!(
            response
                .headers
                .iter()
                .any(|field| field.name == "Connection"),
            !keep_alive
        );
    }
}
