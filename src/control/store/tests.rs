use std::future::Future;
use std::time::{Duration, SystemTime};

use super::policy::Stamp;
use super::*;
use crate::tape::{Backend, Recorder};

/// A file that looks like a component from outside; what is inside is the validator's business.
fn component(body: &str) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", body.as_bytes()].concat()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn accept(_: &str, bytes: &[u8]) -> Result<Vec<String>, Problem> {
    if bytes.ends_with(b"bad") {
        return Err(Problem::operator(
            exit::DATA,
            "component",
            "",
            "does not compile",
            "",
        ));
    }
    Ok(vec!["tool".to_owned()])
}

struct Bench {
    root: tempfile::TempDir,
    recorder: Recorder,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("components"));
        Self {
            recorder: Recorder::start(Backend::Uring).unwrap(),
            store,
            root,
        }
    }

    fn file(&self, name: &str, body: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::write(&path, component(body)).unwrap();
        path
    }

    fn load(&self, file: &Path, name: Option<&str>) -> Result<Loaded, Problem> {
        self.load_within(file, name, &Limits::default())
    }

    fn load_within(
        &self,
        file: &Path,
        name: Option<&str>,
        limits: &Limits,
    ) -> Result<Loaded, Problem> {
        wait(
            self.store
                .load(&self.recorder.handle(), file, name, limits, &accept),
        )
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.store.directory())
            .map(|entries| {
                entries
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }
}

#[test]
fn a_loaded_component_is_listed_inspected_read_and_removed() {
    let bench = Bench::new();
    assert!(bench.store.list().unwrap().manifests.is_empty());
    let file = bench.file("echo.wasm", "one");
    let Loaded::New(manifest) = bench.load(&file, None).unwrap() else {
        panic!("must be new")
    };
    assert_eq!((manifest.name.as_str(), manifest.bytes), ("echo", 11));
    assert_eq!(
        bench.files(),
        [
            ".lock".to_owned(),
            format!("{}.wasm", manifest.digest),
            "echo.json".to_owned()
        ]
    );
    assert_eq!(
        bench.store.list().unwrap().manifests,
        std::slice::from_ref(&manifest)
    );
    assert_eq!(bench.store.inspect("echo").unwrap(), manifest);
    assert_eq!(
        bench.store.inspect(&manifest.digest[..8]).unwrap(),
        manifest
    );
    assert_eq!(bench.store.read(&manifest).unwrap(), component("one"));
    assert_eq!(
        wait(bench.store.remove(&bench.recorder.handle(), "echo")).unwrap(),
        manifest
    );
    assert_eq!(bench.files(), [".lock"]);
    assert!(bench.store.read(&manifest).is_err());
}

#[test]
fn loading_again_replaces_or_changes_nothing() {
    let bench = Bench::new();
    let Loaded::New(old) = bench.load(&bench.file("echo.wasm", "one"), None).unwrap() else {
        panic!("must be new")
    };
    assert!(matches!(
        bench.load(&bench.file("echo.wasm", "one"), None).unwrap(),
        Loaded::Unchanged(_)
    ));
    let replaced = bench.load(&bench.file("echo.wasm", "two"), None).unwrap();
    let Loaded::Replaced { old: was, new } = replaced else {
        panic!("must be replaced")
    };
    assert_eq!(was, old);
    assert_eq!(
        bench.files(),
        [
            ".lock".to_owned(),
            format!("{}.wasm", new.digest),
            "echo.json".to_owned()
        ]
    );
    // One component under two names is kept once and stays until the last name is gone.
    bench
        .load(&bench.file("echo.wasm", "two"), Some("other"))
        .unwrap();
    wait(bench.store.remove(&bench.recorder.handle(), "echo")).unwrap();
    assert_eq!(
        bench
            .store
            .read(&bench.store.inspect("other").unwrap())
            .unwrap(),
        component("two")
    );
}

#[test]
fn what_is_no_component_is_refused_with_a_remedy_and_leaves_nothing() {
    let bench = Bench::new();
    let small = Limits {
        component_bytes_max: 20,
        ..Limits::default()
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = bench.root.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    for (file, expected) in [
        (
            write("m.wasm", b"\0asm\x01\0\0\0"),
            "wasm-tools component new",
        ),
        (write("x.wasm", b"MZ"), "is not WebAssembly"),
        (write("e.wasm", b""), "is not WebAssembly"),
        (
            bench.file("large.wasm", "123456789 123456789"),
            "limits.component_bytes_max, 20",
        ),
        (bench.file("trap.wasm", "bad"), "does not compile"),
        (bench.file("a b.wasm", "x"), "--name"),
        (bench.file(".hidden.wasm", "x"), "--name"),
        (bench.root.path().join("missing.wasm"), "No such file"),
        (bench.root.path().to_owned(), "name"),
    ] {
        let shown = bench
            .load_within(&file, None, &small)
            .expect_err(expected)
            .to_string();
        assert!(shown.contains(expected), "{shown}");
    }
    assert!(bench.files().is_empty());
}

#[test]
fn webassembly_text_is_left_to_the_compiler() {
    let bench = Bench::new();
    let file = bench.root.path().join("text.wat");
    for (text, good) in [
        (";; mine\n(component)", true),
        ("  (component)", true),
        ("(component bad", false),
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(bench.load(&file, None).is_ok(), good, "{text}");
    }
}

#[test]
fn a_full_directory_refuses_a_new_name_and_takes_a_replacement() {
    let bench = Bench::new();
    let one = Limits {
        component_count_max: 1,
        ..Limits::default()
    };
    bench
        .load_within(&bench.file("a.wasm", "one"), None, &one)
        .unwrap();
    let shown = bench
        .load_within(&bench.file("b.wasm", "two"), None, &one)
        .unwrap_err()
        .to_string();
    assert!(shown.contains("limits.component_count_max"), "{shown}");
    assert!(matches!(
        bench
            .load_within(&bench.file("a.wasm", "three"), None, &one)
            .unwrap(),
        Loaded::Replaced { .. }
    ));
}

#[test]
fn an_unknown_name_is_told_with_the_nearest_one() {
    let bench = Bench::new();
    bench
        .load(&bench.file("weather.wasm", "one"), None)
        .unwrap();
    let shown = bench.store.inspect("wether").unwrap_err().to_string();
    assert!(shown.contains("did you mean `weather`?"), "{shown}");
    assert!(wait(bench.store.remove(&bench.recorder.handle(), "")).is_err());
}

#[test]
fn damage_is_reported_and_the_rest_still_served() {
    let bench = Bench::new();
    bench.load(&bench.file("good.wasm", "one"), None).unwrap();
    let Loaded::New(rotten) = bench.load(&bench.file("rotten.wasm", "two"), None).unwrap() else {
        panic!()
    };
    fs::write(
        bench
            .store
            .directory()
            .join(format!("{}.wasm", rotten.digest)),
        component("other"),
    )
    .unwrap();
    assert!(
        bench
            .store
            .read(&rotten)
            .unwrap_err()
            .to_string()
            .contains("is damaged")
    );
    for (name, text) in [("torn", "{\"version\":1,"), ("evil", "{}")] {
        fs::write(bench.store.directory().join(format!("{name}.json")), text).unwrap();
    }
    let mut foreign = rotten.clone();
    (foreign.digest, foreign.name) = ("../../etc/passwd".into(), "path".into());
    fs::write(bench.store.directory().join("path.json"), foreign.to_json()).unwrap();
    let listing = bench.store.list().unwrap();
    assert_eq!(listing.manifests.len(), 2);
    assert_eq!(listing.damaged.len(), 3);
    // While a manifest cannot be read, no component is taken for unused.
    let stray = bench
        .store
        .directory()
        .join(format!("{}.wasm", "a".repeat(64)));
    fs::write(&stray, "x").unwrap();
    bench.load(&bench.file("new.wasm", "three"), None).unwrap();
    assert!(stray.exists());
    // Loading it again repairs a damaged component.
    bench.load(&bench.file("rotten.wasm", "two"), None).unwrap();
    assert!(bench.store.read(&rotten).is_ok());
}

#[test]
fn leftovers_of_a_crash_are_removed_by_the_next_change() {
    let bench = Bench::new();
    bench.load(&bench.file("a.wasm", "one"), None).unwrap();
    let before = bench.files();
    let stray = format!("{}.wasm", "b".repeat(64));
    for name in [
        ".x.wasm.margay-tmp-1-1",
        ".a.json.margay-tmp-77-3",
        stray.as_str(),
    ] {
        fs::write(bench.store.directory().join(name), "x").unwrap();
    }
    fs::write(bench.store.directory().join("README"), "not ours").unwrap();
    bench.load(&bench.file("b.wasm", "two"), None).unwrap();
    wait(bench.store.remove(&bench.recorder.handle(), "b")).unwrap();
    let after: Vec<String> = bench
        .files()
        .into_iter()
        .filter(|name| name != "README")
        .collect();
    assert_eq!(after, before);
    assert!(bench.store.directory().join("README").exists());
}

#[test]
fn a_watch_sees_each_change_once_with_its_bytes() {
    let bench = Bench::new();
    let mut watch = Watch::new(bench.store.clone());
    assert!(watch.poll().unwrap().is_empty());
    bench.load(&bench.file("a.wasm", "one"), None).unwrap();
    bench.load(&bench.file("b.wasm", "two"), None).unwrap();
    let change = watch.poll().unwrap();
    let names: Vec<&str> = change
        .added
        .iter()
        .map(|(manifest, _)| manifest.name.as_str())
        .collect();
    assert_eq!((names, change.removed.len()), (vec!["a", "b"], 0));
    assert_eq!(change.added[1].1, component("two"));
    assert!(watch.poll().unwrap().is_empty());
    // Replaced and removed within one tick of the clock.
    bench.load(&bench.file("a.wasm", "three"), None).unwrap();
    wait(bench.store.remove(&bench.recorder.handle(), "b")).unwrap();
    let change = watch.poll().unwrap();
    assert_eq!(change.added.len(), 1);
    assert_eq!(
        change
            .removed
            .iter()
            .map(|old| old.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(watch.poll().unwrap().is_empty());
    assert_eq!(watch.known().len(), 1);
}

#[test]
fn a_watch_keeps_what_is_served_while_its_replacement_is_damaged() {
    let bench = Bench::new();
    let mut watch = Watch::new(bench.store.clone());
    bench.load(&bench.file("a.wasm", "one"), None).unwrap();
    assert_eq!(watch.poll().unwrap().added.len(), 1);
    let Loaded::Replaced { new, .. } = bench.load(&bench.file("a.wasm", "two"), None).unwrap()
    else {
        panic!()
    };
    fs::write(
        bench.store.directory().join(format!("{}.wasm", new.digest)),
        "rot",
    )
    .unwrap();
    let change = watch.poll().unwrap();
    assert!(change.is_empty() && change.damaged.len() == 1);
    assert!(
        watch.poll().unwrap().damaged.is_empty(),
        "the same damage is told once"
    );
}

/// The body of the process that [`a_store_survives_kill_9_at_any_point`] kills: it only runs when asked to.
#[test]
fn load_and_remove_for_ever_when_asked() {
    let Some(root) = std::env::var_os("MARGAY_TEST_STORE").map(PathBuf::from) else {
        return;
    };
    let recorder = Recorder::start(Backend::Uring).unwrap();
    let store = Store::new(root.join("components"));
    loop {
        for file in ["one/a.wasm", "two/a.wasm"] {
            wait(store.load(
                &recorder.handle(),
                &root.join(file),
                None,
                &Limits::default(),
                &accept,
            ))
            .unwrap();
        }
        let _ = wait(store.remove(&recorder.handle(), "a"));
    }
}

#[test]
fn a_store_survives_kill_9_at_any_point() {
    let bench = Bench::new();
    let bodies = ["1".repeat(300_000), "2".repeat(200_000)];
    for (folder, body) in ["one", "two"].iter().zip(&bodies) {
        fs::create_dir(bench.root.path().join(folder)).unwrap();
        fs::write(
            bench.root.path().join(folder).join("a.wasm"),
            component(body),
        )
        .unwrap();
    }
    bench
        .load(&bench.file("steady.wasm", "steady"), None)
        .unwrap();
    let mut seen = 0;
    for round in 0..25_u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "control::store::tests::load_and_remove_for_ever_when_asked",
                "--nocapture",
            ])
            .env("MARGAY_TEST_STORE", bench.root.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(15_000 + round * 1_370));
        child.kill().unwrap();
        child.wait().unwrap();
        let listing = bench.store.list().unwrap();
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        for manifest in &listing.manifests {
            let bytes = bench
                .store
                .read(manifest)
                .unwrap_or_else(|problem| panic!("round {round}: {problem}"));
            let whole =
                bodies.iter().any(|body| bytes == component(body)) || bytes == component("steady");
            assert!(whole, "round {round}: a torn component");
        }
        assert!(
            listing
                .manifests
                .iter()
                .any(|manifest| manifest.name == "steady"),
            "an untouched component vanished"
        );
        seen += listing.manifests.len() - 1;
    }
    assert!(seen > 0, "the child never got to load anything");
    wait(bench.store.remove(&bench.recorder.handle(), "steady")).unwrap();
    let kept = bench.store.list().unwrap().manifests.len();
    assert_eq!(
        bench.files().len(),
        1 + 2 * kept,
        "leftovers: {:?}",
        bench.files()
    );
}

#[test]
fn two_processes_at_once_lose_nothing() {
    let bench = Bench::new();
    let root = bench.root.path();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (root, store) = (root.to_owned(), bench.store.clone());
            std::thread::spawn(move || {
                // Locks belong to an open file, so a thread with its own is as good as a process.
                let recorder = Recorder::start(Backend::Plain).unwrap();
                for round in 0..10 {
                    let file = root.join(format!("c{thread}-{round}.wasm"));
                    fs::write(&file, component(&format!("{thread}-{round}"))).unwrap();
                    wait(store.load(&recorder.handle(), &file, None, &Limits::default(), &accept))
                        .unwrap();
                    if round % 2 == 1 {
                        let name = format!("c{thread}-{}", round - 1);
                        wait(store.remove(&recorder.handle(), &name)).unwrap();
                    }
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let listing = bench.store.list().unwrap();
    assert_eq!(listing.manifests.len(), 4 * 5);
    listing
        .manifests
        .iter()
        .for_each(|manifest| assert!(bench.store.read(manifest).is_ok()));
    assert_eq!(bench.files().len(), 1 + 2 * 4 * 5);
}

#[test]
fn a_directory_that_is_none_is_an_error_and_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [&file, &file.join("below")] {
        let problem = Store::new(path).list().unwrap_err();
        assert_eq!(problem.exit_code, exit::NO_INPUT);
        assert!(
            problem.to_string().contains(path.to_str().unwrap()),
            "{problem}"
        );
    }
}

#[test]
fn a_watch_tells_each_damage_once_and_another_one_again() {
    let bench = Bench::new();
    fs::create_dir_all(bench.store.directory()).unwrap();
    let mut watch = Watch::new(bench.store.clone());
    for (damaged, mended) in [("a.json", "nothing"), ("b.json", "a.json")] {
        let _ = fs::remove_file(bench.store.directory().join(mended));
        fs::write(bench.store.directory().join(damaged), b"{").unwrap();
        let told = watch.poll().unwrap().damaged;
        assert_eq!(told.len(), 1, "{damaged}");
        assert!(told[0].to_string().contains(damaged), "{}", told[0]);
        watch.distrust();
        assert_eq!(watch.poll().unwrap().damaged, Vec::<Problem>::new());
    }
}

#[test]
fn a_policy_is_noticed_when_it_is_granted_edited_in_place_and_removed() {
    let bench = Bench::new();
    bench.load(&bench.file("w.wasm", "one"), None).unwrap();
    let mut watch = Watch::new(bench.store.clone());
    assert_eq!(watch.poll().unwrap().added.len(), 1);
    assert!(watch.poll().unwrap().is_empty());
    let change = crate::policy::permission::Change::GrantNetwork {
        host: "a.com".to_owned(),
    };
    let done = bench.store.change_policy("w", &change).unwrap();
    assert!(done.edited.is_changed && done.policy.has_network());
    let seen = watch.poll().unwrap();
    assert_eq!(
        (
            seen.repoliced.as_slice(),
            seen.added.len(),
            seen.removed.len()
        ),
        (&["w".to_owned()][..], 1, 0)
    );
    assert!(watch.poll().unwrap().is_empty());
    let text = fs::read_to_string(&done.path).unwrap();
    fs::write(&done.path, text + "# in place\n").unwrap();
    // Whoever writes in place may not have written all of it.
    assert!(watch.poll().unwrap().is_empty());
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(watch.poll().unwrap().repoliced, ["w"]);
    fs::remove_file(&done.path).unwrap();
    assert_eq!(watch.poll().unwrap().repoliced, ["w"]);
    assert!(watch.poll().unwrap().is_empty());
}

#[test]
fn a_component_brings_its_policy_keeps_what_was_granted_and_takes_it_along() {
    let bench = Bench::new();
    let file = bench.file("w.wasm", "one");
    let beside = bench.root.path().join("w.policy.yaml");
    fs::write(&beside, "version: \"1.0\"\npermissions: {netwrok: {}}\n").unwrap();
    let refused = bench.load(&file, None).unwrap_err().to_string();
    assert!(refused.contains("did you mean `network`"), "{refused}");
    assert_eq!(bench.files(), [".lock"]);
    fs::write(
        &beside,
        "version: \"1.0\"\npermissions: {network: {allow: [{host: a.com}]}}\n",
    )
    .unwrap();
    bench.load(&file, None).unwrap();
    fs::write(bench.store.directory().join("w.policy.meta.json"), "{}").unwrap();
    let kept = bench.store.policy_path("w");
    assert_eq!(fs::read(&kept).unwrap(), fs::read(&beside).unwrap());
    fs::write(&beside, "version: \"1.0\"\npermissions: {}\n").unwrap();
    bench.load(&bench.file("w.wasm", "two"), None).unwrap();
    assert!(fs::read_to_string(&kept).unwrap().contains("a.com"));
    let listing = bench.store.list().unwrap();
    assert!(
        listing.damaged.is_empty() && listing.manifests.len() == 1,
        "{listing:?}"
    );
    wait(bench.store.remove(&bench.recorder.handle(), "w")).unwrap();
    assert!(
        !kept.exists(),
        "another component of this name must not find it"
    );
}

#[test]
fn a_policy_with_a_fault_is_not_changed_by_a_grant() {
    let bench = Bench::new();
    bench.load(&bench.file("w.wasm", "one"), None).unwrap();
    let path = bench.store.policy_path("w");
    fs::write(&path, "version: 1\npermisions: {}\n").unwrap();
    let change = crate::policy::permission::Change::Reset;
    assert!(bench.store.change_policy("w", &change).is_err());
    fs::write(&path, "version: \"1.0\"\npermissions: {}\n").unwrap();
    let change = crate::policy::permission::Change::GrantNetwork {
        host: "x y".to_owned(),
    };
    assert!(bench.store.change_policy("w", &change).is_err());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "version: \"1.0\"\npermissions: {}\n"
    );
}

#[test]
fn a_policy_that_is_being_written_is_taken_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.policy.yaml");
    let write = |text: &str| fs::write(&path, text).unwrap();
    let now = SystemTime::now();
    write("version: \"1.0\"\n");
    let before = Stamp::of(&path).unwrap();
    write("version: \"1.0\"\npermissions:\n");
    let half = Stamp::of(&path).unwrap();
    assert!(half.is_being_written(&before, now));
    assert!(!half.is_being_written(&before, now + Duration::from_secs(2)));
    let new = folder.path().join("new");
    fs::write(&new, "version: \"1.0\"\npermissions: {}\n").unwrap();
    fs::rename(&new, &path).unwrap();
    let whole = Stamp::of(&path).unwrap();
    assert!(!whole.is_being_written(&half, now));
}

#[test]
fn a_policy_that_is_a_link_stays_one() {
    let bench = Bench::new();
    bench.load(&bench.file("w.wasm", "one"), None).unwrap();
    let kept = bench.root.path().join("kept.yaml");
    fs::write(&kept, "version: \"1.0\"\npermissions: {}\n").unwrap();
    let path = bench.store.policy_path("w");
    std::os::unix::fs::symlink(&kept, &path).unwrap();
    let change = crate::policy::permission::Change::GrantNetwork {
        host: "a.com".to_owned(),
    };
    assert!(
        bench
            .store
            .change_policy("w", &change)
            .unwrap()
            .edited
            .is_changed
    );
    assert!(path.is_symlink() && fs::read_to_string(&kept).unwrap().contains("a.com"));
    // A pipe of its name is refused and not waited for.
    fs::remove_file(&path).unwrap();
    let (kind, mode) = (
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
    );
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
    let refused = bench
        .store
        .change_policy("w", &change)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("is not a regular file"), "{refused}");
}
