//! What a child is: its command, its environment, its limits.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Variables that every child gets from our own environment, where they are set: without them hardly a program starts.
const USUAL: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "TERM",
];

/// What a child may use. `None`: as much as we may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Bytes of memory that it may write to (`RLIMIT_DATA`), for each of its processes.
    pub memory_bytes: Option<u64>,
    /// Open files of each of its processes (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processor seconds of each of its processes (`RLIMIT_CPU`).
    pub cpu_seconds: Option<u64>,
    /// Processes of its user (`RLIMIT_NPROC`): those of others count, too.
    pub processes: Option<u64>,
}

/// One child as the configuration wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    /// The upstream's name, for the log.
    pub name: String,
    /// The program: a path, or a name that is looked for in the child's `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment: see [`environment`].
    pub environment: Vec<(OsString, OsString)>,
    /// Where it starts; `None`: where we did.
    pub directory: Option<PathBuf>,
    /// What it may use.
    pub limits: ResourceLimits,
    /// Milliseconds that it gets to end by itself once its input is closed.
    pub close_ms: u64,
    /// Milliseconds that it gets after that and SIGTERM, before SIGKILL.
    pub term_ms: u64,
}

/// The environment of a child: what every program needs, the variables of ours that it is granted by name, and those that
/// the configuration sets, which win.
pub fn environment(
    ours: impl IntoIterator<Item = (OsString, OsString)>,
    granted: &[String],
    set: &[(String, String)],
) -> Vec<(OsString, OsString)> {
    let is_granted = |name: &OsStr| {
        USUAL.iter().any(|usual| name == *usual)
            || granted.iter().any(|granted| name == granted.as_str())
    };
    let is_set = |name: &OsStr| set.iter().any(|(set, _)| name == set.as_str());
    let mut environment: Vec<(OsString, OsString)> = ours
        .into_iter()
        .filter(|(name, _)| is_granted(name) && !is_set(name))
        .collect();
    environment.extend(
        set.iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value))),
    );
    environment
}

/// What keeper and launcher are told on their command lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepOptions {
    /// The process whose end ends everything.
    pub parent: u32,
    /// See [`ChildSpec::close_ms`].
    pub close_ms: u64,
    /// See [`ChildSpec::term_ms`].
    pub term_ms: u64,
    /// What the child may use.
    pub limits: ResourceLimits,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

impl KeepOptions {
    /// The command line that says the same, after the name of the subcommand.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let mut option = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                arguments.push(OsString::from(format!("--{name}={value}")));
            }
        };
        option("parent", Some(u64::from(self.parent)));
        option("close-ms", Some(self.close_ms));
        option("term-ms", Some(self.term_ms));
        option("memory-bytes", self.limits.memory_bytes);
        option("open-files", self.limits.open_files);
        option("cpu-seconds", self.limits.cpu_seconds);
        option("processes", self.limits.processes);
        arguments.push(OsString::from("--"));
        arguments.extend(self.command.iter().cloned());
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_what_it_is_granted_and_nothing_else() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let ours = [
            pair("PATH", "/bin"),
            pair("HOME", "/root"),
            pair("AWS_SECRET_ACCESS_KEY", "secret"),
            pair("TOKEN", "t"),
            pair("MODE", "ours"),
        ];
        let granted = ["TOKEN".to_owned(), "ABSENT".to_owned()];
        let set = [
            ("MODE".to_owned(), "theirs".to_owned()),
            ("HOME".to_owned(), "/tmp".to_owned()),
        ];
        let found = environment(ours, &granted, &set);
        let expected = [
            pair("PATH", "/bin"),
            pair("TOKEN", "t"),
            pair("MODE", "theirs"),
            pair("HOME", "/tmp"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn options_are_a_command_line() {
        let options = KeepOptions {
            parent: 7,
            close_ms: 1,
            term_ms: 2,
            limits: ResourceLimits {
                open_files: Some(64),
                ..ResourceLimits::default()
            },
            command: vec!["run".into(), "--parent=9".into()],
        };
        let expected = [
            "--parent=7",
            "--close-ms=1",
            "--term-ms=2",
            "--open-files=64",
            "--",
            "run",
            "--parent=9",
        ];
        assert_eq!(options.to_arguments(), expected.map(OsString::from));
    }
}
