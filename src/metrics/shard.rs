//! The numbers of one shard.

use hdrhistogram::Histogram;

use super::names::{Counter, Gauge, Phase};

/// Longest time that a histogram tells apart: ten minutes, far beyond any deadline.
const NANOS_MAX: u64 = 600_000_000_000;

/// Two significant digits: a value is known to 1 %, and one histogram takes about 35 KiB.
const SIGNIFICANT_DIGITS: u8 = 2;

/// The counters, gauges and histograms of one shard: plain data with one owner.
///
/// Shape: a shard records into its own; control clones them on request and merges the clones.
#[derive(Clone, Debug)]
pub struct ShardMetrics {
    phases: Vec<Histogram<u64>>,
    sums_nanos: [u64; Phase::COUNT],
    counters: [u64; Counter::COUNT],
    gauges: [u64; Gauge::COUNT],
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ShardMetrics {
    /// All zero. This is the only call that allocates.
    pub fn new() -> Self {
        let empty = Histogram::new_with_bounds(1, NANOS_MAX, SIGNIFICANT_DIGITS)
            .expect("invariant: 1 < NANOS_MAX / 2 and at most five digits");
        Self {
            phases: vec![empty; Phase::COUNT],
            sums_nanos: [0; Phase::COUNT],
            counters: [0; Counter::COUNT],
            gauges: [0; Gauge::COUNT],
        }
    }

    /// Counts one request's time in a phase. Longer than ten minutes counts as ten minutes.
    ///
    /// Units: nanoseconds.
    #[inline]
    pub fn record(&mut self, phase: Phase, nanos: u64) {
        self.phases[phase as usize].saturating_record(nanos);
        let sum = &mut self.sums_nanos[phase as usize];
        *sum = sum.wrapping_add(nanos);
    }

    /// Adds to a counter. It wraps at 2^64, as Prometheus counters may.
    #[inline]
    pub fn add(&mut self, counter: Counter, count: u64) {
        let value = &mut self.counters[counter as usize];
        *value = value.wrapping_add(count);
    }

    /// Sets a counter that is kept elsewhere (by the ring, by the buffer pool) to its present value.
    #[inline]
    pub fn set_counter(&mut self, counter: Counter, value: u64) {
        self.counters[counter as usize] = value;
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&mut self, gauge: Gauge, value: u64) {
        self.gauges[gauge as usize] = value;
    }

    /// Raises a gauge to `value` if it is lower.
    #[inline]
    pub fn raise(&mut self, gauge: Gauge, value: u64) {
        let held = &mut self.gauges[gauge as usize];
        *held = (*held).max(value);
    }

    /// A counter's value.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// A gauge's value.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges[gauge as usize]
    }

    /// How many values a phase has.
    pub fn count(&self, phase: Phase) -> u64 {
        self.phases[phase as usize].len()
    }

    /// A phase's value at a quantile between 0 and 1, exact to 1 %.
    ///
    /// Units: nanoseconds.
    pub fn quantile(&self, phase: Phase, quantile: f64) -> u64 {
        self.phases[phase as usize].value_at_quantile(quantile)
    }

    /// Adds another shard's numbers to these.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.phases.iter_mut().zip(&other.phases) {
            mine.add(theirs)
                .expect("invariant: all histograms have the same bounds");
        }
        let pairs = self.sums_nanos.iter_mut().zip(&other.sums_nanos);
        let counters = self.counters.iter_mut().zip(&other.counters);
        for (mine, theirs) in pairs.chain(counters) {
            *mine = mine.wrapping_add(*theirs);
        }
        for (mine, theirs) in self.gauges.iter_mut().zip(&other.gauges) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub(super) fn sum_nanos(&self, phase: Phase) -> u64 {
        self.sums_nanos[phase as usize]
    }

    pub(super) fn histogram(&self, phase: Phase) -> &Histogram<u64> {
        &self.phases[phase as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_two_shards_equals_recording_into_one() {
        let (mut left, mut right, mut whole) = (
            ShardMetrics::new(),
            ShardMetrics::new(),
            ShardMetrics::new(),
        );
        for value in 1..2_000_u64 {
            let part = if value % 3 == 0 {
                &mut left
            } else {
                &mut right
            };
            part.record(Phase::Execute, value * 777);
            part.add(Counter::CallOk, value);
            whole.record(Phase::Execute, value * 777);
            whole.add(Counter::CallOk, value);
        }
        left.set(Gauge::ConnectionsOpen, 3);
        right.set(Gauge::ConnectionsOpen, 4);
        left.merge(&right);
        assert_eq!(left.count(Phase::Execute), whole.count(Phase::Execute));
        assert_eq!(
            left.quantile(Phase::Execute, 0.99),
            whole.quantile(Phase::Execute, 0.99)
        );
        assert_eq!(
            left.sum_nanos(Phase::Execute),
            whole.sum_nanos(Phase::Execute)
        );
        assert_eq!(
            left.counter(Counter::CallOk),
            whole.counter(Counter::CallOk)
        );
        assert_eq!(left.gauge(Gauge::ConnectionsOpen), 7);
    }

    #[test]
    fn an_absurdly_long_time_is_counted_and_not_lost() {
        let mut metrics = ShardMetrics::new();
        metrics.record(Phase::Total, u64::MAX);
        assert_eq!(metrics.count(Phase::Total), 1);
    }
}
