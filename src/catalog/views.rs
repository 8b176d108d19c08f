//! The lists as callers of one class may see them: each page composed once for all of them, of as many classes as there is room for.
//!
//! Invariants: what is kept stays for as long as its catalogue is there, and is freed with it; a class that finds no place, and a page
//! that finds no room, is composed for each request and is the same; nobody waits while another composes: of two who compose the
//! same page at once, one's is kept.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::listing::{Listing, Page};
use crate::limits::{LIST_CLASS_BYTES_MAX, LIST_CLASS_COUNT_MAX, LIST_CLASS_PAGES_MAX};
use crate::policy::Class;

/// The lists that there are: four, and the tools once more in their legacy form.
pub(super) const VIEW_COUNT: usize = 5;

/// Places that a class is looked for in.
const PROBE_COUNT: usize = 8;

/// Pages by class.
pub(super) struct Views {
    classes: Box<[OnceLock<Box<View>>]>,
    bytes: AtomicUsize,
}

/// The lists of one class, each as its first pages.
struct View {
    class: Class,
    lists: [[OnceLock<Kept>; LIST_CLASS_PAGES_MAX]; VIEW_COUNT],
}

/// A page.
struct Kept {
    json: Box<[u8]>,
    next: Option<Box<str>>,
}

impl Kept {
    fn page(&self) -> Page<'_> {
        Page {
            json: Cow::Borrowed(&self.json),
            next: self.next.as_deref(),
        }
    }
}

impl Default for Views {
    fn default() -> Self {
        Self {
            classes: (0..LIST_CLASS_COUNT_MAX).map(|_| OnceLock::new()).collect(),
            bytes: AtomicUsize::new(0),
        }
    }
}

impl Views {
    /// The page of `list`, which has this number, behind an entry, of what this class is shown.
    pub(super) fn page<'c>(
        &'c self,
        class: Class,
        (number, list): (usize, &'c Listing),
        after: Option<&str>,
        shows: impl Fn(&str) -> bool,
    ) -> Page<'c> {
        let place = self.view(class).and_then(|view| view.place(number, after));
        let Some(place) = place else {
            return list.page_where(after, shows);
        };
        if let Some(kept) = place.get() {
            return kept.page();
        }
        let page = list.page_where(after, shows);
        let bytes = page.json.len();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > LIST_CLASS_BYTES_MAX {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return page;
        }
        let kept = Kept {
            json: page.json.into_owned().into(),
            next: page.next.map(Box::from),
        };
        let mut is_late = true;
        let kept = place.get_or_init(|| {
            is_late = false;
            kept
        });
        if is_late {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        kept.page()
    }

    /// What is kept for a class; none where others have its places.
    fn view(&self, class: Class) -> Option<&View> {
        let start = class.mixed() as usize;
        for probe in 0..PROBE_COUNT {
            let place = &self.classes[(start.wrapping_add(probe)) % LIST_CLASS_COUNT_MAX];
            let view = place.get_or_init(|| Box::new(View::new(class)));
            if view.class == class {
                return Some(view);
            }
        }
        None
    }

    /// How many classes and bytes are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        let classes = self.classes.iter().filter(|place| place.get().is_some());
        (classes.count(), self.bytes.load(Ordering::Relaxed))
    }
}

impl View {
    fn new(class: Class) -> Self {
        Self {
            class,
            lists: Default::default(),
        }
    }

    /// Where the page behind this entry is kept, or is to be: the first one, or the one after a page that is kept.
    fn place(&self, number: usize, after: Option<&str>) -> Option<&OnceLock<Kept>> {
        let pages = self.lists.get(number)?;
        let Some(after) = after else {
            return pages.first();
        };
        let ends_there = |place: &OnceLock<Kept>| {
            let kept = place.get();
            kept.is_some_and(|kept| kept.next.as_deref() == Some(after))
        };
        let before = pages.iter().position(ends_there)?;
        pages.get(before + 1)
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
