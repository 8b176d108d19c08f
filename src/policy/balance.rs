//! Which of several replicas of one upstream takes the next request.
//!
//! Every strategy chooses among the replicas that are available; where none is, it chooses none, and the caller says so.
//! The names are those of the configuration.

/// How a replica is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Of two chosen at random, the one that is likely to answer sooner: latency times requests in flight.
    #[default]
    P2c,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// At random, by weight.
    WeightedRandom,
    /// The same one for the same session, as long as it is available; when one goes, only its sessions move.
    ConsistentHash,
}

/// One replica as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Names the replica whatever its place in the list: a hash of its address.
    pub identity: u64,
    /// Healthy, not ejected, and its breaker lets calls through.
    pub available: bool,
    /// Requests in flight to it from this shard.
    pub in_flight: u32,
    /// Its share, against the others'. 0: only when all that are available have 0.
    pub weight: u32,
    /// See [`Latency::estimate_us`]; `None` while nothing is known.
    pub latency_us: Option<u64>,
}

/// What a replica of unknown speed is taken for: low enough to be tried, high enough not to be flooded.
const LATENCY_UNKNOWN_US: u64 = 1_000;

/// Faster than this, places count as equally fast: what tells them apart then is chance, and the load.
const LATENCY_FLOOR_US: u64 = 5_000;

/// One choice of so many is left to chance.
const EXPLORED: u64 = 32;

/// Chooses by one strategy.
#[derive(Clone, Debug)]
pub struct Balancer {
    strategy: Strategy,
    /// Where round robin goes on.
    next: usize,
}

impl Balancer {
    /// A balancer that has chosen nothing yet.
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, next: 0 }
    }

    /// The index of the replica for the next request; `None` when none is available.
    ///
    /// Shape: `session` is a hash of the session, where there is one; without it [`Strategy::ConsistentHash`] chooses
    /// like [`Strategy::P2c`]. `random` is a fresh random number.
    pub fn choose(
        &mut self,
        candidates: &[Candidate],
        session: Option<u64>,
        random: u64,
    ) -> Option<usize> {
        match (self.strategy, session) {
            (Strategy::RoundRobin, _) => self.round_robin(candidates),
            (Strategy::LeastConnections, _) => least_connections(candidates, random),
            (Strategy::WeightedRandom, _) => weighted_random(candidates, random),
            (Strategy::ConsistentHash, Some(session)) => consistent_hash(candidates, session),
            (Strategy::P2c | Strategy::ConsistentHash, _) => p2c(candidates, random),
        }
    }

    fn round_robin(&mut self, candidates: &[Candidate]) -> Option<usize> {
        let count = candidates.len();
        let chosen = (0..count)
            .map(|step| (self.next + step) % count)
            .find(|index| candidates[*index].available)?;
        self.next = chosen + 1;
        Some(chosen)
    }
}

/// The fewest in flight; among equals a random one, so that shards do not all choose the first.
fn least_connections(candidates: &[Candidate], random: u64) -> Option<usize> {
    let fewest = available(candidates)
        .map(|(_, candidate)| candidate.in_flight)
        .min()?;
    let equals = || available(candidates).filter(|(_, found)| found.in_flight == fewest);
    let count = equals().count() as u64;
    equals()
        .nth((random % count) as usize)
        .map(|(index, _)| index)
}

fn weighted_random(candidates: &[Candidate], random: u64) -> Option<usize> {
    let total: u64 = available(candidates)
        .map(|(_, candidate)| u64::from(candidate.weight))
        .sum();
    if total == 0 {
        let count = available(candidates).count() as u64;
        let place = random.checked_rem(count)?;
        return available(candidates)
            .nth(place as usize)
            .map(|(index, _)| index);
    }
    let mut place = random % total;
    for (index, candidate) in available(candidates) {
        let weight = u64::from(candidate.weight);
        if place < weight {
            return Some(index);
        }
        place -= weight;
    }
    None
}

/// Rendezvous hashing: each replica has a score for each session, and the best of those available wins.
fn consistent_hash(candidates: &[Candidate], session: u64) -> Option<usize> {
    available(candidates)
        .max_by(|(_, a), (_, b)| score(a, session).total_cmp(&score(b, session)))
        .map(|(index, _)| index)
}

/// A number that is larger than another's as often as the weights say.
fn score(candidate: &Candidate, session: u64) -> f64 {
    let hash = mix(session ^ mix(candidate.identity));
    // In (0, 1]: the upper 53 bits, plus one.
    let unit = ((hash >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let weight = f64::from(candidate.weight.max(1));
    -weight / unit.ln().min(-f64::MIN_POSITIVE)
}

/// Two different random ones, of which the cheaper is taken.
fn p2c(candidates: &[Candidate], random: u64) -> Option<usize> {
    // What is known of a place that is never chosen gets no better: now and then anyone is.
    let explores = random.is_multiple_of(EXPLORED);
    let count = available(candidates).count();
    if count <= 1 {
        return available(candidates).next().map(|(index, _)| index);
    }
    let first = (random as u32 as usize) % count;
    let second = (first + 1 + (random >> 32) as usize % (count - 1)) % count;
    let (a, b) = (
        available(candidates).nth(first)?,
        available(candidates).nth(second)?,
    );
    let explores = explores && a.1.in_flight <= b.1.in_flight;
    let is_cheaper = !explores && cost(b.1) < cost(a.1);
    Some(if is_cheaper { b.0 } else { a.0 })
}

fn cost(candidate: &Candidate) -> u128 {
    let latency_us = candidate.latency_us.unwrap_or(LATENCY_UNKNOWN_US);
    let latency_us = latency_us.max(LATENCY_FLOOR_US);
    u128::from(latency_us) * (u128::from(candidate.in_flight) + 1)
}

fn available(candidates: &[Candidate]) -> impl Iterator<Item = (usize, &Candidate)> {
    candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.available)
}

/// SplitMix64's finisher: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// How long a replica takes to answer, weighted towards the present: a slower answer counts at once, faster ones win it
/// back with time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    estimate_us: f64,
    seen_ms: Option<u64>,
}

/// After so long, a third of an old estimate is left.
const DECAY_MS: f64 = 10_000.0;

impl Latency {
    /// Takes in one answer's latency.
    pub fn observe(&mut self, latency_us: u64, now_ms: u64) {
        let latency = latency_us as f64;
        let Some(seen_ms) = self.seen_ms.replace(now_ms) else {
            self.estimate_us = latency;
            return;
        };
        if latency > self.estimate_us {
            self.estimate_us = latency;
            return;
        }
        // Answers come in bursts: one that follows at once still counts as one of a few a tick.
        let elapsed_ms = (now_ms.saturating_sub(seen_ms) as f64).max(1.0);
        let kept = (-elapsed_ms / DECAY_MS).exp();
        self.estimate_us = self.estimate_us * kept + latency * (1.0 - kept);
    }

    /// The estimate, in microseconds; `None` before the first answer. An estimate that nothing confirmed fades, so that a
    /// replica that was slow once is tried again.
    pub fn estimate_us(&self, now_ms: u64) -> Option<u64> {
        let seen_ms = self.seen_ms?;
        let elapsed_ms = now_ms.saturating_sub(seen_ms) as f64;
        Some((self.estimate_us * (-elapsed_ms / DECAY_MS).exp()) as u64)
    }
}

#[cfg(test)]
#[path = "balance/tests.rs"]
mod tests;
