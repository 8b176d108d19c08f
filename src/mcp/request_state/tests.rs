use super::*;

const NONCE: [u8; STATE_NONCE_BYTES] = [9; STATE_NONCE_BYTES];
const ALICE: Principal = Principal(1);

fn key() -> StateKey {
    StateKey::new([7; 32])
}

fn request(method: Method, name: &str, arguments: &str) -> RequestDigest {
    RequestDigest::new(method, name, Some(arguments.as_bytes()), 64).unwrap()
}

fn call() -> RequestDigest {
    request(Method::CallTool, "book", r#"{"seats":2}"#)
}

fn state() -> RequestState {
    RequestState {
        expiry_ms: 1_000,
        round: 2,
        answers: vec![
            ("name".to_owned(), br#"{"action":"accept"}"#.to_vec()),
            ("é".to_owned(), b"{}".to_vec()),
        ],
        guest: Some(b"\0\xff".to_vec()),
    }
}

fn sealed() -> String {
    seal(&key(), NONCE, ALICE, call(), &state(), 4_096).unwrap()
}

fn opened(
    text: &str,
    key: &StateKey,
    principal: Principal,
    request: RequestDigest,
    now_ms: u64,
) -> Result<RequestState, StateFault> {
    let quoted = format!("\"{text}\"");
    open_quoted(key, principal, request, quoted.as_bytes(), now_ms)
}

#[test]
fn a_state_comes_back_whole_to_the_request_that_it_was_made_for() {
    assert_eq!(opened(&sealed(), &key(), ALICE, call(), 999), Ok(state()));
    let written_anew = request(Method::CallTool, "book", " { \"seats\" : 2.0 } ");
    assert_eq!(
        opened(&sealed(), &key(), ALICE, written_anew, 0),
        Ok(state())
    );
    // Escaped by a client that escapes everything.
    let escaped = sealed().replacen('A', "\\u0041", 1);
    assert_eq!(opened(&escaped, &key(), ALICE, call(), 0), Ok(state()));
    for guest in [None, Some(Vec::new())] {
        let state = RequestState {
            guest,
            ..RequestState::default()
        };
        let text = seal(&key(), NONCE, ALICE, call(), &state, 4_096).unwrap();
        assert_eq!(opened(&text, &key(), ALICE, call(), 0), Ok(state));
    }
}

#[test]
fn a_state_with_any_byte_changed_is_refused() {
    let text = sealed();
    for at in 0..text.len() {
        for bit in 0..7 {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1 << bit;
            let mut quoted = Vec::new();
            crate::wire::json::write_str(&mut quoted, std::str::from_utf8(&changed).unwrap());
            assert_eq!(
                open_quoted(&key(), ALICE, call(), &quoted, 0),
                Err(StateFault::Forged),
                "bit {bit} of byte {at}"
            );
        }
        assert!(
            opened(&text[..at], &key(), ALICE, call(), 0).is_err(),
            "cut at {at}"
        );
    }
    for more in ["A", "AAAA", "="] {
        let longer = format!("{text}{more}");
        assert_eq!(
            opened(&longer, &key(), ALICE, call(), 0),
            Err(StateFault::Forged)
        );
    }
}

#[test]
fn a_state_is_of_no_use_to_another_principal_or_server() {
    let text = sealed();
    for other in [Principal::ANONYMOUS, Principal(2), Principal(u128::MAX)] {
        assert_eq!(
            opened(&text, &key(), other, call(), 0),
            Err(StateFault::Forged)
        );
    }
    let other_key = StateKey::new([8; 32]);
    assert_eq!(
        opened(&text, &other_key, ALICE, call(), 0),
        Err(StateFault::Forged)
    );
    assert!(!format!("{:?}", key()).contains('7'), "a key is not shown");
}

#[test]
fn a_state_is_of_no_use_to_another_request() {
    let text = sealed();
    for other in [
        request(Method::GetPrompt, "book", r#"{"seats":2}"#),
        request(Method::CallTool, "boo", r#"{"seats":2}"#),
        request(Method::CallTool, "book", r#"{"seats":3}"#),
        request(Method::CallTool, "book", r#"{"seats":"2"}"#),
        request(Method::CallTool, "book", "{}"),
    ] {
        assert_eq!(
            opened(&text, &key(), ALICE, other, 0),
            Err(StateFault::OtherRequest)
        );
    }
    let unreadable = open(
        &key(),
        ALICE,
        || None,
        crate::wire::json::Reader::from_text(&format!("\"{text}\""), 0)
            .string()
            .unwrap(),
        0,
        4_096,
    );
    assert_eq!(unreadable, Err(StateFault::OtherRequest));
}

#[test]
fn a_state_serves_up_to_its_last_millisecond() {
    let text = sealed();
    assert!(opened(&text, &key(), ALICE, call(), 1_000).is_ok());
    assert_eq!(
        opened(&text, &key(), ALICE, call(), 1_001),
        Err(StateFault::Expired)
    );
    // Somebody else's is forged, expired or not: nothing is told about it.
    assert_eq!(
        opened(&text, &key(), Principal(2), call(), 1_001),
        Err(StateFault::Forged)
    );
}

#[test]
fn a_state_keeps_to_its_bound_both_ways() {
    let text = sealed();
    let too_long = seal(&key(), NONCE, ALICE, call(), &state(), text.len() - 4).unwrap_err();
    assert!(too_long.bytes >= text.len() && too_long.bytes_max == text.len() - 4);
    let quoted = format!("\"{text}\"");
    let read = |bytes_max| {
        let mut reader = crate::wire::json::Reader::from_text(&quoted, 0);
        let sealed = reader.string().unwrap();
        open(&key(), ALICE, || Some(call()), sealed, 0, bytes_max)
    };
    assert!(read(text.len()).is_ok());
    assert_eq!(read(text.len() - 1), Err(StateFault::Forged));
}

#[test]
fn a_forged_state_is_not_worth_the_digest_of_its_request() {
    let mut asked = false;
    let text = "\"AQEBAQ\"";
    let mut reader = crate::wire::json::Reader::from_text(text, 0);
    let forged = open(
        &key(),
        ALICE,
        || {
            asked = true;
            Some(call())
        },
        reader.string().unwrap(),
        0,
        4_096,
    );
    assert_eq!((forged, asked), (Err(StateFault::Forged), false));
}

#[test]
fn the_names_of_a_request_cannot_be_shifted_into_each_other() {
    let empty = |name| RequestDigest::new(Method::CallTool, name, None, 64).unwrap();
    assert_eq!(empty("a"), request(Method::CallTool, "a", " { } "));
    assert_ne!(empty("a"), empty("a{}"));
    assert_ne!(empty(""), empty("{}"));
    assert!(RequestDigest::new(Method::CallTool, "a", Some(b"{"), 64).is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_contents_come_back_and_nothing_unsealed_is_opened(data in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        check(&data);
    }
}
