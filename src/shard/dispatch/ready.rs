//! Answers that need no component.

use std::borrow::Cow;

use crate::catalog::{Catalog, LIST_TTL_MS, Page};
use crate::mcp::reply::{self, CacheScope, Hints};
use crate::mcp::{Era, List, Reason, Revision, WriteId, cursor};
use crate::policy::RuleSet;
use crate::shard::known::Known;
use crate::wire::json::Str;

/// What discovery says changes with the components, as the lists do.
const DISCOVER_HINTS: Hints = Hints {
    ttl_ms: LIST_TTL_MS,
    scope: CacheScope::Public,
};

/// An answer that is known.
pub(in super::super) enum Ready<'c> {
    /// A result without members.
    Empty,
    /// The answer to `initialize`.
    Initialize {
        /// The revision that both sides speak from now on.
        negotiated: Revision,
        /// What the caller may tell its model.
        instructions: Cow<'c, str>,
    },
    /// What there is, and what the caller may tell its model of it.
    Discover(Cow<'c, str>),
    /// One page of a list.
    Page(List, Page<'c>),
    /// The same, as only its caller may see it.
    OwnPage(List, Page<'c>),
    /// What is to be completed is known, and nobody completes it.
    NoSuggestions,
}

impl<'c> Ready<'c> {
    /// The page behind a cursor, or the first, in the form of an era.
    ///
    /// Errors: the cursor is none of ours.
    pub(super) fn page<'b>(
        catalog: &'c Catalog,
        era: Era,
        list: List,
        cursor: Option<Str<'b>>,
    ) -> Result<Self, Reason<'b>> {
        let after = match cursor {
            None => None,
            Some(text) => Some(cursor::read(list, text)?),
        };
        let page = catalog.page_in(era, list, after.as_deref());
        Ok(page.map_or(Self::Empty, |page| Self::Page(list, page)))
    }

    /// The same as this caller may see it.
    ///
    /// Errors: the cursor is none of ours.
    pub(super) fn page_for<'b>(
        catalog: &'c Catalog,
        era: Era,
        list: List,
        cursor: Option<Str<'b>>,
        (rules, known): (&RuleSet, &Known),
    ) -> Result<Self, Reason<'b>> {
        let after = match cursor {
            None => None,
            Some(text) => Some(cursor::read(list, text)?),
        };
        let shows = |name: &str| {
            let owner = catalog.owner_of(list, name);
            owner.is_some_and(|owner| rules.shows(&known.identity, list, name, owner))
        };
        let page = catalog.page_for(era, list, after.as_deref(), known.class(rules), shows);
        Ok(page.map_or(Self::Empty, |page| Self::OwnPage(list, page)))
    }

    /// What this caller may tell its model.
    pub(super) fn instructions(
        catalog: &'c Catalog,
        view: Option<(&RuleSet, &Known)>,
    ) -> Cow<'c, str> {
        let Some((rules, known)) = view else {
            return Cow::Borrowed(catalog.instructions());
        };
        catalog.instructions_for(|list, name| {
            let owner = catalog.owner_of(list, name);
            owner.is_some_and(|owner| rules.shows(&known.identity, list, name, owner))
        })
    }

    /// Appends the answer.
    pub(super) fn write(&self, out: &mut Vec<u8>, id: &impl WriteId, era: Era, catalog: &Catalog) {
        match self {
            Self::Empty => reply::empty_result(out, id, era),
            Self::Initialize {
                negotiated,
                instructions,
            } => reply::initialize_result(
                out,
                id,
                *negotiated,
                catalog.capabilities_in(*negotiated).as_bytes(),
                there(instructions),
            ),
            Self::Discover(instructions) => reply::discover_result(
                out,
                id,
                catalog.capabilities(era).as_bytes(),
                there(instructions),
                Hints {
                    scope: match instructions {
                        Cow::Borrowed(_) => DISCOVER_HINTS.scope,
                        // Its caller's own.
                        Cow::Owned(_) => CacheScope::Private,
                    },
                    ..DISCOVER_HINTS
                },
            ),
            Self::Page(list, page) => {
                write_page(
                    out,
                    id,
                    era,
                    *list,
                    page,
                    catalog.hints(*list).scope,
                    catalog,
                );
            }
            Self::OwnPage(list, page) => {
                write_page(out, id, era, *list, page, CacheScope::Private, catalog);
            }
            Self::NoSuggestions => {
                let none = br#""completion":{"values":[],"total":0,"hasMore":false}"#;
                reply::call_result(out, id, era, none);
            }
        }
    }

    /// How many bytes it takes, roughly: what is worth reserving for it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Page(_, page) | Self::OwnPage(_, page) => page.json.len(),
            _ => 0,
        }
    }
}

/// None where there is nothing to say.
fn there(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn write_page(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    era: Era,
    list: List,
    page: &Page<'_>,
    scope: CacheScope,
    catalog: &Catalog,
) {
    let next = page.next.map(|last| cursor::write(list, last));
    let hints = catalog.hints(list);
    let hints = Hints {
        ttl_ms: hints.ttl_ms,
        scope,
    };
    let page = reply::Page {
        list,
        entries: &page.json,
        next_cursor: next.as_deref(),
    };
    reply::list_result(out, id, era, &page, hints);
}
