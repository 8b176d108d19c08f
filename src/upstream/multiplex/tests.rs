//! Callers who all use the same ids, and an upstream that answers them in every order and worse.

use super::*;

const RULES: MultiplexRules = MultiplexRules {
    call_count_max: 2_000,
    ask_count_max: 3,
    first: 0,
    step: 1,
    depth_max: 64,
};

fn request(id: &str, token: Option<&str>) -> String {
    let meta = token.map_or(String::new(), |token| {
        format!(r#","_meta":{{"progressToken":{token}}}"#)
    });
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"{meta}}}}}"#)
}

fn begin(multiplexer: &mut Multiplexer<u32>, caller: u32, text: &str) -> (CallNumber, String) {
    let envelope = Envelope::read(text.as_bytes(), 64).unwrap();
    let mut out = Vec::new();
    let number = multiplexer.begin(caller, &envelope, &[], &mut out).unwrap();
    (number, String::from_utf8(out).unwrap())
}

fn answer(id: impl fmt::Display, canary: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"canary":{canary}}}}}"#)
}

/// The answer as its caller gets it.
fn delivered(received: Result<Received<'_, u32>, Misbehaved>) -> Option<(u32, String)> {
    match received {
        Ok(Received::Answer {
            caller,
            id,
            envelope,
        }) => {
            let mut out = Vec::new();
            let place = envelope.id.clone().unwrap();
            envelope.write(&mut out, &[(&place, id.as_bytes())]);
            Some((caller, String::from_utf8(out).unwrap()))
        }
        _ => None,
    }
}

#[test]
fn a_thousand_callers_with_the_same_ids_get_their_own_answers() {
    let mut multiplexer = Multiplexer::new(RULES);
    let mut random = crate::ring::sim::Random::new(7);
    let mut open: Vec<(CallNumber, u32, String)> = Vec::new();
    let mut answered = 0;
    for round in 0..20_u32 {
        for caller in 0..1_000 {
            let id = match caller % 3 {
                0 => round.to_string(),
                1 => format!("\"{round}\""),
                _ => "1795428102880".to_owned(),
            };
            let (number, sent) = begin(&mut multiplexer, caller, &request(&id, None));
            assert!(sent.contains(&format!(r#""id":{number},"#)), "{sent}");
            open.push((number, caller, id));
        }
        while !open.is_empty() {
            let (number, caller, id) = open.swap_remove(random.below(open.len() as u64) as usize);
            let body = answer(number, caller);
            let got = delivered(multiplexer.receive(body.as_bytes(), None));
            assert_eq!(got, Some((caller, answer(&id, caller))));
            assert!(
                matches!(
                    multiplexer.receive(body.as_bytes(), None),
                    Ok(Received::Late)
                ),
                "the same twice"
            );
            answered += 1;
        }
    }
    assert_eq!((answered, multiplexer.call_count()), (20_000, 0));
}

#[test]
fn what_was_never_asked_reaches_nobody() {
    let mut multiplexer = Multiplexer::new(RULES);
    let (first, _) = begin(&mut multiplexer, 1, &request("0", None));
    let (second, _) = begin(&mut multiplexer, 2, &request("0", None));
    for id in [
        "2",
        "99999",
        "-1",
        "\"0\"",
        "\"1\"",
        "00",
        "0.0",
        "1e0",
        "18446744073709551616",
        "+0",
        "\"\"",
    ] {
        let body = answer(id, 0);
        assert!(multiplexer.receive(body.as_bytes(), None).is_err(), "{id}");
    }
    let body = answer(second, 2);
    let crossed = multiplexer.receive(body.as_bytes(), Some(first));
    assert_eq!(
        crossed.unwrap_err(),
        Misbehaved::WrongId,
        "on another call's exchange"
    );
    assert_eq!(
        delivered(multiplexer.receive(body.as_bytes(), Some(second)))
            .unwrap()
            .0,
        2
    );
    let nameless = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#;
    assert_eq!(
        multiplexer.receive(nameless, None).unwrap_err(),
        Misbehaved::WrongId
    );
    let received = multiplexer.receive(nameless, Some(first)).unwrap();
    assert!(
        matches!(received, Received::Answer { caller: 1, .. }),
        "it can only be this call's"
    );
}

#[test]
fn multiplexers_to_one_upstream_share_no_number() {
    let mut several: Vec<Multiplexer<u32>> = (0..3)
        .map(|first| {
            Multiplexer::new(MultiplexRules {
                first,
                step: 3,
                ..RULES
            })
        })
        .collect();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10 {
        for multiplexer in &mut several {
            assert!(seen.insert(begin(multiplexer, 0, &request("0", None)).0));
        }
    }
    let body = answer(CallNumber(4), 0);
    assert!(several[0].receive(body.as_bytes(), None).is_err());
    assert!(several[1].receive(body.as_bytes(), None).is_ok());
}

#[test]
fn progress_goes_to_the_caller_with_its_own_token() {
    let mut multiplexer = Multiplexer::new(RULES);
    let (number, sent) = begin(&mut multiplexer, 5, &request("0", Some("\"token\"")));
    assert!(
        sent.contains(&format!(r#""progressToken":{number}"#)),
        "{sent}"
    );
    let (quiet, _) = begin(&mut multiplexer, 6, &request("0", None));
    let progress = |token: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":1,"progressToken":{token}}}}}"#
        )
    };
    let body = progress(&number.to_string());
    match multiplexer.receive(body.as_bytes(), None).unwrap() {
        Received::Told {
            caller,
            change,
            envelope,
        } => {
            let mut out = Vec::new();
            envelope.write(&mut out, &[(&change.0, change.1.as_bytes())]);
            assert_eq!(
                (caller, String::from_utf8(out).unwrap()),
                (5, progress("\"token\""))
            );
        }
        other => panic!("{other:?}"),
    }
    for token in [quiet.to_string(), "77".to_owned(), "\"token\"".to_owned()] {
        let body = progress(&token);
        assert!(
            matches!(
                multiplexer.receive(body.as_bytes(), None),
                Ok(Received::Late)
            ),
            "{token}"
        );
    }
    assert_eq!(multiplexer.give_up(number).unwrap().0, 5);
    assert!(matches!(
        multiplexer.receive(body.as_bytes(), None),
        Ok(Received::Late)
    ));
}

#[test]
fn a_subscription_s_notifications_carry_the_caller_s_id() {
    let mut multiplexer = Multiplexer::new(RULES);
    let (number, _) = begin(&mut multiplexer, 9, &request("\"listen\"", None));
    let body = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{number}}}}}}}"#
    );
    match multiplexer.receive(body.as_bytes(), None).unwrap() {
        Received::Told { caller, change, .. } => {
            assert_eq!((caller, change.1.as_bytes()), (9, &b"\"listen\""[..]));
        }
        other => panic!("{other:?}"),
    }
    let plain = br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    assert!(matches!(
        multiplexer.receive(plain, None),
        Ok(Received::Notification(_))
    ));
}

#[test]
fn a_given_up_call_s_answer_is_late() {
    let mut multiplexer = Multiplexer::new(RULES);
    let (number, _) = begin(&mut multiplexer, 3, &request("\"x\"", None));
    let mut out = Vec::new();
    Multiplexer::<u32>::write_cancellation(number, "gone \"away\"", &mut out);
    let envelope = Envelope::read(&out, 8).unwrap();
    assert_eq!(envelope.request_id.unwrap().text, b"0");
    assert_eq!(
        multiplexer.give_up(number),
        Some((3, IdText::new(b"\"x\"").unwrap()))
    );
    assert_eq!(multiplexer.give_up(number), None);
    let body = answer(number, 3);
    assert!(matches!(
        multiplexer.receive(body.as_bytes(), None),
        Ok(Received::Late)
    ));
    begin(&mut multiplexer, 4, &request("1", None));
    begin(&mut multiplexer, 5, &request("2", None));
    let mut left: Vec<_> = multiplexer
        .give_up_all()
        .map(|(caller, _)| caller)
        .collect();
    left.sort_unstable();
    assert_eq!((left, multiplexer.call_count()), (vec![4, 5], 0));
}

#[test]
fn calls_in_flight_are_bounded() {
    let mut multiplexer = Multiplexer::new(MultiplexRules {
        call_count_max: 2,
        ..RULES
    });
    let (number, _) = begin(&mut multiplexer, 1, &request("0", None));
    begin(&mut multiplexer, 1, &request("1", None));
    let text = request("2", None);
    let envelope = Envelope::read(text.as_bytes(), 64).unwrap();
    let mut out = Vec::new();
    assert_eq!(multiplexer.begin(1, &envelope, &[], &mut out), Err(Crowded));
    assert!(out.is_empty());
    multiplexer.give_up(number);
    assert!(multiplexer.begin(1, &envelope, &[], &mut out).is_ok());
    let long = request(&format!("\"{}\"", "x".repeat(ID_BYTES_MAX)), None);
    let envelope = Envelope::read(long.as_bytes(), 64).unwrap();
    assert_eq!(multiplexer.begin(1, &envelope, &[], &mut out), Err(Crowded));
}

fn ask(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{{}}}}"#)
}

#[test]
fn a_question_goes_to_whoever_caused_it_or_to_nobody() {
    let mut multiplexer = Multiplexer::new(RULES);
    let asked = |received: Result<Received<'_, u32>, Misbehaved>| match received {
        Ok(Received::Ask { number, caller, .. }) => (number, caller),
        other => panic!("{other:?}"),
    };
    let (first, _) = begin(&mut multiplexer, 1, &request("0", None));
    let (number, caller) = asked(multiplexer.receive(ask("0").as_bytes(), None));
    assert_eq!(caller, Some(1), "there is no other");
    assert_eq!(multiplexer.take_ask(number).unwrap().as_bytes(), b"0");
    assert_eq!(multiplexer.take_ask(number), None, "answered once");
    begin(&mut multiplexer, 2, &request("0", None));
    assert_eq!(
        asked(multiplexer.receive(ask("\"0\"").as_bytes(), None)).1,
        None,
        "it may be either's"
    );
    assert_eq!(
        asked(multiplexer.receive(ask("0").as_bytes(), Some(first))).1,
        Some(1)
    );
    let again = ask("0");
    let twice = multiplexer.receive(again.as_bytes(), Some(first));
    assert_eq!(
        twice.unwrap_err(),
        Misbehaved::TooManyAsks,
        "the same id is open"
    );
    asked(multiplexer.receive(ask("5").as_bytes(), None));
    let sixth = ask("6");
    let more = multiplexer.receive(sixth.as_bytes(), None);
    assert_eq!(more.unwrap_err(), Misbehaved::TooManyAsks);
    let cancelled =
        br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#;
    match multiplexer.receive(cancelled, None).unwrap() {
        Received::AskWithdrawn { caller, number } => {
            assert_eq!((caller, multiplexer.take_ask(number)), (Some(1), None));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        multiplexer.receive(cancelled, None),
        Ok(Received::Late)
    ));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_the_upstream_sends_an_answer_reaches_its_caller_once(
        deeds in proptest::collection::vec((0u8..6, 0u32..40), 0..200),
    ) {
        let mut multiplexer = Multiplexer::new(MultiplexRules { call_count_max: 8, ..RULES });
        let mut callers = HashMap::new();
        let mut waiting = std::collections::HashSet::new();
        for (deed, value) in deeds {
            match deed {
                0 | 1 => {
                    let text = request("0", Some("0"));
                    let envelope = Envelope::read(text.as_bytes(), 64).unwrap();
                    if let Ok(number) = multiplexer.begin(value, &envelope, &[], &mut Vec::new()) {
                        assert!(callers.insert(number, value).is_none(), "a number was used twice");
                        waiting.insert(number);
                    }
                }
                2 => {
                    let number = CallNumber(u64::from(value));
                    assert_eq!(multiplexer.give_up(number).is_some(), waiting.remove(&number));
                }
                _ => {
                    let number = CallNumber(u64::from(value));
                    let body = answer(number, value);
                    match multiplexer.receive(body.as_bytes(), None) {
                        Ok(Received::Answer { caller, .. }) => {
                            assert!(waiting.remove(&number));
                            assert_eq!(Some(&caller), callers.get(&number));
                        }
                        Ok(Received::Late) => assert!(callers.contains_key(&number) && !waiting.contains(&number)),
                        Err(error) => {
                            assert_eq!(error, Misbehaved::WrongId);
                            assert!(!callers.contains_key(&number));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!(multiplexer.call_count(), waiting.len());
        }
    }
}
