//! Heads with their verdicts, written out or generated.

use super::super::is_token;
use super::LIMITS;

/// A head and what has to come of it: 0 for accepted, else the status.
pub(super) struct Case {
    pub(super) label: String,
    pub(super) bytes: Vec<u8>,
    pub(super) status: u16,
}

fn case(label: impl Into<String>, bytes: impl AsRef<[u8]>, status: u16) -> Case {
    Case {
        label: label.into(),
        bytes: bytes.as_ref().to_vec(),
        status,
    }
}

/// A request with these field lines after `Host`.
pub(super) fn with(lines: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

fn with_bytes(before: &str, byte: u8, after: &str) -> Vec<u8> {
    [before.as_bytes(), &[byte], after.as_bytes()].concat()
}

const REQUEST_LINES: &[(&str, &str, u16)] = &[
    ("no target", "GET HTTP/1.1", 400),
    ("HTTP/0.9", "GET /", 400),
    ("HTTP/0.9 named", "GET / HTTP/0.9", 505),
    ("no version", "GET / ", 400),
    ("two spaces before target", "GET  / HTTP/1.1", 400),
    ("two spaces before version", "GET /  HTTP/1.1", 400),
    ("space at the end", "GET / HTTP/1.1 ", 400),
    ("tab before target", "GET\t/ HTTP/1.1", 400),
    ("tab before version", "GET /\tHTTP/1.1", 400),
    ("space first", " GET / HTTP/1.1", 400),
    ("lower-case version", "GET / http/1.1", 400),
    ("HTTP/1.2", "GET / HTTP/1.2", 505),
    ("HTTP/2.0", "GET / HTTP/2.0", 505),
    ("HTTP/1", "GET / HTTP/1", 400),
    ("HTTP/1.10", "GET / HTTP/1.10", 400),
    ("HTTP/11.1", "GET / HTTP/11.1", 400),
    ("HTTP/1.x", "GET / HTTP/1.x", 400),
    ("HTTP/1,1", "GET / HTTP/1,1", 400),
    ("HTTPS/1.1", "GET / HTTPS/1.1", 400),
    ("ICE/1.0", "GET / ICE/1.0", 400),
    ("four words", "GET / / HTTP/1.1", 400),
    ("form feed", "GET /\x0c HTTP/1.1", 400),
    ("only the method", "GET", 400),
    ("colon in method", "GET: / HTTP/1.1", 400),
    ("empty method", " / HTTP/1.1", 400),
];

fn request_line_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let bytes = format!("{method} /mcp {version}\r\nHost: a\r\n\r\n");
            cases.push(case(format!("{method} {version}"), bytes, 0));
        }
    }
    for method in [
        "TRACE",
        "CONNECT",
        "get",
        "Post",
        "FOO",
        "M-SEARCH",
        "PRI",
        "POSTX",
        "GE",
        "!#$%&'*+-.^_`|~",
    ] {
        cases.push(case(
            method,
            format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"),
            501,
        ));
    }
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    for &(label, text, status) in REQUEST_LINES {
        cases.push(case(label, line(text), status));
    }
    for (label, bytes, status) in [
        ("CRLF first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        (
            "CRLF twice first",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
        ),
        ("LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "request line ends in LF",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            400,
        ),
        (
            "request line ends in CR",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            400,
        ),
        (
            "request line ends in CR CR LF",
            "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            400,
        ),
        ("TLS hello", "\x16\x03\x01\x02\x00\x01", 400),
        ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("a response", "HTTP/1.1 200 OK\r\n\r\n", 400),
        ("nothing but a line end", "\r\n\r\n", 400),
        ("JSON", "{\"jsonrpc\":\"2.0\"}\n", 400),
    ] {
        cases.push(case(label, bytes, status));
    }
    cases
}

fn target_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut target = |target: &str, status: u16| {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a:80\r\n\r\n");
        cases.push(case(format!("target {target}"), bytes, status));
    };
    for valid in [
        "/",
        "/mcp",
        "/a/b?c=d&e",
        "/?",
        "/%20%7e",
        "//",
        "/a;b=c,d:@!$&'()*+",
        "http://a:80/",
        "http://a:80",
        "HTTP://A:80/x?y",
        "https://a:80?q",
    ] {
        target(valid, 0);
    }
    for invalid in [
        "*",
        "mcp",
        "a:80",
        "/#f",
        "/%",
        "/%2",
        "/%zz",
        "/a\"b",
        "/<",
        "/>",
        "/\\",
        "/^",
        "/`",
        "/{",
        "/}",
        "/|",
        "/é",
        "/[",
        "/\x7f",
        "http://",
        "http:///",
        "http://u@a:80/",
        "ftp://a:80/",
        "http:/a:80",
        "http://a:80/#",
        "http://b/",
        "http://a:81/",
        "http://a:x/",
        "?q",
        "",
    ] {
        target(invalid, 400);
    }
    cases.push(case(
        "OPTIONS *",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        0,
    ));
    for byte in (0..=255u8).filter(|byte| *byte < 0x20 || *byte >= 0x7f) {
        let bytes = with_bytes("GET /x", byte, "y HTTP/1.1\r\nHost: a\r\n\r\n");
        cases.push(case(format!("byte {byte:#04x} in the target"), bytes, 400));
    }
    cases
}

fn host_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut host = |value: &str, status: u16| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        cases.push(case(format!("Host: {value}"), bytes, status));
    };
    for valid in [
        "localhost",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
        "a.b-c_d~e",
        "a:",
        "xn--bcher-kva.example",
        "a%41",
        "  a  ",
        "\ta\t",
        "A:65535",
    ] {
        host(valid, 0);
    }
    for invalid in [
        "",
        " ",
        "a b",
        "a,b",
        "a:b",
        "a:65536",
        "a:123456",
        "a:1:2",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[x]",
        "[::1]x",
        "[::1%25eth0]",
        "a/",
        "u@a",
        "a?",
        "a#",
        "a%4",
        "a\\b",
        "http://a",
        "é",
        "\"a\"",
    ] {
        // A comma is a sub-delimiter, so a list would pass as a name.
        let status = if invalid == "a,b" { 0 } else { 400 };
        host(invalid, status);
    }
    cases.extend(host_count_cases());
    cases
}

fn host_count_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let line = "GET / HTTP/1.1\r\n";
    for (label, rest, status) in [
        ("no host", "\r\n", 400),
        ("two hosts", "Host: a\r\nHost: b\r\n\r\n", 400),
        ("the same host twice", "Host: a\r\nhost: a\r\n\r\n", 400),
        ("host in any case", "hOST: a\r\n\r\n", 0),
    ] {
        cases.push(case(label, format!("{line}{rest}"), status));
    }
    cases.push(case("1.0 without host", "GET / HTTP/1.0\r\n\r\n", 0));
    cases.push(case(
        "1.0 with a bad host",
        "GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
        400,
    ));
    cases.push(case(
        "absolute target without host",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        400,
    ));
    cases.push(case(
        "absolute target, other host",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        400,
    ));
    cases
}

const FRAMING: &[(&str, u16)] = &[
    ("Content-Length: 0\r\n", 0),
    ("Content-Length: 5\r\n", 0),
    ("content-length: 00005\r\n", 0),
    ("Content-Length:5\r\n", 0),
    ("Content-Length: \t5 \t\r\n", 0),
    ("Content-Length: 18446744073709551615\r\n", 0),
    ("Content-Length: 18446744073709551616\r\n", 413),
    ("Content-Length: 99999999999999999999999999\r\n", 413),
    ("Content-Length:\r\n", 400),
    ("Content-Length: \r\n", 400),
    ("Content-Length: +5\r\n", 400),
    ("Content-Length: -1\r\n", 400),
    ("Content-Length: 0x5\r\n", 400),
    ("Content-Length: 5.0\r\n", 400),
    ("Content-Length: 5 5\r\n", 400),
    ("Content-Length: 5, 5\r\n", 400),
    ("Content-Length: 5,6\r\n", 400),
    ("Content-Length: 5;\r\n", 400),
    ("Content-Length: 1e1\r\n", 400),
    ("Content-Length: \u{664}\r\n", 400),
    ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
    ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
    ("Content-Length: 5\r\nCONTENT-LENGTH: 5\r\n", 400),
    ("Content-Length : 5\r\n", 400),
    ("Transfer-Encoding: chunked\r\n", 0),
    ("Transfer-Encoding: CHUNKED\r\n", 0),
    ("Transfer-Encoding:\tchunked \r\n", 0),
    ("Transfer-Encoding: gzip, chunked\r\n", 501),
    ("Transfer-Encoding: deflate,gzip ,\tchunked\r\n", 501),
    ("Transfer-Encoding: chunked, gzip\r\n", 400),
    ("Transfer-Encoding: gzip\r\n", 400),
    ("Transfer-Encoding: identity\r\n", 400),
    ("Transfer-Encoding: identity, chunked\r\n", 400),
    ("Transfer-Encoding: chunked, chunked\r\n", 400),
    ("Transfer-Encoding: chunked, chunked-false\r\n", 400),
    ("Transfer-Encoding: chunked;q=1\r\n", 400),
    ("Transfer-Encoding: \"chunked\"\r\n", 400),
    ("Transfer-Encoding: xchunked\r\n", 400),
    ("Transfer-Encoding: chunkedx\r\n", 400),
    ("Transfer-Encoding: chun ked\r\n", 400),
    ("Transfer-Encoding: ,chunked\r\n", 400),
    ("Transfer-Encoding: chunked,\r\n", 400),
    ("Transfer-Encoding:\r\n", 400),
    ("Transfer-Encoding: \x0bchunked\r\n", 400),
    ("Transfer-Encoding: chunked\0\r\n", 400),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    (
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    (
        "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n",
        400,
    ),
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
    ("Transfer-Encoding: x\r\nContent-Length: 5\r\n", 400),
    ("Transfer-Encoding : chunked\r\n", 400),
    ("Transfer-Encoding\t: chunked\r\n", 400),
    (" Transfer-Encoding: chunked\r\n", 400),
    ("Transfer-Encoding:\r\n chunked\r\n", 400),
    ("Transfer_Encoding: chunked\r\n", 0),
    ("X: y\r\n Transfer-Encoding: chunked\r\n", 400),
    ("X: y\nTransfer-Encoding: chunked\r\n", 400),
    ("X: y\rTransfer-Encoding: chunked\r\n", 400),
    ("Expect: 100-continue\r\nContent-Length: 5\r\n", 0),
    ("Expect: 100-Continue\r\n", 0),
    ("Expect: 200-ok\r\n", 417),
    ("Expect:\r\n", 417),
    ("Expect: 100-continue, x\r\n", 417),
    ("Expect: 100-continue\r\nExpect: 100-continue\r\n", 400),
    ("Connection: close\r\n", 0),
    ("Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n", 0),
    ("Connection: , close ,\r\n", 0),
    ("Connection:\r\n", 0),
    ("Connection: a b\r\n", 400),
    ("Connection: \"close\"\r\n", 400),
    ("Connection: keep-alive\r\nConnection: close\r\n", 0),
];

fn framing_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(lines, status) in FRAMING {
        cases.push(case(
            lines.escape_default().to_string(),
            with(lines),
            status,
        ));
        // HTTP/1.0 knows no transfer codings and no expectations.
        let status = match status {
            0 | 501 if lines.starts_with("Transfer-Encoding") => 400,
            417 => 0,
            _ => status,
        };
        let bytes = with(lines).replace("HTTP/1.1", "HTTP/1.0");
        cases.push(case(
            format!("1.0 {}", lines.escape_default()),
            bytes,
            status,
        ));
    }
    cases
}

const FIELDS: &[(&str, u16)] = &[
    ("X:\r\n", 0),
    ("X:y\r\n", 0),
    ("X: \t y \t \r\n", 0),
    ("X: caf\u{e9}\r\n", 0),
    ("X: a\tb\r\n", 0),
    ("X: a:b:c\r\n", 0),
    ("!#$%&'*+-.^_`|~09azAZ: y\r\n", 0),
    ("X: a\r\nX: b\r\n", 0),
    ("Accept: a/b\r\nAccept: c/d\r\n", 0),
    ("Accept: a/b\r\naccept: c/d\r\nACCEPT: e\r\n", 0),
    (": y\r\n", 400),
    ("X\r\n", 400),
    ("X y\r\n", 400),
    ("X : y\r\n", 400),
    ("X\t: y\r\n", 400),
    (" X: y\r\n", 400),
    ("\tX: y\r\n", 400),
    ("X: y\r\n z\r\n", 400),
    ("X: y\r\n\tz\r\n", 400),
    ("X: y\r\n \r\n", 400),
    ("X: y\n", 400),
    ("X: y\r", 400),
    ("X: y\r\r\n", 400),
    ("X: y\n\r\n", 400),
    ("\n", 400),
    ("\r", 400),
    ("\u{e9}: y\r\n", 400),
    ("X\0: y\r\n", 400),
    ("(X): y\r\n", 400),
    ("X/Y: y\r\n", 400),
    ("\"X\": y\r\n", 400),
    ("Origin: a\r\nOrigin: b\r\n", 400),
    ("Content-Type: a\r\nContent-Type: a\r\n", 400),
    ("Content-Encoding: a\r\nContent-Encoding: a\r\n", 400),
    ("Authorization: a\r\nAuthorization: b\r\n", 400),
    ("Mcp-Session-Id: a\r\nmcp-session-id: a\r\n", 400),
    (
        "Mcp-Protocol-Version: a\r\nMCP-Protocol-Version: a\r\n",
        400,
    ),
    ("Mcp-Method: a\r\nMcp-Method: a\r\n", 400),
    ("Mcp-Name: a\r\nMcp-Name: b\r\n", 400),
    ("Last-Event-ID: 1\r\nLast-Event-Id: 2\r\n", 400),
    (
        "Access-Control-Request-Method: a\r\nAccess-Control-Request-Method: a\r\n",
        400,
    ),
    (
        "Access-Control-Request-Headers: a\r\nAccess-Control-Request-Headers: a\r\n",
        400,
    ),
];

fn field_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(lines, status) in FIELDS {
        cases.push(case(
            lines.escape_default().to_string(),
            with(lines),
            status,
        ));
    }
    for byte in 0..=255u8 {
        let name = with_bytes("GET / HTTP/1.1\r\nHost: a\r\nX", byte, "Y: z\r\n\r\n");
        let valid = is_token(byte) || byte == b':';
        cases.push(case(
            format!("byte {byte:#04x} in a name"),
            name,
            if valid { 0 } else { 400 },
        ));
        let value = with_bytes("GET / HTTP/1.1\r\nHost: a\r\nX: y", byte, "z\r\n\r\n");
        let valid = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
        cases.push(case(
            format!("byte {byte:#04x} in a value"),
            value,
            if valid { 0 } else { 400 },
        ));
    }
    cases
}

fn limit_cases() -> Vec<Case> {
    let lines = |count: usize| "X: y\r\n".repeat(count);
    let head_of = |bytes: usize| {
        let frame = with("X: \r\n").len();
        with(&format!("X: {}\r\n", "y".repeat(bytes - frame)))
    };
    vec![
        case("100 fields", with(&lines(99)), 0),
        case("101 fields", with(&lines(100)), 431),
        case("1000 fields", with(&lines(999)), 431),
        case("the largest head", head_of(LIMITS.bytes_max), 0),
        case(
            "a head one byte too large",
            head_of(LIMITS.bytes_max + 1),
            431,
        ),
        case(
            "a target too long",
            format!(
                "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
                "x".repeat(LIMITS.bytes_max)
            ),
            414,
        ),
        case("a method without end", "A".repeat(LIMITS.bytes_max), 414),
        case(
            "a name without end",
            format!("GET / HTTP/1.1\r\n{}", "A".repeat(LIMITS.bytes_max)),
            431,
        ),
        case(
            "a bad line without end",
            format!("GET / HTTP/1.1\r\n\0{}", "A".repeat(LIMITS.bytes_max)),
            431,
        ),
    ]
}

pub(super) fn all_cases() -> Vec<Case> {
    [
        request_line_cases(),
        target_cases(),
        host_cases(),
        framing_cases(),
        field_cases(),
        limit_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
