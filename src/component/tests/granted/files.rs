//! Files: no path, link or rename leads to what is not granted, and what is granted can be used.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::guest::{
    ACCESS, CREATE, DIRECTORY, Guest, IS_DIRECTORY, LOOP, NO_ENTRY, NOT_PERMITTED, READ, TRUNCATE,
    WRITE,
};
use super::*;

/// A directory with things to be had and things not to be had.
struct Ground {
    _folder: tempfile::TempDir,
    outside: PathBuf,
    data: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().canonicalize().unwrap();
        let data = outside.join("data");
        fs::create_dir_all(data.join("private/deep")).unwrap();
        fs::create_dir_all(data.join("sub")).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(data.join("open"), "open").unwrap();
        fs::write(data.join("sub/inner"), "inner").unwrap();
        fs::write(data.join("private/key"), "key").unwrap();
        symlink("../secret", data.join("up")).unwrap();
        symlink(outside.join("secret"), data.join("abs")).unwrap();
        symlink("private/key", data.join("side")).unwrap();
        symlink("sub/inner", data.join("in")).unwrap();
        Self {
            _folder: folder,
            outside,
            data,
        }
    }

    fn allow(&self, access: &str) -> String {
        format!(
            "  storage:\n    allow: [{{uri: \"fs://{}/**\", access: [{access}]}}]",
            self.data.display()
        )
    }

    fn with_deny(&self, access: &str) -> String {
        format!(
            "{}\n    deny: [{{uri: \"fs://{}/private\", access: [read, write]}}]",
            self.allow(access),
            self.data.display()
        )
    }

    fn at(&self, path: &str) -> String {
        self.data.join(path).display().to_string()
    }

    fn content(&self, path: &str) -> String {
        fs::read_to_string(self.data.join(path)).unwrap()
    }
}

#[test]
fn a_component_without_grants_is_shown_no_directory() {
    let mut court = Court::new();
    let (guest, _) = Guest::in_directory();
    assert_eq!(court.answer(&guest, "  {}"), "!");
}

#[test]
fn what_is_granted_is_read_and_written() {
    let ground = Ground::new();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    let file = guest.open(root, "open", 0, READ);
    guest.read(file);
    let through_a_link = guest.open(root, "in", 0, READ);
    guest.read(through_a_link);
    let made = guest.open(root, "sub/new", CREATE, WRITE);
    guest.write(made, "made");
    guest.at("mkdir", root, "sub/folder");
    let folder = guest.open(root, "sub/folder", DIRECTORY, READ);
    guest.open(folder, "../folder/x", CREATE, READ | WRITE);
    let nested = guest.open(folder, "x", CREATE, READ | WRITE);
    guest.write(nested, "x");
    guest.list(folder);
    guest.link((root, "open"), (root, "linked"));
    guest.rename((root, "sub"), (root, "renamed"));
    guest.symlink(root, "renamed/new", "soft");
    guest.at("readlink", root, "soft");
    guest.look(root, "soft");
    guest.at("unlink", root, "open");
    let component = court.load(&guest, &ground.allow("read, write"));
    let answer = court.answer_of(&component);
    assert_eq!(
        answer,
        format!("..<open>..<inner>....{NOT_PERMITTED}.........")
    );
    // A directory that was opened is the end of the way up from there.
    assert_eq!(court.refusals(&component).len(), 1);
    assert_eq!(ground.content("renamed/new"), "made");
    assert_eq!(ground.content("renamed/folder/x"), "x");
    assert_eq!(ground.content("linked"), "open");
    assert_eq!(ground.content("soft"), "made");
    assert!(!ground.data.join("open").exists());
}

#[test]
fn paths_that_lead_out_are_refused_and_audited() {
    let ground = Ground::new();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    let secret = ground.outside.join("secret").display().to_string();
    for path in [
        &*secret,
        "../secret",
        "sub/../../secret",
        "up",
        "abs",
        "up/",
    ] {
        guest.open(root, path, 0, READ);
    }
    guest.at("unlink", root, "../secret");
    guest.at("mkdir", root, "../made");
    guest.look(root, "../secret");
    guest.at("readlink", root, "../secret");
    guest.rename((root, "open"), (root, "../stolen"));
    guest.rename((root, "../secret"), (root, "stolen"));
    guest.link((root, "../secret"), (root, "linked"));
    guest.link((root, "open"), (root, "../linked"));
    guest.symlink(root, &secret, "planted");
    guest.symlink(root, "sub/../../secret", "planted");
    let component = court.load(&guest, &ground.allow("read, write"));
    let answer = court.answer_of(&component);
    assert_eq!(answer, NOT_PERMITTED.to_string().repeat(16));
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 16, "{refusals:#?}");
    for (method, _, rule) in &refusals {
        assert!(method.starts_with("fs "), "{method}");
        assert!(
            rule.contains("leads out")
                || rule.contains("lead nowhere")
                || rule.contains("not followed"),
            "{rule}"
        );
    }
    assert_eq!(
        fs::read_to_string(ground.outside.join("secret")).unwrap(),
        "secret"
    );
    assert!(!ground.outside.join("made").exists());
    assert!(!ground.data.join("planted").exists());
}

#[test]
fn a_deny_line_holds_however_the_place_is_called() {
    let ground = Ground::new();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "private/key", 0, READ);
    guest.open(root, "sub/../private/key", 0, READ);
    guest.open(root, "side", 0, READ);
    guest.open(root, "private", DIRECTORY, READ);
    // That there is nothing is not told either.
    guest.open(root, "private/absent", 0, READ);
    guest.open(root, "private/absent/deeper", 0, READ);
    guest.open(root, "absent", 0, READ);
    guest.look(root, "private/key");
    guest.link((root, "private/key"), (root, "key"));
    guest.rename((root, "private/key"), (root, "key"));
    // The directory around it keeps its name, because the line would not know it under another.
    guest.rename((root, "private"), (root, "public"));
    guest.symlink(root, "private/key", "soft");
    guest.open(root, "soft", 0, READ);
    guest.open(root, "private/made", CREATE, WRITE);
    guest.at("rmdir", root, "private/deep");
    let component = court.load(&guest, &ground.with_deny("read, write"));
    let answer = court.answer_of(&component);
    let denied = ACCESS.to_string();
    assert_eq!(
        answer,
        denied.repeat(6) + &NO_ENTRY.to_string() + &denied.repeat(4) + "." + &denied.repeat(3)
    );
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 13, "{refusals:#?}");
    for (_, target, rule) in &refusals {
        assert!(target.starts_with(&ground.at("private")), "{target}");
        assert!(
            rule.starts_with("probe.policy.yaml:") && rule.contains("deny storage"),
            "{rule}"
        );
    }
}

#[test]
fn a_directory_with_something_denied_in_it_is_not_renamed() {
    let ground = Ground::new();
    let mut court = Court::new();
    fs::create_dir_all(ground.data.join("a/b")).unwrap();
    fs::write(ground.data.join("a/b/hidden"), "x").unwrap();
    let (mut guest, root) = Guest::in_directory();
    guest.rename((root, "a"), (root, "c"));
    guest.rename((root, "sub"), (root, "moved"));
    let permissions = format!(
        "{}\n    deny: [{{uri: \"fs://{}\", access: [read]}}]",
        ground.allow("read, write"),
        ground.at("a/b/hidden")
    );
    let component = court.load(&guest, &permissions);
    assert_eq!(court.answer_of(&component), format!("{ACCESS}."));
    assert_eq!(court.refusals(&component)[0].1, ground.at("a/b/hidden"));
    assert!(ground.data.join("a/b/hidden").exists());
}

#[test]
fn a_read_only_place_is_not_changed_in_any_way() {
    let ground = Ground::new();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "open", TRUNCATE, READ);
    guest.open(root, "open", 0, WRITE);
    guest.open(root, "new", CREATE, READ);
    guest.at("mkdir", root, "folder");
    guest.at("unlink", root, "open");
    guest.at("rmdir", root, "private/deep");
    guest.rename((root, "open"), (root, "renamed"));
    guest.link((root, "open"), (root, "linked"));
    guest.symlink(root, "open", "soft");
    let file = guest.open(root, "open", 0, READ);
    guest.write(file, "changed");
    guest.set_size(file);
    guest.read(file);
    let component = court.load(&guest, &ground.allow("read"));
    let answer = court.answer_of(&component);
    let denied = ACCESS.to_string();
    let held = NOT_PERMITTED.to_string();
    assert_eq!(answer, denied.repeat(9) + "." + &held.repeat(2) + ".<open>");
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 9);
    assert!(
        refusals
            .iter()
            .all(|(method, _, rule)| method == "fs write" && rule == "no rule allows it")
    );
    assert_eq!(ground.content("open"), "open");
    assert!(!ground.data.join("new").exists());
}

#[test]
fn a_write_only_place_is_not_read_and_nothing_is_moved_to_where_it_could_be() {
    let ground = Ground::new();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "open", 0, READ);
    guest.open(root, "open", 0, READ | WRITE);
    let file = guest.open(root, "open", 0, WRITE);
    guest.read(file);
    guest.write(file, "OPEN");
    guest.list(root);
    guest.at("readlink", root, "in");
    // Readable under another name is readable.
    guest.rename((root, "open"), (root, "sub/open"));
    guest.link((root, "open"), (root, "sub/open"));
    let permissions = format!(
        "{}\n      - {{uri: \"fs://{}\", access: [read]}}",
        ground
            .allow("write")
            .replace("[{", "\n      - {")
            .replace("}]", "}"),
        ground.at("sub"),
    );
    let component = court.load(&guest, &permissions);
    let answer = court.answer_of(&component);
    let denied = ACCESS.to_string();
    assert_eq!(answer, denied.repeat(2) + ".D." + &denied.repeat(4));
    assert_eq!(ground.content("open"), "OPEN");
    assert_eq!(court.refusals(&component).len(), 6);
}

#[test]
fn a_hard_link_or_rename_does_not_lead_out_of_a_read_only_place() {
    let ground = Ground::new();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.link((root, "open"), (root, "sub/open"));
    guest.rename((root, "open"), (root, "sub/open"));
    guest.open(root, "sub/mine", CREATE, WRITE);
    let permissions = format!(
        "{}\n      - {{uri: \"fs://{}\", access: [read, write]}}",
        ground
            .allow("read")
            .replace("[{", "\n      - {")
            .replace("}]", "}"),
        ground.at("sub"),
    );
    let component = court.load(&guest, &permissions);
    assert_eq!(court.answer_of(&component), format!("{ACCESS}{ACCESS}."));
    let refusals = court.refusals(&component);
    assert!(
        refusals
            .iter()
            .all(|(method, target, _)| method == "fs write" && *target == ground.at("open"))
    );
}

#[test]
fn globs_and_single_files_are_what_they_say() {
    let ground = Ground::new();
    let mut court = Court::new();
    fs::write(ground.data.join("a.txt"), "text").unwrap();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "a.txt", 0, READ);
    guest.open(root, "open", 0, READ);
    guest.list(root);
    let at = ground.at("*.txt");
    let permissions = format!("  storage:\n    allow: [{{uri: \"fs://{at}\", access: [read]}}]");
    assert_eq!(
        court.answer(&guest, &permissions),
        format!(".{ACCESS}{ACCESS}")
    );
    let at = ground.at("open");
    let permissions = format!("  storage:\n    allow: [{{uri: \"fs://{at}\", access: [read]}}]");
    assert_eq!(
        court.answer(&guest, &permissions),
        format!("{ACCESS}.{ACCESS}")
    );
}

#[test]
fn what_is_no_file_is_not_opened() {
    let ground = Ground::new();
    let mut court = Court::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        ground.data.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, "pipe", 0, READ);
    guest.open(root, "pipe", 0, WRITE);
    guest.open_as(root, 0, "in", 0, READ);
    guest.open(root, "sub", 0, WRITE);
    let component = court.load(&guest, &ground.allow("read, write"));
    assert_eq!(
        court.answer_of(&component),
        format!("{ACCESS}{ACCESS}{LOOP}{IS_DIRECTORY}")
    );
    assert_eq!(court.refusals(&component).len(), 2);
}

#[test]
fn a_granted_directory_that_is_reached_by_a_link_is_known_by_both_its_names() {
    let ground = Ground::new();
    let mut court = Court::new();
    symlink(&ground.data, ground.outside.join("alias")).unwrap();
    let (mut guest, root) = Guest::in_directory();
    let file = guest.open(root, "open", 0, READ);
    guest.read(file);
    guest.open(root, "private/key", 0, READ);
    let alias = ground.outside.join("alias");
    let permissions = format!(
        "  storage:\n    allow: [{{uri: \"fs://{0}/**\", access: [read]}}]\n    deny: [{{uri: \"fs://{0}/private\", access: [read]}}]",
        alias.display()
    );
    assert_eq!(
        court.answer(&guest, &permissions),
        format!("..<open>{ACCESS}")
    );
}

#[test]
fn more_open_files_than_the_budget_end_the_call() {
    let ground = Ground::new();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    for _ in 0..2 {
        let file = guest.open(root, "open", 0, READ);
        guest.then(&format!("(call $close (local.get $l{}))", file.index()));
    }
    for _ in 0..3 {
        guest.open(root, "open", 0, READ);
    }
    let permissions = format!("{}\n  resources: {{open_files: 3}}", ground.allow("read"));
    assert_eq!(court.answer(&guest, &permissions), ".....");
    let permissions = format!("{}\n  resources: {{open_files: 2}}", ground.allow("read"));
    let component = court.load(&guest, &permissions);
    let (outcome, result) = court.bench.call(&component, "{}");
    assert_eq!(outcome, CallOutcome::Budget, "{result}");
    assert!(
        text(&result).contains("open_files of 2"),
        "{}",
        text(&result)
    );
}
