//! Choices, counted.

use super::*;

const ALL: [Strategy; 5] = [
    Strategy::P2c,
    Strategy::RoundRobin,
    Strategy::LeastConnections,
    Strategy::WeightedRandom,
    Strategy::ConsistentHash,
];

fn candidate(index: usize) -> Candidate {
    Candidate {
        identity: mix(index as u64 + 1000),
        available: true,
        in_flight: 0,
        weight: 1,
        latency_us: Some(1_000),
    }
}

fn candidates(count: usize) -> Vec<Candidate> {
    (0..count).map(candidate).collect()
}

/// How often each is chosen, over sessions and random numbers.
fn counts(strategy: Strategy, candidates: &[Candidate], rounds: u64) -> Vec<u64> {
    let mut balancer = Balancer::new(strategy);
    let mut counts = vec![0; candidates.len()];
    for round in 0..rounds {
        let chosen = balancer.choose(candidates, Some(mix(round)), mix(round ^ 77));
        counts[chosen.expect("one is available")] += 1;
    }
    counts
}

#[test]
fn every_strategy_spreads_equals_evenly() {
    for strategy in ALL {
        let counts = counts(strategy, &candidates(4), 40_000);
        for count in &counts {
            assert!((9_000..11_000).contains(count), "{strategy:?}: {counts:?}");
        }
    }
}

#[test]
fn no_strategy_chooses_what_is_not_available() {
    for strategy in ALL {
        let mut some = candidates(5);
        for hidden in [0, 2, 3] {
            some[hidden].available = false;
            let counts = counts(strategy, &some, 5_000);
            for (index, count) in counts.iter().enumerate() {
                assert_eq!(
                    *count == 0,
                    !some[index].available,
                    "{strategy:?}: {counts:?}"
                );
            }
        }
        some.iter_mut()
            .for_each(|candidate| candidate.available = false);
        let mut balancer = Balancer::new(strategy);
        assert_eq!(balancer.choose(&some, Some(1), 1), None);
        assert_eq!(balancer.choose(&[], Some(1), 1), None);
    }
}

#[test]
fn round_robin_takes_one_after_the_other_and_skips() {
    let mut some = candidates(4);
    some[2].available = false;
    let mut balancer = Balancer::new(Strategy::RoundRobin);
    let chosen: Vec<_> = (0..7)
        .filter_map(|_| balancer.choose(&some, None, 0))
        .collect();
    assert_eq!(chosen, [0, 1, 3, 0, 1, 3, 0]);
}

#[test]
fn the_least_busy_is_chosen() {
    let mut some = candidates(3);
    for (index, in_flight) in [5, 2, 9].into_iter().enumerate() {
        some[index].in_flight = in_flight;
    }
    assert_eq!(counts(Strategy::LeastConnections, &some, 100), [0, 100, 0]);
}

#[test]
fn weights_are_shares() {
    let mut some = candidates(3);
    for (index, weight) in [1, 3, 0].into_iter().enumerate() {
        some[index].weight = weight;
    }
    for strategy in [Strategy::WeightedRandom, Strategy::ConsistentHash] {
        let mut some = some.clone();
        if strategy == Strategy::ConsistentHash {
            some.pop();
        }
        let counts = counts(strategy, &some, 40_000);
        assert!(
            (9_000..11_000).contains(&counts[0]),
            "{strategy:?}: {counts:?}"
        );
        assert!(
            (29_000..31_000).contains(&counts[1]),
            "{strategy:?}: {counts:?}"
        );
    }
    assert_eq!(counts(Strategy::WeightedRandom, &some, 1_000)[2], 0);
    some.truncate(0);
    some.push(Candidate {
        weight: 0,
        ..candidate(0)
    });
    assert_eq!(counts(Strategy::WeightedRandom, &some, 10), [10]);
}

#[test]
fn a_session_stays_and_only_those_of_a_lost_replica_move() {
    let all = candidates(5);
    let mut balancer = Balancer::new(Strategy::ConsistentHash);
    let mut lost = all.clone();
    lost[3].available = false;
    let mut reordered = all.clone();
    reordered.reverse();
    let mut moved = 0;
    for session in (0..2_000).map(mix) {
        let home = balancer.choose(&all, Some(session), 1).unwrap();
        assert_eq!(balancer.choose(&all, Some(session), 2), Some(home));
        let elsewhere = balancer.choose(&reordered, Some(session), 3).unwrap();
        assert_eq!(
            reordered[elsewhere].identity, all[home].identity,
            "the order does not matter"
        );
        let now = balancer.choose(&lost, Some(session), 4).unwrap();
        assert!(now == home || home == 3);
        moved += usize::from(now != home);
    }
    assert!((300..500).contains(&moved), "{moved}");
}

#[test]
fn the_slow_and_the_busy_are_chosen_less() {
    let mut some = candidates(3);
    some[1].latency_us = Some(50_000);
    let counted = counts(Strategy::P2c, &some, 9_000);
    assert!(
        counted[1] < 200,
        "it loses to either, but for a few to see whether it got better: {counted:?}"
    );
    some[1] = candidate(1);
    some[1].in_flight = 10;
    assert_eq!(counts(Strategy::P2c, &some, 9_000)[1], 0);
    some[1] = candidate(1);
    some[1].latency_us = None;
    let counted = counts(Strategy::P2c, &some, 9_000);
    assert!(counted[1] > 2_000, "an unknown one is tried: {counted:?}");
}

#[test]
fn latency_follows_a_slow_answer_at_once_and_a_fast_one_with_time() {
    let mut latency = Latency::default();
    assert_eq!(latency.estimate_us(0), None);
    latency.observe(1_000, 0);
    assert_eq!(latency.estimate_us(0), Some(1_000));
    latency.observe(80_000, 1);
    assert_eq!(latency.estimate_us(1), Some(80_000));
    latency.observe(1_000, 2);
    assert!(latency.estimate_us(2).unwrap() > 70_000);
    for now_ms in (100..40_000).step_by(100) {
        latency.observe(1_000, now_ms);
    }
    assert!(latency.estimate_us(40_000).unwrap() < 3_000);
    latency.observe(1_000_000, 40_001);
    assert!(
        latency.estimate_us(110_000).unwrap() < 1_000,
        "it fades: tried again"
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn one_is_chosen_exactly_when_one_is_available(
        facts in proptest::collection::vec((proptest::bool::ANY, 0u32..4, 0u32..4, proptest::option::of(0u64..u64::MAX)), 0..8),
        session in proptest::option::of(proptest::num::u64::ANY),
        random in proptest::num::u64::ANY,
        start in 0usize..100,
    ) {
        let some: Vec<Candidate> = facts
            .iter()
            .enumerate()
            .map(|(index, (available, in_flight, weight, latency_us))| Candidate {
                available: *available,
                in_flight: *in_flight,
                weight: *weight,
                latency_us: *latency_us,
                ..candidate(index)
            })
            .collect();
        for strategy in ALL {
            let mut balancer = Balancer { strategy, next: start };
            match balancer.choose(&some, session, random) {
                Some(index) => assert!(some[index].available),
                None => assert!(some.iter().all(|candidate| !candidate.available)),
            }
        }
    }
}
