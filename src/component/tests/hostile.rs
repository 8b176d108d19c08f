//! Guests that loop, recurse, hoard, trap, print and sleep: each is an error for its caller, and nothing else.

use super::guests;
use super::*;

fn all_modes() -> [EngineChoice; 3] {
    [
        EngineChoice::Always(EngineMode::Guarded),
        EngineChoice::Always(EngineMode::Unguarded),
        EngineChoice::Always(EngineMode::Compact),
    ]
}

/// The guest fails with this outcome and a text that names `word`, in every engine mode, and the pool still serves.
fn fails(guest: &str, outcome: CallOutcome, words: &[&str]) {
    for engine in all_modes() {
        let mut bench = Bench::with(small_limits(), engine);
        let component = bench.load(guest);
        let echo = bench.load(&guests::echo());
        let (seen, result) =
            bench.call_within(&component, r#"{"text":"x"}"#, Duration::from_millis(60));
        assert_eq!(seen, outcome, "{engine:?}: {result}");
        assert_eq!(result["isError"], json!(true));
        for word in words {
            assert!(
                text(&result).contains(word),
                "{engine:?}: {}",
                text(&result)
            );
        }
        assert_eq!(
            bench.call(&echo, r#"{"text":"still here"}"#).0,
            CallOutcome::Ok
        );
    }
}

#[test]
fn a_loop_ends_at_its_deadline() {
    let started = Instant::now();
    fails(
        &guests::text_tool("(loop $l (br $l)) (unreachable)"),
        CallOutcome::Deadline,
        &["limits.call_deadline"],
    );
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn endless_recursion_is_a_stack_error() {
    fails(
        &guests::text_tool("(call $run (local.get $p) (local.get $n))"),
        CallOutcome::Stack,
        &["limits.stack_bytes_max"],
    );
}

#[test]
fn hoarding_memory_is_a_memory_error() {
    fails(
        &guests::text_tool(
            "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
        ),
        CallOutcome::Memory,
        &["limits.memory_bytes_max", "16777216"],
    );
}

#[test]
fn hoarding_tables_is_a_table_error() {
    fails(
        &guests::text_tool_with(
            "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)",
            "(table $t 1 funcref)",
        ),
        CallOutcome::Table,
        &["limits.table_elements_max"],
    );
}

#[test]
fn a_trap_names_itself() {
    fails(
        &guests::text_tool("(unreachable)"),
        CallOutcome::Trap,
        &["unreachable"],
    );
    fails(
        &guests::text_tool("(i32.div_u (i32.const 1) (i32.const 0))"),
        CallOutcome::Trap,
        &["divide by zero"],
    );
}

#[test]
fn an_access_out_of_bounds_traps_in_all_modes() {
    for address in ["65536", "16777216", "-1", "2147483647"] {
        fails(
            &guests::text_tool(&format!("(i32.load (i32.const {address}))")),
            CallOutcome::Trap,
            &["out of bounds memory access"],
        );
    }
    // A result that points outside is the host's to refuse.
    fails(
        &guests::text_tool(
            "(i32.store (i32.const 0) (i32.const 65000)) (i32.store (i32.const 4) (i32.const 10000)) (i32.const 0)",
        ),
        CallOutcome::Trap,
        &["out of bounds"],
    );
}

#[test]
fn text_that_is_not_utf8_is_a_trap() {
    fails(
        &guests::text_tool(
            "(i32.store8 (i32.const 8) (i32.const 255)) (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 1)) (i32.const 0)",
        ),
        CallOutcome::Trap,
        &["utf-8"],
    );
}

#[test]
fn a_result_beyond_the_bound_is_an_output_error() {
    let limits = Limits {
        output_bytes_max: 1000,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load(&guests::echo());
    let (outcome, result) = bench.call(&component, &json!({"text": "x".repeat(600)}).to_string());
    assert_eq!(outcome, CallOutcome::Output);
    assert!(text(&result).contains("limits.output_bytes_max (1000 bytes)"));
    assert!(
        bench
            .call(&component, &json!({"text": "x".repeat(300)}).to_string())
            .0
            == CallOutcome::Ok
    );
    // The same through component values.
    let component = bench.load(&guests::identity("", "(list string)"));
    let (outcome, _) = bench.call(&component, &json!({"value": ["x".repeat(600)]}).to_string());
    assert_eq!(outcome, CallOutcome::Output);
}

#[test]
fn handing_over_too_much_at_once_is_an_output_error() {
    let limits = Limits {
        hostcall_bytes_max: 10_000,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load(&guests::echo());
    let (outcome, result) =
        bench.call(&component, &json!({"text": "x".repeat(20_000)}).to_string());
    assert_eq!(outcome, CallOutcome::Output, "{result}");
    assert!(text(&result).contains("limits.hostcall_bytes_max"));
}

const STDOUT: &str = r#"
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $out (sub resource)))
    (alias outer 1 $error-type (type $e'))
    (export "error" (type $e (eq $e')))
    (type $se (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $se)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $o'))
    (export "output-stream" (type $o (eq $o')))
    (export "get-stdout" (func (result (own $o))))))"#;

#[test]
fn a_flood_of_print_is_an_error_that_names_the_limit() {
    let guest = guests::host_tool(
        STDOUT,
        r#"(core func $get (canon lower (func $stdout "get-stdout")))
           (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory (core memory $memory "memory"))))"#,
        r#"(export "get" (func $get)) (export "write" (func $write))"#,
        r#"(import "host" "get" (func $get (result i32)))
           (import "host" "write" (func $write (param i32 i32 i32 i32)))
           (func (export "run") (result i32) (local $out i32)
             (local.set $out (call $get))
             (loop $l (call $write (local.get $out) (i32.const 0) (i32.const 4096) (i32.const 5000)) (br $l))
             (unreachable))"#,
    );
    let mut bench = Bench::new();
    let component = bench.load(&guest);
    let (outcome, result) = bench.call_within(&component, "{}", Duration::from_secs(60));
    assert_eq!(outcome, CallOutcome::Output, "{result}");
    assert!(
        result.to_string().contains("limits.print_bytes_max"),
        "{result}"
    );
}

/// Sleeps for a year and then answers.
pub(super) fn sleeper() -> String {
    guests::host_tool(
        r#"
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $p'))
    (export "pollable" (type $p (eq $p')))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))"#,
        r#"(core func $subscribe (canon lower (func $clock "subscribe-duration")))
           (core func $block (canon lower (func $poll "[method]pollable.block")))"#,
        r#"(export "subscribe" (func $subscribe)) (export "block" (func $block))"#,
        r#"(import "host" "subscribe" (func $subscribe (param i64) (result i32)))
           (import "host" "block" (func $block (param i32)))
           (func (export "run") (result i32)
             (call $block (call $subscribe (i64.const 31536000000000000)))
             (unreachable))"#,
    )
}

#[test]
fn a_guest_that_sleeps_for_ever_ends_at_its_deadline() {
    let mut bench = Bench::new();
    let component = bench.load(&sleeper());
    let started = Instant::now();
    let (outcome, result) = bench.call_within(&component, "{}", Duration::from_millis(80));
    assert_eq!(outcome, CallOutcome::Deadline, "{result}");
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(80) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[test]
fn nothing_is_granted() {
    // Environment and arguments are lists: both must be empty, or the guest traps.
    let mut bench = Bench::new();
    let guest = guests::host_tool(
        r#"(import "wasi:cli/environment@0.2.0" (instance $env
             (export "get-environment" (func (result (list (tuple string string)))))
             (export "get-arguments" (func (result (list string))))))"#,
        r#"(core module $r (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
           (core instance $ri (instantiate $r))
           (core func $e (canon lower (func $env "get-environment") (memory (core memory $memory "memory")) (realloc (core func $ri "realloc"))))
           (core func $a (canon lower (func $env "get-arguments") (memory (core memory $memory "memory")) (realloc (core func $ri "realloc"))))"#,
        r#"(export "e" (func $e)) (export "a" (func $a))"#,
        r#"(import "host" "e" (func $e (param i32)))
           (import "host" "a" (func $a (param i32)))
           (func (export "run") (result i32)
             (call $e (i32.const 0)) (call $a (i32.const 8))
             (if (i32.or (i32.load (i32.const 4)) (i32.load (i32.const 12))) (then (unreachable)))
             (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 0)) (i32.const 16))"#,
    );
    let component = bench.load(&guest);
    let (outcome, result) = bench.call(&component, "{}");
    assert_eq!(outcome, CallOutcome::Ok, "{result}");
}

#[test]
fn an_exit_is_an_error_with_its_status() {
    let mut bench = Bench::new();
    let guest = guests::host_tool(
        r#"(import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))"#,
        r#"(core func $exit (canon lower (func $exit "exit")))"#,
        r#"(export "exit" (func $exit))"#,
        r#"(import "host" "exit" (func $exit (param i32)))
           (func (export "run") (result i32) (call $exit (i32.const 1)) (unreachable))"#,
    );
    let component = bench.load(&guest);
    let (outcome, result) = bench.call(&component, "{}");
    assert_eq!(outcome, CallOutcome::Exited, "{result}");
    assert!(text(&result).contains("status 1"));
}
