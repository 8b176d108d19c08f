//! The thread that reads what upstreams said, and puts it in force.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::link::Link;
use super::offers::OfferSet;
use crate::catalog::UpstreamOffer;
use crate::control::publisher::Publisher;
use crate::gateway::News;
use crate::mcp::List;
use crate::upstream::remote::Remote;

/// Rest after news: however often upstreams change, that is how often a catalogue is made of it.
const PAUSE: Duration = Duration::from_millis(20);

/// What the thread needs.
pub(super) struct Reading {
    pub(super) link: Arc<Link>,
    pub(super) remotes: Vec<Arc<Remote>>,
    pub(super) publisher: Weak<Publisher>,
    pub(super) entry_count_max: usize,
    /// Told how many upstreams nothing is known of.
    pub(super) unknown_count: watch::Sender<usize>,
}

impl Reading {
    /// Until the end, or until there is nobody to publish.
    pub(super) fn run(self) {
        // What was said last of each, so that the log has what changes: none, or why it is down.
        let mut said: BTreeMap<usize, Option<String>> = BTreeMap::new();
        while !self.link.is_over() {
            let news = self.link.take_news();
            if news.is_empty() {
                std::thread::park();
                continue;
            }
            let Some(publisher) = self.publisher.upgrade() else {
                return;
            };
            // Before the lock that publishing takes.
            let read: Vec<Read> = news.iter().filter_map(|news| self.read(news)).collect();
            read.iter().for_each(|read| read.log(&mut said));
            let announced: Vec<List> = news
                .iter()
                .flat_map(|news| announced_by(news))
                .copied()
                .collect();
            publisher.hear_of_upstreams(&announced, |offers| {
                let mut is_changed = false;
                for read in read {
                    is_changed |= read.apply(offers);
                }
                is_changed
            });
            drop(publisher);
            // Only now: who waits for it wants to find it in force.
            let unknown = self.remotes.len() - said.len();
            self.unknown_count.send_replace(unknown);
            std::thread::sleep(PAUSE);
        }
    }

    fn read(&self, news: &News) -> Option<Read> {
        match news {
            News::Listed { remote, listing } => {
                let remote = self.remotes.get(*remote)?;
                let offer = UpstreamOffer::read(remote, listing, self.entry_count_max);
                Some(Read::Offer(offer))
            }
            News::Down { remote, why } => {
                let remote = self.remotes.get(*remote)?;
                Some(Read::Down(Arc::clone(remote), why.clone()))
            }
        }
    }
}

/// The lists that an upstream said have changed.
fn announced_by(news: &News) -> &[List] {
    match news {
        News::Listed { listing, .. } => &listing.announced,
        News::Down { .. } => &[],
    }
}

/// News, read.
enum Read {
    Offer(UpstreamOffer),
    Down(Arc<Remote>, String),
}

impl Read {
    /// Logs what is new of it.
    fn log(&self, said: &mut BTreeMap<usize, Option<String>>) {
        match self {
            Self::Offer(offer) => {
                let before = said.insert(offer.remote.index, None);
                if before != Some(None) {
                    tracing::info!(
                        upstream = offer.remote.name(),
                        tools = offer.tool_count(),
                        "has said what it offers"
                    );
                }
            }
            Self::Down(remote, why) => {
                let before = said.insert(remote.index, Some(why.clone()));
                if before != Some(Some(why.clone())) {
                    tracing::warn!(upstream = remote.name(), "is down: {why}");
                }
            }
        }
    }

    fn apply(self, offers: &mut OfferSet) -> bool {
        match self {
            Self::Offer(offer) => offers.listed(offer),
            Self::Down(remote, _) => offers.down(remote.index),
        }
    }
}
