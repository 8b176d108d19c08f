//! What the running server has given up, as the kernel tells it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::json;

use crate::harness::{Appliance, binary};

/// A stdio upstream that lives as long as it is wanted, and answers nothing.
const SILENT: &str =
    "upstreams:\n  silent: {command: cat}\nlimits: {upstream_start_deadline: 1s}\n";

/// One line of a thread's or a process's status.
fn status(path: &str, key: &str) -> String {
    let text = fs::read_to_string(format!("{path}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or("").trim().to_owned()
}

/// For each thread of a process: its name, whether it gains no privileges, the mode of its seccomp.
fn threads(pid: u32) -> BTreeMap<String, (String, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let paths = tasks.map(|task| task.unwrap().path().display().to_string());
    let alive = paths.filter(|path| !status(path, "Name").is_empty());
    alive
        .map(|path| {
            let name = format!("{} {path}", status(&path, "Name"));
            (
                name,
                (status(&path, "NoNewPrivs"), status(&path, "Seccomp")),
            )
        })
        .collect()
}

fn confined() -> (String, String) {
    ("1".to_owned(), "2".to_owned())
}

fn open() -> (String, String) {
    ("0".to_owned(), "0".to_owned())
}

#[test]
fn every_thread_of_a_server_is_confined() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    assert_eq!(
        client.call("echo", json!({"text": "hello"}))["structuredContent"]["result"],
        "hello"
    );
    let threads = threads(appliance.pid());
    assert!(threads.len() >= 5, "{threads:?}");
    for (name, thread) in &threads {
        assert_eq!(*thread, confined(), "{name} of {threads:?}");
    }
    let log = appliance.stderr();
    assert!(
        log.contains("in_force=no_new_privs, landlock (ABI "),
        "{log}"
    );
    assert!(log.contains(", seccomp, ring_restrictions"), "{log}");
    assert!(!log.contains("not in force"), "{log}");
}

#[test]
fn a_child_and_the_thread_that_starts_it_are_all_that_is_not_confined() {
    let appliance = Appliance::with(&[], SILENT);
    let threads = threads(appliance.pid());
    for (name, thread) in &threads {
        let is_spawner = name.starts_with("margay-spawner ");
        let expected = if is_spawner { open() } else { confined() };
        assert_eq!(*thread, expected, "{name} of {threads:?}");
    }
    assert!(
        threads
            .keys()
            .any(|name| name.starts_with("margay-spawner "))
    );
    let parent = appliance.pid().to_string();
    let processes = fs::read_dir("/proc").unwrap();
    let path = processes
        .map(|entry| entry.unwrap().path().display().to_string())
        .find(|path| status(path, "PPid") == parent)
        .expect("the child's keeper runs");
    let child = (status(&path, "NoNewPrivs"), status(&path, "Seccomp"));
    assert_eq!(child, open(), "a child has what it would have by itself");
    assert!(
        appliance
            .stderr()
            .contains("all but the thread that starts children")
    );
}

#[test]
fn each_restriction_is_switched_off_by_its_name() {
    let all = ["landlock", "seccomp", "ring_restrictions"];
    for off in all {
        let appliance = Appliance::with(&[], &format!("hardening: {{{off}: false}}\n"));
        let log = appliance.stderr();
        let line = log
            .lines()
            .find(|line| line.contains("in_force="))
            .unwrap()
            .to_owned();
        for name in all {
            assert_eq!(line.contains(name), name != off, "{name}: {line}");
        }
        let mode = if off == "seccomp" { "0" } else { "2" };
        for (name, (_, seccomp)) in threads(appliance.pid()) {
            assert_eq!(seccomp, mode, "{name}");
        }
    }
    let appliance = Appliance::with(&["--hardening", "off"], "");
    for (name, thread) in threads(appliance.pid()) {
        assert_eq!(thread, open(), "{name}");
    }
    assert!(appliance.stderr().contains("in_force=nothing"));
}

#[test]
fn confined_it_loads_what_is_added_and_opens_its_log_again() {
    let folder = crate::harness::scratch("hardened");
    let log = folder.join("access.log");
    let appliance = Appliance::with(&["--access-log", log.to_str().unwrap()], "");
    let added = Command::new(binary())
        .args(["component", "load"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/components/nested.wat"
        ))
        .env("XDG_DATA_HOME", appliance.folder.join("data"))
        .env("XDG_CACHE_HOME", crate::harness::cache())
        .env("XDG_STATE_HOME", appliance.folder.join("state"))
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    appliance.eventually("the added component is served", || {
        appliance.metric("margay_components", "") == 1.0
    });
    fs::rename(&log, folder.join("access.log.1")).unwrap();
    appliance.signal("HUP");
    appliance.eventually("the log is there again", || log.exists());
    assert!(!appliance.stderr().contains("could not be"));
}

#[test]
fn the_probe_tells_what_the_kernel_offers() {
    let output = Command::new(binary()).arg("probe").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["Landlock: ABI ", "seccomp: filters"] {
        assert!(text.contains(name), "{text}");
    }
}

/// The profile for containers and the server's own list, which stands in the source.
#[test]
fn the_profile_for_containers_lets_through_what_the_server_lets_itself() {
    let root = env!("CARGO_MANIFEST_DIR");
    let source = fs::read_to_string(format!("{root}/src/control/harden/calls.rs")).unwrap();
    let allowed = source.split("const HOSTILE").next().unwrap();
    let mut names: Vec<&str> = allowed
        .split("SYS_")
        .skip(1)
        .map(|rest| {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            &rest[..end.unwrap()]
        })
        .collect();
    assert!(names.len() > 140, "{names:?}");
    names.extend([
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
    ]);
    let profile = fs::read_to_string(format!("{root}/tuning/seccomp.json")).unwrap();
    let unit = fs::read_to_string(format!("{root}/tuning/margay.service")).unwrap();
    for name in names {
        assert!(profile.contains(&format!("\"{name}\"")), "{name}");
        if name == "seccomp" || name.starts_with("landlock_") {
            assert!(unit.contains(name), "{name}");
        }
    }
}
