//! A place with several names: what a policy calls it, and where it is.

use super::Decide;
use super::ask::{Access, Ask, By, Verdict};

/// A granted directory that is reached by a link: where it is, and what its policy calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Where it is.
    pub place: String,
    /// What the policy calls it.
    pub name: String,
}

impl Alias {
    /// The path as it is called by way of this alias, if it leads there.
    pub fn called(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.place.as_str())?;
        let name = &self.name;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{name}{rest}"))
    }
}

/// What is decided about a place: one line that denies any of its names is enough, and one that allows any.
pub fn decide_place(decider: &dyn Decide, access: Access, names: &[String]) -> Verdict {
    let asks = names.iter().map(|path| Ask::Path { access, path });
    let verdicts: Vec<_> = asks.map(|ask| decider.decide(&ask)).collect();
    let denied = |verdict: &&Verdict| !verdict.is_allowed && verdict.by != By::NoRule;
    let allowed = |verdict: &&Verdict| verdict.is_allowed;
    let decisive = verdicts.iter().find(denied);
    let decisive = decisive.or_else(|| verdicts.iter().find(allowed));
    decisive.cloned().unwrap_or(Verdict::denied(By::NoRule))
}
