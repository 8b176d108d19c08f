//! The way from homes to control: the latest news of each upstream, and orders about children.

// The queue of orders has its bound in the children that homes have and want, which the orders are about; that of wishes in
// the homes, each of which has one for each upstream.
#![allow(clippy::disallowed_types)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use arc_swap::ArcSwapOption;
use crossbeam_queue::SegQueue;
use tokio::sync::Notify;

use crate::gateway::{ChildOrder, ControlLink, CredentialWant, News};

/// Taken from any thread; nothing here waits.
#[derive(Debug)]
pub(super) struct Link {
    /// What was said last of each upstream and not read yet.
    news: Box<[ArcSwapOption<News>]>,
    reader: OnceLock<Thread>,
    orders: SegQueue<ChildOrder>,
    ordered: Notify,
    wants: SegQueue<CredentialWant>,
    wanted: Notify,
    is_draining: AtomicBool,
    is_over: AtomicBool,
}

impl Link {
    pub(super) fn new(upstream_count: usize) -> Self {
        Self {
            news: (0..upstream_count)
                .map(|_| ArcSwapOption::empty())
                .collect(),
            reader: OnceLock::new(),
            orders: SegQueue::new(),
            ordered: Notify::new(),
            wants: SegQueue::new(),
            wanted: Notify::new(),
            is_draining: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    /// Who is woken for news.
    pub(super) fn set_reader(&self, reader: Thread) {
        reader.unpark();
        // Once: there is one start.
        let _ = self.reader.set(reader);
    }

    /// The news since the last time, in order of upstreams.
    pub(super) fn take_news(&self) -> Vec<Arc<News>> {
        self.news
            .iter()
            .filter_map(|slot| slot.swap(None))
            .collect()
    }

    /// The next order; none once everything is over.
    pub(super) async fn next_order(&self) -> Option<ChildOrder> {
        loop {
            if self.is_over() {
                return None;
            }
            if let Some(order) = self.orders.pop() {
                return Some(order);
            }
            // One ring is kept for who comes after it.
            self.ordered.notified().await;
        }
    }

    /// The next wish for a credential; none once everything is over.
    async fn take_want(&self) -> Option<CredentialWant> {
        loop {
            if self.is_over() {
                return None;
            }
            if let Some(want) = self.wants.pop() {
                return Some(want);
            }
            self.wanted.notified().await;
        }
    }

    /// Whether what ends now is not to be started again.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// What ends from now on is not started again: its home has ended, or is about to.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Whether nothing is wanted any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Nothing is wanted any more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.ordered.notify_one();
        self.wanted.notify_one();
        self.wake_reader();
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.get() {
            reader.unpark();
        }
    }
}

impl super::WantSource for Link {
    async fn next_want(&self) -> Option<CredentialWant> {
        self.take_want().await
    }
}

impl ControlLink for Link {
    fn news(&self, mut news: News) {
        let (News::Listed { remote, .. } | News::Down { remote, .. }) = &news;
        if let Some(slot) = self.news.get(*remote) {
            // What nobody has read was announced all the same. Only one home has news of an upstream.
            if let (Some(unread), News::Listed { listing, .. }) = (slot.swap(None), &mut news)
                && let News::Listed {
                    listing: before, ..
                } = &*unread
            {
                listing.announced.extend(&before.announced);
            }
            slot.store(Some(Arc::new(news)));
            self.wake_reader();
        }
    }

    fn order(&self, order: ChildOrder) {
        self.orders.push(order);
        self.ordered.notify_one();
    }

    fn want(&self, want: CredentialWant) {
        self.wants.push(want);
        self.wanted.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::ChildKey;

    fn down(remote: usize, why: &str) -> News {
        News::Down {
            remote,
            why: why.to_owned(),
        }
    }

    #[test]
    fn of_several_news_of_one_upstream_the_last_counts() {
        let link = Link::new(2);
        link.news(down(1, "first"));
        link.news(down(0, "other"));
        link.news(down(1, "last"));
        link.news(down(7, "of nobody"));
        let said: Vec<String> = link
            .take_news()
            .iter()
            .map(|news| format!("{news:?}"))
            .collect();
        assert!(said.len() == 2 && said[0].contains("other") && said[1].contains("last"));
        assert!(link.take_news().is_empty(), "read once");
    }

    #[tokio::test]
    async fn orders_come_in_their_order_until_the_end() {
        let link = Link::new(0);
        let stop = |number| ChildOrder::Stop(ChildKey { port: 0, number });
        link.order(stop(1));
        link.order(stop(2));
        assert_eq!(link.next_order().await, Some(stop(1)));
        assert_eq!(link.next_order().await, Some(stop(2)));
        let (order, ()) = tokio::join!(link.next_order(), async {
            tokio::task::yield_now().await;
            link.end();
        });
        assert_eq!(order, None);
        link.order(stop(3));
        assert_eq!(link.next_order().await, None);
    }
}
