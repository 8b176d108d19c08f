//! What components may reach, as a person grants, explains and compares it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use margay::policy::permission::{Access, Ask, Decide, Policy, Protocol};

use crate::harness::{binary, cache, scratch};

const ECHO: &str = include_str!("../src/component/demo/echo.wat");

const POLICY: &str = "\
version: \"1.0\"
# Why each of these.
permissions:
  network:
    allow:
      - host: \"*.x.com\"
      - host: https://y.com:8443/v1/
      - cidr: 10.0.0.0/8
    deny:
      - host: admin.x.com
  storage:
    allow:
      - {uri: \"fs:///srv/**\", access: [read]}
  environment:
    allow:
      - key: API_KEY
";

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(scratch(name))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .env("XDG_DATA_HOME", self.0.join("data"))
            .env("XDG_STATE_HOME", self.0.join("state"))
            .env("XDG_CACHE_HOME", cache())
            .stdin(Stdio::null());
        command
    }

    /// The exit code, and what was written to both outputs.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command().args(arguments).output().unwrap();
        let text = [stdout, stderr].concat();
        (
            status.code().unwrap(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn policy_of(&self, component: &str) -> PathBuf {
        self.0
            .join(format!("data/margay/components/{component}.policy.yaml"))
    }
}

#[test]
fn what_is_allowed_is_explained_by_its_line() {
    let place = Place::new("explain");
    let file = place.file("w.policy.yaml", POLICY);
    for (question, code, answer) in [
        (
            &["GET", "https://a.x.com/z"][..],
            0,
            "allow: w.policy.yaml:6 (allow host *.x.com)",
        ),
        (
            &["GET", "https://admin.x.com/"],
            1,
            "deny: w.policy.yaml:10 (deny host admin.x.com)",
        ),
        (&["GET", "https://x.com/"], 1, "deny: no rule allows it"),
        (&["POST", "https://y.com:8443/v1/a"], 0, "w.policy.yaml:7"),
        (&["GET", "https://y.com:8443/v1evil"], 1, "no rule"),
        (&["GET", "https://y.com:8443/v1/../x"], 1, "no rule"),
        (&["GET", "http://0x0a000001/"], 0, "w.policy.yaml:8"),
        (&["GET", "http://2130706433/"], 1, "no rule"),
        (
            &["GET", "https://a.x.com/", "--leads-to", "169.254.169.254"],
            1,
            "metadata addresses are refused",
        ),
        (&["read", "/srv/a/b"], 0, "w.policy.yaml:13"),
        (&["write", "/srv/a/b"], 1, "no rule"),
        (&["read", "/srv/../etc/passwd"], 1, "no rule"),
        (&["env", "API_KEY"], 0, "w.policy.yaml:16"),
        (&["env", "PATH"], 1, "no rule"),
        (&["connect", "10.1.2.3:5432"], 0, "w.policy.yaml:8"),
        (&["connect", "127.0.0.1:22"], 1, "no rule"),
        (&["resolve", "b.x.com"], 0, "w.policy.yaml:6"),
        (&["resolve", "secret.evil.com"], 1, "no rule"),
    ] {
        let arguments = [&["policy", "explain", &file][..], question].concat();
        let (found, text) = place.run(&arguments);
        assert!(
            found == code && text.contains(answer),
            "{question:?}: {found} {text}"
        );
    }
    let (code, text) = place.run(&["policy", "explain", &file, "fetch", "https://a.x.com/"]);
    assert!(code == 64 && text.contains("HTTP method"), "{code} {text}");
}

#[test]
fn what_is_explained_is_what_would_be_done() {
    let place = Place::new("explained");
    let at = place.0.canonicalize().unwrap();
    let at = at.to_str().unwrap();
    place.file("real/private/key", "key");
    std::os::unix::fs::symlink("real", place.0.join("alias")).unwrap();
    let policy = format!(
        "version: \"1.0\"\npermissions:\n  storage:\n    allow: [{{uri: \"fs://{at}/alias\", access: [read, write]}}]\n    deny: [{{uri: \"fs://{at}/alias/private\", access: [read]}}]\n  network: {{allow: [{{host: x.com}}]}}\n"
    );
    let file = place.file("w.policy.yaml", &policy);
    place.file("w.wat", ECHO);
    let config = place.file(
        "margay.yaml",
        "components: [w.wat]\nstate_dir: alias/state\n",
    );
    for (question, code, answer) in [
        (["read", "real/open"], 0, "w.policy.yaml:4"),
        (["read", "alias/private/key"], 1, "w.policy.yaml:5"),
        (["write", "real/state/x"], 1, "server's own files"),
        (["read", "/proc/self/environ"], 1, "in /proc"),
        (
            ["GET", "https://me:pw@x.com/"],
            1,
            "no user name or password",
        ),
        (["CONNECT", "https://x.com/"], 1, "no tunnel"),
        (["GET", "https://x.com/"], 0, "w.policy.yaml:6"),
    ] {
        // By its file, and by its name in the configuration.
        for subject in [file.as_str(), "w"] {
            let mut command = place.command();
            let asked = [
                &["policy", "explain", subject][..],
                &question,
                &["--config", &config],
            ];
            let done = command
                .current_dir(&place.0)
                .args(asked.concat())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&done.stdout);
            assert!(
                done.status.code() == Some(code) && text.contains(answer),
                "{subject} {question:?}: {done:?}"
            );
        }
    }
    let manifest = format!(
        "version: 1\ncomponents: [{{uri: \"file://{at}/w.wat\", name: m, permissions: {{network: {{allow: [{{host: y.com}}]}}}}}}]\n"
    );
    place.file("m.yaml", &manifest);
    let config = place.file("other.yaml", "manifest: m.yaml\n");
    let (code, text) = place.run(&[
        "policy", "explain", "m", "resolve", "y.com", "--config", &config,
    ]);
    assert!(code == 0 && text.contains("m.yaml:2"), "{text}");
}

#[test]
fn a_caller_may_do_what_its_profiles_leave() {
    let place = Place::new("profiles");
    let file = place.file("w.policy.yaml", POLICY);
    place.file(
        "guests.yaml",
        "version: \"1.0\"\npermissions:\n  network:\n    deny: [{host: b.x.com}]\n",
    );
    let config = place.file(
        "margay.yaml",
        "permission_profiles:\n- name: guests\n  who: {roles: [guest]}\n  policy: guests.yaml\n- name: bots\n  who: {subjects: [bot-*]}\n  except: {roles: [trusted]}\n  permissions: {environment: {}}\n",
    );
    let ask = |extra: &[&str]| {
        place.run(
            &[
                &["policy", "explain", &file, "--config", &config][..],
                extra,
            ]
            .concat(),
        )
    };
    let (code, text) = ask(&["GET", "https://b.x.com/", "--as", "ann", "--role", "guest"]);
    assert!(
        code == 1 && text.contains("guests.yaml:4 (deny host b.x.com)"),
        "{text}"
    );
    assert_eq!(ask(&["GET", "https://b.x.com/", "--as", "ann"]).0, 0);
    assert_eq!(
        ask(&["GET", "https://c.x.com/", "--as", "ann", "--role", "guest"]).0,
        0
    );
    assert_eq!(ask(&["env", "API_KEY", "--as", "bot-1"]).0, 1);
    assert_eq!(
        ask(&["env", "API_KEY", "--as", "bot-1", "--role", "trusted"]).0,
        0
    );
    assert_eq!(
        ask(&["GET", "https://c.x.com/", "--as", "bot-1"]).0,
        0,
        "what a profile does not speak of it leaves"
    );
}

#[test]
fn a_policy_with_an_unknown_key_does_not_pass() {
    let place = Place::new("check");
    let good = place.file("good.yaml", POLICY);
    let wrong = place.file("wrong.yaml", &POLICY.replace("storage:", "storrage:"));
    let idle = place.file("idle.yaml", "version: \"1.0\"\npermissions:\n  runtime: {docker: {}}\n  ipc: {allow: [{uri: \"pipe://x\"}]}\n");
    let (code, text) = place.run(&["policy", "check", &good]);
    assert!(code == 0 && text.contains("is a valid policy"), "{text}");
    let (code, text) = place.run(&["policy", "check", &good, &wrong]);
    assert!(
        code == 1 && text.contains("line 11") && text.contains("did you mean `storage`?"),
        "{text}"
    );
    let (code, text) = place.run(&["policy", "check", &idle]);
    assert!(
        code == 0
            && text.contains("line 3: warning: runtime is not enforced")
            && text.contains("line 4: warning: ipc"),
        "{text}"
    );
    assert_eq!(place.run(&["policy", "check", "/no/such/file"]).0, 1);
}

#[test]
fn the_difference_of_two_policies_is_shown_by_lines() {
    let place = Place::new("diff");
    let left = place.file("a.yaml", POLICY);
    let right = place.file(
        "b.yaml",
        &POLICY
            .replace("cidr: 10.0.0.0/8", "cidr: 10.1.0.0/16")
            .replace("admin.x.com", "root.x.com"),
    );
    let (code, text) = place.run(&["policy", "diff", &left, &right]);
    assert_eq!(code, 1);
    for part in [
        "a.yaml allows a.yaml:8 (allow cidr 10.0.0.0/8)",
        "a.yaml allows what b.yaml:10 (deny host root.x.com) denies",
        "b.yaml allows what a.yaml:10",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("allow cidr 10.1"),
        "it is within the other: {text}"
    );
    let (code, text) = place.run(&["policy", "diff", &left, &left]);
    assert!(code == 0 && text.contains("both allow the same"), "{text}");
}

#[test]
fn grants_are_lines_of_the_policy_and_are_taken_back() {
    let place = Place::new("grant");
    let file = place.file("echo.wat", ECHO);
    place.file("echo.policy.yaml", POLICY);
    assert_eq!(place.run(&["component", "load", &file]).0, 0);
    let policy = place.policy_of("echo");
    let explain = |question: &[&str]| {
        place
            .run(&[&["policy", "explain", "echo"][..], question].concat())
            .0
    };
    assert_eq!(
        explain(&["GET", "https://a.x.com/"]),
        0,
        "it brought its policy"
    );
    for arguments in [
        &["network", "api.z.com"][..],
        &["storage", "fs:///data/**", "--access", "read,write"],
        &["environment", "OTHER"],
        &["memory", "64Mi"],
    ] {
        let (code, text) = place.run(&[&["permission", "grant", "echo"][..], arguments].concat());
        assert!(code == 0 && text.contains("granted in"), "{text}");
    }
    assert_eq!(
        explain(&["GET", "https://api.z.com/"])
            + explain(&["write", "/data/a"])
            + explain(&["env", "OTHER"]),
        0
    );
    assert!(
        fs::read_to_string(&policy)
            .unwrap()
            .contains("# Why each of these.")
    );
    let (code, text) = place.run(&["permission", "revoke", "echo", "network", "api.z.con"]);
    assert!(
        code == 65 && text.contains("did you mean `api.z.com`?"),
        "{code} {text}"
    );
    assert_eq!(
        place
            .run(&["permission", "revoke", "echo", "network", "api.z.com"])
            .0,
        0
    );
    assert_eq!(explain(&["GET", "https://api.z.com/"]), 1);
    place.run(&["permission", "grant", "echo", "network", "a.x.com"]);
    let (_, text) = place.run(&["permission", "revoke", "echo", "network", "a.x.com"]);
    assert!(
        text.contains("Another line still allows it") && text.contains("*.x.com"),
        "{text}"
    );
    assert_eq!(place.run(&["permission", "reset", "echo"]).0, 0);
    assert_eq!(
        explain(&["read", "/srv/a"]) + explain(&["env", "API_KEY"]),
        2
    );
    for wrong in [
        &["grant", "ecko", "network", "a.com"][..],
        &["grant", "echo", "network", "a b"],
        &["grant", "echo", "storage", "fs:///x"],
        &["grant", "echo", "memory", "much"],
        &["grant", "echo", "network", "a.com", "--access", "read"],
    ] {
        let (code, text) = place.run(&[&["permission"][..], wrong].concat());
        assert!(code > 1, "{wrong:?}: {text}");
    }
    assert_eq!(place.run(&["component", "remove", "echo"]).0, 0);
    assert!(!policy.exists());
}

#[test]
fn a_running_server_takes_a_grant_at_once_and_a_faulty_policy_not_at_all() {
    let place = Place::new("hot");
    let file = place.file("echo.wat", ECHO);
    assert_eq!(place.run(&["component", "load", &file]).0, 0);
    let mut server = place
        .command()
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "off",
            "--shards",
            "1",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announced = String::new();
    let mut output = BufReader::new(server.stdout.take().unwrap());
    output.read_line(&mut announced).unwrap();
    assert!(announced.starts_with("margay serves"), "{announced}");
    let (tell, told) = sync_channel(1_000);
    let errors = BufReader::new(server.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        errors
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| tell.send(line))
    });
    let until = |words: &str| {
        let mut seen = String::new();
        while let Ok(line) = told.recv_timeout(Duration::from_secs(30)) {
            seen.push_str(&line);
            if line.contains(words) {
                return;
            }
        }
        panic!("never said `{words}`: {seen}");
    };
    assert_eq!(
        place
            .run(&["permission", "grant", "echo", "network", "a.com"])
            .0,
        0
    );
    until("its policy has changed");
    fs::write(
        place.policy_of("echo"),
        "version: \"1.0\"\npermissions: {netwrok: {}}\n",
    )
    .unwrap();
    until("did you mean `network`?");
    server.kill().unwrap();
    server.wait().unwrap();
    drop(told);
    let _ = reader.join().unwrap();
}

#[test]
fn a_component_whose_policy_has_a_fault_is_not_served() {
    let place = Place::new("faulty");
    let file = place.file("echo.wat", ECHO);
    place.file(
        "echo.policy.yaml",
        "version: \"1.0\"\npermissions: {netwrok: {}}\n",
    );
    let (code, text) = place.run(&["tool", "list", &file]);
    assert!(
        code == 78 && text.contains("echo.policy.yaml line 2") && text.contains("did you mean"),
        "{code} {text}"
    );
    fs::remove_file(Path::new(&file).with_file_name("echo.policy.yaml")).unwrap();
    assert_eq!(place.run(&["tool", "list", &file]).0, 0);
    let config = place.file(
        "margay.yaml",
        "component_options: {echo: {policy: gone.yaml}}\n",
    );
    let (code, text) = place.run(&["tool", "list", &file, "--config", &config]);
    assert!(code == 66 && text.contains("gone.yaml"), "{code} {text}");
    let config = place.file(
        "margay.yaml",
        "component_options:\n  echo:\n    permissions: {network: {allow: [{host: a.com}]}}\n",
    );
    let ask = |host: &str| {
        place.run(&[
            "policy", "explain", "echo", "--config", &config, "resolve", host,
        ])
    };
    assert!(
        ask("a.com")
            .1
            .contains("allow: margay.yaml:3 (allow host a.com)"),
        "{}",
        ask("a.com").1
    );
    assert_eq!(ask("b.com").0, 1);
}

#[test]
fn a_manifest_is_served_whole_or_not_at_all() {
    let place = Place::new("manifest");
    let file = place.file("echo.wat", ECHO);
    let serve = |text: &str| {
        let manifest = place.file("m.yaml", text);
        place.run(&[
            "serve",
            "--manifest",
            &manifest,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "off",
        ])
    };
    let entry = format!("version: 1\ncomponents:\n  - uri: file://{file}\n    permissions: {{}}\n");
    let (code, text) = serve(&format!("{entry}    digest: sha256:{}\n", "0".repeat(64)));
    assert!(
        code == 65 && text.contains("is not the digest of the manifest"),
        "{code} {text}"
    );
    let (code, text) = serve(&entry.replace("permissions", "permision"));
    assert!(
        code == 78 && text.contains("line 4") && text.contains("did you mean `permissions`?"),
        "{code} {text}"
    );
    let (code, text) =
        serve("version: 1\ncomponents: [{uri: \"oci://ghcr.io/x/y:1\", permissions: {}}]\n");
    assert!(code == 78 && text.contains("wkg oci pull"), "{code} {text}");
    let (code, text) =
        serve("version: 1\ncomponents: [{uri: file:///no/such.wasm, permissions: {}}]\n");
    assert!(
        code == 66 && text.contains("/no/such.wasm"),
        "{code} {text}"
    );
}

#[test]
fn a_directory_of_components_is_imported_with_its_policies() {
    let place = Place::new("import");
    for name in ["one", "two"] {
        let parsed = wat::parse_str(ECHO).unwrap();
        let path = place.0.join(format!("from/{name}.wasm"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, parsed).unwrap();
    }
    place.file("from/one.policy.yaml", POLICY);
    place.file(
        "from/one.policy.meta.json",
        "{\"source_uri\": \"x\", \"attached_at\": 1}",
    );
    let from = place.0.join("from");
    let (code, text) = place.run(&["component", "import", from.to_str().unwrap()]);
    assert!(
        code == 0 && text.contains("loaded one") && text.contains("loaded two"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(place.policy_of("one")).unwrap(), POLICY);
    assert!(!place.policy_of("two").exists() && from.join("one.policy.meta.json").exists());
    assert_eq!(
        place
            .run(&["policy", "explain", "two", "resolve", "a.x.com"])
            .0,
        1
    );
}

#[test]
fn deciding_about_names_paths_and_addresses_allocates_nothing() {
    let policy = Policy::parse(POLICY, "w.policy.yaml", Path::new("/srv")).unwrap();
    let asks = [
        Ask::Http {
            method: "GET",
            scheme: "https",
            host: "a.x.com",
            port: 443,
            path: "/v1/a%20b",
        },
        Ask::Http {
            method: "GET",
            scheme: "http",
            host: "10.0.0.1",
            port: 80,
            path: "/",
        },
        Ask::Address {
            host: Some("a.x.com"),
            address: [93, 184, 216, 34].into(),
            port: 443,
            scheme: Some("https"),
            protocol: Protocol::Tcp,
        },
        Ask::Resolve { name: "b.x.com" },
        Ask::Path {
            access: Access::Read,
            path: "/srv/a/b/c",
        },
        Ask::Environment { key: "API_KEY" },
    ];
    let counted = allocation_counter::measure(|| {
        for ask in &asks {
            assert!(policy.decide(ask).is_allowed, "{ask:?}");
        }
    });
    assert_eq!(counted.count_total, 0);
}
