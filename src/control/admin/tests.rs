use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::control::plane::Answer;
use crate::control::store::Change;
use crate::error::Problem;
use crate::metrics::{Counter, ShardMetrics};
use crate::policy::rate::Rate;

/// A plane of two shards, of which `answering` answer.
struct Fake {
    answering: usize,
    running: usize,
    tools: usize,
}

impl Plane for Fake {
    fn apply(&self, _: Change) -> Vec<Problem> {
        Vec::new()
    }
    fn metrics(&self) -> Answer<'_, Vec<ShardMetrics>> {
        let mut shard = ShardMetrics::new();
        shard.add(Counter::CallOk, 3);
        Box::pin(std::future::ready(vec![shard; self.answering]))
    }
    fn extra(&self) -> Vec<Extra> {
        vec![Extra::gauge("tools", "Tools.", self.tools as f64)]
    }
    fn shard_count(&self) -> usize {
        2
    }
    fn tool_count(&self) -> usize {
        self.tools
    }
    fn tick(&self) {}
    fn drain(&self) {}
    fn running(&self) -> usize {
        self.running
    }

    fn tasks_running(&self) -> usize {
        0
    }
}

const WELL: Fake = Fake {
    answering: 2,
    running: 2,
    tools: 1,
};

struct Server {
    address: SocketAddr,
    admin: Admin,
    _runtime: tokio::runtime::Runtime,
}

fn serve(plane: Fake) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::new(Arc::new(plane), address, &["metrics.example".to_owned()]);
    runtime.spawn(admin.clone().serve(listener, None));
    Server {
        address,
        admin,
        _runtime: runtime,
    }
}

impl Server {
    fn ask(&self, request_line: &str, headers: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        write!(
            stream,
            "{request_line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask(&format!("GET {path}"), "Host: localhost\r\n");
        (status, body)
    }
}

#[test]
fn metrics_are_merged_open_metrics_text() {
    let server = serve(WELL);
    let (status, head, body) = server.ask("GET /metrics", "Host: localhost:9091\r\n");
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: application/openmetrics-text"),
        "{head}"
    );
    assert!(
        body.contains("margay_tool_calls_total{outcome=\"ok\"} 6\n"),
        "{body}"
    );
    assert!(
        body.contains("margay_shards_silent 0") && body.contains("margay_tools 1"),
        "{body}"
    );
    assert!(body.contains("# EOF\n"));
}

#[test]
fn a_page_from_elsewhere_gets_nothing_from_any_route() {
    let server = serve(WELL);
    for route in [
        "GET /metrics",
        "GET /healthz",
        "GET /readyz",
        "POST /components/reload",
        "GET /nothing",
        "PUT /metrics",
    ] {
        for headers in [
            "Host: evil.example\r\n",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
            "Host: localhost\r\nOrigin: null\r\n",
            "Host: localhost\r\nHost: localhost\r\n",
        ] {
            let (status, _, body) = server.ask(route, headers);
            assert!(
                status == 403 || (status == 400 && headers.matches("Host").count() > 1),
                "{route} {headers}: {status}"
            );
            assert!(!body.contains("margay_tool_calls"), "{body}");
        }
    }
    for target in [
        "http://evil.example/metrics",
        "http://evil.example:80/healthz",
    ] {
        let (status, _, _) = server.ask(&format!("GET {target}"), "Host: localhost\r\n");
        assert_eq!(status, 403, "a whole URL names the host that is meant");
    }
    let (status, _, _) = server.ask("GET http://localhost/healthz", "Host: localhost\r\n");
    assert_eq!(status, 200);
    let (status, _, _) = server.ask("GET /healthz", "Host: metrics.example:1\r\n");
    assert_eq!(status, 200);
}

#[test]
fn ready_means_that_a_tool_can_be_called() {
    assert_eq!(serve(WELL).get("/readyz").0, 200);
    let (status, body) = serve(Fake { tools: 0, ..WELL }).get("/readyz");
    assert!(status == 503 && body.contains("component load"), "{body}");
    assert_eq!(serve(Fake { running: 1, ..WELL }).get("/readyz").0, 503);
    let server = serve(WELL);
    server.admin.begin_drain();
    let (status, body) = server.get("/readyz");
    assert!(status == 503 && body.contains("draining"), "{body}");
    assert_eq!(server.get("/healthz").0, 200, "draining is healthy");
}

#[test]
fn healthy_means_that_every_shard_runs_and_answers() {
    assert_eq!(serve(WELL).get("/healthz").0, 200);
    assert_eq!(
        serve(Fake {
            answering: 1,
            ..WELL
        })
        .get("/healthz")
        .0,
        503
    );
    assert_eq!(serve(Fake { running: 1, ..WELL }).get("/healthz").0, 503);
}

#[test]
fn errors_are_json_that_says_what_there_is() {
    let server = serve(WELL);
    let (status, head, body) = server.ask("GET /nope", "Host: localhost\r\n");
    assert_eq!(status, 404);
    assert!(head.contains("content-type: application/json"), "{head}");
    let value: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
    assert!(
        value["error"]["message"]
            .as_str()
            .unwrap()
            .contains("/metrics"),
        "{body}"
    );
    let (status, _, body) = server.ask("POST /metrics", "Host: localhost\r\nContent-Length: 0\r\n");
    assert!(
        status == 405 && body.contains("does not take POST"),
        "{body}"
    );
}

#[test]
fn a_reload_is_accepted_and_passed_on() {
    let server = serve(WELL);
    let requests = server.admin.reload_requests();
    let (status, _, _) = server.ask(
        "POST /components/reload",
        "Host: localhost\r\nContent-Length: 0\r\n",
    );
    assert_eq!(status, 202);
    let waited = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async {
            tokio::time::timeout(Duration::from_secs(5), requests.notified()).await
        });
    assert!(waited.is_ok(), "the request never arrived");
}

/// A listener that wants a key.
fn serve_asking(failures: Option<Rate>) -> Server {
    use crate::policy::auth::{ApiKey, Verifier, hash_of, parse_hash};
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let key = ApiKey::new("operator", parse_hash(&hash_of("the-key")).unwrap());
    let verifier = Verifier {
        keys: vec![key].into(),
        ..Verifier::default()
    };
    let authenticator = Arc::new(Authenticator::new(verifier, None));
    let rates = RateOptions {
        auth_failure: failures,
        ..RateOptions::default()
    };
    let admin = Admin::new(Arc::new(WELL), address, &[])
        .with_auth(authenticator, Audit::off())
        .with_rates(&rates, 100);
    runtime.spawn(admin.clone().serve(listener, None));
    Server {
        address,
        admin,
        _runtime: runtime,
    }
}

#[test]
fn where_a_key_is_asked_for_nothing_is_told_or_done_without_it() {
    let server = serve_asking(None);
    for request in [
        "GET /metrics",
        "POST /components/reload",
        "POST /mcp",
        "GET /nowhere",
        "POST /healthz",
    ] {
        for (headers, status) in [
            ("", 401),
            ("Authorization: Bearer other\r\n", 401),
            ("Authorization: Basic dGhlLWtleQ==\r\n", 401),
            ("Authorization: Bearer the-key the-key\r\n", 400),
            (
                "Authorization: Bearer the-key\r\nAuthorization: Bearer the-key\r\n",
                400,
            ),
        ] {
            let (found, head, body) = server.ask(
                request,
                &format!("Host: localhost\r\n{headers}Content-Length: 0\r\n"),
            );
            assert_eq!(found, status, "{request} {headers}: {body}");
            assert!(head.contains("www-authenticate: bearer"), "{head}");
        }
    }
    let with_key = "Host: localhost\r\nAuthorization: bearer the-key\r\n";
    assert_eq!(server.ask("GET /metrics", with_key).0, 200);
    assert!(server.ask("GET /healthz", with_key).2.contains("shards"));
    // A page in a browser does not get as far as the key.
    let foreign = "Host: evil.example\r\nAuthorization: Bearer the-key\r\n";
    assert_eq!(server.ask("GET /metrics", foreign).0, 403);
}

#[test]
fn a_probe_without_a_key_is_told_whether_all_is_well_and_no_more() {
    let server = serve_asking(None);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path), (200, "{\"status\":\"ok\"}".to_owned()));
        let wrong = "Host: localhost\r\nAuthorization: Bearer other\r\n";
        assert_eq!(server.ask(&format!("GET {path}"), wrong).0, 401);
    }
    server.admin.begin_drain();
    assert_eq!(
        server.get("/readyz"),
        (503, "{\"status\":\"failing\"}".to_owned())
    );
}

#[test]
fn guesses_are_not_looked_at_beyond_the_limit_and_who_is_known_is_served() {
    let server = serve_asking(Some(Rate::per_hour(3)));
    let shows = |key: &str| format!("Host: localhost\r\nAuthorization: Bearer {key}\r\n");
    assert_eq!(server.ask("GET /metrics", &shows("the-key")).0, 200);
    let guess = |number: usize| server.ask("GET /metrics", &shows(&format!("guess-{number}")));
    let answers: Vec<u16> = (0..5).map(|number| guess(number).0).collect();
    assert_eq!(answers, [401, 401, 401, 429, 429]);
    let (_, head, body) = guess(9);
    assert!(head.contains("retry-after: 1200"), "{head}");
    assert!(body.contains("auth_failure_per_second_max"), "{body}");
    assert_eq!(server.ask("GET /metrics", &shows("the-key")).0, 200);
    // Probes show nothing, and there is nothing to look at.
    assert_eq!(server.get("/healthz").0, 200);
    assert_eq!(server.ask("GET /metrics", "Host: localhost\r\n").0, 401);
}
