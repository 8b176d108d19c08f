//! Streams and what they say, each read whole, byte by byte and at every split.

use super::check::items_of;
use super::*;
use crate::wire::sse::{write_comment, write_event, write_retry};

fn items(stream: &str) -> Vec<(String, String, String)> {
    check_reader(stream.as_bytes());
    let limits = EventLimits {
        line_bytes_max: 1 << 10,
        event_bytes_max: 1 << 10,
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (items, error) = items_of([stream.as_bytes()].into_iter(), limits);
    assert_eq!(error, None);
    items
        .into_iter()
        .map(|(id, name, data)| (text(id), text(name), text(data)))
        .collect()
}

fn event(id: &str, name: &str, data: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), data.to_owned())
}

#[test]
fn events_are_read_as_the_standard_says() {
    assert_eq!(items("data: a\n\n"), [event("", "message", "a")]);
    assert_eq!(
        items("data:a\r\rdata:  b\r\n\r\n"),
        [event("", "message", "a"), event("", "message", " b")]
    );
    assert_eq!(
        items("data\n\ndata\ndata\n\ndata:"),
        [event("", "message", ""), event("", "message", "\n")]
    );
    assert_eq!(
        items("event: e\ndata: 1\ndata: 2\nevent: f\n\n"),
        [event("", "f", "1\n2")]
    );
    assert_eq!(
        items("event: e\n\ndata: x\n\n"),
        [event("", "message", "x")]
    );
    assert_eq!(items("event\ndata:x\n\n"), [event("", "message", "x")]);
    assert_eq!(items("Data: x\n data: x\ndatas: x\ndat: x\n\n"), []);
    assert_eq!(items("data: last\n"), [], "what has not ended is no event");
}

#[test]
fn ids_stay_until_another_one_comes() {
    let stream =
        "id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid\ndata: d\n\nid: x\0\ndata: e\n\n";
    let expected = [("1", "a"), ("1", "b"), ("2", "c"), ("", "d"), ("", "e")];
    assert_eq!(
        items(stream),
        expected.map(|(id, data)| event(id, "message", data))
    );
}

#[test]
fn an_id_comes_into_force_with_the_end_of_its_event() {
    let limits = EventLimits {
        line_bytes_max: 100,
        event_bytes_max: 100,
    };
    let mut reader = EventReader::new(limits);
    let mut take = |text: &str| {
        let mut input = text.as_bytes();
        while reader.next_item(&mut input).unwrap().is_some() {}
        (reader.last_id().to_vec(), reader.is_between_events())
    };
    assert_eq!(take("id: 1\ndata: a\n\n"), (b"1".to_vec(), true));
    assert_eq!(take("id: 2\ndata: b\n"), (b"1".to_vec(), false));
    assert_eq!(take("\r"), (b"2".to_vec(), true));
    assert_eq!(
        take("\n"),
        (b"2".to_vec(), true),
        "a line feed after a carriage return"
    );
    assert_eq!(take("id: 3"), (b"2".to_vec(), false));
    assert_eq!(take("\n\n"), (b"3".to_vec(), true));
    assert_eq!(take("ev"), (b"3".to_vec(), false));
}

#[test]
fn comments_and_retry_are_told_at_once() {
    let comment = event("", "", "");
    assert_eq!(items(": alive\n:\n"), [comment.clone(), comment]);
    assert_eq!(items("retry: 1500\n"), [event("", "", "1500")]);
    assert_eq!(
        items("retry\nretry:\nretry: -1\nretry: 1x\nretry: 1 \n"),
        []
    );
    let huge = "retry: 99999999999999999999999\n";
    assert_eq!(items(huge), [event("", "", "18446744073709551615")]);
}

#[test]
fn one_mark_at_the_start_is_no_part_of_the_stream() {
    assert_eq!(items("\u{FEFF}data: a\n\n"), [event("", "message", "a")]);
    assert_eq!(items("\u{FEFF}\u{FEFF}data: a\n\n"), []);
    assert_eq!(
        items("data: a\n\n\u{FEFF}data: b\n\n"),
        [event("", "message", "a")]
    );
    check_reader(b"\xEF");
    check_reader(b"\xEF\xBBdata: a\n\n");
    check_reader(b"\xEF\ndata: a\n\n");
}

#[test]
fn what_exceeds_a_limit_ends_the_stream() {
    let limits = EventLimits {
        line_bytes_max: 100,
        event_bytes_max: 50,
    };
    let error = |stream: &str| items_of(stream.as_bytes().chunks(7), limits).1;
    assert_eq!(error(&format!("data: {}\n\n", "x".repeat(49))), None);
    assert_eq!(
        error(&format!("data: {}\n\n", "x".repeat(50))),
        Some(EventError::EventTooLarge)
    );
    assert_eq!(
        error(&"data: xxxxx\n".repeat(9)),
        Some(EventError::EventTooLarge)
    );
    assert_eq!(
        error(&format!("id: {}", "x".repeat(51))),
        Some(EventError::EventTooLarge)
    );
    assert_eq!(
        error(&format!("event:{}", "x".repeat(51))),
        Some(EventError::EventTooLarge)
    );
    assert_eq!(
        error(&format!(":{}", "x".repeat(100))),
        Some(EventError::LineTooLong)
    );
    assert_eq!(error(&format!("other: {}", "x".repeat(93))), None);
    assert_eq!(error(&"x".repeat(101)), Some(EventError::LineTooLong));
    assert_eq!(
        error(&": alive\n\n".repeat(100)),
        None,
        "comments may come for ever"
    );
}

/// Found by fuzzing: the second id was held against what the first had left, or not, as its bytes came.
#[test]
fn a_second_id_meets_the_limit_at_the_same_byte_at_any_split() {
    let line = |byte: &str| format!("id:{}\n", byte.repeat(32));
    check_reader(format!("{}{}data:x\n\n", line("a"), line("b")).as_bytes());
}

#[test]
fn memory_of_a_large_event_is_given_back() {
    let limits = EventLimits {
        line_bytes_max: 2 << 20,
        event_bytes_max: 2 << 20,
    };
    let mut reader = EventReader::new(limits);
    let stream = [b"data: ", vec![b'x'; 1 << 20].as_slice(), b"\n\n:\n"].concat();
    let mut input = stream.as_slice();
    assert!(matches!(
        reader.next_item(&mut input),
        Ok(Some(EventItem::Event(_)))
    ));
    assert_eq!(reader.next_item(&mut input), Ok(Some(EventItem::Comment)));
    assert!(reader.data.capacity() <= KEPT_BYTES_MAX);
}

#[test]
fn what_the_writer_writes_is_read_back() {
    let mut out = Vec::new();
    write_event(&mut out, Some("7"), Some("e"), b"a\nb");
    write_retry(&mut out, 5);
    write_comment(&mut out, "c");
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        items(&text),
        [
            event("7", "e", "a\nb"),
            event("", "", "5"),
            event("", "", "")
        ]
    );
}

const PIECES: [&str; 20] = [
    "data",
    "event",
    "id",
    "retry",
    ":",
    " ",
    ": ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "x",
    "42",
    "\0",
    "\u{FEFF}",
    "data: {}\n\n",
    "id: 7\n",
    "event: message\n",
    ": alive\n",
    "a long value that meets the limits",
];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn streams_from_pieces_keep_the_promises(pieces in proptest::collection::vec(0..PIECES.len(), 0..30)) {
        let stream: String = pieces.iter().map(|index| PIECES[*index]).collect();
        check_reader(stream.as_bytes());
    }

    #[test]
    fn any_bytes_keep_the_promises(stream in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        check_reader(&stream);
    }
}
