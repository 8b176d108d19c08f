//! Links and moves: nothing is put where it would lead out of what was granted, for whoever follows it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::guest::{ACCESS, CREATE, Guest, NO_ENTRY, NOT_PERMITTED, READ, WRITE};
use super::*;

fn ground() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    fs::create_dir_all(data.join("x/y")).unwrap();
    fs::create_dir_all(data.join("private")).unwrap();
    fs::create_dir_all(data.join("shown")).unwrap();
    fs::write(data.join("../secret"), "secret").unwrap();
    fs::write(data.join("private/key"), "secret").unwrap();
    fs::write(data.join("open"), "open").unwrap();
    (folder, data)
}

#[test]
fn a_link_is_not_moved_to_where_it_would_lead_out() {
    let (_folder, data) = ground();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.symlink(root, "../../secret", "x/y/link");
    guest.rename((root, "x/y/link"), (root, "x/link"));
    guest.rename((root, "x/y"), (root, "y"));
    // What stays inside is moved.
    guest.symlink(root, "../open", "x/near");
    guest.rename((root, "x/near"), (root, "x/y/near"));
    guest.symlink(root, "x/../../secret", "behind");
    let permissions = format!(
        "  storage:\n    allow: [{{uri: \"fs://{}\", access: [read, write]}}]",
        data.display()
    );
    let component = court.load(&guest, &permissions);
    assert_eq!(
        court.answer_of(&component),
        format!(".{NOT_PERMITTED}{NOT_PERMITTED}..{NOT_PERMITTED}")
    );
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 3);
    assert!(refusals.iter().all(|(.., rule)| rule.contains("leads out")));
    assert!(!data.join("x/link").exists() && !data.join("y").exists());
    assert!(data.join("x/y/near").is_symlink());
}

#[test]
fn a_granted_directory_that_its_component_made_a_link_is_not_shown() {
    let (_folder, data) = ground();
    let at = data.display();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.rename((root, "shown"), (root, "moved"));
    guest.symlink(root, "private", "shown");
    let write = format!("{{uri: \"fs://{at}\", access: [write]}}");
    let both = format!("{{uri: \"fs://{at}/shown\", access: [read, write]}}");
    // Without the other line the move is one of two places that are the same to the policy.
    assert_eq!(
        court.answer(&guest, &format!("  storage:\n    allow: [{write}, {both}]")),
        ".."
    );
    let (mut guest, root) = Guest::in_directory();
    let file = guest.open(root, "key", 0, READ);
    let component = court.load(&guest, &format!("  storage:\n    allow: [{both}, {write}]"));
    assert_eq!(court.answer_of(&component), ACCESS.to_string());
    let refusals = court.refusals(&component);
    assert_eq!(refusals[0].1, format!("{at}/shown"), "{refusals:?}");
    assert!(
        refusals[0].2.contains("could have put there"),
        "{refusals:?}"
    );
    // A link that the component cannot have made is followed.
    fs::remove_file(data.join("shown")).unwrap();
    symlink("private", data.join("shown")).unwrap();
    let read = both.replace("read, write", "read");
    guest.read(file);
    assert_eq!(
        court.answer(&guest, &format!("  storage:\n    allow: [{read}]")),
        "..<secret>"
    );
}

#[test]
fn a_granted_pipe_is_not_waited_for() {
    let (_folder, data) = ground();
    let mut court = Court::new();
    let pipe = data.join("pipe");
    let (kind, mode) = (
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
    );
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    let (guest, _) = Guest::in_directory();
    let permissions = format!(
        "  storage:\n    allow: [{{uri: \"fs://{}\", access: [read]}}]",
        pipe.display()
    );
    assert_eq!(court.answer(&guest, &permissions), "!");
}

#[test]
fn names_of_what_is_not_granted_are_not_listed() {
    let (_folder, data) = ground();
    let at = data.display();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.names(root);
    let permissions = format!(
        "  storage:\n    allow: [{{uri: \"fs://{at}\", access: [read]}}]\n    deny: [{{uri: \"fs://{at}/private\", access: [read, write]}}, {{uri: \"fs://{at}/o*\", access: [read]}}]"
    );
    let answer = court.answer(&guest, &permissions);
    assert!(
        answer.contains("<x>") && answer.contains("<shown>"),
        "{answer}"
    );
    assert!(
        !answer.contains("private") && !answer.contains("open"),
        "{answer}"
    );
    // Nor to a caller who may less.
    let permissions = format!("  storage:\n    allow: [{{uri: \"fs://{at}\", access: [read]}}]");
    let component = court.load(&guest, &permissions);
    let narrow = format!("  storage:\n    deny: [{{uri: \"fs://{at}/x\", access: [read, write]}}]");
    let (_, result) = court.call_for(&component, 0, Some(narrowing(&narrow)));
    let answer = text(&result);
    assert!(
        answer.contains("<open>") && !answer.contains("<x>"),
        "{answer}"
    );
}

#[test]
fn times_are_not_set_where_nothing_may_be_written() {
    let (_folder, data) = ground();
    let mut court = Court::new();
    let before = fs::metadata(data.join("open")).unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let (mut guest, root) = Guest::in_directory();
    let file = guest.open(root, "open", 0, READ);
    guest.set_times(root, "open", file);
    guest.set_times(root, ".", root);
    let permissions = format!(
        "  storage:\n    allow: [{{uri: \"fs://{}\", access: [read]}}]",
        data.display()
    );
    let component = court.load(&guest, &permissions);
    assert_eq!(
        court.answer_of(&component),
        format!(".{ACCESS}{NOT_PERMITTED}{ACCESS}{NOT_PERMITTED}")
    );
    let after = fs::metadata(data.join("open")).unwrap().modified().unwrap();
    assert_eq!(before, after);
    assert_eq!(court.refusals(&component).len(), 2);
}

#[test]
fn what_a_dangling_link_leads_to_is_made_only_where_that_is_granted() {
    let (_folder, data) = ground();
    let at = data.display();
    symlink("private/new", data.join("dangling")).unwrap();
    symlink("../../new", data.join("x/out")).unwrap();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "dangling", CREATE, WRITE);
    guest.open(root, "x/out", CREATE, WRITE);
    guest.open(root, "private/new", 0, READ);
    let permissions = format!(
        "  storage:\n    allow: [{{uri: \"fs://{at}\", access: [read, write]}}]\n    deny: [{{uri: \"fs://{at}/private\", access: [write]}}]"
    );
    assert_eq!(
        court.answer(&guest, &permissions),
        format!("{ACCESS}{NOT_PERMITTED}{NO_ENTRY}")
    );
    assert!(!data.join("private/new").exists() && !data.join("../new").exists());
}

#[test]
fn a_file_is_emptied_only_if_it_may_be_written() {
    let (_folder, data) = ground();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "open", super::guest::TRUNCATE, WRITE);
    let allow = |access: &str| {
        format!(
            "  storage:\n    allow: [{{uri: \"fs://{}\", access: [{access}]}}]",
            data.display()
        )
    };
    assert_eq!(court.answer(&guest, &allow("read")), ACCESS.to_string());
    assert_eq!(fs::read(data.join("open")).unwrap(), b"open");
    assert_eq!(court.answer(&guest, &allow("write")), ".");
    assert_eq!(fs::read(data.join("open")).unwrap(), b"");
}

#[test]
fn the_servers_own_files_are_not_opened_however_wide_the_grant_is() {
    let (_folder, data) = ground();
    let at = data.display();
    let store = data.join("components");
    fs::create_dir_all(store.join("work")).unwrap();
    fs::write(store.join("probe.policy.yaml"), "mine").unwrap();
    fs::write(data.join("margay.yaml"), "mine").unwrap();
    let own = crate::policy::permission::Own::new(
        vec![format!("{at}/margay.yaml")],
        vec![format!("{at}/state")],
        vec![format!("{at}/components")],
    );
    let mut court = Court::owning(own);
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "components/probe.policy.yaml", 0, READ | WRITE);
    guest.open(root, "components/probe.policy.yaml", 0, READ);
    guest.open(root, "components/other.json", CREATE, WRITE);
    guest.open(root, "margay.yaml", 0, WRITE);
    guest.at("mkdir", root, "state");
    guest.at("unlink", root, "components/probe.policy.yaml");
    guest.rename((root, "open"), (root, "components/probe.policy.yaml"));
    guest.link((root, "components/probe.policy.yaml"), (root, "linked"));
    guest.rename((root, "components"), (root, "moved"));
    guest.open(root, "components/work/new", CREATE, WRITE);
    guest.open(root, "private/key", 0, READ);
    let permissions =
        format!("  storage:\n    allow: [{{uri: \"fs://{at}/**\", access: [read, write]}}]");
    let component = court.load(&guest, &permissions);
    assert_eq!(
        court.answer_of(&component),
        format!("{}..", ACCESS.to_string().repeat(9))
    );
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 9);
    assert!(
        refusals
            .iter()
            .all(|(.., rule)| rule.contains("server's own files"))
    );
    assert_eq!(fs::read(store.join("probe.policy.yaml")).unwrap(), b"mine");
}

#[test]
fn a_component_that_is_granted_everything_is_not_granted_its_process() {
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "proc/self/mem", 0, READ | WRITE);
    guest.open(root, "proc/self/environ", 0, READ);
    guest.open(root, "dev/null", 0, WRITE);
    guest.open(root, "etc/hostname", 0, READ);
    let all = "  storage:\n    allow: [{uri: \"fs:///**\", access: [read, write]}]";
    let component = court.load(&guest, all);
    let answer = court.answer_of(&component);
    assert!(
        answer.starts_with(&ACCESS.to_string().repeat(3)),
        "{answer}"
    );
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert!(refusals[0].2.contains("files of processes"), "{refusals:?}");
}
