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
    assert!(approve(&path, Some("other")).unwrap().is_empty());
    let approved = approve(&path, Some("upstream:docs/search")).unwrap();
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
        approve(&folder.path().join("pins.json"), None)
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
