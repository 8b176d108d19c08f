//! Bounds that hold whatever a guest does to get around them.

use std::fs;

use super::guest::{DIRECTORY, Guest, READ};
use super::*;

/// `name-too-long` of `wasi:filesystem`.
const TOO_LONG: char = 'S';

#[test]
fn a_file_that_a_stream_keeps_open_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap();
    fs::write(data.join("open"), "open").unwrap();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    for _ in 0..3 {
        let file = guest.open(root, "open", 0, READ);
        guest.stream(file);
        guest.close(file);
    }
    let permissions = |count: u32| {
        format!(
            "  storage:\n    allow: [{{uri: \"fs://{}\", access: [read]}}]\n  resources: {{open_files: {count}}}",
            data.display()
        )
    };
    assert_eq!(court.answer(&guest, &permissions(3)), "......");
    let component = court.load(&guest, &permissions(2));
    let (outcome, result) = court.bench.call(&component, "{}");
    assert_eq!(outcome, CallOutcome::Budget, "{result}");
    assert!(text(&result).contains("open_files of 2"), "{result}");
}

#[test]
fn paths_are_as_long_and_as_deep_as_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap();
    let deep = "d/".repeat(200);
    fs::create_dir_all(data.join(&deep)).unwrap();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.open(root, &"d/".repeat(100), DIRECTORY, READ);
    guest.open(root, &deep, DIRECTORY, READ);
    // As many steps as it likes, each a question to the disk.
    guest.open(root, &"d/../".repeat(5_000), DIRECTORY, READ);
    // What lies too deep to be looked at is not moved.
    guest.rename((root, "d"), (root, "e"));
    let permissions = format!(
        "  storage:\n    allow: [{{uri: \"fs://{}\", access: [read, write]}}]",
        data.display()
    );
    assert_eq!(
        court.answer(&guest, &permissions),
        format!(".{TOO_LONG}{TOO_LONG}{}", super::guest::ACCESS)
    );
    assert!(data.join("d").exists());
}

#[test]
fn a_name_is_not_looked_up_without_end() {
    let mut court = Court::with(
        vec![("api.test", vec![vec!["192.0.2.1".parse().unwrap()]])],
        None,
    );
    let mut guest = Guest::default();
    guest.then("(local.set $left (i32.const 100000)) (loop $more");
    guest.ask_name("api.test");
    guest.then("(local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if $more (local.get $left)))");
    let component = court.load(&guest, "  network:\n    allow: [{host: api.test}]");
    let (outcome, result) = court.bench.call(&component, "{}");
    assert_eq!(outcome, CallOutcome::Budget, "{result}");
    assert!(text(&result).contains("more than 256 names"), "{result}");
    let asked = court.names.asked.lock().unwrap().len();
    assert!(asked <= 256, "{asked}");
}

#[test]
fn a_request_that_outlives_its_call_is_still_its_callers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let here = vec![vec!["127.0.0.1".parse().unwrap()]];
    let mut court = Court::with(vec![("slow.test", here)], None);
    let mut guest = Guest::hasty();
    guest.get(&format!("slow.test:{port}"), "/");
    let permissions = "  network:\n    allow: [{host: slow.test}, {cidr: 127.0.0.0/8}]";
    let component = court.load_as(&guest, permissions, InstanceMode::Singleton);
    let narrow = "  network:\n    deny: [{cidr: 127.0.0.0/8}]";
    let (outcome, result) = court.call_for(&component, 0, Some(narrowing(narrow)));
    assert_eq!(outcome, CallOutcome::Ok, "{result}");
    // The name is answered once the call is over.
    std::thread::sleep(super::SLOW * 3);
    assert!(listener.accept().is_err(), "its caller may not go there");
    let principals: Vec<_> = {
        let told = court.log.0.lock().unwrap();
        told.iter().map(|told| told.principal.clone()).collect()
    };
    assert_eq!(principals, ["api-key:guest"]);
    assert!(court.refusals(&component)[0].2.starts_with("guests.yaml:"));
    // Nobody's call goes there.
    let (outcome, _) = court.call_for(&component, 0, None);
    assert_eq!(outcome, CallOutcome::Ok);
    std::thread::sleep(super::SLOW * 3);
    assert!(listener.accept().is_ok());
}

#[test]
fn what_one_caller_was_told_another_is_not() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.config("TOKEN");
    let variables = "  environment:\n    allow: [{key: TOKEN, secret: {secret: api}}]";
    let component = court.load_as(&guest, variables, InstanceMode::Singleton);
    let narrow = "  environment: {allow: []}";
    // Made for one who may see nothing; then one who may see all had it ask.
    let (outcome, result) = court.call_for(&component, 0, Some(narrowing(narrow)));
    assert_eq!((outcome, text(&result)), (CallOutcome::Ok, "-"));
    let (_, result) = court.call_for(&component, 0, None);
    assert_eq!(text(&result), "-<s3cr3t>");
    let (outcome, result) = court.call_for(&component, 0, Some(narrowing(narrow)));
    assert_eq!(outcome, CallOutcome::ToolError, "{result}");
    assert!(!result.to_string().contains("s3cr3t"), "{result}");
}
