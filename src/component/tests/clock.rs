//! The epoch clock rests while nobody calls, and is there when somebody does.

use super::guests;
use super::*;

fn wait_until_parked(bench: &Bench) {
    let until = Instant::now() + Duration::from_secs(20);
    while !bench.runtime.traffic.pulse().is_parked() {
        assert!(Instant::now() < until, "the clock never parks");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_clock_parks_without_calls_and_a_spinning_guest_wakes_it() {
    let mut bench = Bench::new();
    let spin = bench.load(&guests::text_tool("(loop $l (br $l)) (unreachable)"));
    for _ in 0..3 {
        wait_until_parked(&bench);
        let (outcome, _) = bench.call_within(&spin, r#"{"text":"x"}"#, Duration::from_millis(30));
        assert_eq!(outcome, CallOutcome::Deadline);
    }
}

#[test]
fn a_guest_that_starts_while_the_clock_parks_is_still_interrupted() {
    let mut bench = Bench::new();
    let spin = bench.load(&guests::text_tool("(loop $l (br $l)) (unreachable)"));
    // Calls begin all around the moment at which the clock gives up waiting for one.
    for late_micros in (0..40).map(|step| 90_000 + step * 500) {
        std::thread::sleep(Duration::from_micros(late_micros));
        let (outcome, _) = bench.call_within(&spin, r#"{"text":"x"}"#, Duration::from_millis(5));
        assert_eq!(outcome, CallOutcome::Deadline);
    }
}
