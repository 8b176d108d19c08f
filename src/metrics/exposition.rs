//! The merged numbers as OpenMetrics text.
//!
//! Times are published as cumulative histograms in seconds. A bound that falls inside a slot of the recording histogram
//! puts the whole slot above it, so a bucket is never too full, and its edge is exact to 1 %.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::names::{Counter, Entry, Gauge, Phase};
use super::shard::ShardMetrics;

/// The content type of [`exposition`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets, in nanoseconds: 1, 2.5 and 5 in each decade from 250 ns to 50 s.
const BOUNDS_NANOS: [u64; 26] = [
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    25_000_000_000,
    50_000_000_000,
];

/// A number of the whole process that no shard keeps: sessions, generation, resident memory, recorder counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// Family name without the `margay_` prefix and without `_total`.
    pub name: &'static str,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// Its value now.
    pub value: f64,
    /// Whether it only grows.
    pub counter: bool,
    /// What it is of, where the family has several: the label's name and value. They stand next to each other.
    pub label: Option<(&'static str, String)>,
}

impl Extra {
    /// A value that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            name,
            help,
            value,
            counter: false,
            label: None,
        }
    }

    /// A value that only grows.
    pub fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            name,
            help,
            value,
            counter: true,
            label: None,
        }
    }

    /// The same as one of several of its family.
    #[must_use]
    pub fn of(self, label: &'static str, value: &str) -> Self {
        Self {
            label: Some((label, value.to_owned())),
            ..self
        }
    }
}

/// Merges the shards and writes everything as OpenMetrics text.
///
/// Shape: one [`ShardMetrics`] a shard, in the order of the shards; text that ends in `# EOF`.
pub fn exposition(shards: &[ShardMetrics], extra: &[Extra]) -> String {
    let mut merged = ShardMetrics::new();
    for shard in shards {
        merged.merge(shard);
    }
    let page = Page {
        merged,
        requests_by_shard: shards
            .iter()
            .map(|shard| shard.counter(Counter::Requests))
            .collect(),
        extra: extra.to_vec(),
    };
    let mut registry = Registry::with_prefix("margay");
    registry.register_collector(Box::new(page));
    let mut text = String::with_capacity(32 << 10);
    text::encode(&mut text, &registry).expect("invariant: writing to a String does not fail");
    text
}

#[derive(Debug)]
struct Page {
    merged: ShardMetrics,
    requests_by_shard: Vec<u64>,
    extra: Vec<Extra>,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        self.phases(&mut encoder)?;
        let counters = Counter::ALL
            .iter()
            .map(|&counter| (counter.entry(), self.merged.counter(counter)));
        families(counters.collect(), |entry, members| {
            self.counters(&mut encoder, entry, members)
        })?;
        let gauges = Gauge::ALL
            .iter()
            .map(|&gauge| (gauge.entry(), self.merged.gauge(gauge)));
        families(gauges.collect(), |entry, members| {
            let value = members.iter().map(|member| member.1).sum::<u64>();
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(
                entry.family,
                entry.help,
                None,
                MetricType::Gauge,
            )?)
        })?;
        self.shards(&mut encoder)?;
        self.extras(&mut encoder)
    }
}

/// Calls `each` once a family with its neighbours in the table; a family's members stand together there.
fn families(
    members: Vec<(Entry, u64)>,
    mut each: impl FnMut(&Entry, &[(Entry, u64)]) -> fmt::Result,
) -> fmt::Result {
    members
        .chunk_by(|left, right| left.0.family == right.0.family)
        .try_for_each(|family| each(&family[0].0, family))
}

impl Page {
    fn phases(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let family = Phase::Total.entry().family;
        let help = "Time of a request by phase of its life.";
        let mut metric = encoder.encode_descriptor(family, help, None, MetricType::Histogram)?;
        for &phase in Phase::ALL {
            let labels = [phase.entry().label.unwrap_or(("phase", ""))];
            let buckets = buckets(&self.merged, phase);
            let sum = self.merged.sum_nanos(phase) as f64 / 1e9;
            let count = self.merged.count(phase);
            metric
                .encode_family(&labels)?
                .encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn counters(
        &self,
        encoder: &mut DescriptorEncoder,
        entry: &Entry,
        members: &[(Entry, u64)],
    ) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor(entry.family, entry.help, None, MetricType::Counter)?;
        for (member, value) in members {
            let counter = ConstCounter::new(*value);
            match member.label {
                Some(label) => counter.encode(metric.encode_family(&[label])?)?,
                None => metric.encode_counter::<[(&str, &str); 0], _, u64>(value, None)?,
            }
        }
        Ok(())
    }

    fn shards(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "HTTP requests by shard.";
        let mut metric =
            encoder.encode_descriptor("shard_requests", help, None, MetricType::Counter)?;
        for (index, requests) in self.requests_by_shard.iter().enumerate() {
            ConstCounter::new(*requests)
                .encode(metric.encode_family(&[("shard", index.to_string())])?)?;
        }
        Ok(())
    }

    fn extras(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        for family in self
            .extra
            .chunk_by(|left, right| left.name == right.name && right.label.is_some())
        {
            let first = &family[0];
            let kind = if first.counter {
                MetricType::Counter
            } else {
                MetricType::Gauge
            };
            let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            for extra in family {
                let labels = extra.label.as_ref();
                let labels = labels.map(|(name, value)| [(*name, value.as_str())]);
                match (labels, extra.counter) {
                    (Some(labels), true) => {
                        ConstCounter::new(extra.value).encode(metric.encode_family(&labels)?)?
                    }
                    (Some(labels), false) => {
                        ConstGauge::new(extra.value).encode(metric.encode_family(&labels)?)?
                    }
                    (None, true) => {
                        metric.encode_counter::<[(&str, &str); 0], _, u64>(&extra.value, None)?;
                    }
                    (None, false) => metric.encode_gauge(&extra.value)?,
                }
            }
        }
        Ok(())
    }
}

/// Counts between one bound and the next, in seconds; the last bound is infinity.
fn buckets(metrics: &ShardMetrics, phase: Phase) -> Vec<(f64, u64)> {
    let bounds = BOUNDS_NANOS
        .iter()
        .map(|&nanos| nanos as f64 / 1e9)
        .chain([f64::INFINITY]);
    let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
    let histogram = metrics.histogram(phase);
    for slot in histogram.iter_recorded() {
        let high = histogram.highest_equivalent(slot.value_iterated_to());
        let index = BOUNDS_NANOS.partition_point(|&bound| bound < high);
        buckets[index].1 += slot.count_at_value();
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'t>(text: &'t str, start: &str) -> &'t str {
        text.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("no line {start} in\n{text}"))
    }

    #[test]
    fn the_text_has_every_family_once_and_ends_in_eof() {
        let text = exposition(&[ShardMetrics::new(), ShardMetrics::new()], &[]);
        let mut families: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .collect();
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count, "a family is declared twice:\n{text}");
        assert!(text.ends_with("# EOF\n"));
        assert!(count > 30);
    }

    #[test]
    fn a_histogram_is_cumulative_in_seconds_and_complete() {
        let mut shard = ShardMetrics::new();
        for nanos in [700, 3_000, 3_000, 40_000_000, 120_000_000_000] {
            shard.record(Phase::Execute, nanos);
        }
        let text = exposition(&[shard], &[]);
        let bucket = |bound: &str| {
            let start =
                format!("margay_request_phase_seconds_bucket{{le=\"{bound}\",phase=\"execute\"}}");
            line(&text, &start)
                .rsplit(' ')
                .next()
                .map(str::to_owned)
                .unwrap_or_default()
        };
        assert_eq!(bucket("2.5e-7"), "0");
        assert_eq!(bucket("0.000001"), "1");
        assert_eq!(bucket("0.000005"), "3");
        assert_eq!(bucket("0.05"), "4");
        assert_eq!(bucket("50.0"), "4");
        assert_eq!(bucket("+Inf"), "5");
        assert!(
            line(
                &text,
                "margay_request_phase_seconds_count{phase=\"execute\"}"
            )
            .ends_with(" 5")
        );
        assert!(
            line(&text, "margay_request_phase_seconds_sum{phase=\"execute\"}").contains(" 120.04")
        );
    }

    #[test]
    fn shards_are_added_and_also_shown_one_by_one() {
        let mut shards = [ShardMetrics::new(), ShardMetrics::new()];
        shards[0].add(Counter::Requests, 2);
        shards[1].add(Counter::Requests, 5);
        shards[1].add(Counter::CallTrap, 1);
        shards[0].set(Gauge::ConnectionsOpen, 8);
        let extra = [
            Extra::gauge("sessions", "Sessions open now.", 3.0),
            Extra::counter("tape_bytes", "Bytes.", 9.0),
        ];
        let text = exposition(&shards, &extra);
        assert_eq!(
            line(&text, "margay_http_requests_total"),
            "margay_http_requests_total 7"
        );
        assert_eq!(
            line(&text, "margay_shard_requests_total{shard=\"1\"}"),
            "margay_shard_requests_total{shard=\"1\"} 5"
        );
        assert_eq!(
            line(&text, "margay_tool_calls_total{outcome=\"trap\"}"),
            "margay_tool_calls_total{outcome=\"trap\"} 1"
        );
        assert_eq!(
            line(&text, "margay_connections_open "),
            "margay_connections_open 8"
        );
        assert_eq!(line(&text, "margay_sessions "), "margay_sessions 3.0");
        assert_eq!(
            line(&text, "margay_tape_bytes_total "),
            "margay_tape_bytes_total 9.0"
        );
    }

    #[test]
    fn upstreams_are_told_apart_and_their_families_stand_together() {
        let numbers = |name: &str, is_up, tool_count| crate::metrics::UpstreamNumbers {
            name: name.to_owned(),
            is_up,
            tool_count,
            counts: Default::default(),
        };
        let upstreams = [numbers("a", true, 3), numbers("b", false, 0)];
        let text = exposition(&[], &crate::metrics::upstream_extras(&upstreams));
        let expected = "# TYPE margay_upstream_up gauge\n\
             margay_upstream_up{upstream=\"a\"} 1.0\n\
             margay_upstream_up{upstream=\"b\"} 0.0\n\
             # HELP margay_upstream_tools Tools that the upstream lists.\n\
             # TYPE margay_upstream_tools gauge\n\
             margay_upstream_tools{upstream=\"a\"} 3.0\n\
             margay_upstream_tools{upstream=\"b\"} 0.0\n";
        assert!(text.contains(expected), "{text}");
    }
}
