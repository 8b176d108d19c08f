//! Appending events: whatever the data, it arrives as one event with the same lines, and it cannot start another field or
//! event.

/// Appends one event.
///
/// Shape: `data` is split at its line ends (LF, CR or CRLF, which all arrive as LF). An id or event name with a line end
/// or, for the id, a NUL cannot be said in this format: its field is left out.
pub fn write_event(out: &mut Vec<u8>, id: Option<&str>, event: Option<&str>, data: &[u8]) {
    if let Some(id) = id
        && !id.contains('\0')
    {
        write_field(out, b"id: ", id);
    }
    if let Some(event) = event {
        write_field(out, b"event: ", event);
    }
    write_lines(out, b"data: ", data);
    out.push(b'\n');
}

/// Appends a comment, which clients ignore: what keeps a silent stream alive.
pub fn write_comment(out: &mut Vec<u8>, text: &str) {
    write_lines(out, b": ", text.as_bytes());
    out.push(b'\n');
}

/// Appends the time after which a client may reconnect.
pub fn write_retry(out: &mut Vec<u8>, retry_ms: u64) {
    out.extend_from_slice(b"retry: ");
    out.extend_from_slice(itoa::Buffer::new().format(retry_ms).as_bytes());
    out.extend_from_slice(b"\n\n");
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &str) {
    if memchr::memchr2(b'\n', b'\r', value.as_bytes()).is_some() {
        return;
    }
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

fn write_lines(out: &mut Vec<u8>, prefix: &[u8], text: &[u8]) {
    out.reserve(prefix.len() + text.len() + 2);
    let mut rest = text;
    loop {
        out.extend_from_slice(prefix);
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
            out.extend_from_slice(rest);
            out.push(b'\n');
            return;
        };
        out.extend_from_slice(&rest[..end]);
        out.push(b'\n');
        let crlf = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(crlf)..];
    }
}

/// What has to hold for any data, for fuzzing and property tests: it is read back as one event with the same lines.
pub fn check(data: &[u8]) {
    let mut out = Vec::new();
    write_event(&mut out, Some("7"), Some("message"), data);
    write_comment(&mut out, &String::from_utf8_lossy(data));
    let mut normal = Vec::new();
    for (index, byte) in data.iter().enumerate() {
        match byte {
            b'\r' => normal.push(b'\n'),
            b'\n' if index > 0 && data[index - 1] == b'\r' => {}
            _ => normal.push(*byte),
        }
    }
    assert!(!out.contains(&b'\r'));
    let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines[..2], [b"id: 7".as_slice(), b"event: message"]);
    let end = lines
        .iter()
        .position(|line| line.is_empty())
        .expect("the event ends in an empty line");
    let read: Vec<&[u8]> = lines[2..end]
        .iter()
        .map(|line| line.strip_prefix(b"data: ").expect("only data follows"))
        .collect();
    assert_eq!(read.join(&b'\n'), normal);
    let rest = &lines[end + 1..];
    let (empty, comment) = rest.split_at(rest.len() - 2);
    assert!(
        comment == [b"".as_slice(), b""],
        "the comment ends in an empty line"
    );
    assert!(
        empty.iter().all(|line| line.starts_with(b": ")),
        "a comment stays a comment"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, event: Option<&str>, data: &[u8]) -> String {
        let mut out = Vec::new();
        write_event(&mut out, id, event, data);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_one_field_a_line_and_an_empty_line() {
        assert_eq!(event(None, None, b"{}"), "data: {}\n\n");
        assert_eq!(
            event(Some("3"), Some("message"), b"{}"),
            "id: 3\nevent: message\ndata: {}\n\n"
        );
        assert_eq!(event(Some("3"), None, b""), "id: 3\ndata: \n\n");
    }

    #[test]
    fn line_ends_in_data_cannot_forge_fields() {
        assert_eq!(
            event(None, None, b"a\nid: 9\r\n\rb\n"),
            "data: a\ndata: id: 9\ndata: \ndata: b\ndata: \n\n"
        );
        assert_eq!(event(Some("1\ndata: x"), Some("a\rb"), b"y"), "data: y\n\n");
        assert_eq!(event(Some("1\0"), None, b"y"), "data: y\n\n");
    }

    #[test]
    fn comments_and_retry_have_their_form() {
        let mut out = Vec::new();
        write_comment(&mut out, "keep-alive");
        write_comment(&mut out, "a\nb");
        write_retry(&mut out, 1500);
        assert_eq!(out, b": keep-alive\n\n: a\n: b\n\nretry: 1500\n\n");
    }

    #[test]
    fn any_data_is_read_back_as_one_event() {
        for data in [
            &b""[..],
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n\n",
            b"a\r\rb",
            b"data: x\n\nevent: y",
            b"\xff\xfe\0\n\r",
        ] {
            check(data);
        }
        let alphabet = [b'\r', b'\n', b'x'];
        for code in 0..3usize.pow(7) {
            let data: Vec<u8> = (0..7)
                .map(|place| alphabet[code / 3usize.pow(place) % 3])
                .collect();
            check(&data);
        }
    }
}
