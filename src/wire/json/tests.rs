//! Labelled texts with their verdicts, and agreement with `serde_json`.

use super::*;

const DEPTH_MAX: usize = 64;

const VALID: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "1.5",
    "0.5",
    "-0.0",
    "1e5",
    "1E5",
    "1e+5",
    "1e-5",
    "0e0",
    "1.25e-10",
    "123456789012345678901234567890",
    "1e400",
    "-1e400",
    "0.00000000000000000000000000000000001",
    "\"\"",
    "\"a\"",
    "\"\\\"\"",
    "\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0041\"",
    "\"\\u00e9\\uFFFF\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\uD800\\uDC00\"",
    "\"\\udbff\\udfff\"",
    "\"é😀\"",
    "\"\x7f\"",
    "\"\u{2028}\"",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1]",
    "[1,2]",
    " [ 1 , 2 ] ",
    "[[],[[]],{}]",
    "{\"a\":1}",
    "{\"a\":1,\"b\":[2]}",
    "{\"\":{\"\":\"\"}}",
    "{\"a\":1,\"a\":2}",
    "\t\r\n 1\t\r\n ",
    "[true,false,null]",
    "{\"a\" : true , \"b\" : null}",
    "[\"a long string that takes more than one block of bytes to scan through\", 12]",
];

const INVALID: &[&str] = &[
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "tru",
    "truee",
    "fals",
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "+1",
    "-",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "-.5",
    "1.e5",
    "1e",
    "1e+",
    "1e-",
    "1.5.5",
    "1e5.5",
    "0x10",
    "1_000",
    "1 2",
    "1,",
    ",1",
    "- 1",
    "1e 5",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\",
    "\"\\x\"",
    "\"\\a\"",
    "\"\\u\"",
    "\"\\u1\"",
    "\"\\u12\"",
    "\"\\u123\"",
    "\"\\u123g\"",
    "\"\\u+123\"",
    "\"\\u 123\"",
    "\"\\U0041\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud800\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud83d\\u\"",
    "\"\\ud83d\\ude0\"",
    "\"\\ud83d/ude00\"",
    "\"\n\"",
    "\"\t\"",
    "\"\0\"",
    "\"\x1f\"",
    "'a'",
    "a",
    "[",
    "]",
    "[1",
    "[1,",
    "[,]",
    "[,1]",
    "[1,]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    "[1}",
    "[\"a\"",
    "{",
    "}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":}",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "{,\"a\":1}",
    "{\"a\" 1}",
    "{\"a\",1}",
    "{a:1}",
    "{1:1}",
    "{null:1}",
    "{\"a\":1]",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\"::1}",
    "{[]:1}",
    "[]]",
    "{}}",
    "[][]",
    "{}{}",
    "{} x",
    "// c\n1",
    "/**/1",
    "#",
    "1//",
    "\u{feff}1",
    "\u{a0}1",
    "1\u{b}",
    "1\x0c",
    "1\0",
    "\0",
    "[1]\0",
    "{\"a\":\"b",
    "[\"",
    "[tru]",
    "[nul,1]",
    "{\"a\":\"\\ud800\"}",
    "{\"\\ud800\":1}",
];

/// Whether `serde_json` takes a text; numbers of any size, as RFC 8259 allows.
fn serde_accepts(text: &[u8]) -> bool {
    serde_verdict(text)
        .unwrap_or_else(|| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok())
}

/// What `serde_json` says of a text; nothing where it stops at a number beyond its range.
fn serde_verdict(text: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(false),
    }
}

/// Checks a text against its own promises and both ways against `serde_json`.
fn check_both_ways(text: &[u8]) {
    check(text, serde_accepts);
    if let Some(expected) = serde_verdict(text) {
        assert_eq!(
            validate(text, DEPTH_MAX).is_ok(),
            expected,
            "{}",
            text.escape_ascii()
        );
    }
}

#[test]
fn every_labelled_text_gets_its_verdict() {
    for text in VALID {
        assert_eq!(validate(text.as_bytes(), DEPTH_MAX), Ok(()), "{text}");
        assert!(serde_accepts(text.as_bytes()), "serde_json takes {text}");
    }
    for text in INVALID {
        assert!(validate(text.as_bytes(), DEPTH_MAX).is_err(), "{text:?}");
        assert!(
            !serde_accepts(text.as_bytes()),
            "serde_json refuses {text:?}"
        );
    }
}

#[test]
fn skipping_and_reading_agree_on_every_labelled_text_and_its_mutations() {
    for text in VALID.iter().chain(INVALID) {
        check(text.as_bytes(), serde_accepts);
        for at in 0..text.len() {
            check_both_ways(&text.as_bytes()[..at]);
            for byte in [
                0, b'"', b'\\', b'u', b',', b':', b'[', b']', b'{', b'}', b'0', b'.', b'e', b' ',
                b'\n', b'd', 0x80, 0xff,
            ] {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = byte;
                check_both_ways(&changed);
            }
        }
    }
}

#[test]
fn invalid_utf8_is_refused_wherever_it_stands() {
    for bad in [
        &b"\x80"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\xc3",
        b"\xe2\x82",
    ] {
        for (before, after) in [
            ("", ""),
            ("\"", "\""),
            ("{\"", "\":1}"),
            ("[1,", "]"),
            ("1 ", ""),
        ] {
            let text = [before.as_bytes(), bad, after.as_bytes()].concat();
            let at = before.len();
            assert_eq!(validate(&text, 8), Err(JsonError::InvalidUtf8 { at }));
            let mut reader = Reader::new(&text, 8);
            assert_eq!(reader.peek(), Err(JsonError::InvalidUtf8 { at }));
            assert_eq!(reader.end(), Err(JsonError::InvalidUtf8 { at }));
        }
    }
}

#[test]
fn depth_is_bounded_exactly_and_without_recursion() {
    for depth_max in [0usize, 1, 2, 63, 64, 65, 128, DEPTH_CAP] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
            assert_eq!(
                validate(nested(depth_max).as_bytes(), depth_max),
                Ok(()),
                "{depth_max}"
            );
            let at = open.len() * depth_max;
            let error = JsonError::TooDeep {
                at,
                depth_max: depth_max as u32,
            };
            assert_eq!(
                validate(nested(depth_max + 1).as_bytes(), depth_max),
                Err(error)
            );
        }
    }
    let bomb = "[".repeat(1_000_000);
    assert!(
        matches!(
            validate(bomb.as_bytes(), usize::MAX),
            Err(JsonError::TooDeep { .. })
        ),
        "the cap holds"
    );
    let alternating = "[{\"a\":".repeat(300) + "1" + &"}]".repeat(300);
    assert_eq!(validate(alternating.as_bytes(), 600), Ok(()));
    let crossed = "[{\"a\":".repeat(300) + "1" + &"]}".repeat(300);
    assert!(validate(crossed.as_bytes(), 600).is_err());
}

#[test]
fn a_message_is_read_member_by_member() {
    let text = br#" {"jsonrpc":"2.0","id":7,"method":"tools\/call","params":{"name":"e","arguments":{"x":[1,{}]}}, "z":-1.50} "#;
    let mut reader = Reader::new(text, 8);
    assert_eq!(reader.peek(), Ok(Kind::Object));
    reader.begin_object().unwrap();
    let mut seen = Vec::new();
    while let Some(key) = reader.key().unwrap() {
        let raw = match key.as_plain().unwrap() {
            "id" => reader.number().unwrap().raw().to_owned(),
            "method" => reader.string().unwrap().to_cow().into_owned(),
            // Left unread: the next key skips it.
            "jsonrpc" => String::new(),
            _ => String::from_utf8(reader.skip().unwrap().to_vec()).unwrap(),
        };
        seen.push(raw);
    }
    reader.end().unwrap();
    assert_eq!(
        seen,
        [
            "",
            "7",
            "tools/call",
            r#"{"name":"e","arguments":{"x":[1,{}]}}"#,
            "-1.50"
        ]
    );
}

#[test]
fn an_unread_value_is_validated_all_the_same() {
    let mut reader = Reader::new(br#"{"a":[1,}],"b":1}"#, 8);
    reader.begin_object().unwrap();
    assert!(reader.key().unwrap().is_some());
    assert_eq!(
        reader.key().unwrap_err(),
        JsonError::UnexpectedByte { at: 8, byte: b'}' }
    );
}

#[test]
fn a_call_out_of_turn_is_an_error_and_passes_nothing() {
    let wrong = |at| Err(JsonError::WrongKind { at });
    let mut reader = Reader::new(b"[1 2]", 8);
    assert_eq!(reader.begin_object(), wrong(0));
    assert_eq!(reader.string().map(|_| ()), wrong(0));
    assert_eq!(reader.null(), wrong(0));
    assert_eq!(reader.boolean().map(|_| ()), wrong(0));
    assert_eq!(reader.number().map(|_| ()), wrong(0));
    assert_eq!(reader.key().map(|_| ()), wrong(0));
    reader.begin_array().unwrap();
    assert_eq!(
        reader.number().map(|_| ()),
        wrong(1),
        "an element is asked for first"
    );
    assert_eq!(reader.key().map(|_| ()), wrong(1), "an array has no keys");
    assert!(reader.element().unwrap());
    reader.number().unwrap();
    assert_eq!(reader.number().map(|_| ()), wrong(2), "no comma");
    assert!(reader.element().is_err());
    assert!(reader.end().is_err());
    let mut reader = Reader::new(b"1", 8);
    assert!(reader.end().is_err(), "nothing was read yet");
    reader.skip().unwrap();
    assert_eq!(reader.skip(), Err(JsonError::WrongKind { at: 1 }));
    reader.end().unwrap();
}

#[test]
fn errors_point_at_the_byte() {
    for (text, error) in [
        ("[1,x]", JsonError::UnexpectedByte { at: 3, byte: b'x' }),
        ("[trux]", JsonError::UnexpectedByte { at: 4, byte: b'x' }),
        ("[1", JsonError::UnexpectedEnd { at: 2 }),
        (
            "\"a\nb\"",
            JsonError::ControlCharacter { at: 2, byte: b'\n' },
        ),
        ("\"ab\\x\"", JsonError::InvalidEscape { at: 3 }),
        ("\"ab\\ud800\"", JsonError::LoneSurrogate { at: 3 }),
        ("[-x]", JsonError::InvalidNumber { at: 2 }),
        ("1 x", JsonError::TrailingBytes { at: 2 }),
        ("01", JsonError::TrailingBytes { at: 1 }),
    ] {
        assert_eq!(validate(text.as_bytes(), 8), Err(error), "{text:?}");
        assert!(
            error.to_string().contains(&error.offset().to_string()),
            "{error}"
        );
    }
}

fn number(text: &str) -> Num<'_> {
    let mut reader = Reader::new(text.as_bytes(), 0);
    let number = reader.number().unwrap();
    reader.end().unwrap();
    number
}

#[test]
fn numbers_convert_without_loss_or_not_at_all() {
    let max = "18446744073709551615";
    assert_eq!(number(max).as_u64(), Some(u64::MAX));
    assert_eq!(number("18446744073709551616").as_u64(), None);
    assert_eq!(
        (number("-0").as_u64(), number("-0").as_i64()),
        (Some(0), Some(0))
    );
    assert_eq!(
        (number("-1").as_u64(), number("-1").as_i64()),
        (None, Some(-1))
    );
    assert_eq!(number("-9223372036854775808").as_i64(), Some(i64::MIN));
    assert_eq!(number("9223372036854775808").as_i64(), None);
    assert_eq!(
        (number("1.0").as_i64(), number("1e2").as_u64()),
        (None, None)
    );
    assert!(
        !number("1.0").is_integer() && !number("1e2").is_integer() && number("-12").is_integer()
    );
    assert_eq!(number("1e400").as_f64(), f64::INFINITY);
    assert_eq!(number("-0.0").as_f64().to_bits(), (-0.0f64).to_bits());
    assert_eq!(number("0.1").as_f64(), 0.1);
}

#[test]
fn numbers_that_are_integers_however_written_are_found() {
    for (text, expected) in [
        ("1.0", Some(1)),
        ("1e2", Some(100)),
        ("1E+2", Some(100)),
        ("-1.50e1", Some(-15)),
        ("100e-2", Some(1)),
        ("0.0", Some(0)),
        ("-0e5", Some(0)),
        ("0e99999999999999999999", Some(0)),
        ("1e-99999999999999999999", None),
        ("1e99999999999999999999", None),
        ("1.5", None),
        ("15e-1", None),
        ("9007199254740993.0", Some(9_007_199_254_740_993)),
        ("9.223372036854775807e18", Some(i64::MAX)),
        ("9.223372036854775808e18", None),
        ("-9.223372036854775808e18", Some(i64::MIN)),
        ("-9.223372036854775809e18", None),
        ("1e18", Some(1_000_000_000_000_000_000)),
        ("1e19", None),
        ("0.001e3", Some(1)),
        ("0.0001e3", None),
        ("12.3400e2", Some(1234)),
        ("1200e-2", Some(12)),
        ("1201e-2", None),
        ("7", Some(7)),
        ("1000000000000000000000000000000000000000e-39", Some(1)),
        ("0.00000000000000000000000000000000000001e38", Some(1)),
    ] {
        assert_eq!(number(text).as_i64_integral(), expected, "{text}");
        let unsigned = expected.and_then(|value| u64::try_from(value).ok());
        if expected.is_some() {
            assert_eq!(number(text).as_u64_integral(), unsigned, "{text}");
        }
    }
    assert_eq!(
        number("1.8446744073709551615e19").as_u64_integral(),
        Some(u64::MAX)
    );
    assert_eq!(number("1.8446744073709551616e19").as_u64_integral(), None);
}

#[test]
fn strings_compare_and_decode_as_what_they_mean() {
    for (text, value) in [
        (r#""plain""#, "plain"),
        (r#""""#, ""),
        (r#""\u0070lain""#, "plain"),
        (r#""a\"b\\c\/d""#, "a\"b\\c/d"),
        (r#""\b\f\n\r\t""#, "\u{8}\u{c}\n\r\t"),
        (r#""\ud83d\ude00x""#, "\u{1f600}x"),
        (r#""é\u00e9""#, "éé"),
        (r#""\u0000""#, "\0"),
    ] {
        let mut reader = Reader::new(text.as_bytes(), 0);
        let string = reader.string().unwrap();
        assert!(string.eq_str(value), "{text}");
        assert!(
            !string.eq_str(
                &value[..value.len() - value.chars().next_back().map_or(0, char::len_utf8)]
            ) || value.is_empty()
        );
        assert_eq!(string.to_cow(), value);
        assert_eq!(string.decoded_len(), value.len());
        assert_eq!(string.raw(), &text[1..text.len() - 1]);
        assert_eq!(string.is_escaped(), text.contains('\\'));
        assert_eq!(string.as_plain().is_some(), !text.contains('\\'));
    }
}

#[test]
fn what_is_written_is_what_serde_json_reads() {
    for code in (0..0x300).chain([0x2028, 0xd7ff, 0xe000, 0xffff, 0x1_0000, 0x10_ffff]) {
        let text: String = std::iter::repeat_n(char::from_u32(code).unwrap(), 20)
            .chain("tail".chars())
            .collect();
        let mut out = Vec::new();
        write_str(&mut out, &text);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        let mut inner = Vec::new();
        write_escaped(&mut inner, &text);
        assert_eq!(inner, &out[1..out.len() - 1]);
    }
    for value in [
        0.0,
        -0.0,
        1.0,
        0.1,
        1e21,
        1e-7,
        5e-324,
        f64::MAX,
        f64::MIN,
        123_456_789.125,
    ] {
        let mut out = Vec::new();
        assert!(write_f64(&mut out, value));
        assert_eq!(validate(&out, 0), Ok(()), "{}", out.escape_ascii());
        assert_eq!(
            number(std::str::from_utf8(&out).unwrap())
                .as_f64()
                .to_bits(),
            value.to_bits()
        );
    }
    let mut out = Vec::new();
    assert!(
        !write_f64(&mut out, f64::NAN) && !write_f64(&mut out, f64::INFINITY) && out.is_empty()
    );
    write_u64(&mut out, u64::MAX);
    write_i64(&mut out, i64::MIN);
    assert_eq!(out, b"18446744073709551615-9223372036854775808");
}

proptest::proptest! {
    // A failure found becomes a labelled case above, not a file of seeds.
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn texts_from_pieces_keep_the_promises(pieces in proptest::collection::vec(0..PIECES.len(), 1..20)) {
        let data: Vec<u8> = pieces.iter().flat_map(|index| PIECES[*index].iter().copied()).collect();
        check_both_ways(&data);
    }

    #[test]
    fn any_bytes_keep_the_promises(data in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
        check_both_ways(&data);
    }

    #[test]
    fn any_string_survives_writing_and_reading(text in proptest::string::string_regex("(.|[\\x00-\\x20\"\\\\]){0,80}").unwrap()) {
        let mut out = Vec::new();
        write_str(&mut out, &text);
        let mut reader = Reader::new(&out, 0);
        proptest::prop_assert_eq!(reader.string().unwrap().to_cow(), text.as_str());
        check(&out, serde_accepts);
    }
}

const PIECES: [&[u8]; 36] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\"a\"",
    b"\"a\":",
    b"1",
    b"-",
    b"0",
    b".5",
    b"e1",
    b"E+",
    b"true",
    b"false",
    b"null",
    b" ",
    b"\n",
    b"\"\\ud83d\\ude00\"",
    b"\\ud800",
    b"\\u0041",
    b"\\n",
    b"\xc3\xa9",
    b"\xff",
    b"\0",
    b"{\"a\":1}",
    b"[1,2]",
    b"\"long enough to be scanned in blocks of thirty-two\"",
    b"{}",
    b"[]",
    b"\"\"",
    b"123456789012345678901234567890",
    b"1e999",
];
