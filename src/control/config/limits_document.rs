//! `limits:` in the configuration file: one key for each field of [`Limits`], its range, and how they relate.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::values::{Size, Span, show_size, show_span};
use crate::limits::Limits;

/// A value that breaks a rule: the key below `limits:`, its line where one is known, the value and the rule.
pub(super) struct Broken {
    pub(super) key: &'static str,
    pub(super) line: Option<u64>,
    pub(super) value: String,
    pub(super) rule: String,
}

macro_rules! limits_document {
    ($($key:ident: $kind:ident in $low:expr, $high:expr;)*) => {
        /// The keys of `limits:`. What is not given keeps its default.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct LimitsDocument { $($key: Option<Spanned<limits_document!(@document $kind)>>,)* }

        impl LimitsDocument {
            /// Puts the given values into `limits`.
            pub(super) fn apply(&self, limits: &mut Limits) {
                // Exhaustive, so that a new field of `Limits` cannot be without a key.
                let Limits { $($key,)* } = limits;
                $(if let Some(given) = &self.$key { *$key = limits_document!(@value $kind given.value); })*
            }

            /// Where a key stands in the file.
            pub(super) fn line(&self, key: &str) -> Option<u64> {
                match key {
                    $(stringify!($key) => self.$key.as_ref().map(|given| given.referenced.line()),)*
                    _ => None,
                }
            }
        }

        /// Every key with its value as it would be written.
        #[cfg(test)]
        pub(super) fn show(limits: &Limits) -> Vec<(&'static str, String)> {
            vec![$((stringify!($key), limits_document!(@show $kind limits.$key)),)*]
        }

        /// The first value outside its own range.
        fn out_of_range(limits: &Limits) -> Option<(&'static str, String, String)> {
            $(
                let (low, high) = (limits_document!(@bound $kind $low), limits_document!(@bound $kind $high));
                if limits.$key < low || limits.$key > high {
                    let rule = format!(
                        "must be between {} and {}", limits_document!(@show $kind low), limits_document!(@show $kind high));
                    return Some((stringify!($key), limits_document!(@show $kind limits.$key), rule));
                }
            )*
            None
        }
    };
    (@document bytes) => { Size };
    (@document count) => { usize };
    (@document time) => { Span };
    (@value count $value:expr) => { $value };
    (@value $kind:ident $value:expr) => { $value.0 };
    (@show bytes $value:expr) => { show_size($value) };
    (@show count $value:expr) => { $value.to_string() };
    (@show time $value:expr) => { show_span($value) };
    (@bound time $millis:expr) => { std::time::Duration::from_millis($millis) };
    (@bound $kind:ident $value:expr) => { $value };
}

const DAY: u64 = 86_400_000;

// Ranges: times in milliseconds, sizes in bytes. The low end is where the appliance still does its work, the high end where a
// typing error (a unit too large) is likelier than a wish.
limits_document! {
    head_bytes_max: bytes in 1 << 10, 1 << 20;
    body_bytes_max: bytes in 1 << 10, 1 << 30;
    chunk_overhead_bytes_max: bytes in 256, 1 << 20;
    json_depth_max: count in 8, 1_024;
    arena_bytes_max: bytes in 64 << 10, 4 << 30;
    buffer_pool_bytes_max: bytes in 4 << 20, 1 << 40;
    connection_count_max: count in 1, 10_000_000;
    request_count_max: count in 1, 10_000_000;
    handshake_deadline: time in 50, DAY;
    head_deadline: time in 50, DAY;
    body_deadline: time in 50, DAY;
    idle_deadline: time in 50, DAY;
    write_deadline: time in 50, DAY;
    drain_deadline: time in 0, DAY;
    session_count_max: count in 1, 100_000_000;
    session_idle_deadline: time in 50, 365 * DAY;
    subscription_count_max: count in 0, 1_000_000;
    session_event_count_max: count in 16, 1_000_000;
    session_event_bytes_max: bytes in 64 << 10, 1 << 30;
    event_bytes_max: bytes in 64 << 10, 1 << 40;
    session_event_deadline: time in 0, DAY;
    batch_count_max: count in 1, 100_000;
    list_page_max: count in 1, 1_000_000;
    request_state_bytes_max: bytes in 256, 16 << 20;
    request_state_deadline: time in 1_000, 30 * DAY;
    stream_count_max: count in 0, 10_000_000;
    stream_keep_alive: time in 1_000, DAY;
    call_deadline: time in 1, DAY;
    memory_bytes_max: bytes in 64 << 10, 4 << 30;
    table_elements_max: count in 1, 10_000_000;
    stack_bytes_max: bytes in 32 << 10, 64 << 20;
    output_bytes_max: bytes in 256, 1 << 30;
    print_bytes_max: bytes in 0, 1 << 30;
    hostcall_bytes_max: bytes in 64 << 10, 4 << 30;
    handle_count_max: count in 1, 10_000_000;
    instance_count_max: count in 1, 1_000_000;
    instance_ready_max: count in 0, 1_000_000;
    live_instance_count_max: count in 0, 1_000_000;
    live_instance_idle_deadline: time in 50, 365 * DAY;
    worker_queue_max: count in 1, 10_000_000;
    outbox_count_max: count in 1, 100_000;
    outbox_bytes_max: bytes in 1 << 10, 1 << 30;
    ask_count_max: count in 0, 5_000_000;
    ask_session_count_max: count in 0, 5_000_000;
    ask_deadline: time in 50, DAY;
    ask_unheard_deadline: time in 0, DAY;
    state_bytes_max: bytes in 0, 16 << 20;
    definition_bytes_max: bytes in 1 << 10, 1 << 30;
    component_bytes_max: bytes in 1 << 10, 4 << 30;
    component_count_max: count in 1, 100_000;
    task_count_max: count in 0, 10_000_000;
    task_share_max: count in 0, 10_000_000;
    task_bytes_max: bytes in 256, 1 << 40;
    task_result_bytes_max: bytes in 256, 1 << 30;
    task_running_max: count in 1, 1_000_000;
    task_deadline: time in 1, 30 * DAY;
    task_ttl: time in 1_000, 365 * DAY;
    task_ttl_max: time in 1_000, 365 * DAY;
    rate_key_count_max: count in 16, 100_000_000;
    auth_failure_per_second_max: count in 1, 1_000_000;
    upstream_entry_count_max: count in 1, 1_000_000;
    upstream_child_count_max: count in 1, 100_000;
    upstream_start_deadline: time in 0, DAY;
}

/// The most that `ask_count_max` may be: the calls that questions hold are at most half as many as may be at work.
pub(super) fn ask_count_most(limits: &Limits) -> usize {
    (limits.request_count_max / 2).max(1)
}

/// Holds all values to their ranges and to each other.
pub(super) fn check(limits: &Limits, document: &LimitsDocument) -> Result<(), Broken> {
    let broken = |key: &'static str, value: String, rule: String| Broken {
        key,
        line: document.line(key),
        value,
        rule,
    };
    if let Some((key, value, rule)) = out_of_range(limits) {
        return Err(broken(key, value, rule));
    }
    let sizes = [
        // One request must be able to hold its whole body, and one answer its whole output, in pooled buffers.
        (
            "body_bytes_max",
            limits.body_bytes_max,
            "buffer_pool_bytes_max",
            limits.buffer_pool_bytes_max,
        ),
        (
            "output_bytes_max",
            limits.output_bytes_max,
            "buffer_pool_bytes_max",
            limits.buffer_pool_bytes_max,
        ),
        (
            "head_bytes_max",
            limits.head_bytes_max,
            "buffer_pool_bytes_max",
            limits.buffer_pool_bytes_max,
        ),
        // A result that no task could keep would be a limit that lies.
        (
            "task_result_bytes_max",
            limits.task_result_bytes_max,
            "task_bytes_max",
            limits.task_bytes_max,
        ),
        (
            "session_event_bytes_max",
            limits.session_event_bytes_max,
            "event_bytes_max",
            limits.event_bytes_max,
        ),
    ];
    for (key, value, above, most) in sizes {
        if value > most {
            let rule = format!("must not be above {above}, which is {}", show_size(most));
            return Err(broken(key, show_size(value), rule));
        }
    }
    let counts = [
        (
            "instance_ready_max",
            limits.instance_ready_max,
            "instance_count_max",
            limits.instance_count_max,
        ),
        // A stream is a connection that stays.
        (
            "stream_count_max",
            limits.stream_count_max,
            "connection_count_max",
            limits.connection_count_max,
        ),
    ];
    for (key, value, above, most) in counts {
        if value > most {
            let rule = format!("must not be above {above}, which is {most}");
            return Err(broken(key, value.to_string(), rule));
        }
    }
    let most = ask_count_most(limits);
    if limits.ask_count_max > most {
        let value = limits.request_count_max;
        let rule = format!("must not be above {most}: half of request_count_max, which is {value}");
        return Err(broken(
            "ask_count_max",
            limits.ask_count_max.to_string(),
            rule,
        ));
    }
    if limits.task_ttl > limits.task_ttl_max {
        let most = show_span(limits.task_ttl_max);
        let rule = format!("must not be above task_ttl_max, which is {most}");
        return Err(broken("task_ttl", show_span(limits.task_ttl), rule));
    }
    Ok(())
}
