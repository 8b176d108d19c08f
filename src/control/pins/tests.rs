use super::*;
use serde_json::json;

fn pins(folder: &tempfile::TempDir, on_change: OnChange, accepts_new: bool) -> Pins {
    let options = PinOptions {
        on_change,
        accepts_new,
        path: folder.path().join("pins.json"),
    };
    Pins::open(options, Audit::off()).unwrap()
}

fn definition(description: &str) -> Definition {
    let entry = json!({"description": description, "inputSchema": {"type": "object"}});
    Definition::of("search", entry.as_object().unwrap())
}

const DOCS: Source<'_> = Source::Upstream("docs");

#[test]
fn a_tool_that_changes_is_blocked_until_an_operator_approves_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = pins(&folder, OnChange::Block, true);
    assert!(server.may_be_offered(DOCS, definition("finds")));
    assert!(!server.may_be_offered(DOCS, definition("finds, and reads ~/.ssh")));
    assert!(!server.may_be_offered(DOCS, definition("finds, and reads ~/.ssh")));
    assert!(
        server.may_be_offered(DOCS, definition("finds")),
        "what was approved stays so"
    );
    assert!(!server.may_be_offered(DOCS, definition("another")));
    server.save();
    let path = folder.path().join("pins.json");
    assert!(approve(&path, Some("other"), None).unwrap().is_empty());
    let approved = approve(&path, Some("upstream:docs/search"), None).unwrap();
    assert_eq!(approved.len(), 1);
    std::fs::File::open(&path)
        .unwrap()
        .set_modified(SystemTime::now() + std::time::Duration::from_secs(5))
        .unwrap();
    assert!(server.look(), "the server notices");
    assert!(!server.look(), "once");
    assert!(server.may_be_offered(DOCS, definition("another")));
}

#[test]
fn pins_outlive_the_process_and_are_the_owners_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = pins(&folder, OnChange::Block, true);
    assert!(server.may_be_offered(DOCS, definition("finds")));
    server.save();
    let server = pins(&folder, OnChange::Block, true);
    assert!(!server.may_be_offered(DOCS, definition("else")));
    assert!(
        server.may_be_offered(Source::Upstream("other"), definition("else")),
        "its own first word"
    );
    assert!(server.may_be_offered(Source::Component("docs"), definition("else")));
}

#[test]
fn an_alert_tells_and_blocks_nothing_and_new_tools_can_be_blocked_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = pins(&folder, OnChange::Alert, true);
    assert!(server.may_be_offered(DOCS, definition("finds")));
    assert!(server.may_be_offered(DOCS, definition("else")));
    assert_eq!(lock(&server.state).told.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let server = pins(&folder, OnChange::Block, false);
    assert!(!server.may_be_offered(DOCS, definition("finds")));
    server.save();
    assert_eq!(
        approve(&folder.path().join("pins.json"), None, None)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pins.json");
    for text in [
        "{",
        "{\"version\":2,\"tools\":[]}",
        "{\"version\":1,\"tools\":[],\"x\":1}",
    ] {
        std::fs::write(&path, text).unwrap();
        let problem = PinFile::read(&path).unwrap_err().to_string();
        assert!(problem.contains("pins.json"), "{problem}");
    }
}

/// What an operator looked at is approved, or nothing: whoever changes it again in between gains nothing by it.
#[test]
fn what_has_changed_since_it_was_looked_at_is_not_approved() {
    let folder = tempfile::tempdir().unwrap();
    let server = pins(&folder, OnChange::Block, true);
    let path = folder.path().join("pins.json");
    assert!(server.may_be_offered(DOCS, definition("finds")));
    assert!(!server.may_be_offered(DOCS, definition("finds more")));
    let seen = definition("finds more").sha256;
    assert!(!server.may_be_offered(DOCS, definition("finds, and reads ~/.ssh")));
    server.save();
    let name = Some("upstream:docs/search");
    assert!(approve(&path, name, Some(&seen[..16])).unwrap().is_empty());
    let now = definition("finds, and reads ~/.ssh").sha256;
    assert_eq!(approve(&path, name, Some(&now[..16])).unwrap().len(), 1);
}

#[test]
fn a_name_that_several_have_approves_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = pins(&folder, OnChange::Block, false);
    for source in [DOCS, Source::Upstream("shadow")] {
        assert!(!server.may_be_offered(source, definition("finds")));
    }
    server.save();
    let path = folder.path().join("pins.json");
    let refused = approve(&path, Some("search"), None)
        .unwrap_err()
        .to_string();
    for part in ["upstream:docs/search", "upstream:shadow/search"] {
        assert!(refused.contains(part), "{refused}");
    }
    let approved = approve(&path, Some("upstream:docs/search"), None).unwrap();
    assert_eq!(approved.len(), 1);
}

#[test]
fn an_approval_is_not_written_over_by_a_server_that_has_not_seen_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = pins(&folder, OnChange::Block, false);
    assert!(!server.may_be_offered(DOCS, definition("finds")));
    server.save();
    let path = folder.path().join("pins.json");
    assert_eq!(approve(&path, Some("search"), None).unwrap().len(), 1);
    let later = SystemTime::now() + std::time::Duration::from_secs(5);
    let file = std::fs::File::open(&path).unwrap();
    file.set_modified(later).unwrap();
    let other = Source::Upstream("other");
    assert!(!server.may_be_offered(other, definition("finds")));
    server.save();
    assert!(server.look(), "it is taken first");
    assert!(server.may_be_offered(DOCS, definition("finds")));
    assert!(!server.may_be_offered(other, definition("finds")));
    server.save();
    assert!(PinFile::read(&path).unwrap().pins().len() == 2);
}

#[test]
fn whoever_invents_names_fills_no_file_with_them() {
    let mut file = PinFile::default();
    let see = |file: &mut PinFile, source: &str, tool: &str| {
        file.see(source, tool, definition("x"), true, 0).standing
    };
    for number in 0..20_000 {
        let pin = Pin {
            source: "upstream:docs".to_owned(),
            tool: format!("t{number}"),
            approved: None,
            waiting: None,
        };
        file.push(pin);
    }
    assert_eq!(see(&mut file, "upstream:docs", "another"), Seen::New);
    assert_eq!(file.pins().len(), 20_000);
    assert_eq!(see(&mut file, "upstream:other", "first"), Seen::Approved);
}
