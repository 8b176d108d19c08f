//! All processes below one, whatever group or session they have moved to.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

/// A living process below this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Descendant {
    pid: i32,
    parent: i32,
}

/// Sends a signal to every process below this one; how many there were.
///
/// A process that starts another in between is missed: call again until there is none.
pub(super) fn signal_descendants(signal: Signal) -> usize {
    let all = descendants(getpid().as_raw_nonzero().get(), &processes());
    for process in &all {
        send(*process, signal);
    }
    all.len()
}

/// How many processes live below this one.
pub(super) fn count_descendants() -> usize {
    descendants(getpid().as_raw_nonzero().get(), &processes()).len()
}

/// Sends a signal to this very process: the number is checked again once it cannot be given to another any more.
fn send(process: Descendant, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return;
    };
    let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    let now = stat(process.pid);
    if now.is_some_and(|(parent, _)| parent == process.parent) {
        // ESRCH: it has ended, which is what was wanted.
        let _ = pidfd_send_signal(&held, signal);
    }
}

/// Parents of all processes that live. A zombie is no process any more: only its parent can do something about it.
fn processes() -> HashMap<i32, i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let (parent, state) = stat(pid)?;
            (!matches!(state, 'Z' | 'X')).then_some((pid, parent))
        })
        .collect()
}

/// Parent and state of a process.
fn stat(pid: i32) -> Option<(i32, char)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `pid (name) state parent …`; the name may have anything in it, parentheses too.
fn parse_stat(text: &str) -> Option<(i32, char)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?.chars().next()?;
    Some((words.next()?.parse().ok()?, state))
}

fn descendants(root: i32, parents: &HashMap<i32, i32>) -> Vec<Descendant> {
    let mut found = vec![root];
    let mut at = 0;
    let mut all = Vec::new();
    while let Some(&parent) = found.get(at) {
        at += 1;
        for (&pid, _) in parents.iter().filter(|(_, of)| **of == parent) {
            // A list taken while processes come and go can have a circle in it.
            if !found.contains(&pid) {
                found.push(pid);
                all.push(Descendant { pid, parent });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pretend_to_be_another_process() {
        assert_eq!(parse_stat("12 (sh) S 7 12 12 0"), Some((7, 'S')));
        assert_eq!(parse_stat("12 (a) R 1 (b) Z 9 0"), Some((9, 'Z')));
        assert_eq!(parse_stat("12 (a"), None);
        assert_eq!(parse_stat(""), None);
        let (parent, state) = stat(getpid().as_raw_nonzero().get()).unwrap();
        assert!(parent > 0 && matches!(state, 'R' | 'S'));
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_circles_end() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 9), (9, 6), (7, 7)]);
        let pids = |root| {
            let mut pids: Vec<i32> = descendants(root, &parents)
                .iter()
                .map(|found| found.pid)
                .collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(1), [2, 3, 4, 5]);
        assert_eq!(pids(3), [4]);
        assert_eq!(pids(6), [9]);
        assert!(pids(7).is_empty() && pids(8).is_empty());
    }
}
