//! One upstream as its home sees it: what it speaks, which of its places works, and how calls to it went.

use std::collections::HashMap;
use std::sync::Arc;

use super::feed::Feed;
use super::link::Scope;
use crate::audit::{Audit, Event, Kind, Outcome};
use crate::policy::{
    Balancer, Breaker, Budget, Candidate, Health, Latency, Outliers, Permit, Ticket,
};
use crate::upstream::era::Spoken;
use crate::upstream::remote::Remote;
use crate::upstream::settings::EraChoice;

/// What is known of an HTTP upstream's era is asked for anew after this time: servers are replaced by newer ones.
const ERA_LASTS_MS: u64 = 3_600_000;

/// What an upstream speaks, as far as that is known.
#[derive(Debug)]
pub(super) enum Era {
    Unknown,
    /// It has been asked; these calls wait.
    Asked(Vec<u64>),
    Known {
        spoken: Spoken,
        until_ms: u64,
    },
}

/// One of the places, or the one child.
#[derive(Debug)]
pub(super) struct PlaceState {
    pub(super) breaker: Breaker,
    pub(super) latency: Latency,
    pub(super) health: Option<Health>,
    pub(super) in_flight: u32,
    identity: u64,
    weight: u32,
}

/// Counts of one upstream, since the start; gauges are of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The upstream.
    pub remote: usize,
    /// Calls of clients that were begun.
    pub calls: u64,
    /// Those of them that ended without an answer of the upstream.
    pub failures: u64,
    /// Those that were refused at once, because no place was available.
    pub refused: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Calls that went to the fallback.
    pub fallbacks: u64,
    /// Times that a breaker opened.
    pub openings: u64,
    /// Times that a place was left out for its failures.
    pub ejections: u64,
    /// Handshakes made.
    pub handshakes: u64,
    /// Messages that made no sense or came too late.
    pub strays: u64,
    /// Gauge: calls of clients that wait.
    pub waiting: usize,
    /// Gauge: sessions, children and shared links.
    pub links: usize,
    /// Gauge: places that take calls.
    pub available: usize,
}

/// One upstream.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) remote: Arc<Remote>,
    pub(super) era: Era,
    /// The text of the result of a modern upstream's discovery.
    pub(super) facts: Option<Vec<u8>>,
    pub(super) places: Vec<PlaceState>,
    balancer: Balancer,
    outliers: Outliers,
    pub(super) budget: Budget,
    pub(super) links: HashMap<Scope, u64>,
    pub(super) feed: Option<Feed>,
    pub(super) numbers: Numbers,
    /// When it may be doubted again what it speaks.
    pub(super) doubt_again_ms: u64,
    /// Requests that wait for another credential: control has been asked for it.
    pub(super) credential_waiting: Vec<u64>,
    /// Why a call failed last.
    pub(super) last_failure: String,
    /// Hears of breakers that open and close.
    audit: Audit,
}

impl Route {
    pub(super) fn new(remote: Arc<Remote>, feeds: bool, seed: u64, audit: Audit) -> Self {
        let settings = &remote.settings;
        let rules = settings.health.rules.filter(|_| feeds);
        let state = |identity: u64, weight: u32| PlaceState {
            breaker: Breaker::new(settings.breaker),
            latency: Latency::default(),
            health: rules.map(|rules| Health::new(rules, 0, seed ^ identity)),
            in_flight: 0,
            identity,
            weight,
        };
        let places: Vec<PlaceState> = match remote.is_stdio() {
            true => vec![state(0, 1)],
            false => {
                let places = remote.places.iter();
                places
                    .map(|place| state(identity(&place.url.to_string()), place.weight))
                    .collect()
            }
        };
        let era = match (settings.era, remote.is_stdio()) {
            (EraChoice::Auto, _) | (_, true) => Era::Unknown,
            (EraChoice::Modern, false) => Era::Known {
                spoken: Spoken::Modern,
                until_ms: u64::MAX,
            },
            (EraChoice::Legacy, false) => Era::Known {
                spoken: Spoken::Legacy,
                until_ms: u64::MAX,
            },
        };
        Self {
            era,
            facts: None,
            audit,
            balancer: Balancer::new(settings.balance),
            outliers: Outliers::new(settings.outlier, places.len()),
            budget: Budget::new(settings.retry, 0),
            links: HashMap::new(),
            feed: feeds.then(Feed::default),
            numbers: Numbers {
                remote: remote.index,
                ..Numbers::default()
            },
            doubt_again_ms: 0,
            credential_waiting: Vec::new(),
            last_failure: String::new(),
            places,
            remote,
        }
    }

    /// What it speaks, if that is known.
    pub(super) fn spoken(&self, now_ms: u64) -> Option<Spoken> {
        match self.era {
            Era::Known { spoken, until_ms } if now_ms < until_ms => Some(spoken),
            _ => None,
        }
    }

    /// Remembers what it speaks; the calls that waited for that.
    pub(super) fn learn(&mut self, spoken: Spoken, now_ms: u64) -> Vec<u64> {
        let until_ms = match self.remote.settings.era {
            EraChoice::Auto => now_ms.saturating_add(ERA_LASTS_MS),
            _ => u64::MAX,
        };
        match std::mem::replace(&mut self.era, Era::Known { spoken, until_ms }) {
            Era::Asked(waiting) => waiting,
            _ => Vec::new(),
        }
    }

    /// The old pair of endpoints is not there, after all; the calls that waited.
    pub(super) fn unlearn_old(&mut self) -> Vec<u64> {
        match (&self.era, self.remote.settings.era) {
            (
                Era::Known {
                    spoken: Spoken::HttpSse,
                    ..
                },
                EraChoice::Auto,
            ) => self.forget_era(),
            (
                Era::Known {
                    spoken: Spoken::HttpSse,
                    ..
                },
                _,
            ) => self.learn(Spoken::Legacy, 0),
            _ => Vec::new(),
        }
    }

    /// It answered as the other era does, or the question failed; the calls that waited.
    pub(super) fn forget_era(&mut self) -> Vec<u64> {
        match std::mem::replace(&mut self.era, Era::Unknown) {
            Era::Asked(waiting) => waiting,
            _ => Vec::new(),
        }
    }

    /// Whether checks say that a place is well.
    pub(super) fn is_well(&self, index: usize) -> bool {
        let place = self.remote.places.get(index);
        place.is_none_or(|place| place.is_healthy())
    }

    /// A place was found well after it was not: what its calls have failed of is over.
    pub(super) fn recovered(&mut self, index: usize) {
        let Some(place) = self.places.get_mut(index) else {
            return;
        };
        let was_open = place.breaker.is_open();
        place.breaker = Breaker::new(self.remote.settings.breaker);
        if was_open {
            self.tell_closed(index, "a health check found it well");
        }
    }

    fn is_available(&self, index: usize, now_ms: u64) -> bool {
        self.is_well(index)
            && !self.outliers.is_ejected(index, now_ms)
            && self.places[index].breaker.admits(now_ms)
    }

    /// Chooses a place and asks its breaker; none where nobody is available, with the time to wait.
    pub(super) fn choose(
        &mut self,
        session: Option<u64>,
        avoid: Option<usize>,
        random: u64,
        now_ms: u64,
    ) -> Result<(usize, Ticket), u64> {
        let candidates = |avoid: Option<usize>| -> Vec<Candidate> {
            let places = self.places.iter().enumerate();
            places
                .map(|(index, place)| Candidate {
                    identity: place.identity,
                    available: Some(index) != avoid && self.is_available(index, now_ms),
                    in_flight: place.in_flight,
                    weight: place.weight,
                    latency_us: place.latency.estimate_us(now_ms),
                })
                .collect()
        };
        let mut among = candidates(avoid);
        if avoid.is_some() && !among.iter().any(|one| one.available) {
            among = candidates(None);
        }
        // Where checks, failures and breakers leave nobody, a place that only checks speak against is better than none.
        let chosen = self.balancer.choose(&among, session, random);
        let chosen = chosen.or_else(|| {
            let admits = |index: &usize| self.places[*index].breaker.admits(now_ms);
            (0..self.places.len()).find(admits)
        });
        match chosen {
            Some(index) => self.permit(index, now_ms).map(|ticket| (index, ticket)),
            None => Err(self.retry_in_ms(now_ms)),
        }
    }

    /// Asks the breaker of one place.
    pub(super) fn permit(&mut self, index: usize, now_ms: u64) -> Result<Ticket, u64> {
        match self.places[index].breaker.permit(now_ms) {
            Permit::Pass(ticket) => {
                self.places[index].in_flight += 1;
                Ok(ticket)
            }
            Permit::Refused { retry_in_ms } => Err(retry_in_ms),
        }
    }

    fn tell_opened(&mut self, place: usize) {
        self.numbers.openings += 1;
        let detail = "opened: calls to this place are refused for a while";
        tracing::warn!(
            upstream = self.remote.name(),
            place,
            "the circuit breaker {detail}"
        );
        self.tell_log(place, Outcome::Denied, detail);
    }

    fn tell_closed(&self, place: usize, why: &str) {
        tracing::info!(
            upstream = self.remote.name(),
            place,
            "the circuit breaker closed: {why}"
        );
        self.tell_log(place, Outcome::Ok, &format!("closed: {why}"));
    }

    fn tell_log(&self, place: usize, outcome: Outcome, detail: &str) {
        let url = self.remote.places.get(place).map(|place| &place.url);
        let detail = match url {
            Some(url) => format!("{}: {detail}", url.authority()),
            None => detail.to_owned(),
        };
        self.audit.record(&Event {
            principal: "margay",
            target: self.remote.name(),
            detail: &detail,
            ..Event::new(Kind::CircuitBreakerStateChange, outcome)
        });
    }

    fn retry_in_ms(&mut self, now_ms: u64) -> u64 {
        let waits = self.places.iter_mut().map(|place| {
            match place.breaker.admits(now_ms) {
                true => 0,
                // Open: asking changes nothing.
                false => match place.breaker.permit(now_ms) {
                    Permit::Refused { retry_in_ms } => retry_in_ms,
                    Permit::Pass(_) => 0,
                },
            }
        });
        waits.min().unwrap_or(0).max(1)
    }

    /// How a request went that a place had: `None` says nothing about it.
    pub(super) fn record(&mut self, place: usize, ticket: Ticket, went: Option<bool>, now_ms: u64) {
        let Some(state) = self.places.get_mut(place) else {
            return;
        };
        state.in_flight = state.in_flight.saturating_sub(1);
        match went {
            None => state.breaker.abandoned(ticket),
            Some(true) => {
                if state.breaker.succeeded(ticket) {
                    self.tell_closed(place, "its probes succeeded");
                }
            }
            Some(false) => {
                if state.breaker.failed(ticket, now_ms) {
                    self.tell_opened(place);
                }
            }
        }
        if let Some(went) = went
            && self.outliers.record(place, went, now_ms)
        {
            self.numbers.ejections += 1;
            tracing::warn!(
                upstream = self.remote.name(),
                place,
                "a place was left out for its failures"
            );
        }
    }

    pub(super) fn numbers(&self, waiting: usize, links: usize, now_ms: u64) -> Numbers {
        let available = (0..self.places.len()).filter(|index| self.is_available(*index, now_ms));
        Numbers {
            waiting,
            links,
            available: available.count(),
            ..self.numbers
        }
    }
}

/// A number for a place that stays the same wherever it stands in the list (FNV-1a).
fn identity(address: &str) -> u64 {
    address.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
