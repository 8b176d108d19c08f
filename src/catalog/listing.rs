//! One list as its pages, written once.

use std::borrow::Cow;
use std::ops::Range;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<'c> {
    /// The text of a JSON array. Written beforehand, but for a page that begins where none of this list's does.
    pub json: Cow<'c, [u8]>,
    /// What the next page comes after: the last name of this one. None on the last page.
    pub next: Option<&'c str>,
}

/// A list in the order of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    pages: Vec<Vec<u8>>,
    page_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Box<str>,
    /// Where its text stands in its page.
    place: Range<usize>,
}

impl Listing {
    /// The list of these names with the texts of their entries.
    pub(super) fn new(mut named: Vec<(Box<str>, String)>, page_max: usize) -> Self {
        let page_max = page_max.max(1);
        named.sort_by(|left, right| left.0.cmp(&right.0));
        let mut entries = Vec::with_capacity(named.len());
        let mut pages = Vec::new();
        for named in named.chunks(page_max) {
            let mut page = vec![b'['];
            for (name, text) in named {
                if page.len() > 1 {
                    page.push(b',');
                }
                let start = page.len();
                page.extend_from_slice(text.as_bytes());
                entries.push(Entry {
                    name: name.clone(),
                    place: start..page.len(),
                });
            }
            page.push(b']');
            pages.push(page);
        }
        Self {
            entries,
            pages,
            page_max,
        }
    }

    /// The page of what comes after this name, whether or not the name is still there.
    pub(super) fn page(&self, after: Option<&str>) -> Page<'_> {
        let start = match after {
            None => 0,
            Some(name) => self.entries.partition_point(|entry| *entry.name <= *name),
        };
        let end = self.entries.len().min(start + self.page_max);
        let next = (end < self.entries.len()).then(|| &*self.entries[end - 1].name);
        let json = match self.pages.get(start / self.page_max.max(1)) {
            Some(page) if start.is_multiple_of(self.page_max) => Cow::Borrowed(page.as_slice()),
            _ => Cow::Owned(self.compose(start..end)),
        };
        Page { json, next }
    }

    /// The same, of only those entries for which this holds.
    pub(super) fn page_where(&self, after: Option<&str>, shows: impl Fn(&str) -> bool) -> Page<'_> {
        let start = match after {
            None => 0,
            Some(name) => self.entries.partition_point(|entry| *entry.name <= *name),
        };
        let mut shown =
            (start..self.entries.len()).filter(|index| shows(&self.entries[*index].name));
        let indices: Vec<usize> = shown.by_ref().take(self.page_max.max(1)).collect();
        let next = shown.next().and(indices.last());
        let next = next.map(|last| &*self.entries[*last].name);
        Page {
            json: Cow::Owned(self.compose(indices.into_iter())),
            next,
        }
    }

    fn compose(&self, indices: impl Iterator<Item = usize>) -> Vec<u8> {
        let mut json = vec![b'['];
        for index in indices {
            if json.len() > 1 {
                json.push(b',');
            }
            let place = self.entries[index].place.clone();
            json.extend_from_slice(&self.pages[index / self.page_max][place]);
        }
        json.push(b']');
        json
    }

    /// The text of one entry.
    pub(super) fn entry(&self, name: &str) -> Option<&[u8]> {
        let index = self
            .entries
            .binary_search_by(|entry| (*entry.name).cmp(name));
        let index = index.ok()?;
        self.pages
            .get(index / self.page_max.max(1))?
            .get(self.entries[index].place.clone())
    }

    /// The names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// Everything, as one array.
    pub(super) fn whole(&self) -> Cow<'_, [u8]> {
        match self.pages.as_slice() {
            [page] => Cow::Borrowed(page),
            _ => Cow::Owned(self.compose(0..self.entries.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str], page_max: usize) -> Listing {
        let named = names
            .iter()
            .map(|name| ((*name).into(), format!("\"{name}\"")))
            .collect();
        Listing::new(named, page_max)
    }

    fn text(page: &Page<'_>) -> String {
        String::from_utf8(page.json.to_vec()).unwrap()
    }

    #[test]
    fn pages_follow_each_other_to_the_end_and_are_written_beforehand() {
        let listing = listing(&["c", "a", "e", "b", "d"], 2);
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = listing.page(after);
            assert!(matches!(page.json, Cow::Borrowed(_)));
            seen.push(text(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [r#"["a","b"]"#, r#"["c","d"]"#, r#"["e"]"#]);
        assert_eq!(&*listing.whole(), br#"["a","b","c","d","e"]"#);
    }

    #[test]
    fn a_cursor_of_another_list_goes_on_where_that_one_ended() {
        let listing = listing(&["a", "c", "d", "e"], 2);
        let page = listing.page(Some("b"));
        assert_eq!(text(&page), r#"["c","d"]"#);
        assert_eq!(page.next, Some("d"));
        let last = listing.page(page.next);
        assert_eq!((text(&last).as_str(), last.next), (r#"["e"]"#, None));
    }

    #[test]
    fn a_page_behind_the_end_and_an_empty_list_are_empty_arrays() {
        assert_eq!(text(&listing(&["a"], 2).page(Some("z"))), "[]");
        assert_eq!(text(&listing(&[], 2).page(None)), "[]");
        assert_eq!(&*listing(&[], 2).whole(), b"[]");
        assert_eq!(text(&Listing::default().page(None)), "[]");
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        assert_eq!(listing(&["a", "b"], 2).page(None).next, None);
    }
}
