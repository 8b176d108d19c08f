//! Labelled bodies with their verdicts, each decoded whole, byte by byte and at every two-way split.

use super::*;

const LIMITS: ChunkLimits = ChunkLimits {
    data_bytes_max: 1000,
    overhead_bytes_max: 200,
};

fn decode(body: &[u8]) -> Outcome {
    decode_in_pieces(body, LIMITS, [body.len()].into_iter())
}

/// `httparse` as the oracle for one size line.
fn httparse_size_line(text: &[u8]) -> Option<(usize, u64)> {
    match httparse::parse_chunk_size(text) {
        Ok(httparse::Status::Complete(found)) => Some(found),
        _ => None,
    }
}

const VALID: &[(&str, &str)] = &[
    ("0\r\n\r\n", ""),
    ("000\r\n\r\n", ""),
    ("5\r\nhello\r\n0\r\n\r\n", "hello"),
    ("05\r\nhello\r\n0\r\n\r\n", "hello"),
    ("1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "ab"),
    ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
    ("1;a\r\nx\r\n0\r\n\r\n", "x"),
    ("1;a=b\r\nx\r\n0\r\n\r\n", "x"),
    ("1;a=b;c;d=\"e f\"\r\nx\r\n0\r\n\r\n", "x"),
    ("1;a=\"\\\"\\\\;\"\r\nx\r\n0\r\n\r\n", "x"),
    ("1 ; a = b ; c\r\nx\r\n0\r\n\r\n", "x"),
    ("1\t;a\r\nx\r\n0;last\r\n\r\n", "x"),
    ("1\r\nx\r\n0\r\nX: y\r\n\r\n", "x"),
    ("1\r\nx\r\n0\r\nX:\r\nContent-Length: 9\r\n\r\n", "x"),
];

const INVALID: &[(&str, ChunkError)] = &[
    ("\r\n", ChunkError::BadSize),
    ("\n", ChunkError::BadSize),
    (";a\r\n", ChunkError::BadSize),
    ("x\r\n", ChunkError::BadSize),
    ("+1\r\n", ChunkError::BadSize),
    ("-1\r\n", ChunkError::BadSize),
    (" 1\r\n", ChunkError::BadSize),
    ("0x1\r\n", ChunkError::BadSize),
    ("1_0\r\n", ChunkError::BadSize),
    ("1.\r\n", ChunkError::BadSize),
    ("1,1\r\n", ChunkError::BadSize),
    ("1\n", ChunkError::BadLineEnd),
    ("1\rx\r\n", ChunkError::BadLineEnd),
    ("1\r\r\n", ChunkError::BadLineEnd),
    ("1 \r\n", ChunkError::BadExtension),
    ("1\t\r\n", ChunkError::BadExtension),
    ("1 2\r\n", ChunkError::BadExtension),
    ("1;\r\n", ChunkError::BadExtension),
    ("1;;a\r\n", ChunkError::BadExtension),
    ("1;=b\r\n", ChunkError::BadExtension),
    ("1;a=\r\n", ChunkError::BadExtension),
    ("1;a=b=c\r\n", ChunkError::BadExtension),
    ("1;a b\r\n", ChunkError::BadExtension),
    ("1;a \r\n", ChunkError::BadExtension),
    ("1;a=b \r\n", ChunkError::BadExtension),
    ("1;a=\"b\r\n", ChunkError::BadExtension),
    ("1;a=\"b\"c\r\n", ChunkError::BadExtension),
    ("1;a=\"\\\r\n", ChunkError::BadExtension),
    ("1;a\0\r\n", ChunkError::BadExtension),
    ("1;a=\"\0\"\r\n", ChunkError::BadExtension),
    ("1;a\n", ChunkError::BadLineEnd),
    ("1;a=\"b\n\"\r\n", ChunkError::BadLineEnd),
    ("1;a\nx\r\n0\r\n\r\n", ChunkError::BadLineEnd),
    ("1\r\nxy\r\n", ChunkError::BadLineEnd),
    ("1\r\nx\n0\r\n\r\n", ChunkError::BadLineEnd),
    ("1\r\nx\rx", ChunkError::BadLineEnd),
    ("1\r\nx0\r\n\r\n", ChunkError::BadLineEnd),
    ("0\r\n\n", ChunkError::BadLineEnd),
    ("0\r\n\rx", ChunkError::BadLineEnd),
    ("0\r\n X: y\r\n\r\n", ChunkError::BadTrailer),
    ("0\r\nX : y\r\n\r\n", ChunkError::BadTrailer),
    ("0\r\nX\r\n\r\n", ChunkError::BadTrailer),
    ("0\r\n: y\r\n\r\n", ChunkError::BadTrailer),
    ("0\r\nX: \0\r\n\r\n", ChunkError::BadTrailer),
    ("0\r\nX: y\n\r\n", ChunkError::BadLineEnd),
    ("0\r\nX: y\r\n z\r\n\r\n", ChunkError::BadTrailer),
    ("3e9\r\n", ChunkError::DataTooLarge),
    ("ffffffffffffffff\r\n", ChunkError::DataTooLarge),
    ("10000000000000000\r\n", ChunkError::DataTooLarge),
    (
        "ffffffffffffffffffffffffffffffffff\r\n",
        ChunkError::DataTooLarge,
    ),
];

#[test]
fn every_labelled_body_gets_its_verdict() {
    for (body, data) in VALID {
        assert_eq!(
            decode(body.as_bytes()),
            Ok((true, body.len(), data.as_bytes().to_vec())),
            "{body:?}"
        );
        let followed = format!("{body}POST / HTTP/1.1\r\n");
        let (done, consumed, _) = decode(followed.as_bytes()).unwrap();
        assert_eq!(
            (done, consumed),
            (true, body.len()),
            "what follows is not touched: {body:?}"
        );
        for end in 0..body.len() {
            let (done, consumed, _) = decode(&body.as_bytes()[..end]).unwrap();
            assert_eq!((done, consumed), (false, end), "{body:?} at {end}");
        }
    }
    for (body, error) in INVALID {
        assert_eq!(decode(body.as_bytes()), Err(*error), "{body:?}");
    }
}

#[test]
fn the_verdict_is_the_same_at_every_split_and_agrees_with_httparse() {
    for body in VALID
        .iter()
        .map(|(body, _)| body)
        .chain(INVALID.iter().map(|(body, _)| body))
    {
        check(body.as_bytes(), httparse_size_line);
        for at in 0..body.len() {
            for byte in [
                0, b'\r', b'\n', b' ', b';', b'"', b'0', b'f', b'g', b':', 0x7f, 0xff,
            ] {
                let mut changed = body.as_bytes().to_vec();
                changed[at] = byte;
                check(&changed, httparse_size_line);
            }
        }
    }
}

#[test]
fn an_error_is_repeated() {
    let mut decoder = ChunkDecoder::new(LIMITS);
    let mut out = Vec::new();
    assert_eq!(decoder.decode(b"x", &mut out), Err(ChunkError::BadSize));
    assert_eq!(
        decoder.decode(b"0\r\n\r\n", &mut out),
        Err(ChunkError::BadSize)
    );
    assert!(out.is_empty());
}

#[test]
fn data_up_to_the_limit_is_taken_and_not_one_byte_more() {
    let body = |size: usize| {
        format!(
            "{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            size - 1,
            "x".repeat(size - 1),
            1,
            "x"
        )
    };
    assert!(matches!(decode(body(1000).as_bytes()), Ok((true, _, _))));
    assert_eq!(decode(body(1001).as_bytes()), Err(ChunkError::DataTooLarge));
}

#[test]
fn overhead_is_bounded_whatever_it_is_made_of() {
    for body in [
        format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(300)),
        format!("1;a={}\r\nx\r\n0\r\n\r\n", "b".repeat(300)),
        "1\r\nx\r\n".repeat(100),
        format!("0\r\n{}\r\n", "X: y\r\n".repeat(100)),
        format!("0\r\nX: {}\r\n\r\n", "y".repeat(300)),
    ] {
        assert_eq!(
            decode(body.as_bytes()),
            Err(ChunkError::TooMuchOverhead),
            "{}",
            &body[..20]
        );
    }
}

#[test]
fn a_large_body_in_ordinary_chunks_meets_no_overhead_limit() {
    let limits = ChunkLimits {
        data_bytes_max: 10 << 20,
        overhead_bytes_max: 100,
    };
    for size in [32usize, 1000, 4096] {
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        let body = chunk.repeat((1 << 20) / size) + "0\r\n\r\n";
        let (done, _, data) =
            decode_in_pieces(body.as_bytes(), limits, [body.len()].into_iter()).unwrap();
        assert!(done && data.len() == (1 << 20) / size * size);
    }
}

proptest::proptest! {
    // A failure found becomes a labelled case above, not a file of seeds.
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn bodies_from_pieces_keep_the_promises(pieces in proptest::collection::vec(0..PIECES.len(), 1..16)) {
        let data: Vec<u8> = pieces.iter().flat_map(|index| PIECES[*index].iter().copied()).collect();
        check(&data, httparse_size_line);
    }
}

const PIECES: [&[u8]; 20] = [
    b"0",
    b"1",
    b"5",
    b"a",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"hello",
    b"x",
    b";a",
    b"=b",
    b"\"c\"",
    b" ",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"1;a=b\r\nx\r\n",
    b"X: y\r\n",
    b"ffffffffffffffff",
    b"\0",
];
