//! What the process gives up once it knows what it needs: privileges, files, system calls, operations of rings.
//!
//! ```text
//!   configuration read, listeners bound
//!     │  spawner thread, only where there are stdio upstreams: stays as it is, and so do the children that it starts
//!     ▼
//!   confine: no_new_privs, Landlock, seccomp, on the one thread there is
//!     │  every thread from here on inherits it: recorder, workers, shards, control's own
//!     ▼
//!   settle: all rings are made; without a spawner no thread can make another
//! ```
//!
//! Landlock and seccomp are of a thread and of those that it starts, and Linux 6.18 has no way to put a Landlock domain on threads
//! that run already. So it is done before the second thread, from what the configuration names; [`confine`] counts the threads.
#![forbid(unsafe_code)]

mod calls;
mod domain;
mod filter;
mod offer;
mod paths;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use offer::offers;

use super::config::{Config, Hardening};
use crate::error::{Problem, exit};
use paths::Paths;

/// Looks at the list of threads before those beyond the expected ones are believed in, and the time between two.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Directories that policies grant to components, beside what the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Those that may be read.
    pub read: Vec<PathBuf>,
    /// Those that may be read and written.
    pub write: Vec<PathBuf>,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Whether nothing that is run gains privileges.
    pub no_new_privs: bool,
    /// Landlock's ABI, and whether all of what was asked for is in force.
    pub landlock: Option<(i32, bool)>,
    /// Whether only the system calls of the list are let through.
    pub seccomp: bool,
    /// Whether the rings of shards are to be restricted.
    pub ring_restrictions: bool,
    /// Whether a thread was left as it was, to start children.
    pub has_spawner: bool,
}

/// Why a restriction is not in force.
#[derive(Debug)]
struct Lacking {
    name: &'static str,
    why: String,
}

/// Puts the calling thread, and all that it will start, under what the configuration asks for.
///
/// Shape: `has_spawner` says that one thread runs already and starts the children; no other may. What the kernel lacks is warned of
/// and left out.
/// Errors: [`exit::HOST`] where one is lacking and `hardening.required` is set.
pub fn confine(config: &Config, roots: &Roots, has_spawner: bool) -> Result<InForce, Problem> {
    let hardening = &config.hardening;
    let mut in_force = InForce {
        ring_restrictions: hardening.ring_restrictions,
        has_spawner,
        ..InForce::default()
    };
    let mut lacking = Vec::new();
    let mut lacks = |name, why| lacking.push(Lacking { name, why });
    if hardening.no_new_privs {
        match rustix::thread::set_no_new_privs(true) {
            Ok(()) => in_force.no_new_privs = true,
            Err(error) => lacks("no_new_privs", error.to_string()),
        }
    }
    if hardening.landlock {
        match domain::enter(&Paths::of(config, roots), has_spawner) {
            Ok((abi, whole)) => {
                in_force.landlock = Some((abi, whole));
                if !whole {
                    lacks(
                        "landlock",
                        format!("this kernel's ABI {abi} has only a part of it"),
                    );
                }
            }
            Err(why) => lacks("landlock", why),
        }
    }
    if hardening.seccomp {
        match filter::install(has_spawner) {
            Ok(()) => in_force.seccomp = true,
            Err(why) => lacks("seccomp", why),
        }
    }
    if hardening.landlock || hardening.seccomp {
        let unconfined = threads_beyond(1 + usize::from(has_spawner));
        if unconfined > 0 {
            lacks(
                "hardening",
                format!("{unconfined} threads ran before it; this is a defect of margay"),
            );
        }
    }
    complain(hardening, lacking)?;
    Ok(in_force)
}

/// Ends what only a start needs: from now on no thread makes a ring. Where a spawner was left as it was, that cannot be said for all
/// threads, and is not done. Logs what is in force.
///
/// Errors: [`exit::HOST`] where the kernel refuses and `hardening.required` is set.
pub fn settle(config: &Config, in_force: &InForce) -> Result<(), Problem> {
    if in_force.seccomp
        && !in_force.has_spawner
        && let Err(why) = filter::forbid_new_rings()
    {
        let name = "seccomp of new rings";
        complain(&config.hardening, vec![Lacking { name, why }])?;
    }
    tracing::info!(%in_force, "hardening");
    Ok(())
}

/// Says what is not in force although it was asked for.
fn complain(hardening: &Hardening, lacking: Vec<Lacking>) -> Result<(), Problem> {
    for Lacking { name, why } in lacking {
        if hardening.required {
            return Err(Problem::operator(
                exit::HOST,
                name,
                "",
                format!("is not in force as asked for: {why}"),
                "use a kernel that has it (`margay probe` tells), or set hardening.required to false",
            ));
        }
        tracing::warn!("{name} is not in force as asked for, and the server goes on: {why}");
    }
    Ok(())
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.no_new_privs {
            words.push("no_new_privs".to_owned());
        }
        if let Some((abi, whole)) = self.landlock {
            let part = if whole { "" } else { ", in part" };
            words.push(format!("landlock (ABI {abi}{part})"));
        }
        if self.seccomp {
            words.push("seccomp".to_owned());
        }
        if self.ring_restrictions {
            words.push("ring_restrictions".to_owned());
        }
        if words.is_empty() {
            words.push("nothing".to_owned());
        }
        if self.has_spawner {
            words.push("all but the thread that starts children".to_owned());
        }
        f.write_str(&words.join(", "))
    }
}

/// Threads of this process beyond the expected ones. One that has just ended is still listed for a moment.
fn threads_beyond(expected: usize) -> usize {
    let count = || std::fs::read_dir("/proc/self/task").map_or(expected, Iterator::count);
    for _ in 0..LOOKS {
        if count() <= expected {
            return 0;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    count().saturating_sub(expected)
}
