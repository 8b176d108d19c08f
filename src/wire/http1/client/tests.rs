//! Labelled response heads with their verdicts, each judged whole, byte by byte and at every split; and heads written.

use super::*;
use crate::wire::http1::{HeadError, HeadLimits, Method, Parsed, Version, parse_head};

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 16 << 10,
    count_max: 100,
};

fn httparse_accepts(head: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head) == Ok(httparse::Status::Complete(head.len()))
}

fn check_both(text: &[u8]) {
    for choice in [0u8, 1] {
        check(&[&[choice], text].concat(), httparse_accepts);
    }
}

fn judge(text: &[u8]) -> Result<ParsedResponse<'_>, ResponseError> {
    check_both(text);
    parse_response(text, Method::Post, &LIMITS)
}

fn head_of(text: &str) -> ResponseHead<'_> {
    match judge(text.as_bytes()) {
        Ok(ParsedResponse::Head(head)) => head,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn a_head_says_what_was_sent() {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nMcp-Session-Id: abc\r\n\
                Keep-Alive: max=100, Timeout=5\r\nConnection: keep-alive\r\nX-Other:  y \r\nTransfer-Encoding: Chunked\r\n\
                Retry-After: 7\r\nWWW-Authenticate: Bearer\r\nWWW-Authenticate: Basic\r\nLocation: /x\r\n\r\nrest";
    let head = head_of(text);
    assert_eq!((head.status, head.version), (200, Version::H11));
    assert_eq!(head.framing, ResponseFraming::Chunked);
    assert!(head.keep_alive && head.is_event_stream() && !head.is_json() && !head.is_interim());
    assert_eq!(head.keep_alive_timeout_s, Some(5));
    assert_eq!(head.mcp_session_id, Some(b"abc".as_slice()));
    assert_eq!(
        (head.retry_after, head.location, head.www_authenticate),
        (Some(&b"7"[..]), Some(&b"/x"[..]), Some(&b"Bearer"[..]))
    );
    assert_eq!(head.values("x-other").collect::<Vec<_>>(), [b"y"]);
    assert_eq!(head.len, text.len() - 4);
    assert!(head_of("HTTP/1.1 200\r\nContent-Type: application/json\r\n\r\n").is_json());
    assert!(!head_of("HTTP/1.1 200\r\nContent-Type: application/jsonl\r\n\r\n").is_json());
}

#[test]
fn every_framing_has_its_verdict() {
    use ResponseFraming::{Chunked, Close, Length};
    const NONE: Result<ResponseFraming, ResponseError> = Ok(ResponseFraming::None);
    let line = |line: &str| format!("{line}\r\n");
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked";
    for (status, version, fields, expected) in [
        (200, "1.1", "", Ok(Close)),
        (200, "1.0", "", Ok(Close)),
        (200, "1.1", "Content-Length: 5", Ok(Length(5))),
        (200, "1.1", "Content-Length: 0", Ok(Length(0))),
        (202, "1.0", "Content-Length: 0", Ok(Length(0))),
        (200, "1.1", "Transfer-Encoding: chunked", Ok(Chunked)),
        (500, "1.1", "transfer-encoding: CHUNKED", Ok(Chunked)),
        (204, "1.1", "", NONE),
        (204, "1.1", "Content-Length: 0", NONE),
        (
            204,
            "1.1",
            "Content-Length: 1",
            Err(ResponseError::BodyNotAllowed),
        ),
        (
            204,
            "1.1",
            "Transfer-Encoding: chunked",
            Err(ResponseError::BodyNotAllowed),
        ),
        (100, "1.1", "", NONE),
        (103, "1.1", "Link: </style.css>", NONE),
        (
            100,
            "1.1",
            "Content-Length: 3",
            Err(ResponseError::BodyNotAllowed),
        ),
        (
            103,
            "1.1",
            "Transfer-Encoding: chunked",
            Err(ResponseError::BodyNotAllowed),
        ),
        (304, "1.1", "Content-Length: 1234", NONE),
        (304, "1.1", "Transfer-Encoding: chunked", NONE),
        (
            304,
            "1.1",
            both,
            Err(ResponseError::LengthAndTransferEncoding),
        ),
        (
            200,
            "1.1",
            both,
            Err(ResponseError::LengthAndTransferEncoding),
        ),
        (
            204,
            "1.1",
            both,
            Err(ResponseError::LengthAndTransferEncoding),
        ),
        (
            200,
            "1.0",
            "Transfer-Encoding: chunked",
            Err(ResponseError::BadTransferEncoding),
        ),
        (
            200,
            "1.1",
            "Transfer-Encoding: gzip, chunked",
            Err(ResponseError::BadTransferEncoding),
        ),
        (
            200,
            "1.1",
            "Transfer-Encoding: chunked, gzip",
            Err(ResponseError::BadTransferEncoding),
        ),
        (
            200,
            "1.1",
            "Transfer-Encoding: chunked, chunked",
            Err(ResponseError::BadTransferEncoding),
        ),
        (
            200,
            "1.1",
            "Transfer-Encoding: identity",
            Err(ResponseError::BadTransferEncoding),
        ),
        (
            200,
            "1.1",
            "Transfer-Encoding:",
            Err(ResponseError::BadTransferEncoding),
        ),
        (
            200,
            "1.1",
            "Transfer-Encoding: xchunked",
            Err(ResponseError::BadTransferEncoding),
        ),
        (
            200,
            "1.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Err(ResponseError::DuplicateField),
        ),
        (
            200,
            "1.1",
            "Content-Length: 5\r\nContent-Length: 5",
            Err(ResponseError::DuplicateField),
        ),
        (
            200,
            "1.1",
            "Content-Length: 5, 5",
            Err(ResponseError::BadContentLength),
        ),
        (
            200,
            "1.1",
            "Content-Length: +5",
            Err(ResponseError::BadContentLength),
        ),
        (
            200,
            "1.1",
            "Content-Length: -0",
            Err(ResponseError::BadContentLength),
        ),
        (
            200,
            "1.1",
            "Content-Length: 0x5",
            Err(ResponseError::BadContentLength),
        ),
        (
            200,
            "1.1",
            "Content-Length:",
            Err(ResponseError::BadContentLength),
        ),
        (
            200,
            "1.1",
            "Content-Length: 18446744073709551615",
            Ok(Length(u64::MAX)),
        ),
        (
            200,
            "1.1",
            "Content-Length: 18446744073709551616",
            Err(ResponseError::BadContentLength),
        ),
        (
            304,
            "1.1",
            "Content-Length: x",
            Err(ResponseError::BadContentLength),
        ),
        (
            200,
            "1.1",
            "Content-Type: a/b\r\nContent-Type: a/b",
            Err(ResponseError::DuplicateField),
        ),
        (
            200,
            "1.1",
            "Mcp-Session-Id: a\r\nmcp-session-id: b",
            Err(ResponseError::DuplicateField),
        ),
        (
            200,
            "1.1",
            "Connection: a b",
            Err(ResponseError::BadConnection),
        ),
        (
            101,
            "1.1",
            "Upgrade: h2c",
            Err(ResponseError::UnaskedUpgrade),
        ),
    ] {
        let fields = if fields.is_empty() {
            String::new()
        } else {
            line(fields)
        };
        let text = format!("HTTP/{version} {status} Phrase\r\n{fields}\r\n");
        let found = judge(text.as_bytes()).map(|parsed| match parsed {
            ParsedResponse::Head(head) => head.framing,
            ParsedResponse::Partial => panic!("{text:?} is whole"),
        });
        assert_eq!(found, expected, "{text:?}");
        let head = parse_response(text.as_bytes(), Method::Head, &LIMITS);
        if let Ok(ParsedResponse::Head(head)) = head {
            assert_eq!(head.framing, ResponseFraming::None, "an answer to HEAD");
        }
    }
}

#[test]
fn every_wrong_line_has_its_verdict() {
    use ResponseError::{BadStatus, BadStatusLine, Field, UnsupportedVersion};
    let field = |error| Field(error);
    for (text, expected) in [
        ("HTTP/1.1 200 OK\nA: b\r\n\r\n", BadStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 200OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 +20 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 \r\n\r\n", BadStatusLine),
        ("http/1.1 200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 200 O\x01K\r\n\r\n", BadStatusLine),
        ("HTTP/1.1 200 OK\r\r\n\r\n", BadStatusLine),
        ("HTTP/11.1 200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.10 200 OK\r\n\r\n", BadStatusLine),
        ("HTTPS/1.1 200 OK\r\n\r\n", BadStatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", BadStatusLine),
        ("ICY 200 OK\r\n\r\n", BadStatusLine),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", BadStatusLine),
        ("{\"jsonrpc\"", BadStatusLine),
        ("\x15\x03\x01", BadStatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", UnsupportedVersion),
        ("HTTP/1.2 200 OK\r\n\r\n", UnsupportedVersion),
        ("HTTP/0.9 200 OK\r\n\r\n", UnsupportedVersion),
        ("HTTP/1.1 000 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 099 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 600 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 999 OK\r\n\r\n", BadStatus),
        (
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            field(HeadError::BareLineFeed),
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            field(HeadError::BareCarriageReturn),
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            field(HeadError::FoldedLine),
        ),
        (
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            field(HeadError::BadFieldName),
        ),
        (
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            field(HeadError::BadFieldName),
        ),
        (
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            field(HeadError::BadFieldName),
        ),
        (
            "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
            field(HeadError::BadFieldValue),
        ),
        ("HTTP/1.1 200 OK\r\n\n", field(HeadError::BareLineFeed)),
    ] {
        assert_eq!(judge(text.as_bytes()), Err(expected), "{text:?}");
    }
}

#[test]
fn limits_end_a_head_whether_or_not_it_has_come() {
    let limits = HeadLimits {
        bytes_max: 64,
        count_max: 2,
    };
    let judge = |text: &str| parse_response(text.as_bytes(), Method::Get, &limits).map(|_| ());
    assert_eq!(judge("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n"), Ok(()));
    let many = judge("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n");
    assert_eq!(many, Err(ResponseError::TooManyFields));
    let long = format!("HTTP/1.1 200 {}", "x".repeat(51));
    assert_eq!(judge(&long[..63]), Ok(()));
    assert_eq!(judge(&long), Err(ResponseError::HeadTooLarge));
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(100));
    assert_eq!(judge(&long), Err(ResponseError::HeadTooLarge));
}

#[test]
fn the_connection_is_kept_only_where_both_sides_may() {
    for (text, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 204\r\n\r\n", true),
    ] {
        assert_eq!(head_of(text).keep_alive, kept, "{text:?}");
    }
}

const PIECES: [&[u8]; 26] = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 404 \r\n",
    b"HTTP/1.1 204\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 ",
    b"2",
    b"00",
    b" ",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\t",
    b":",
    b"Content-Length: 5\r\n",
    b"Content-Length:",
    b"Transfer-Encoding: chunked\r\n",
    b"gzip, ",
    b"Connection: close\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Content-Type: text/event-stream\r\n",
    b"Mcp-Session-Id: x\r\n",
    b"\0",
    b"\xff",
    b"0",
    b",",
];

proptest::proptest! {
    // A failure found becomes a labelled case above, not a file of seeds.
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn heads_from_pieces_of_heads_keep_the_promises(pieces in proptest::collection::vec(0..PIECES.len(), 1..24)) {
        let data: Vec<u8> = pieces.iter().flat_map(|index| PIECES[*index].iter().copied()).collect();
        check_both(&data);
    }

    #[test]
    fn one_changed_byte_keeps_the_promises(at in 0usize..120, byte in proptest::num::u8::ANY, insert in proptest::bool::ANY) {
        let mut data = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\nMcp-Session-Id: a\r\nConnection: close\r\n\r\n".to_vec();
        let at = at % data.len();
        if insert { data.insert(at, byte) } else { data[at] = byte }
        check_both(&data);
    }

    #[test]
    fn what_is_written_is_read_back_or_refused(
        name in "[A-Za-z\\-: \r\n\0]{0,8}",
        value in proptest::collection::vec(proptest::num::u8::ANY, 0..12),
        path in "[/a-z%?#\r\n ]{0,8}",
    ) {
        let mut out = b"before".to_vec();
        let target = format!("/{path}");
        let written = write_request(
            &mut out, Method::Post, target.as_bytes(), b"host:80", [(name.as_str(), value.as_slice())], RequestBody::Length(7),
        );
        let Ok(()) = written else {
            assert_eq!(out, b"before");
            return Ok(());
        };
        let Ok(Parsed::Head(head)) = parse_head(&out[6..], &LIMITS) else {
            panic!("{}", out.escape_ascii());
        };
        assert_eq!((head.target, head.host), (target.as_bytes(), Some(&b"host:80"[..])));
        let fields: Vec<(&[u8], &[u8])> = head.fields.collect();
        assert_eq!(fields.len(), 3);
        assert_eq!(fields[1], (name.as_bytes(), value.as_slice()));
    }
}

#[test]
fn a_request_head_is_what_a_server_reads() {
    let template = RequestTemplate::new(
        Method::Post,
        b"/mcp?x=%20",
        b"[::1]:8080",
        [("Accept", &b"application/json, text/event-stream"[..])],
    )
    .unwrap();
    let mut out = Vec::new();
    template
        .write(
            &mut out,
            [("Mcp-Method", &b"tools/call"[..])],
            RequestBody::Length(12),
        )
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&out),
        "POST /mcp?x=%20 HTTP/1.1\r\nHost: [::1]:8080\r\nAccept: application/json, text/event-stream\r\n\
         Mcp-Method: tools/call\r\nContent-Length: 12\r\n\r\n"
    );
    out.clear();
    write_request(&mut out, Method::Get, b"/", b"h", [], RequestBody::None).unwrap();
    assert_eq!(out, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
}

#[test]
fn nothing_breaks_out_of_its_place() {
    let new = |target: &str, host: &str, name: &str, value: &str| {
        let fields = [(name, value.as_bytes())];
        RequestTemplate::new(Method::Get, target.as_bytes(), host.as_bytes(), fields).map(|_| ())
    };
    assert_eq!(new("/mcp", "h", "X-Key", "v"), Ok(()));
    for target in [
        "",
        "mcp",
        "*",
        "http://h/",
        "/a b",
        "/a\r\n",
        "/%zz",
        "/a#b",
    ] {
        assert_eq!(
            new(target, "h", "X", "v"),
            Err(FieldRefused::Target),
            "{target:?}"
        );
    }
    for host in ["", "a b", "u@h", "h:99999", "h\r\nX: y", "[::1"] {
        assert_eq!(
            new("/", host, "X", "v"),
            Err(FieldRefused::Host),
            "{host:?}"
        );
    }
    for name in [
        "",
        "A B",
        "A:",
        "A\r\n",
        "Host",
        "content-length",
        "Transfer-Encoding",
        "CONNECTION",
        "Upgrade",
        "Expect",
    ] {
        let refused = Err(FieldRefused::Name(name.to_owned()));
        assert_eq!(new("/", "h", name, "v"), refused, "{name:?}");
    }
    for value in ["a\r\nX: y", "a\nb", "a\0", " a", "a ", "\t"] {
        let refused = Err(FieldRefused::Value("X".to_owned()));
        assert_eq!(new("/", "h", "X", value), refused, "{value:?}");
    }
}
