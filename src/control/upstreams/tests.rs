use std::path::Path;
use std::time::Instant;

use super::*;
use crate::component::{Runtime, RuntimeOptions};
use crate::control::components::ComponentSet;
use crate::control::config::Overrides;
use crate::control::secrets::Secrets;
use crate::gateway::{ChildKey, ChildNews, ChildOrder, ControlLink, News, RawListing};
use crate::limits::Limits;
use crate::mcp::{HostRules, List, Sessions};
use crate::shard::Snapshot;
use crate::upstream::era::Spoken;

const PATIENCE: Duration = Duration::from_secs(10);

fn prepared(text: &str) -> Prepared {
    let path = Path::new("/etc/margay/margay.yaml");
    let config = Config::parse(text, path, &Overrides::default()).unwrap();
    Prepared::of(&config, &Secrets::new(&config))
        .unwrap()
        .unwrap()
}

/// Two upstreams in service, without a thread that would call them.
struct Service {
    shared: Arc<Shared>,
    started: Started,
    control: Arc<dyn ControlLink>,
    _publisher: Arc<Publisher>,
}

fn service(text: &str) -> Service {
    let upstreams = prepared(text);
    let limits = Limits {
        instance_count_max: 8,
        ..Limits::default()
    };
    let runtime = Runtime::new(&limits, RuntimeOptions::default()).unwrap();
    let mut set = ComponentSet::of(Vec::new());
    *set.upstreams() = upstreams.offers();
    let hosts = HostRules::loopback();
    let snapshot = Snapshot {
        catalog: set.catalog(),
        hosts: hosts.clone(),
    };
    let shared = Shared::new(limits, snapshot, Sessions::new(1, 0), runtime, 1);
    let shared = Arc::new(shared.with_upstreams(upstreams.shared(0..1)));
    let publisher = Publisher::start(Arc::clone(&shared), set, hosts).unwrap();
    Service {
        started: upstreams.start(&shared, &publisher).unwrap(),
        control: Arc::clone(&shared.upstreams().unwrap().control),
        shared,
        _publisher: publisher,
    }
}

fn listed(remote: usize, tool: &str) -> News {
    let page = format!(r#"{{"tools":[{{"name":"{tool}","inputSchema":{{"type":"object"}}}}]}}"#);
    News::Listed {
        remote,
        listing: Box::new(RawListing {
            spoken: Spoken::Legacy,
            facts: b"{}".to_vec(),
            pages: vec![(List::Tools, page.into_bytes())],
            announced: Vec::new(),
        }),
    }
}

fn down(remote: usize) -> News {
    News::Down {
        remote,
        why: "nobody is there".to_owned(),
    }
}

const TWO: &str = "
upstreams:
  a: {url: http://127.0.0.1:1/mcp}
  b: {url: http://127.0.0.1:2/mcp, fail: closed}
";

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_upstreams_say_is_put_in_force_and_told() {
    let service = service(TWO);
    let names = || -> Vec<String> {
        let snapshot = service.shared.snapshot.load();
        let names = snapshot.catalog.names();
        names.into_iter().map(str::to_owned).collect()
    };
    let refused = || {
        let snapshot = service.shared.snapshot.load();
        snapshot.catalog.refused(List::Tools).map(str::to_owned)
    };
    assert_eq!(refused().as_deref(), Some("b"), "nobody has heard of it");
    service.control.news(listed(0, "echo"));
    wait_until("the first is not in force", || names() == ["echo"]);
    service.control.news(listed(1, "time"));
    wait_until("the second is not in force", || names() == ["echo", "time"]);
    assert_eq!(refused(), None);
    service.control.news(down(0));
    wait_until("the first is still in force", || names() == ["time"]);
    service.control.news(down(1));
    wait_until("its lists are not refused", || {
        refused().as_deref() == Some("b")
    });
    assert_eq!(names(), ["time"], "a call says better what is wrong");
}

#[tokio::test]
async fn a_start_waits_until_each_upstream_is_known_and_no_longer() {
    let service = tokio::task::spawn_blocking(|| service(TWO)).await.unwrap();
    let began = Instant::now();
    service.started.known(Duration::from_millis(50)).await;
    assert!(
        began.elapsed() >= Duration::from_millis(50),
        "nothing is known"
    );
    service.control.news(down(1));
    service.control.news(listed(0, "echo"));
    service.started.known(PATIENCE).await;
    let names: Vec<String> = {
        let snapshot = service.shared.snapshot.load();
        let names = snapshot.catalog.names();
        names.into_iter().map(str::to_owned).collect()
    };
    assert_eq!(names, ["echo"], "what is known is in force");
    let began = Instant::now();
    service.started.stop().await;
    assert!(
        began.elapsed() < STOP_DEADLINE,
        "there was nothing to wait for"
    );
    tokio::task::spawn_blocking(move || drop(service.shared))
        .await
        .unwrap();
}

/// Children whose keeper is a shell that runs `keep-child` of its folder.
struct Bench {
    link: Arc<Link>,
    heard: std::sync::mpsc::Receiver<(ChildKey, ChildNews)>,
    thread: JoinHandle<()>,
}

impl Bench {
    fn new(name: &str, keeper: &str, count_max: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("margay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("keep-child"), keeper).unwrap();
        let text = format!(
            "upstreams:\n  a: {{command: server, cwd: {}}}\n  b: {{url: http://127.0.0.1:1/}}\n",
            folder.display()
        );
        let remotes = prepared(&text).remotes;
        let link = Arc::new(Link::new(remotes.len()));
        let (sender, heard) = std::sync::mpsc::sync_channel(64);
        let tell = move |child, news| drop(sender.send((child, news)));
        let nursery = Nursery::new(
            Arc::clone(&link),
            remotes,
            count_max,
            crate::upstream::stdio::Spawner::here(std::path::Path::new("/bin/sh")),
            tell,
        );
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(nursery.run());
        });
        Self {
            link,
            heard,
            thread,
        }
    }

    fn start(&self, remote: usize, number: u64) {
        let child = key(number);
        self.link.order(ChildOrder::Start { remote, child });
    }

    fn next(&self) -> (u64, ChildNews) {
        let (child, news) = self.heard.recv_timeout(PATIENCE).unwrap();
        (child.number, news)
    }

    /// Ends everything; what was heard until then.
    fn end(self) -> Vec<(u64, ChildNews)> {
        self.link.end();
        self.thread.join().unwrap();
        let heard = self.heard.try_iter();
        heard.map(|(child, news)| (child.number, news)).collect()
    }
}

fn key(number: u64) -> ChildKey {
    ChildKey { port: 0, number }
}

#[test]
fn a_child_runs_until_it_is_wanted_no_longer() {
    let bench = Bench::new("nursery-stop", "exec cat", 8);
    bench.start(0, 1);
    let (1, ChildNews::Started(stream)) = bench.next() else {
        panic!("it does not run");
    };
    bench.start(0, 2);
    let (2, ChildNews::Started(other)) = bench.next() else {
        panic!("the second does not run");
    };
    bench.link.order(ChildOrder::Stop(key(1)));
    assert!(matches!(bench.next(), (1, ChildNews::CloseInput)));
    drop(stream);
    let (1, ChildNews::Ended { restart_in_ms, .. }) = bench.next() else {
        panic!("it does not end");
    };
    assert_eq!(restart_in_ms, None, "for good");
    drop(other);
    let (2, ChildNews::Ended { restart_in_ms, .. }) = bench.next() else {
        panic!("it does not end with its input");
    };
    assert!(restart_in_ms.is_some(), "nobody has stopped that one");
    bench.end();
}

#[test]
fn a_child_that_does_not_answer_is_started_again() {
    let bench = Bench::new("nursery-restart", "exec cat", 8);
    bench.start(0, 1);
    let (_, ChildNews::Started(stream)) = bench.next() else {
        panic!("it does not run");
    };
    bench.link.order(ChildOrder::Restart(key(1)));
    assert!(matches!(bench.next(), (1, ChildNews::CloseInput)));
    drop(stream);
    assert!(matches!(
        bench.next(),
        (
            1,
            ChildNews::Ended {
                restart_in_ms: Some(_),
                ..
            }
        )
    ));
    assert!(matches!(bench.next(), (1, ChildNews::Started(_))));
    bench.end();
}

#[test]
fn no_more_children_run_than_the_limit_allows() {
    let bench = Bench::new("nursery-limit", "exec cat", 1);
    bench.start(0, 1);
    let (1, ChildNews::Started(_stream)) = bench.next() else {
        panic!("it does not run");
    };
    bench.start(0, 2);
    let (2, ChildNews::Ended { how, restart_in_ms }) = bench.next() else {
        panic!("it was started");
    };
    assert!(
        how.contains("limits.upstream_child_count_max is 1"),
        "{how}"
    );
    assert_eq!(restart_in_ms, None);
    for (remote, number) in [(1, 3), (7, 4)] {
        bench.start(remote, number);
        let (found, ChildNews::Ended { restart_in_ms, .. }) = bench.next() else {
            panic!("there is no such child");
        };
        assert_eq!((found, restart_in_ms), (number, None));
    }
    bench.link.order(ChildOrder::Restart(key(9)));
    bench.link.order(ChildOrder::Stop(key(9)));
    bench.end();
}

#[test]
fn children_that_ignore_everything_have_ended_when_control_has() {
    let bench = Bench::new(
        "nursery-end",
        "trap '' TERM; echo $$; while :; do sleep 1; done",
        8,
    );
    bench.start(0, 1);
    let (1, ChildNews::Started(stream)) = bench.next() else {
        panic!("it does not run");
    };
    let mut pid = String::new();
    let mut stream = std::io::BufReader::new(std::fs::File::from(stream));
    std::io::BufRead::read_line(&mut stream, &mut pid).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(process.exists());
    let began = Instant::now();
    let heard = bench.end();
    assert!(began.elapsed() < STOP_DEADLINE, "it was killed before");
    assert!(!process.exists(), "it still runs");
    assert!(
        heard
            .iter()
            .any(|(_, news)| matches!(news, ChildNews::Ended { .. })),
        "{heard:?}"
    );
}

#[test]
fn a_child_that_ends_with_its_home_is_not_started_again() {
    let bench = Bench::new("nursery-drain", "exec cat", 8);
    bench.start(0, 1);
    let (1, ChildNews::Started(stream)) = bench.next() else {
        panic!("it does not run");
    };
    bench.link.drain();
    drop(stream);
    assert!(matches!(bench.next(), (1, ChildNews::Ended { .. })));
    // The first restart would come after a quarter of a second.
    let more = bench.heard.recv_timeout(Duration::from_millis(600));
    assert!(more.is_err(), "{more:?}");
    bench.end();
}
