//! What has to hold for any bytes, as a function that panics where it does not: for fuzzing and property tests.

use super::{JsonError, Kind, Num, Reader, Str, validate, write_str};

/// Small, so that short inputs reach it.
const DEPTH_MAX: usize = 32;

/// Checks that skipping a text and reading every value of it agree, that strings survive a round trip, and that no text
/// is accepted which `oracle` refuses.
pub fn check(data: &[u8], oracle: impl Fn(&[u8]) -> bool) {
    let verdict = validate(data, DEPTH_MAX);
    assert_eq!(verdict, walk(data), "skipping and reading agree");
    match verdict {
        Ok(()) => {
            assert!(
                oracle(data),
                "accepted, but the oracle refuses it: {}",
                data.escape_ascii()
            );
            let padded = [b" \t\r\n", data, b"\n "].concat();
            assert_eq!(
                validate(&padded, DEPTH_MAX),
                Ok(()),
                "white space around a text changes nothing"
            );
        }
        Err(error) => assert!(
            error.offset() <= data.len(),
            "an error points into the text"
        ),
    }
}

/// Reads every value of a text through the methods for its kind.
fn walk(data: &[u8]) -> Result<(), JsonError> {
    let mut reader = Reader::new(data, DEPTH_MAX);
    walk_value(&mut reader)?;
    reader.end()
}

fn walk_value(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    let before = reader.clone();
    let kind = reader.peek()?;
    match kind {
        Kind::Object => {
            reader.begin_object()?;
            while let Some(key) = reader.key()? {
                check_string(key);
                walk_value(reader)?;
            }
        }
        Kind::Array => {
            reader.begin_array()?;
            while reader.element()? {
                walk_value(reader)?;
            }
        }
        Kind::String => check_string(reader.string()?),
        Kind::Number => check_number(reader.number()?),
        Kind::True => assert!(reader.boolean()?),
        Kind::False => assert!(!reader.boolean()?),
        Kind::Null => reader.null()?,
    }
    if matches!(kind, Kind::Object | Kind::Array) && reader.position() - before.position() > 64 {
        // Reading it again at every level would be quadratic.
        return Ok(());
    }
    let mut skipping = before;
    let text = skipping.skip().expect("what was read can be skipped");
    assert_eq!(skipping.position(), reader.position());
    assert_eq!(
        validate(text, DEPTH_MAX),
        Ok(()),
        "the text of a value is a text"
    );
    Ok(())
}

fn check_string(string: Str<'_>) {
    let decoded = string.to_cow();
    assert_eq!(string.decoded_len(), decoded.len());
    assert!(string.eq_str(&decoded));
    assert!(!string.eq_str(&format!("{decoded}x")));
    let mut again = Vec::new();
    string.decode_into(&mut again);
    assert_eq!(again, decoded.as_bytes());
    again.clear();
    write_str(&mut again, &decoded);
    let mut reader = Reader::new(&again, 0);
    let read = reader.string().expect("what was written can be read");
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(read.to_cow(), decoded);
}

fn check_number(number: Num<'_>) {
    let value = number.as_f64();
    assert!(!value.is_nan());
    if let Some(integer) = number.as_i64() {
        assert!(number.is_integer());
        assert_eq!(integer as f64, value);
        assert_eq!(number.as_i64_integral(), Some(integer));
    }
    if let Some(integer) = number.as_u64() {
        assert_eq!(integer as f64, value);
        assert_eq!(number.as_u64_integral(), Some(integer));
    }
    if let Some(integer) = number.as_i64_integral() {
        assert_eq!(integer as f64, value, "{}", number.raw());
    }
}
