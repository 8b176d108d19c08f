use super::super::samples::{self, made};
use super::*;
use crate::tape::{Backend, Recorder};

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn recorder() -> Recorder {
    Recorder::start(Backend::Plain).unwrap()
}

fn open(state: &Path, purpose: Purpose, recorder: &Recorder) -> (Folder, Vec<Record>) {
    Folder::open(state, purpose, recorder.handle()).unwrap()
}

fn ids(records: &[Record]) -> Vec<TaskId> {
    let mut ids: Vec<_> = records.iter().map(|record| record.id).collect();
    ids.sort();
    ids
}

#[test]
fn what_was_stored_is_there_for_the_next_process_and_what_was_removed_is_not() {
    let (state, recorder) = (tempfile::tempdir().unwrap(), recorder());
    let records = samples::in_each_state();
    let (folder, left) = open(state.path(), Purpose::Serve, &recorder);
    assert!(left.is_empty());
    for record in &records {
        wait(folder.write(record.id, file::write(record))).unwrap();
    }
    wait(folder.remove(records[0].id)).unwrap();
    drop(folder);
    let (folder, mut left) = open(state.path(), Purpose::Serve, &recorder);
    left.sort_by_key(|record| record.id);
    let mut wanted = records[1..].to_vec();
    wanted.sort_by_key(|record| record.id);
    // Two of the samples are one task.
    wanted.dedup_by_key(|record| record.id);
    assert_eq!(ids(&left), ids(&wanted));
    assert!(left.iter().all(|record| records.contains(record)));
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
    assert_eq!(
        mode & 0o777,
        0o700,
        "clients' words are for this user alone"
    );
}

#[test]
fn a_damaged_file_is_set_aside_and_the_others_are_served() {
    let (state, recorder) = (tempfile::tempdir().unwrap(), recorder());
    let path = state.path().join("tasks");
    fs::create_dir_all(&path).unwrap();
    let whole = file::write(&made(1));
    let name = |number: u8| path.join(format!("{}.json", made(number).id.text()));
    fs::write(name(1), &whole).unwrap();
    fs::write(name(2), &file::write(&made(2))[..100]).unwrap();
    fs::write(name(3), "").unwrap();
    fs::write(name(4), &whole).unwrap();
    let newer = String::from_utf8(whole).unwrap();
    let newer = newer.replacen("\"margay_task\":1", "\"margay_task\":9", 1);
    fs::write(name(5), &newer).unwrap();
    fs::write(path.join(".x.json.margay-tmp-1-1"), "half").unwrap();
    fs::write(path.join("notes.txt"), "somebody's").unwrap();
    let (_folder, left) = open(state.path(), Purpose::Serve, &recorder);
    assert_eq!(ids(&left), [made(1).id]);
    let mut names: Vec<String> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let id = |number: u8| made(number).id.text();
    assert_eq!(
        names,
        [
            ".lock".to_owned(),
            format!("{}.json", id(1)),
            format!("{}.json.damaged", id(2)),
            format!("{}.json.damaged", id(3)),
            format!("{}.json.damaged", id(4)),
            format!("{}.json", id(5)),
            "notes.txt".to_owned(),
        ]
    );
}

#[test]
fn processes_side_by_side_have_folders_of_their_own_and_the_living_inherits() {
    let (state, recorder) = (tempfile::tempdir().unwrap(), recorder());
    let (old, _) = open(state.path(), Purpose::Serve, &recorder);
    wait(old.write(made(1).id, file::write(&made(1)))).unwrap();
    let (new, left) = open(state.path(), Purpose::Serve, &recorder);
    assert!(left.is_empty() && old.path() != new.path());
    assert!(new.adopt().is_empty(), "what is in use is not taken");
    wait(new.write(made(2).id, file::write(&made(2)))).unwrap();
    let old_path = old.path();
    drop(old);
    assert_eq!(ids(&new.adopt()), [made(1).id]);
    assert!(new.adopt().is_empty(), "once");
    assert_eq!(
        fs::read_dir(old_path).unwrap().count(),
        1,
        "the lock alone is left"
    );
    drop(new);
    // Whichever folder a later process takes, it finds both.
    let (_last, left) = open(state.path(), Purpose::Serve, &recorder);
    assert_eq!(ids(&left), ids(&[made(1), made(2)]));
}

#[test]
fn a_single_clients_tasks_and_a_servers_are_never_mixed() {
    let (state, recorder) = (tempfile::tempdir().unwrap(), recorder());
    let (stdio, _) = open(state.path(), Purpose::Stdio, &recorder);
    wait(stdio.write(made(1).id, file::write(&made(1)))).unwrap();
    let (other, left) = open(state.path(), Purpose::Stdio, &recorder);
    assert!(left.is_empty() && !other.adopts() && other.path() != stdio.path());
    drop(stdio);
    let (serve, left) = open(state.path(), Purpose::Serve, &recorder);
    assert!(left.is_empty() && serve.adopt().is_empty());
    let (_again, left) = open(state.path(), Purpose::Stdio, &recorder);
    assert_eq!(ids(&left), [made(1).id]);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named_with_the_remedy() {
    let (state, recorder) = (tempfile::tempdir().unwrap(), recorder());
    let file = state.path().join("file");
    fs::write(&file, "").unwrap();
    let problem = Folder::open(&file, Purpose::Serve, recorder.handle()).unwrap_err();
    let text = problem.to_string();
    assert!(
        text.contains("file/tasks") && text.contains("--state-dir"),
        "{text}"
    );
}
