//! Pinned tools: what each said of itself when it was approved, and what becomes of one that says something else.
//!
//! The file is the operator's and the server's: the server notes what it sees, the operator approves
//! (`margay tool approve`), and the server notices within a second. A file that cannot be read blocks nothing that was
//! approved before in this process, and is said loudly.

mod file;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::audit::{Audit, Event, Kind, Outcome};
use crate::catalog::pin::{Definition, Judge, Source, Twins};
use crate::control::auth::now_unix_s;
use crate::error::{Problem, exit};

pub use file::{Pin, PinFile, Seen};

/// What was told and is not told again; whoever invents names decides how much that would be.
const TOLD_COUNT_MAX: usize = 10_000;

/// What becomes of a tool that says something else of itself than was approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing: nobody looks.
    Ignore,
    /// It is offered, and the change is told.
    #[default]
    Alert,
    /// It is not offered until the change is approved.
    Block,
}

/// How tools are pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinOptions {
    /// For a tool that has changed.
    pub on_change: OnChange,
    /// Whether one that was never seen is approved by being seen.
    pub accepts_new: bool,
    /// The file.
    pub path: PathBuf,
}

/// The pins in force.
pub struct Pins {
    options: PinOptions,
    audit: Audit,
    // Control's own state: never locked by a shard.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: PinFile,
    stamp: Option<SystemTime>,
    is_dirty: bool,
    /// What was told already: the same is not told with every new catalogue.
    told: BTreeSet<String>,
}

impl Pins {
    /// The pins of this file, which need not exist yet.
    ///
    /// Errors: it exists and cannot be read: nothing is known then of what was approved.
    pub fn open(options: PinOptions, audit: Audit) -> Result<Self, Problem> {
        let stamp = file::stamp(&options.path);
        let file = PinFile::read(&options.path)?;
        let state = State {
            file,
            stamp,
            ..State::default()
        };
        Ok(Self {
            options,
            audit,
            state: Mutex::new(state),
        })
    }

    /// Looks whether the file was changed by somebody else, and takes it; whether the catalogue has to be made anew.
    pub fn look(&self) -> bool {
        let mut state = lock(&self.state);
        let stamp = file::stamp(&self.options.path);
        if stamp.is_none() || stamp == state.stamp {
            return false;
        }
        state.stamp = stamp;
        match PinFile::read(&self.options.path) {
            Ok(file) => {
                state.told.clear();
                state.file = file;
                tracing::info!(file = %self.options.path.display(), "the approved tools have changed");
                self.audit.record(&Event {
                    target: &self.options.path.to_string_lossy(),
                    detail: "approved tools",
                    ..Event::new(Kind::ConfigurationChanged, Outcome::Ok)
                });
                true
            }
            Err(problem) => {
                tracing::error!(%problem, "the approved tools stay as they were");
                false
            }
        }
    }

    /// Writes down what was seen, if there is anything new. Called once a catalogue is made.
    pub fn save(&self) {
        let mut state = lock(&self.state);
        if !state.is_dirty {
            return;
        }
        let stamp = file::stamp(&self.options.path);
        if stamp.is_some() && stamp != state.stamp {
            // Somebody has approved something that was not looked at yet, which must not be written over.
            return;
        }
        state.is_dirty = false;
        match state.file.write(&self.options.path) {
            Ok(()) => state.stamp = file::stamp(&self.options.path),
            Err(problem) => {
                tracing::error!(%problem, "what tools say of themselves is not kept; it is tried again with the next change");
                state.is_dirty = true;
            }
        }
    }

    fn tell(&self, state: &mut State, what: String, outcome: Outcome) {
        if state.told.contains(&what) {
            return;
        }
        match outcome {
            Outcome::Denied => tracing::error!("{what}"),
            _ => tracing::warn!("{what}"),
        }
        self.audit.record(&Event {
            method: "tools/list",
            rule: "pinning",
            detail: &what,
            ..Event::new(Kind::SecurityViolation, outcome)
        });
        if state.told.len() >= TOLD_COUNT_MAX {
            state.told.clear();
        }
        state.told.insert(what);
    }
}

impl Judge for Pins {
    fn may_be_offered(&self, source: Source<'_>, definition: Definition) -> bool {
        let options = &self.options;
        if options.on_change == OnChange::Ignore {
            return true;
        }
        let blocks = options.on_change == OnChange::Block;
        let (source, mut state) = (source.to_string(), lock(&self.state));
        let name = definition.members["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let seen = state.file.see(
            &source,
            &name,
            definition,
            options.accepts_new,
            now_unix_s(),
        );
        state.is_dirty |= seen.is_news;
        let fate = if blocks {
            "is blocked"
        } else {
            "is offered all the same"
        };
        let remedy = "look with `margay tool diff`, and approve it with `margay tool approve`";
        let shown = name.escape_debug();
        let (what, is_offered) = match seen.standing {
            Seen::Approved => return true,
            Seen::New => (
                format!("the tool `{shown}` of {source} was never approved and {fate}: {remedy}"),
                !blocks,
            ),
            Seen::Changed => (
                format!(
                    "the tool `{shown}` of {source} says something else of itself than was approved, and {fate}: {remedy}"
                ),
                !blocks,
            ),
        };
        let outcome = if is_offered {
            Outcome::Ok
        } else {
            Outcome::Denied
        };
        self.tell(&mut state, what, outcome);
        is_offered
    }

    fn beware(&self, twins: &[Twins]) {
        let mut state = lock(&self.state);
        for twins in twins {
            let what = format!("names that can be taken for each other: {twins}");
            self.tell(&mut state, what, Outcome::Ok);
        }
    }
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pins")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Approves what is waiting in a file: of this tool, or of all; what was approved.
///
/// Shape: with `sha256`, only what has a digest that begins so: what was looked at may have been changed again since.
/// Errors: the file cannot be read or written, or several tools are called so.
pub fn approve(path: &Path, name: Option<&str>, sha256: Option<&str>) -> Result<Vec<Pin>, Problem> {
    let mut file = PinFile::read(path)?;
    let waiting =
        |pin: &&Pin| pin.waiting.is_some() && name.is_some_and(|name| pin.is_called(name));
    let meant: Vec<String> = file
        .pins()
        .iter()
        .filter(waiting)
        .map(|pin| format!("{}/{}", pin.source, pin.tool.escape_debug()))
        .collect();
    if let [_, _, ..] = meant.as_slice() {
        return Err(Problem::operator(
            exit::USAGE,
            "tool",
            name.unwrap_or_default(),
            "is what several tools are called that wait for approval",
            format!("name one of them: {}", meant.join(", ")),
        ));
    }
    let approved = file.approve(name, sha256, now_unix_s());
    if !approved.is_empty() {
        file.write(path)?;
    }
    Ok(approved)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
