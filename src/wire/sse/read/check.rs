//! What has to hold for any stream, as a function that panics where it does not.

use super::{BOM, EventError, EventItem, EventLimits, EventReader};

/// What has to hold for any bytes, for fuzzing and property tests: the same items at every split, and those of a naive
/// reading of the whole stream; memory within the limits.
pub fn check_reader(stream: &[u8]) {
    const LIMITS: EventLimits = EventLimits {
        line_bytes_max: 40,
        event_bytes_max: 60,
    };
    let whole = items_of([stream].into_iter(), LIMITS);
    let pieces = stream.chunks(1);
    assert_eq!(whole, items_of(pieces, LIMITS), "byte by byte");
    let stride = stream.len() / 256 + 1;
    for split in (0..=stream.len()).step_by(stride) {
        let pieces = [&stream[..split], &stream[split..]].into_iter();
        assert_eq!(whole, items_of(pieces, LIMITS), "split at {split}");
    }
    let endless = EventLimits {
        line_bytes_max: usize::MAX,
        event_bytes_max: usize::MAX,
    };
    let (found, error) = items_of([stream].into_iter(), endless);
    assert_eq!(error, None, "nothing else is refused");
    assert_eq!(found, naive(stream));
    assert!(found.starts_with(&whole.0), "the limits only end a stream");
}

/// An item with what it borrows: id, name and data, or milliseconds in digits, or nothing for a comment.
pub(super) type Owned = (Vec<u8>, Vec<u8>, Vec<u8>);

pub(super) fn items_of<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limits: EventLimits,
) -> (Vec<Owned>, Option<EventError>) {
    let mut reader = EventReader::new(limits);
    let mut items = Vec::new();
    for piece in pieces {
        let mut input = piece;
        loop {
            match reader.next_item(&mut input) {
                Ok(None) => break,
                Ok(Some(EventItem::Event(event))) => {
                    items.push((event.id.to_vec(), event.name.to_vec(), event.data.to_vec()));
                }
                Ok(Some(EventItem::Retry(retry_ms))) => {
                    items.push((Vec::new(), Vec::new(), retry_ms.to_string().into_bytes()));
                }
                Ok(Some(EventItem::Comment)) => items.push(Owned::default()),
                Err(error) => return (items, Some(error)),
            }
        }
        assert!(input.is_empty(), "all of a piece is taken");
        assert!(reader.event_bytes() <= limits.event_bytes_max);
    }
    (items, None)
}

/// The same, from the whole stream, as section 9.2.6 puts it.
fn naive(stream: &[u8]) -> Vec<Owned> {
    let stream = stream.strip_prefix(&BOM).unwrap_or(stream);
    let mut lines = vec![Vec::new()];
    for (index, &byte) in stream.iter().enumerate() {
        match byte {
            b'\n' if index > 0 && stream[index - 1] == b'\r' => {}
            b'\n' | b'\r' => lines.push(Vec::new()),
            _ => lines.last_mut().expect("there is a line").push(byte),
        }
    }
    lines.pop();
    let (mut items, mut id, mut last_id) = (Vec::new(), Vec::new(), Vec::new());
    let (mut name, mut data) = (Vec::new(), Vec::new());
    for line in lines {
        if line.is_empty() {
            last_id.clone_from(&id);
            if let Some(data) = data.strip_suffix(b"\n") {
                let name = if name.is_empty() {
                    b"message".to_vec()
                } else {
                    name.clone()
                };
                items.push((last_id.clone(), name, data.to_vec()));
            }
            (name, data) = (Vec::new(), Vec::new());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"" => items.push(Owned::default()),
            b"event" => name = value.to_vec(),
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            b"id" if !value.contains(&0) => id = value.to_vec(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let number = std::str::from_utf8(value)
                    .map_or(0, |text| text.parse::<u64>().unwrap_or(u64::MAX));
                items.push((Vec::new(), Vec::new(), number.to_string().into_bytes()));
            }
            _ => {}
        }
    }
    items
}
