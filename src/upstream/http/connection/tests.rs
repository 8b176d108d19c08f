//! Conversations with an upstream, each whole, byte by byte and at every split.

use super::*;
use crate::wire::http1::client::ResponseError;

const LIMITS: ClientLimits = ClientLimits {
    head: HeadLimits {
        bytes_max: 1024,
        count_max: 20,
    },
    body_bytes_max: 8 << 10,
    chunk_overhead_bytes_max: 1024,
};

type Told = (Vec<String>, Option<ClientError>, bool);

/// What a connection tells when its bytes come in these pieces and then, if at all, end.
fn told<'a>(pieces: impl Iterator<Item = &'a [u8]>, requests: &[Method], ends: bool) -> Told {
    let mut connection = ClientConnection::new(LIMITS);
    for request in requests {
        connection.begin(*request, 0);
    }
    let mut events = Vec::new();
    let mut sink = |event: ClientEvent<'_>| {
        events.push(match event {
            ClientEvent::Head(head) => format!("{} {:?}", head.status, head.media),
            ClientEvent::Body(body) => String::from_utf8_lossy(body).into_owned(),
            ClientEvent::Item(EventItem::Event(event)) => {
                format!("event {}", String::from_utf8_lossy(event.data))
            }
            ClientEvent::Item(item) => format!("{item:?}"),
            ClientEvent::End => "end".to_owned(),
        });
    };
    let mut error = None;
    for piece in pieces {
        if let Err(found) = connection.receive(piece, 0, &mut sink) {
            error = Some(found);
            assert_eq!(connection.receive(b"x", 0, &mut sink), Err(found), "final");
            break;
        }
    }
    if ends && error.is_none() {
        error = connection.finish(&mut sink).err();
    }
    assert!(connection.kept.len() <= LIMITS.body_bytes_max + 1);
    (events, error, connection.is_reusable())
}

fn whole(text: &[u8], requests: &[Method], ends: bool) -> Told {
    let all = told([text].into_iter(), requests, ends);
    assert_eq!(all, told(text.chunks(1), requests, ends), "byte by byte");
    for split in 0..=text.len() {
        let pieces = [&text[..split], &text[split..]].into_iter();
        assert_eq!(all, told(pieces, requests, ends), "split at {split}");
    }
    all
}

fn post(text: &str) -> Told {
    whole(text.as_bytes(), &[Method::Post], false)
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn json_answers_come_whole_however_they_are_framed() {
    let expected = (strings(&["200 Json", "{\"a\":1}", "end"]), None, true);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    assert_eq!(
        post(&format!("{head}Content-Length: 7\r\n\r\n{{\"a\":1}}")),
        expected
    );
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\n{{\"a\r\n4\r\n\":1}}\r\n0\r\n\r\n");
    assert_eq!(post(&chunked), expected);
    let close = format!("{head}\r\n{{\"a\":1}}");
    let found = whole(close.as_bytes(), &[Method::Post], true);
    assert_eq!(found, (expected.0, None, false));
}

#[test]
fn answers_without_a_body_end_at_once() {
    for text in [
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let (events, error, reusable) = post(text);
        assert_eq!((events.len(), error, reusable), (2, None, true));
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n";
    let found = whole(head.as_bytes(), &[Method::Head], false);
    assert_eq!(found, (strings(&["200 Other", "end"]), None, true));
}

#[test]
fn events_come_one_by_one_at_once() {
    let data = "id: 1\nretry: 5\ndata: a\n\n: alive\n\nevent: message\ndata: b\n\n";
    let expected = strings(&[
        "200 Events",
        "Retry(5)",
        "event a",
        "Comment",
        "event b",
        "end",
    ]);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let length = format!("{head}Content-Length: {}\r\n\r\n{data}", data.len());
    assert_eq!(post(&length), (expected.clone(), None, true));
    let chunks: String = data
        .as_bytes()
        .chunks(5)
        .map(|chunk| {
            format!(
                "{:x}\r\n{}\r\n",
                chunk.len(),
                String::from_utf8_lossy(chunk)
            )
        })
        .collect();
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(post(&chunked), (expected.clone(), None, true));
    let close = format!("{head}\r\n{data}data: cut");
    assert_eq!(
        whole(close.as_bytes(), &[Method::Get], true),
        (expected, None, false)
    );
    let mut connection = ClientConnection::new(LIMITS);
    connection.begin(Method::Get, 0);
    connection
        .receive(
            format!("{head}\r\n{data}id: 2\n").as_bytes(),
            0,
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(connection.last_event_id(), b"1");
}

#[test]
fn a_stream_outlives_every_bound_of_a_body() {
    let mut connection = ClientConnection::new(LIMITS);
    connection.begin(Method::Get, 0);
    let mut count = 0;
    let mut sink =
        |event: ClientEvent<'_>| count += usize::from(matches!(event, ClientEvent::Item(_)));
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.receive(head, 0, &mut sink).unwrap();
    for _ in 0..5_000 {
        connection.receive(b"3\r\n:\n\n\r\n", 0, &mut sink).unwrap();
    }
    assert_eq!(count, 5_000);
    assert!(connection.kept.is_empty() && connection.spare.capacity() < 1024);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let json = |id: u32| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{id}"
        )
    };
    let text = json(1) + "HTTP/1.1 100 Continue\r\n\r\n" + &json(2) + &json(3);
    let expected: Vec<String> = (1..4)
        .flat_map(|id| ["200 Json".to_owned(), id.to_string(), "end".to_owned()])
        .collect();
    assert_eq!(
        whole(text.as_bytes(), &[Method::Post; 3], false),
        (expected, None, true)
    );
}

#[test]
fn an_answer_that_closes_leaves_the_later_requests_unanswered() {
    let text = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (events, error, reusable) = whole(text.as_bytes(), &[Method::Post; 2], true);
    assert_eq!(
        (events.len(), error, reusable),
        (2, Some(ClientError::NoAnswer), false)
    );
    let more = format!("{text}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (events, error, _) = whole(more.as_bytes(), &[Method::Post; 2], false);
    assert_eq!((events.len(), error), (2, Some(ClientError::Unsolicited)));
}

#[test]
fn whatever_is_not_an_answer_is_an_error() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    for (text, expected) in [
        (
            "garbage".to_owned(),
            ClientError::Head(ResponseError::BadStatusLine),
        ),
        (
            format!("{head}Content-Length: 8193\r\n\r\n"),
            ClientError::BodyTooLarge,
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n2001\r\n"),
            ClientError::BodyTooLarge,
        ),
        (
            format!("{head}\r\n{}", "x".repeat(9000)),
            ClientError::BodyTooLarge,
        ),
        (
            format!("{head}Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n"),
            ClientError::Encoded,
        ),
        (
            format!("{head}Content-Length: 1\r\n\r\n12"),
            ClientError::Unsolicited,
        ),
        (interim.repeat(9), ClientError::TooManyInterim),
    ] {
        let (_, error, reusable) = post(&text);
        assert_eq!((error, reusable), (Some(expected), false), "{text:.80}");
    }
    let (events, error, _) = whole(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[], false);
    assert_eq!((events, error), (vec![], Some(ClientError::Unsolicited)));
}

#[test]
fn an_end_of_the_connection_says_how_far_the_answer_was() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    for (text, requests, expected) in [
        (String::new(), 0, None),
        (String::new(), 1, Some(ClientError::NoAnswer)),
        ("HTTP/1.1".to_owned(), 1, Some(ClientError::Truncated)),
        (
            format!("{head}Content-Length: 5\r\n\r\n12"),
            1,
            Some(ClientError::Truncated),
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n"),
            1,
            Some(ClientError::Truncated),
        ),
        (format!("{head}Content-Length: 1\r\n\r\n1"), 1, None),
    ] {
        let requests = vec![Method::Post; requests];
        assert_eq!(
            whole(text.as_bytes(), &requests, true).1,
            expected,
            "{text}"
        );
    }
}

#[test]
fn of_other_bodies_only_the_beginning_is_kept() {
    let body = "<html>".repeat(1_000);
    let text = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let found = told([text.as_bytes()].into_iter(), &[Method::Post], false);
    assert_eq!(found.0[0], "502 Other");
    assert_eq!((found.0[1].len(), found.0.len()), (OTHER_BYTES_KEPT, 3));
    assert_eq!((found.1, found.2), (None, true));
}

#[test]
fn each_stage_has_its_own_time() {
    let timeouts = ClientTimeouts {
        head_ms: 10,
        body_ms: 100,
        silence_ms: 1_000,
    };
    let mut connection = ClientConnection::new(LIMITS);
    let mut sink = |_: ClientEvent<'_>| {};
    assert_eq!(connection.due_ms(&timeouts), None);
    connection.begin(Method::Post, 5);
    assert_eq!(connection.due_ms(&timeouts), Some(15));
    connection
        .receive(b"HTTP/1.1 200 OK\r\n", 9, &mut sink)
        .unwrap();
    assert_eq!(
        connection.due_ms(&timeouts),
        Some(15),
        "trickling does not buy time"
    );
    assert!(connection.answer_begun());
    connection
        .receive(b"Content-Length: 2\r\n\r\n1", 12, &mut sink)
        .unwrap();
    assert_eq!(connection.due_ms(&timeouts), Some(105));
    connection.receive(b"2", 13, &mut sink).unwrap();
    assert_eq!(
        (connection.due_ms(&timeouts), connection.answer_begun()),
        (None, false)
    );
    connection.begin(Method::Get, 20);
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    connection.receive(head, 25, &mut sink).unwrap();
    connection.receive(b":\n", 700, &mut sink).unwrap();
    assert_eq!(connection.due_ms(&timeouts), Some(1_700));
}

#[test]
fn what_is_of_use_of_a_head_is_kept() {
    let mut connection = ClientConnection::new(LIMITS);
    connection.begin(Method::Post, 0);
    let text = b"HTTP/1.1 401 Unauthorized\r\nMcp-Session-Id: ab-1\r\nRetry-After: 30\r\nKeep-Alive: timeout=5\r\n\
                 WWW-Authenticate: Bearer x=\"y\"\r\nContent-Length: 0\r\n\r\n";
    connection.receive(text, 0, &mut |_| {}).unwrap();
    let head = connection.answer();
    assert_eq!(
        (head.status, head.retry_after_s, head.keep_alive_timeout_s),
        (401, Some(30), Some(5))
    );
    assert_eq!(head.session_id.as_deref(), Some(&b"ab-1"[..]));
    assert_eq!(head.challenge.as_deref(), Some(&b"Bearer x=\"y\""[..]));
    assert!(!head.is_success());
    for id in ["a b", "a\u{80}", &"x".repeat(1025)] {
        let mut connection = ClientConnection::new(ClientLimits {
            head: HeadLimits {
                bytes_max: 4096,
                count_max: 5,
            },
            ..LIMITS
        });
        connection.begin(Method::Post, 0);
        let text = format!("HTTP/1.1 200 OK\r\nMcp-Session-Id: {id}\r\nContent-Length: 0\r\n\r\n");
        connection.receive(text.as_bytes(), 0, &mut |_| {}).unwrap();
        assert_eq!(connection.answer().session_id, None, "{id:.10}");
    }
}
