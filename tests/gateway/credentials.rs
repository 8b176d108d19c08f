//! Upstreams that want a token of ours: how it is got, what it is good for, and whom nothing is shown.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use super::offered;
use crate::harness::upstream::Guarded;
use crate::harness::{Appliance, Client, binary, modern, scratch};

const SECRET: &str = "hush-hush-client-secret";

/// A configuration with this upstream and this `auth`.
fn config(upstream: &Guarded, auth: &str) -> String {
    format!(
        "upstreams:\n  up: {{url: '{}', prefix: never, health: {{enabled: false}}, auth: {{{auth}}}}}\n",
        upstream.url()
    )
}

/// As ourselves, with a secret in a file.
fn client(folder: &Path, more: &str) -> String {
    let file = folder.join("client-secret");
    private(&file, &format!("{SECRET}\n"));
    format!(
        "client_credentials: {{client_id: me, client_secret: {{file: '{}'}}{more}}}",
        file.display()
    )
}

/// A file that only its owner can read: another is refused.
fn private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Serves beside a demo tool, so that it is ready whatever becomes of the upstream.
fn serve(config: &str) -> Appliance {
    let printer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/components/printer.wat");
    Appliance::with(&[printer], config)
}

fn serve_with_tool(config: &str) -> Appliance {
    let appliance = serve(config);
    appliance.eventually("the tool is offered", || {
        offered(&appliance).iter().any(|name| name == "count")
    });
    appliance
}

fn count(appliance: &Appliance) -> serde_json::Value {
    let params = json!({"name": "count", "arguments": {}});
    appliance.connect().modern("tools/call", params).json()
}

fn text(appliance: &Appliance) -> String {
    let answer = count(appliance);
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

/// Waits until the upstream is known to be down; why.
fn why_down(appliance: &Appliance, part: &str) {
    appliance.eventually(&format!("it is down: {part}"), || {
        appliance.stderr().contains(part)
    });
}

#[test]
fn a_caller_s_token_never_goes_upstream() {
    const CALLER: &str = "eyJhbGciOiJub25lIn0.caller-token-canary.x";
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let appliance = serve_with_tool(&config(&upstream, &client(&folder, "")));
    let params = json!({"name": "count", "arguments": {}});
    for (scheme, call) in [("Bearer", "1"), ("bearer", "2")] {
        let (body, headers) = modern(1, "tools/call", params.clone());
        let headers = format!("{headers}Authorization: {scheme} {CALLER}\r\n");
        let answer = appliance.connect().post(&body, &headers).json();
        assert_eq!(answer["result"]["content"][0]["text"], call);
    }
    let mut old = appliance.connect();
    let session = old.initialize("2025-06-18");
    let headers = format!(
        "Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-06-18\r\nAuthorization: Bearer {CALLER}\r\n"
    );
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let answer = old.post(&body.to_string(), &headers);
    assert!(
        String::from_utf8_lossy(&answer.body).contains("\"3\""),
        "{answer:?}"
    );
    assert!(upstream.has_seen("Bearer token-1"), "ours is shown");
    assert!(!upstream.has_seen("caller-token-canary"));
    assert!(!appliance.stderr().contains("caller-token-canary"));
}

#[test]
fn as_ourselves_we_show_our_secret_to_the_token_endpoint_alone() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let appliance = serve_with_tool(&config(&upstream, &client(&folder, ", scopes: [a, b]")));
    assert_eq!(text(&appliance), "1");
    let requests = upstream.token_requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with("grant_type=client_credentials&scope=a+b&resource=http"),
        "{}",
        requests[0]
    );
    assert!(
        upstream.asked("/token")[0]
            .header("authorization")
            .unwrap()
            .starts_with("Basic ")
    );
    for request in upstream.asked("/mcp") {
        assert!(!format!("{request:?}").contains("Basic "));
    }
    assert!(!appliance.stderr().contains(SECRET) && !appliance.stderr().contains("token-1"));
}

#[test]
fn a_revoked_token_is_replaced_and_the_call_made_once() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let appliance = serve_with_tool(&config(&upstream, &client(&folder, "")));
    assert_eq!(text(&appliance), "1");
    upstream.revoke();
    assert_eq!(text(&appliance), "2", "its caller notices nothing");
    assert_eq!((upstream.calls(), upstream.token_requests().len()), (2, 2));
    upstream.set(|manners| manners.token_error = Some("invalid_client"));
    upstream.revoke();
    let answer = count(&appliance);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("`up`") && message.contains("invalid_client"),
        "{message}"
    );
    assert_eq!(answer["error"]["data"]["reason"], "unauthorized");
    assert!(!answer.to_string().contains(SECRET));
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let upstream = Guarded::start();
    upstream.set(|manners| manners.expires_in = 6);
    let folder = scratch("credentials");
    let appliance = serve_with_tool(&config(&upstream, &client(&folder, "")));
    let before = upstream
        .asked("/.well-known/oauth-authorization-server")
        .len();
    appliance.eventually("it is renewed", || upstream.token_requests().len() >= 2);
    appliance.eventually("the new one is shown", || {
        text(&appliance);
        upstream.has_seen("Bearer token-2")
    });
    let after = upstream
        .asked("/.well-known/oauth-authorization-server")
        .len();
    assert_eq!(before, after, "nobody had to find it out anew");
}

#[test]
fn a_server_that_refuses_every_token_is_not_asked_without_end() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let appliance = serve_with_tool(&config(&upstream, &client(&folder, "")));
    upstream.set(|manners| manners.refuses_all = true);
    let mut last = String::new();
    for _ in 0..10 {
        last = count(&appliance)["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    assert!(last.contains("8 times within 60 s"), "{last}");
    assert_eq!(upstream.token_requests().len(), 8);
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn scopes_that_a_call_lacks_are_asked_for_beside_those_before() {
    let upstream = Guarded::start();
    upstream.set(|manners| manners.call_scope = Some("write"));
    let auth = "authorization_code: {scopes: [read], follow: true}";
    let appliance = serve_with_tool(&config(&upstream, auth));
    assert_eq!(text(&appliance), "1");
    let asked = upstream.asked("/authorize");
    assert_eq!(asked.len(), 2);
    assert!(asked[0].path.contains("scope=read&") || asked[0].path.ends_with("scope=read"));
    assert!(
        asked[1].path.contains("scope=read+write"),
        "{}",
        asked[1].path
    );
    assert_eq!(upstream.asked("/register").len(), 1, "registered once");
}

#[test]
fn an_upstream_that_leads_to_an_inner_address_is_not_followed() {
    for (issuer, part) in [
        ("http://169.254.169.254", "169.254.169.254"),
        (
            "https://[::ffff:169.254.169.254]",
            "which is no address of the internet",
        ),
        ("https://10.1.2.3/as", "10.1.2.3"),
        ("file:///etc/passwd", "must start with http:// or https://"),
    ] {
        let upstream = Guarded::start();
        upstream.set(|manners| issuer.clone_into(&mut manners.issuer));
        let folder = scratch("credentials");
        let appliance = serve(&config(&upstream, &client(&folder, "")));
        why_down(&appliance, part);
        assert!(upstream.token_requests().is_empty());
        assert!(!appliance.stderr().contains(SECRET));
    }
}

#[test]
fn a_client_is_shown_to_the_issuer_that_saw_it_first_and_to_no_other() {
    let (upstream, other) = (Guarded::start(), Guarded::start());
    let folder = scratch("credentials");
    let appliance = serve_with_tool(&config(&upstream, &client(&folder, "")));
    let issuer = other.url().replace("/mcp", "");
    upstream.set(|manners| issuer.clone_into(&mut manners.issuer));
    upstream.revoke();
    let answer = count(&appliance);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains(&issuer), "{message}");
    assert!(other.token_requests().is_empty());
}

/// Runs `margay upstream login up` with what it needs.
fn login(folder: &Path, config: &str, arguments: &[&str]) -> Command {
    let path = folder.join("margay.yaml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["upstream", "login", "up", "--config"])
        .arg(&path)
        .arg("--state-dir")
        .arg(folder.join("state"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn what_an_operator_allowed_once_is_used_from_then_on() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let auth = "authorization_code: {scopes: [read]}";
    let config = config(&upstream, auth);
    let printer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/components/printer.wat");
    let state = folder.join("state").display().to_string();
    let appliance = Appliance::with(&[printer, "--state-dir", &state], &config);
    why_down(&appliance, "margay upstream login up");
    let done = login(&folder, &config, &["--follow"]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("read") && !said(&done).contains("refresh-1"));
    let file = folder.join("state/credentials/up.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    appliance.eventually("the running one uses it", || {
        offered(&appliance).iter().any(|name| name == "count")
    });
    assert_eq!(text(&appliance), "1");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept.contains("refresh-2"),
        "the next one replaced it: {kept}"
    );
    upstream.revoke();
    assert_eq!(text(&appliance), "2");
    assert_eq!(
        upstream.asked("/authorize").len(),
        1,
        "nobody was asked again"
    );
}

#[test]
fn a_browser_that_comes_back_with_another_state_changes_nothing() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let config = config(&upstream, "authorization_code: {}");
    let mut child = login(&folder, &config, &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("/authorize?"));
    let url = url.unwrap().trim().to_owned();
    // As the browser does.
    let path = url
        .strip_prefix(&upstream.url().replace("/mcp", ""))
        .unwrap();
    let redirect = Client::connect(upstream.address).get(path);
    let back = redirect.header("location").unwrap().to_owned();
    let (address, target) = back
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let visit = |target: &str| Client::connect(address.parse().unwrap()).get(target).status;
    assert_eq!(visit("/"), 404);
    assert_eq!(visit("/callback?code=forged&state=forged&iss=x"), 400);
    assert!(upstream.token_requests().is_empty());
    assert_eq!(visit(&format!("/{target}")), 200);
    let mut rest = String::new();
    lines.for_each(|line| rest += &line.unwrap());
    let mut error = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut error)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{rest}{error}");
    assert!(rest.contains("margay may use `up`"), "{rest}");
    assert_eq!(upstream.token_requests().len(), 1);
}

#[test]
fn a_token_of_our_own_is_exchanged() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let file = folder.join("workload");
    private(&file, "workload-token\n");
    let endpoint = upstream.url().replace("/mcp", "/token");
    let auth = format!(
        "token_exchange: {{token_endpoint: '{endpoint}', audience: docs, subject_token: {{file: '{}'}}}}",
        file.display()
    );
    let appliance = serve_with_tool(&config(&upstream, &auth));
    assert_eq!(text(&appliance), "1");
    let form = upstream.token_requests().remove(0);
    for part in [
        "grant-type%3Atoken-exchange",
        "subject_token=workload-token&",
        "token-type%3Aaccess_token",
        "audience=docs",
    ] {
        assert!(form.contains(part), "{part} is missing in {form}");
    }
    let shown = upstream.asked("/mcp");
    assert!(
        shown
            .iter()
            .all(|request| !format!("{request:?}").contains("workload-token"))
    );
}

#[test]
fn a_static_header_is_read_from_where_it_is_kept() {
    let folder = scratch("credentials");
    private(&folder.join("key"), "static-canary\n");
    let mut keeping = Command::new(binary())
        .args(["secret", "set", "up/KEY", "--state-dir"])
        .arg(folder.join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let value = b"static-canary\n";
    keeping.stdin.take().unwrap().write_all(value).unwrap();
    assert!(keeping.wait().unwrap().success());
    let file = format!("{{file: '{}'}}", folder.join("key").display());
    for place in [file.as_str(), "{secret: up/KEY}"] {
        let upstream = crate::harness::upstream::Script::modern("plain").http();
        let config = format!(
            "state_dir: '{}'\nupstreams:\n  up: {{url: '{}', auth: {{header: {{name: X-Key, value: {place}}}}}}}\n",
            folder.join("state").display(),
            upstream.url()
        );
        let appliance = serve(&config);
        appliance.eventually("its tools are offered", || offered(&appliance).len() > 2);
        let entries = json!(upstream.entries()).to_string();
        assert!(entries.contains(r#"["x-key","static-canary"]"#), "{place}");
        assert!(!appliance.stderr().contains("static-canary"));
    }
}

#[test]
fn each_credential_that_was_got_or_not_is_audited_and_shown_nowhere() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let state = folder.display();
    let config = format!(
        "state_dir: '{state}/state'\naudit: {{dir: '{state}/audit'}}\nlog_level: trace\n{}",
        config(&upstream, &client(&folder, ""))
    );
    let mut appliance = serve_with_tool(&config);
    assert_eq!(text(&appliance), "1");
    upstream.set(|manners| manners.token_error = Some("token-1 is what you showed"));
    upstream.revoke();
    let refused = count(&appliance).to_string();
    appliance.signal("TERM");
    appliance.wait();
    let log = std::fs::read_to_string(folder.join("audit/audit.0001.jsonl")).unwrap();
    let of = |outcome: &str| {
        let lines = log
            .lines()
            .filter(|line| line.contains("SensitiveDataAccess"));
        lines
            .filter(|line| line.contains(outcome) && line.contains(r#""target":"up""#))
            .count()
    };
    assert_eq!((of(r#""ok""#), of(r#""failed""#)), (1, 1), "{log}");
    for (what, text) in [
        ("audit", &log),
        ("log", &appliance.stderr()),
        ("answer", &refused),
    ] {
        assert!(
            !text.contains(SECRET) && !text.contains("token-1"),
            "{what}: {text}"
        );
    }
}

#[test]
fn an_authorization_that_wants_a_person_is_not_followed_for_one() {
    let upstream = Guarded::start();
    upstream.set(|manners| manners.wants_person = true);
    let appliance = serve(&config(&upstream, "authorization_code: {follow: true}"));
    why_down(&appliance, "it wants a person");
    assert!(upstream.token_requests().is_empty());
}

#[test]
fn a_server_that_is_away_is_not_taken_for_one_that_refuses() {
    let upstream = Guarded::start();
    let folder = scratch("credentials");
    let config = config(&upstream, "authorization_code: {}");
    let done = login(&folder, &config, &["--follow"]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    upstream.set(|manners| manners.token_error = Some("temporarily_unavailable"));
    let printer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/components/printer.wat");
    let state = folder.join("state").display().to_string();
    let appliance = Appliance::with(&[printer, "--state-dir", &state], &config);
    why_down(&appliance, "temporarily_unavailable");
    upstream.set(|manners| manners.token_error = None);
    appliance.eventually("what was allowed still counts", || {
        offered(&appliance).iter().any(|name| name == "count")
    });
}
