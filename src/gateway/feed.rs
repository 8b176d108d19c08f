//! Keeping up with what upstreams offer: their lists are asked for at the start, whenever they may have changed, and now and then.

use super::failure::Failure;
use super::pending::{Pending, Purpose};
use super::word::{News, RawListing};
use super::{Action, Gateway, facts, millis};
use crate::mcp::{List, code};
use crate::upstream::envelope::Envelope;
use crate::upstream::era::Spoken;
use crate::upstream::multiplex::IdText;
use crate::upstream::settings::EraChoice;

/// Between two looks at an upstream that says nothing of changes.
const REFRESH_MS: u64 = 300_000;
/// From the first word of a change to the look: several come at once.
const SETTLE_MS: u64 = 10;
/// Between two looks, however often it says that its lists have changed.
const LOOK_MS: u64 = 250;
/// Before the next look at an upstream that could not be asked; it doubles.
const RETRY_MS: u64 = 1_000;
/// The longest.
const RETRY_MAX_MS: u64 = 30_000;
/// Between two doubts about what an upstream speaks.
const DOUBT_MS: u64 = 500;
/// Pages of one list.
const PAGES_MAX: usize = 1_000;
/// Bytes of all lists of one upstream.
const LISTING_BYTES_MAX: usize = 64 << 20;

/// The lists of one upstream.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// When to look next; none while it looks.
    due_ms: Option<u64>,
    has_begun: bool,
    /// When it looked last, and which look that was: pages of one before count for nothing.
    looked_ms: u64,
    look: u64,
    /// Requests that are not answered.
    open: usize,
    pages: Vec<(List, Vec<u8>)>,
    bytes: usize,
    cursors: Vec<(List, String)>,
    link: Option<u64>,
    /// The lists that it said have changed, and that control was not told of.
    announced: Vec<List>,
    /// It may have changed since the look began.
    is_stale: bool,
    failures: u32,
    /// What control was told last: that it is listed, or why not.
    told: Option<Result<(), String>>,
}

impl Gateway {
    /// Begins the looks that are due.
    pub(super) fn run_feeds(&mut self) {
        for remote in 0..self.routes.len() {
            let now_ms = self.now_ms;
            let Some(feed) = &mut self.routes[remote].feed else {
                continue;
            };
            let is_due = match feed.due_ms {
                None => !feed.has_begun,
                Some(due_ms) => now_ms >= due_ms,
            };
            if is_due {
                feed.has_begun = true;
                feed.due_ms = None;
                feed.is_stale = false;
                feed.looked_ms = now_ms;
                feed.look += 1;
                self.look(remote);
            }
        }
    }

    fn look(&mut self, remote: usize) {
        let due_ms = self.now_ms + millis(self.routes[remote].remote.settings.timeouts.head);
        let pending = Pending::new(Purpose::Feed, remote, IdText::of_number(0), due_ms);
        match self.pending.insert(pending) {
            Ok(slot) => self.advance(slot),
            Err(_) => {
                self.feed_failed(remote, &Failure::crowded("too many requests are in flight"))
            }
        }
    }

    /// The link for the lists is ready.
    pub(super) fn feed_is_ready(&mut self, slot: u64, link: u64) {
        self.end(slot, None);
        let Some(found) = self.links.get(link) else {
            return;
        };
        let remote = found.remote;
        let is_modern = self.spoken_on(link) == Some(Spoken::Modern);
        let capabilities = match is_modern {
            true => self.routes[remote]
                .facts
                .as_deref()
                .and_then(|facts| facts::member(facts, "capabilities"))
                .map(<[u8]>::to_vec),
            false => found
                .session
                .current()
                .map(|(_, _, facts)| facts.capabilities.to_vec()),
        };
        // Where it did not say, it is asked for everything.
        let offers = |name: &str| {
            capabilities
                .as_deref()
                .is_none_or(|text| facts::has(text, name))
        };
        let lists: Vec<List> = [
            ("tools", List::Tools),
            ("resources", List::Resources),
            ("resources", List::Templates),
            ("prompts", List::Prompts),
        ]
        .into_iter()
        .filter_map(|(name, list)| offers(name).then_some(list))
        .collect();
        let Some(feed) = &mut self.routes[remote].feed else {
            return;
        };
        feed.pages.clear();
        feed.cursors.clear();
        feed.bytes = 0;
        feed.open = lists.len();
        feed.link = Some(link);
        if is_modern
            && self
                .links
                .get(link)
                .is_some_and(|link| link.listen_slot.is_none() && link.relisten_ms.is_none())
        {
            self.listen_modern(link);
        }
        if lists.is_empty() {
            return self.feed_done(remote);
        }
        for list in lists {
            self.ask_page(remote, link, list);
        }
    }

    fn ask_page(&mut self, remote: usize, link: u64, list: List) {
        let look = self.routes[remote]
            .feed
            .as_ref()
            .map_or(0, |feed| feed.look);
        match self.begin_own(link, Purpose::List(list, look)) {
            Some(slot) => self.send(slot),
            None => self.feed_failed(remote, &Failure::crowded("too many requests are in flight")),
        }
    }

    /// Where the next page of a list begins.
    pub(super) fn feed_cursor(&self, remote: usize, list: List) -> Option<String> {
        let feed = self.routes[remote].feed.as_ref()?;
        let (_, cursor) = feed.cursors.iter().find(|(of, _)| *of == list)?;
        Some(cursor.clone())
    }

    /// One page has come.
    pub(super) fn listed(&mut self, slot: u64, list: List, look: u64, envelope: &Envelope<'_>) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (remote, link) = (pending.remote, pending.link);
        self.end(slot, Some(true));
        let Some(feed) = &mut self.routes[remote].feed else {
            return;
        };
        let (Some(link), true) = (link, feed.open > 0 && feed.look == look) else {
            return;
        };
        let Some(result) = &envelope.result else {
            // It said that it has the list, and has not: what it has not is empty.
            let is_absent = envelope.error_code == Some(i64::from(code::METHOD_NOT_FOUND));
            // Without the others of its lists it is better than not at all.
            if is_absent || list != List::Tools {
                if !is_absent {
                    tracing::warn!(
                        upstream = self.routes[remote].remote.name(),
                        list = list.key(),
                        "refuses one of its lists: it is left out"
                    );
                }
                return self.feed_list_done(remote);
            }
            let error = envelope
                .error
                .as_ref()
                .map(|error| error.text)
                .unwrap_or_default();
            let message = facts::text(error, "message").unwrap_or_default();
            let why = format!("it refused {}: {message}", list.key());
            return self.feed_failed(remote, &Failure::handshake(&why));
        };
        feed.bytes += result.text.len();
        feed.pages.push((list, result.text.to_vec()));
        let pages = feed.pages.iter().filter(|(of, _)| *of == list).count();
        let next = facts::text(result.text, "nextCursor");
        let is_too_much = feed.bytes > LISTING_BYTES_MAX || pages >= PAGES_MAX;
        if is_too_much && next.is_some() {
            tracing::warn!(
                upstream = self.routes[remote].remote.name(),
                pages,
                "lists more than is taken: the rest is left out"
            );
            return self.feed_list_done(remote);
        }
        let Some(next) = next else {
            return self.feed_list_done(remote);
        };
        let known = feed.cursors.iter_mut().find(|(of, _)| *of == list);
        match known {
            // A page that leads to itself has no end.
            Some((_, cursor)) if *cursor == next => return self.feed_list_done(remote),
            Some((_, cursor)) => *cursor = next,
            None => feed.cursors.push((list, next)),
        }
        self.ask_page(remote, link, list);
    }

    /// Whether a page belongs to a look that another has taken the place of.
    pub(super) fn is_of_an_old_look(&self, slot: u64, remote: usize) -> bool {
        let now = self.routes[remote].feed.as_ref().map(|feed| feed.look);
        match self.pending.get(slot).map(|pending| &pending.purpose) {
            Some(Purpose::List(_, look)) => now != Some(*look),
            _ => false,
        }
    }

    fn feed_list_done(&mut self, remote: usize) {
        let Some(feed) = &mut self.routes[remote].feed else {
            return;
        };
        feed.open = feed.open.saturating_sub(1);
        if feed.open == 0 {
            self.feed_done(remote);
        }
    }

    fn feed_done(&mut self, remote: usize) {
        let now_ms = self.now_ms;
        let link = self.routes[remote].feed.as_ref().and_then(|feed| feed.link);
        let spoken = link
            .and_then(|link| self.spoken_on(link))
            .unwrap_or(Spoken::Legacy);
        let said = match spoken {
            Spoken::Modern => self.routes[remote]
                .facts
                .clone()
                .unwrap_or_else(|| b"{}".to_vec()),
            _ => link.map_or_else(|| b"{}".to_vec(), |link| self.legacy_facts(link)),
        };
        let Some(feed) = &mut self.routes[remote].feed else {
            return;
        };
        let wait_ms = if feed.is_stale { LOOK_MS } else { REFRESH_MS };
        feed.due_ms = Some(now_ms + wait_ms);
        feed.failures = 0;
        feed.told = Some(Ok(()));
        let listing = Box::new(RawListing {
            spoken,
            facts: said,
            pages: std::mem::take(&mut feed.pages),
            // What is said while it is looked at belongs to the next look.
            announced: match feed.is_stale {
                true => Vec::new(),
                false => std::mem::take(&mut feed.announced),
            },
        });
        self.act(Action::News(News::Listed { remote, listing }));
    }

    /// What a legacy upstream said in its handshake.
    fn legacy_facts(&self, link: u64) -> Vec<u8> {
        let mut out = b"{".to_vec();
        let current = self.links.get(link).and_then(|link| link.session.current());
        if let Some((_, _, known)) = current {
            out.extend_from_slice(br#""capabilities":"#);
            out.extend_from_slice(&known.capabilities);
            for (name, text) in [
                ("serverInfo", &known.server_info),
                ("instructions", &known.instructions),
            ] {
                if let Some(text) = text {
                    out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                    out.extend_from_slice(text);
                }
            }
        }
        out.push(b'}');
        out
    }

    /// An upstream could not be asked.
    pub(super) fn feed_failed(&mut self, remote: usize, failure: &Failure) {
        let now_ms = self.now_ms;
        let Some(feed) = &mut self.routes[remote].feed else {
            return;
        };
        if feed.due_ms.is_some() {
            // Another of its requests has failed before.
            return;
        }
        feed.open = 0;
        feed.pages.clear();
        feed.failures = feed.failures.saturating_add(1);
        let failures = feed.failures;
        let wait_ms = (RETRY_MS << (feed.failures - 1).min(8)).min(RETRY_MAX_MS);
        feed.due_ms = Some(now_ms + wait_ms);
        // What was there a moment ago may be there again in a moment.
        let is_first = failures == 1 && feed.told == Some(Ok(()));
        let is_known = matches!(&feed.told, Some(Err(why)) if *why == failure.why);
        if !is_first && !is_known {
            feed.told = Some(Err(failure.why.clone()));
        }
        self.doubt_era(remote);
        if is_first || is_known {
            return;
        }
        let why = failure.why.clone();
        self.act(Action::News(News::Down { remote, why }));
    }

    /// Another server may be there by now, which speaks otherwise.
    pub(super) fn doubt_era(&mut self, remote: usize) {
        let now_ms = self.now_ms;
        let route = &mut self.routes[remote];
        if now_ms < route.doubt_again_ms {
            return;
        }
        route.doubt_again_ms = now_ms + DOUBT_MS;
        let is_known = matches!(route.era, super::route::Era::Known { .. });
        if is_known && route.remote.settings.era == EraChoice::Auto {
            route.forget_era();
        }
    }

    /// An upstream's lists may have changed.
    pub fn feed_changed(&mut self, remote: usize, list: Option<List>) {
        let settled_ms = self.now_ms + SETTLE_MS;
        let Some(route) = self.routes.get_mut(remote) else {
            return;
        };
        match &mut route.feed {
            None => self.act(Action::Changed(remote, list)),
            Some(feed) => {
                if let Some(list) = list.filter(|list| !feed.announced.contains(list)) {
                    feed.announced.push(list);
                }
                let due_ms = settled_ms.max(feed.looked_ms + LOOK_MS);
                match &mut feed.due_ms {
                    Some(due) => *due = due_ms.min(*due),
                    None => feed.is_stale = true,
                }
            }
        }
    }
}
