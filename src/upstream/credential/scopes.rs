//! Scopes: a set that is asked for.

use std::collections::BTreeSet;
use std::fmt;

use super::challenge::Challenge;
use super::documents::{Resource, Server};

/// Asks for a token that outlives the session with the person.
const OFFLINE: &str = "offline_access";
/// Scopes of one request: more is no scope list but a mistake.
const COUNT_MAX: usize = 100;

/// A set of scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// Of a list with spaces. What is no scope is left out.
    ///
    /// Source: RFC 6749 3.3.
    pub fn parse(text: &str) -> Self {
        text.split(' ').map(str::to_owned).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of `other` are among them.
    pub fn has(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// These and those.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        self.0.union(&other.0).cloned().collect()
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for Scopes {
    fn from_iter<I: IntoIterator<Item = String>>(scopes: I) -> Self {
        let fine = |scope: &String| {
            let is_letter = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            !scope.is_empty() && scope.bytes().all(is_letter)
        };
        Self(scopes.into_iter().filter(fine).take(COUNT_MAX).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            match index {
                0 => f.write_str(scope)?,
                _ => write!(f, " {scope}")?,
            }
        }
        Ok(())
    }
}

/// The scopes to ask for: those of the challenge, else the operator's, else all that the resource lists, else none; and always
/// those that were asked for before, so that what worked goes on working.
///
/// Shape: `wants_refresh` adds `offline_access` where the server lists it.
/// Source: MCP authorization, scope selection and step-up; SEP-2207.
pub fn to_ask_for(
    challenge: &Challenge,
    configured: &Scopes,
    resource: Option<&Resource>,
    server: &Server,
    before: &Scopes,
    wants_refresh: bool,
) -> Scopes {
    let challenged = challenge.scope.as_deref().map(Scopes::parse);
    let chosen = match challenged.filter(|scopes| !scopes.is_empty()) {
        // What the operator said is meant for every token; the challenge may want more.
        Some(challenged) => challenged.with(configured),
        None if !configured.is_empty() => configured.clone(),
        None => resource
            .and_then(|resource| resource.scopes.clone())
            .unwrap_or_default(),
    };
    let mut scopes = chosen.with(before);
    if wants_refresh && server.lists_scope(OFFLINE) {
        scopes.0.insert(OFFLINE.to_owned());
    }
    scopes
}
