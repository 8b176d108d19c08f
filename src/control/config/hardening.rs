//! What the process gives up once it is started: `hardening:` and `--hardening`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Overrides, Parsed};
use crate::error::{Problem, exit};

/// What `--hardening` takes, in the order of the keys.
const NAMES: [&str; 4] = ["no_new_privs", "landlock", "seccomp", "ring_restrictions"];

/// Which of the kernel's restrictions the process puts on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// Nothing that it runs gains privileges. Landlock and seccomp need it.
    pub no_new_privs: bool,
    /// Only the files that the configuration names, and no new listener.
    pub landlock: bool,
    /// Only the system calls that a server needs.
    pub seccomp: bool,
    /// Only the operations that a shard needs, on the rings of shards.
    pub ring_restrictions: bool,
    /// Whether the start fails where the kernel lacks one of them.
    pub required: bool,
    /// Files and directories that may be read, too.
    pub read_paths: Vec<PathBuf>,
    /// Files and directories that may be read and written, too.
    pub write_paths: Vec<PathBuf>,
}

impl Default for Hardening {
    fn default() -> Self {
        Self {
            no_new_privs: true,
            landlock: true,
            seccomp: true,
            ring_restrictions: true,
            required: false,
            read_paths: Vec::new(),
            write_paths: Vec::new(),
        }
    }
}

/// `hardening:` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HardeningDocument {
    no_new_privs: Option<bool>,
    landlock: Option<bool>,
    seccomp: Option<bool>,
    ring_restrictions: Option<bool>,
    required: Option<bool>,
    read_paths: Option<Vec<PathBuf>>,
    write_paths: Option<Vec<PathBuf>>,
}

impl Parsed<'_> {
    pub(super) fn hardening(&self, overrides: &Overrides) -> Result<Hardening, Problem> {
        let (given, mut line) = match &self.document.hardening {
            Some(given) => (&given.value, Some(given.referenced.line())),
            None => (&HardeningDocument::default(), None),
        };
        let paths = |paths: &Option<Vec<PathBuf>>| {
            let paths = paths.as_deref().unwrap_or_default();
            paths.iter().map(|path| self.relative(path)).collect()
        };
        let mut hardening = Hardening {
            no_new_privs: given.no_new_privs.unwrap_or(true),
            landlock: given.landlock.unwrap_or(true),
            seccomp: given.seccomp.unwrap_or(true),
            ring_restrictions: given.ring_restrictions.unwrap_or(true),
            required: given.required.unwrap_or(false),
            read_paths: paths(&given.read_paths),
            write_paths: paths(&given.write_paths),
        };
        if let Some(text) = &overrides.hardening {
            hardening.choose(text)?;
            line = None;
        }
        let needs = hardening.landlock || hardening.seccomp;
        if needs && !hardening.no_new_privs {
            return Err(self.problem(
                line,
                "hardening.no_new_privs",
                "false",
                "is what landlock and seccomp need",
                "switch these off, too, or leave it on",
            ));
        }
        Ok(hardening)
    }
}

impl Hardening {
    /// `on`, `off`, or the names of those that are to be on.
    fn choose(&mut self, text: &str) -> Result<(), Problem> {
        let names: Vec<&str> = match text {
            "on" => NAMES.to_vec(),
            "off" => Vec::new(),
            names => names.split(',').map(str::trim).collect(),
        };
        if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
            return Err(Problem::operator(
                exit::USAGE,
                "--hardening",
                format!("`{unknown}`"),
                "is none of the restrictions",
                format!("write on, off, or some of {}", NAMES.join(",")),
            ));
        }
        let [no_new_privs, landlock, seccomp, ring_restrictions] =
            NAMES.map(|name| names.contains(&name));
        self.landlock = landlock;
        self.seccomp = seccomp;
        self.ring_restrictions = ring_restrictions;
        // They imply it.
        self.no_new_privs = no_new_privs || landlock || seccomp;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::control::config::Config;

    fn read(text: &str, flag: Option<&str>) -> Result<Hardening, Problem> {
        let overrides = Overrides {
            hardening: flag.map(str::to_owned),
            ..Overrides::default()
        };
        Config::parse(text, Path::new("/etc/margay/margay.yaml"), &overrides)
            .map(|config| config.hardening)
    }

    #[test]
    fn everything_is_on_unless_it_is_switched_off_by_its_name() {
        assert_eq!(read("", None).unwrap(), Hardening::default());
        for name in ["landlock", "seccomp", "ring_restrictions"] {
            let hardening = read(&format!("hardening: {{{name}: false}}"), None).unwrap();
            let on = [
                ("landlock", hardening.landlock),
                ("seccomp", hardening.seccomp),
                ("ring_restrictions", hardening.ring_restrictions),
            ];
            for (other, is_on) in on {
                assert_eq!(is_on, other != name, "{name}: {other}");
            }
        }
    }

    #[test]
    fn no_new_privs_is_not_switched_off_under_those_that_need_it() {
        let problem = read("hardening:\n  no_new_privs: false\n", None).unwrap_err();
        assert!(problem.to_string().contains("line 2"), "{problem}");
        let text = "hardening: {no_new_privs: false, landlock: false, seccomp: false}";
        assert!(!read(text, None).unwrap().no_new_privs);
    }

    #[test]
    fn the_flag_wins_over_the_file_and_names_what_stays() {
        let off = read("hardening: {required: true}", Some("off")).unwrap();
        assert!(off.required && !off.landlock && !off.seccomp && !off.no_new_privs);
        let one = read("", Some("seccomp")).unwrap();
        assert!(one.seccomp && one.no_new_privs && !one.landlock && !one.ring_restrictions);
        let all = read("hardening: {landlock: false}", Some("on")).unwrap();
        assert_eq!(all, Hardening::default());
        let problem = read("", Some("selinux")).unwrap_err().to_string();
        assert!(problem.contains("landlock,seccomp"), "{problem}");
    }

    #[test]
    fn further_paths_start_at_the_files_folder() {
        let hardening = read("hardening: {read_paths: [keys, /srv/x]}", None).unwrap();
        let expected = ["/etc/margay/keys", "/srv/x"].map(PathBuf::from);
        assert_eq!(hardening.read_paths, expected);
    }
}
