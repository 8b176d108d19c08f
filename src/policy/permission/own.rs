//! The server's own files: no line of any policy opens them to a component.
//!
//! A component that is granted a home directory is granted what is in it, and not the policy that grants it: one that could write that
//! would grant itself the rest. Neither is it granted the memory and the environment of the process that it runs in.

use std::sync::Arc;

use super::ask::By;

const OWN: By = By::BuiltIn("the server's own files are not opened to components");
const PROCESSES: By = By::BuiltIn("the files of processes, in /proc, are not opened to components");

/// What a component directory is made of; anything else in it may be a component's.
const STORED: [&str; 5] = [".wasm", ".wat", ".json", ".policy.yaml", ".policy.yml"];

/// The places that belong to the server. Cheap to clone. Each is absolute, canonical, and as the system has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Files.
    files: Arc<[Box<str>]>,
    /// Directories, with everything below them.
    trees: Arc<[Box<str>]>,
    /// Component directories: themselves, and what is stored directly in them.
    stores: Arc<[Box<str>]>,
}

impl Own {
    /// These.
    pub fn new(files: Vec<String>, trees: Vec<String>, stores: Vec<String>) -> Self {
        let shared = |paths: Vec<String>| paths.into_iter().map(String::into_boxed_str).collect();
        Self {
            files: shared(files),
            trees: shared(trees),
            stores: shared(stores),
        }
    }

    /// The rule that keeps this path to the server, if it is one of its own.
    pub fn rule(&self, path: &str) -> Option<By> {
        if is_below(path, "/proc") {
            return Some(PROCESSES);
        }
        let is_own = self.files.iter().any(|own| **own == *path)
            || self.trees.iter().any(|own| is_below(path, own))
            || self.stores.iter().any(|own| is_stored(path, own));
        is_own.then_some(OWN)
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_stored(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    match path.strip_prefix(directory) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('/').is_some_and(|name| {
            !name.contains('/')
                && (name.starts_with('.') || STORED.iter().any(|end| name.ends_with(end)))
        }),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_has_is_its_own_and_what_lies_beside_is_not() {
        let texts = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let own = Own::new(
            texts(&["/etc/margay.yaml"]),
            texts(&["/var/lib/margay", "/audit/"]),
            texts(&["/srv/components"]),
        );
        for path in [
            "/etc/margay.yaml",
            "/var/lib/margay",
            "/var/lib/margay/a/b",
            "/audit/audit.0001.jsonl",
            "/srv/components",
            "/srv/components/a.policy.yaml",
            "/srv/components/a.json",
            "/srv/components/.a.policy.yaml.tmp1",
            "/srv/components/0a.wasm",
            "/proc",
            "/proc/self/mem",
            "/proc/1/environ",
        ] {
            assert!(own.rule(path).is_some(), "{path}");
        }
        for path in [
            "/etc",
            "/etc/margay.yaml.d",
            "/var/lib",
            "/var/lib/margay2",
            "/srv/components/work",
            "/srv/components/work/a.json",
            "/srv/components2",
            "/process",
            "/",
        ] {
            assert_eq!(own.rule(path), None, "{path}");
        }
    }
}
