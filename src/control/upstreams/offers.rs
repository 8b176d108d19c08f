//! What upstreams offer now, as the catalogue takes it.

use std::sync::Arc;

use crate::catalog::UpstreamOffer;
use crate::metrics::UpstreamNumbers;
use crate::upstream::remote::Remote;
use crate::upstream::settings::FailMode;

/// Every upstream with what it offers.
#[derive(Debug, Default)]
pub struct OfferSet {
    /// In order of index.
    upstreams: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    remote: Arc<Remote>,
    /// What it said last: of one that is down, its names still find it.
    offer: Option<Arc<UpstreamOffer>>,
    is_up: bool,
}

impl OfferSet {
    /// These upstreams, of which nothing is known yet.
    pub fn new(remotes: &[Arc<Remote>]) -> Self {
        let entry = |remote: &Arc<Remote>| Entry {
            remote: Arc::clone(remote),
            offer: None,
            is_up: false,
        };
        Self {
            upstreams: remotes.iter().map(entry).collect(),
        }
    }

    /// An upstream has said what it offers. Whether that changes anything.
    pub fn listed(&mut self, offer: UpstreamOffer) -> bool {
        let Some(entry) = self.upstreams.get_mut(offer.remote.index) else {
            return false;
        };
        let before = entry.offer.replace(Arc::new(offer));
        let was_up = std::mem::replace(&mut entry.is_up, true);
        let is_same = |before: Arc<UpstreamOffer>| {
            entry
                .offer
                .as_ref()
                .is_some_and(|now| now.is_same_as(&before))
        };
        !(was_up && before.is_some_and(is_same))
    }

    /// An upstream is down. Whether that changes anything.
    pub fn down(&mut self, index: usize) -> bool {
        let Some(entry) = self.upstreams.get_mut(index) else {
            return false;
        };
        std::mem::replace(&mut entry.is_up, false)
    }

    /// What is offered, in order of upstreams.
    pub fn offers(&self) -> Vec<Arc<UpstreamOffer>> {
        let offers = self.upstreams.iter();
        offers.filter_map(|entry| entry.offer.clone()).collect()
    }

    /// Those that are down, and whose lists are served without what they offered.
    pub fn unlisted(&self) -> Vec<usize> {
        let is_left_out =
            |entry: &&Entry| !entry.is_up && entry.remote.settings.fail == FailMode::Open;
        let left_out = self.upstreams.iter().filter(is_left_out);
        left_out.map(|entry| entry.remote.index).collect()
    }

    /// Those without which lists are refused.
    pub fn missing(&self) -> Vec<Arc<Remote>> {
        let is_missed =
            |entry: &&Entry| !entry.is_up && entry.remote.settings.fail == FailMode::Closed;
        let missed = self.upstreams.iter().filter(is_missed);
        missed.map(|entry| Arc::clone(&entry.remote)).collect()
    }

    /// Each in numbers.
    pub fn numbers(&self) -> Vec<UpstreamNumbers> {
        let numbers = |entry: &Entry| UpstreamNumbers {
            counts: Default::default(),
            name: entry.remote.name().to_owned(),
            is_up: entry.is_up,
            tool_count: match &entry.offer {
                Some(offer) if entry.is_up => offer.tool_count(),
                _ => 0,
            },
        };
        self.upstreams.iter().map(numbers).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::RawListing;
    use crate::mcp::List;
    use crate::upstream::era::Spoken;

    fn remote(name: &str, index: usize, fail: FailMode) -> Arc<Remote> {
        let mut remote = Remote::sample(name);
        remote.index = index;
        remote.settings.fail = fail;
        Arc::new(remote)
    }

    fn offer(remote: &Arc<Remote>, tool: &str) -> UpstreamOffer {
        let page =
            format!(r#"{{"tools":[{{"name":"{tool}","inputSchema":{{"type":"object"}}}}]}}"#);
        let listing = RawListing {
            spoken: Spoken::Legacy,
            facts: b"{}".to_vec(),
            pages: vec![(List::Tools, page.into_bytes())],
            announced: Vec::new(),
        };
        UpstreamOffer::read(remote, &listing, 10)
    }

    #[test]
    fn what_a_dead_upstream_offered_is_listed_no_more_unless_it_is_missed() {
        let (open, closed) = (
            remote("a", 0, FailMode::Open),
            remote("b", 1, FailMode::Closed),
        );
        let mut set = OfferSet::new(&[Arc::clone(&open), Arc::clone(&closed)]);
        let names = |set: &OfferSet| -> (Vec<String>, Vec<String>) {
            let unlisted = set.unlisted();
            let offers = set.offers();
            let is_listed = |offer: &&Arc<UpstreamOffer>| !unlisted.contains(&offer.remote.index);
            let offered = offers.iter().filter(is_listed);
            let offered = offered.map(|offer| offer.remote.name().to_owned());
            let missing = set.missing();
            let missing = missing.iter().map(|remote| remote.name().to_owned());
            (offered.collect(), missing.collect())
        };
        let of = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        assert_eq!(
            names(&set),
            (of(&[]), of(&["b"])),
            "not known is not there yet"
        );
        assert!(set.listed(offer(&open, "x")) && set.listed(offer(&closed, "y")));
        assert_eq!(names(&set), (of(&["a", "b"]), of(&[])));
        assert!(set.down(0) && set.down(1));
        assert_eq!(names(&set), (of(&["b"]), of(&["b"])));
        assert!(!set.down(0) && !set.down(7), "nothing new");
        assert!(set.listed(offer(&closed, "y")), "it is back");
        assert_eq!(names(&set), (of(&["b"]), of(&[])));
    }

    #[test]
    fn the_same_list_again_changes_nothing() {
        let remote = remote("a", 0, FailMode::Open);
        let mut set = OfferSet::new(std::slice::from_ref(&remote));
        assert!(set.listed(offer(&remote, "x")));
        assert!(!set.listed(offer(&remote, "x")));
        assert!(set.listed(offer(&remote, "y")));
        let numbers = set.numbers();
        assert_eq!((numbers[0].is_up, numbers[0].tool_count), (true, 1));
        set.down(0);
        let numbers = set.numbers();
        assert_eq!((numbers[0].is_up, numbers[0].tool_count), (false, 0));
    }
}
