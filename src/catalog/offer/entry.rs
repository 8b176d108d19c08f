//! The texts of list pages and entries, taken apart and put together again without a change.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::component::{CacheHints, Entry};
use crate::mcp::{CacheScope, List};
use crate::wire::json::{DEPTH_CAP, JsonError, Kind, Reader, Str};

use super::Offered;

/// One page, as the result of a list request has it.
pub(super) struct RawPage<'t> {
    /// The texts of its entries.
    pub(super) entries: Vec<&'t str>,
    /// How long it may be kept, if it says.
    pub(super) hints: Option<CacheHints>,
}

impl<'t> RawPage<'t> {
    /// Errors: what is wrong with it, as the end of a sentence.
    pub(super) fn read(text: &'t [u8], list: List) -> Result<Self, &'static str> {
        let (entries, ttl_ms, scope) =
            Self::members(text, list).map_err(|_| "is no object of the expected form")?;
        Ok(Self {
            entries: entries.ok_or("lacks its entries")?,
            hints: ttl_ms.map(|ttl_ms| CacheHints {
                ttl_ms,
                scope: scope.unwrap_or(CacheScope::Private),
            }),
        })
    }

    #[allow(clippy::type_complexity)]
    fn members(
        text: &'t [u8],
        list: List,
    ) -> Result<(Option<Vec<&'t str>>, Option<u64>, Option<CacheScope>), JsonError> {
        let mut reader = Reader::new(text, DEPTH_CAP);
        let (mut entries, mut ttl_ms, mut scope) = (None, None, None);
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            let kind = reader.peek()?;
            match kind {
                Kind::Array if key.eq_str(list.key()) => {
                    reader.begin_array()?;
                    let mut found = Vec::new();
                    while reader.element()? {
                        found.push(reader.skip_text()?);
                    }
                    entries = Some(found);
                }
                Kind::Number if key.eq_str("ttlMs") => {
                    ttl_ms = reader.number()?.as_u64_integral();
                }
                Kind::String if key.eq_str("cacheScope") => {
                    scope = match reader.string()?.eq_str("public") {
                        true => Some(CacheScope::Public),
                        false => Some(CacheScope::Private),
                    };
                }
                _ => {
                    reader.skip()?;
                }
            }
        }
        Ok((entries, ttl_ms, scope))
    }
}

/// One entry.
pub(super) struct RawEntry<'t> {
    /// Its name or address.
    pub(super) name: Box<str>,
    /// Its other members, as they stand.
    members: Vec<(Str<'t>, &'t str)>,
    list: List,
}

impl<'t> RawEntry<'t> {
    /// Errors: why it is none, or none that every client can read: a number beyond all bounds, a depth that many readers
    /// do not follow to.
    pub(super) fn read(text: &'t str, list: List) -> Result<Self, String> {
        let called = match list {
            List::Resources => "uri",
            List::Templates => "uriTemplate",
            _ => "name",
        };
        serde_json::from_str::<Value>(text)
            .map_err(|error| format!("not every client can read it: {error}"))?;
        let members = Self::members(text).map_err(|_| "it is not an object")?;
        let mut seen = HashSet::new();
        if !members.iter().all(|(key, _)| seen.insert(key.to_cow())) {
            return Err("a member of it stands twice".to_owned());
        }
        let (named, members): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(key, _)| key.eq_str(called));
        let name = named.first().and_then(|(_, text)| {
            let name = Reader::from_text(text, 0).string().ok()?;
            Some(name.to_cow().into())
        });
        Ok(Self {
            name: name.ok_or(match list {
                List::Resources => "it has no `uri`",
                List::Templates => "it has no `uriTemplate`",
                _ => "it has no `name`",
            })?,
            members,
            list,
        })
    }

    fn members(text: &'t str) -> Result<Vec<(Str<'t>, &'t str)>, JsonError> {
        let mut reader = Reader::from_text(text, DEPTH_CAP);
        let mut members = Vec::new();
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            members.push((key, reader.skip_text()?));
        }
        Ok(members)
    }

    /// The text of a member's value.
    fn member(&self, name: &str) -> Option<&'t str> {
        let found = self.members.iter().find(|(key, _)| key.eq_str(name));
        found.map(|(_, text)| *text)
    }

    /// A member that is an object. Errors: it is none.
    pub(super) fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, String> {
        let Some(text) = self.member(name) else {
            return Ok(None);
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(Some(object)),
            Ok(_) => Err(format!("its {name} is not an object")),
            Err(error) => Err(format!("its {name} cannot be read: {error}")),
        }
    }

    /// Its text without the name, and without these members.
    pub(super) fn entry_without(&self, left_out: &[&str]) -> Entry {
        let mut text = String::new();
        for (key, value) in &self.members {
            if left_out.iter().any(|name| key.eq_str(name)) {
                continue;
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push('"');
            text.push_str(key.raw());
            text.push_str("\":");
            text.push_str(value);
        }
        // In valid JSON a line break stands between tokens only, and a message must be one line.
        Entry {
            members: text.replace(['\n', '\r'], " ").into(),
        }
    }

    /// A resource, a template or a prompt. Errors: clients would refuse the whole list for it.
    pub(super) fn into_offered(self) -> Result<Offered, String> {
        let has_name = self.list == List::Prompts
            || self
                .member("name")
                .is_some_and(|text| text.starts_with('"'));
        if !has_name {
            return Err("it has no `name`".to_owned());
        }
        Ok(Offered {
            entry: self.entry_without(&[]),
            name: self.name,
        })
    }
}
