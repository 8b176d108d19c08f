use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn keys() -> Keys<'static> {
    Keys {
        address: Some("192.0.2.1".parse().unwrap()),
        ..Keys::new(Method::CallTool)
    }
}

fn limiter(options: RateOptions) -> Limiter {
    Limiter::new(&options, 1_000)
}

fn taken(limiter: &Limiter, now_ns: u64, keys: &Keys<'_>, tries: usize) -> usize {
    (0..tries)
        .filter(|_| limiter.check(now_ns, keys).is_ok())
        .count()
}

fn named(pattern: &str, rate: Rate, per: Per) -> Vec<NamedRate> {
    vec![NamedRate {
        pattern: Pattern::new(pattern),
        rate,
        per,
    }]
}

fn principal(number: u128) -> Keys<'static> {
    Keys {
        principal: Principal(number),
        ..keys()
    }
}

#[test]
fn a_burst_is_taken_at_once_and_then_one_an_interval() {
    let rate = Rate::per_second(10).with_burst(3);
    let limiter = limiter(RateOptions {
        global: Some(rate),
        ..RateOptions::default()
    });
    for start in [0, 3 * SECOND, 7 * SECOND, 900_000 * SECOND] {
        assert_eq!(taken(&limiter, start, &keys(), 10), 3, "at {start}");
        let limited = limiter.check(start, &keys()).unwrap_err();
        assert_eq!(
            (
                limited.limit,
                limited.retry_after_ms,
                limited.retry_after_s()
            ),
            ("global", 100, 1)
        );
        assert!(limiter.check(start + SECOND / 10 - 1, &keys()).is_err());
        assert_eq!(taken(&limiter, start + SECOND / 10, &keys(), 10), 1);
    }
    // Who waits as long as was said is taken.
    let slow = limiter_of_one(Rate::per_hour(1));
    assert_eq!(taken(&slow, 5, &keys(), 2), 1);
    let wait = slow.check(5, &keys()).unwrap_err().retry_after_ms;
    assert_eq!(wait, 3_600_000);
    assert!(slow.check(5 + wait * 1_000_000, &keys()).is_ok());
}

fn limiter_of_one(rate: Rate) -> Limiter {
    limiter(RateOptions {
        global: Some(rate),
        ..RateOptions::default()
    })
}

#[test]
fn each_principal_address_and_session_is_counted_by_itself() {
    let one = Some(Rate::per_second(1));
    let limits = limiter(RateOptions {
        principal: one,
        ..RateOptions::default()
    });
    for number in 1..100 {
        assert_eq!(taken(&limits, 0, &principal(number), 3), 1);
    }
    let limits = limiter(RateOptions {
        session: one,
        ..RateOptions::default()
    });
    let of = |byte| Keys {
        session: Some(SessionId::new([byte; 16])),
        ..keys()
    };
    assert_eq!(
        taken(&limits, 0, &of(1), 3) + taken(&limits, 0, &of(2), 3),
        2
    );
    assert_eq!(
        taken(&limits, 0, &keys(), 3),
        3,
        "what has no session is not counted"
    );
    let limits = limiter(RateOptions {
        address: one,
        ..RateOptions::default()
    });
    let of = |text: &str| Keys {
        address: Some(text.parse().unwrap()),
        ..keys()
    };
    for (text, left) in [
        ("192.0.2.1", 1),
        ("::ffff:192.0.2.1", 0),
        ("192.0.2.2", 1),
        ("2001:db8::1", 1),
        ("2001:db8::ffff:0:0:2", 0),
        ("2001:db8:0:1::1", 1),
    ] {
        assert_eq!(taken(&limits, 0, &of(text), 2), left, "{text}");
    }
}

#[test]
fn callers_nobody_knows_are_counted_by_address() {
    let options = RateOptions {
        principal: Some(Rate::per_second(2)),
        ..RateOptions::default()
    };
    let limits = limiter(options);
    let other = Keys {
        address: Some("192.0.2.9".parse().unwrap()),
        ..keys()
    };
    assert_eq!(
        taken(&limits, 0, &keys(), 5) + taken(&limits, 0, &other, 5),
        4
    );
    let stdio = Keys::new(Method::CallTool);
    assert_eq!(taken(&limits, 0, &stdio, 5), 2);
}

#[test]
fn a_tier_stands_in_for_the_limit_of_each_caller() {
    let tiers = [
        ("standard".to_owned(), Rate::per_second(2)),
        ("premium".to_owned(), Rate::per_second(9)),
    ];
    let options = RateOptions {
        principal: Some(Rate::per_second(1)),
        tiers: tiers.into(),
        ..RateOptions::default()
    };
    let with_default = RateOptions {
        default_tier: Some("standard".to_owned()),
        ..options.clone()
    };
    for (options, plain) in [(options, 1), (with_default, 2)] {
        let limits = limiter(options);
        for (number, tier, expected) in [
            (1, Some("premium"), 9),
            (2, Some("standard"), 2),
            (3, None, plain),
            (4, Some("gold"), plain),
        ] {
            let keys = Keys {
                tier,
                ..principal(number)
            };
            assert_eq!(taken(&limits, 0, &keys, 20), expected, "{tier:?}");
        }
    }
}

#[test]
fn methods_tools_components_and_upstreams_have_limits_of_their_own() {
    let one = Rate::per_second(1);
    let limits = limiter(RateOptions {
        methods: named("prompts/*", one, Per::Everybody),
        tools: named("export_*", one, Per::Principal),
        components: named("weather", one, Per::Everybody),
        upstreams: named("*", one, Per::Everybody),
        ..RateOptions::default()
    });
    let prompts = [Method::GetPrompt, Method::ListPrompts].map(|method| Keys { method, ..keys() });
    assert_eq!(
        prompts
            .iter()
            .map(|keys| taken(&limits, 0, keys, 3))
            .sum::<usize>(),
        2
    );
    assert_eq!(taken(&limits, 0, &keys(), 3), 3);
    let tool = |number, tool| Keys {
        tool: Some(tool),
        ..principal(number)
    };
    for (number, name, expected) in [
        (1, "export_a", 1),
        (1, "export_b", 1),
        (2, "export_a", 1),
        (1, "export_a", 0),
        (1, "import", 2),
    ] {
        assert_eq!(
            taken(&limits, 0, &tool(number, name), 2),
            expected,
            "{number} {name}"
        );
    }
    let limited = limits.check(0, &tool(1, "export_a")).unwrap_err();
    assert_eq!(limited.limit, "tools.export_*");
    let component = |name| Keys {
        component: Some(name),
        ..keys()
    };
    assert_eq!(
        taken(&limits, 0, &component("weather"), 2) + taken(&limits, 0, &component("other"), 2),
        3
    );
    let upstream = |name| Keys {
        upstream: Some(name),
        ..keys()
    };
    assert_eq!(
        taken(&limits, 0, &upstream("a"), 2) + taken(&limits, 0, &upstream("b"), 2),
        2
    );
}

#[test]
fn a_refused_request_takes_nothing_from_the_others() {
    let limits = limiter(RateOptions {
        global: Some(Rate::per_second(10)),
        address: Some(Rate::per_second(10)),
        principal: Some(Rate::per_second(1)),
        ..RateOptions::default()
    });
    // One floods; it takes one of the ten of all.
    assert_eq!(taken(&limits, 0, &principal(1), 1_000), 1);
    let others = (2..100).filter(|number| limits.check(0, &principal(*number)).is_ok());
    assert_eq!(others.count(), 9);
}

#[test]
fn exempt_addresses_are_not_counted_in_any_notation() {
    let limits = limiter(RateOptions {
        global: Some(Rate::per_second(1)),
        exempt: vec!["10.0.0.0/8".parse().unwrap()],
        ..RateOptions::default()
    });
    for text in ["10.1.2.3", "::ffff:10.1.2.3"] {
        let keys = Keys {
            address: Some(text.parse().unwrap()),
            ..keys()
        };
        assert_eq!(taken(&limits, 0, &keys, 5), 5, "{text}");
    }
    assert_eq!(taken(&limits, 0, &keys(), 5), 1);
}

#[test]
fn keys_are_bounded_and_who_finds_no_place_is_limited_still() {
    let options = RateOptions {
        principal: Some(Rate::per_second(1)),
        ..RateOptions::default()
    };
    let limits = Limiter::new(&options, 100);
    let passed = (1..100_001)
        .filter(|number| limits.check(0, &principal(*number)).is_ok())
        .count();
    assert_eq!(limits.key_count(), 100);
    assert!((100..=100 + 256).contains(&passed), "{passed}");
    limits.sweep(SECOND / 2);
    assert_eq!(limits.key_count(), 100, "they still count");
    limits.sweep(3 * SECOND);
    assert_eq!(limits.key_count(), 0);
    assert_eq!(taken(&limits, 3 * SECOND, &principal(7), 5), 1);
}

#[test]
fn a_reload_keeps_what_was_counted_where_the_limit_is_the_same() {
    let options = RateOptions {
        global: Some(Rate::per_second(5)),
        tools: named("x", Rate::per_minute(1), Per::Everybody),
        ..RateOptions::default()
    };
    let before = limiter(options.clone());
    let tool = Keys {
        tool: Some("x"),
        ..keys()
    };
    assert_eq!(taken(&before, 0, &tool, 3), 1);
    let changed = RateOptions {
        global: Some(Rate::per_second(6)),
        ..options
    };
    let after = Limiter::replacing(&changed, 1_000, Some(&before));
    assert_eq!(after.check(0, &tool).unwrap_err().limit, "tools.x");
    assert_eq!(
        taken(&after, 0, &keys(), 20),
        6,
        "a changed limit begins anew"
    );
    assert!(Limiter::default().is_open() && !after.is_open());
    assert_eq!(after.options(), &changed);
}

#[test]
fn threads_together_take_no_more_than_one_would() {
    let limits = Arc::new(limiter(RateOptions {
        global: Some(Rate::per_second(1_000)),
        principal: Some(Rate::per_second(300)),
        ..RateOptions::default()
    }));
    let passed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for number in 1..=4 {
            let (limits, passed) = (&limits, &passed);
            scope.spawn(move || {
                let count = taken(limits, 0, &principal(number % 2 + 1), 2_000);
                passed.fetch_add(count as u64, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(passed.into_inner(), 600);
    assert_eq!(
        taken(&limits, 0, &principal(3), 2_000),
        300,
        "what was refused was given back"
    );
    assert_eq!(taken(&limits, 0, &principal(4), 2_000), 100);
}

#[test]
fn a_check_of_known_keys_allocates_nothing() {
    let some = Some(Rate::per_second(1_000));
    let limits = limiter(RateOptions {
        global: some,
        address: some,
        principal: some,
        tools: named("export_*", Rate::per_second(2), Per::Principal),
        ..RateOptions::default()
    });
    let keys = Keys {
        tool: Some("export_a"),
        ..principal(1)
    };
    assert!(limits.check(0, &keys).is_ok());
    let counted = allocation_counter::measure(|| {
        assert!(limits.check(1, &keys).is_ok());
        assert!(limits.check(2, &keys).is_err());
    });
    assert_eq!(counted.count_total, 0);
}

proptest! {
    #[test]
    fn in_no_span_of_time_more_pass_than_burst_and_rate_allow(
        per_second in 1_u32..2_000,
        burst in 1_u32..50,
        steps in proptest::collection::vec(0_u64..20_000_000, 1..400),
    ) {
        let rate = Rate::per_second(per_second).with_burst(burst);
        let limits = limiter_of_one(rate);
        let (mut now, mut passed) = (0_u64, Vec::new());
        for step in steps {
            now += step;
            match limits.check(now, &keys()) {
                Ok(()) => passed.push(now),
                // What is said to be enough time is, and not a millisecond more than that.
                Err(limited) => {
                    let earliest = now + limited.retry_after_ms * 1_000_000;
                    prop_assert!(earliest > now);
                    prop_assert!(limited.retry_after_ms <= rate.interval_ns.div_ceil(1_000_000).max(1));
                }
            }
        }
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first) {
                let most = u64::from(burst) + (to - from) / rate.interval_ns + 1;
                prop_assert!((last - first) as u64 <= most);
            }
        }
    }
}

fn knocks(limiter: &Limiter, address: &str, is_dear: bool, tries: usize) -> usize {
    let address = address.parse().ok();
    let knocked = |_: &usize| limiter.knock(0, address, is_dear).map(Knock::keep).is_ok();
    (0..tries).filter(knocked).count()
}

#[test]
fn who_is_not_known_counts_by_his_address_and_who_turns_out_to_be_known_counts_once() {
    let limiter = limiter(RateOptions {
        address: Some(Rate::per_second(4)),
        global: Some(Rate::per_second(5)),
        ..RateOptions::default()
    });
    // Known after all: only what is asked for then counts.
    for _ in 0..100 {
        limiter.knock(0, keys().address, true).unwrap().give_back();
    }
    assert_eq!(taken(&limiter, 0, &keys(), 1), 1);
    assert_eq!(knocks(&limiter, "192.0.2.1", true, 10), 3);
    let limited = limiter.knock(0, keys().address, false).err().unwrap();
    assert_eq!((limited.limit, limited.retry_after_s()), ("address", 1));
    assert_eq!(taken(&limiter, 0, &keys(), 10), 0, "one counter for both");
    // What strangers take is nobody else's.
    assert_eq!(knocks(&limiter, "192.0.2.2", true, 10), 4);
    let other = Keys {
        address: "192.0.2.3".parse().ok(),
        ..keys()
    };
    assert_eq!(taken(&limiter, 0, &other, 10), 4);
}

#[test]
fn proofs_that_are_worth_nothing_are_limited_by_network_and_requests_are_not() {
    let limiter = limiter(RateOptions {
        auth_failure: Some(Rate::per_second(3)),
        exempt: vec!["10.0.0.0/8".parse().unwrap()],
        ..RateOptions::default()
    });
    assert!(
        limiter.is_open(),
        "requests of known callers are not asked about"
    );
    assert_eq!(knocks(&limiter, "2001:db8::1", true, 10), 3);
    assert_eq!(knocks(&limiter, "2001:db8::ffff:2", true, 10), 0);
    assert_eq!(knocks(&limiter, "2001:db8:0:1::1", true, 10), 3);
    assert_eq!(knocks(&limiter, "192.0.2.1", true, 10), 3);
    assert_eq!(knocks(&limiter, "::ffff:192.0.2.1", true, 10), 0);
    assert_eq!(
        knocks(&limiter, "192.0.2.1", false, 10),
        10,
        "nothing to verify"
    );
    assert_eq!(knocks(&limiter, "10.1.2.3", true, 10), 10);
    assert_eq!(knocks(&limiter, "no address", true, 10), 10);
    assert_eq!(limiter.key_count(), 3);
    limiter.sweep(10 * SECOND);
    assert_eq!(limiter.key_count(), 0);
}
