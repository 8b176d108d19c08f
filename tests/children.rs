//! Children of the appliance: they get what they are granted, end when they are told to, and never outlive it.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use margay::upstream::stdio::{
    ChildEvent, ChildSpec, LifetimeRules, Order, ResourceLimits, Spawner, spawn, supervise,
};
use tokio::sync::mpsc;

use crate::harness::{binary, scratch};

const PATIENCE: Duration = Duration::from_secs(20);

/// A shell that runs this script.
fn shell(script: &str) -> ChildSpec {
    ChildSpec {
        name: "test".to_owned(),
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
        directory: None,
        limits: ResourceLimits::default(),
        close_ms: 200,
        term_ms: 200,
    }
}

fn rules() -> LifetimeRules {
    LifetimeRules {
        backoff_first_ms: 20,
        backoff_max_ms: 100,
        steady_ms: 60_000,
        close_ms: 200,
        term_ms: 200,
    }
}

struct Talk {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Talk {
    fn new(stream: OwnedFd) -> Self {
        let stream = UnixStream::from(stream);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: BufReader::new(stream.try_clone().unwrap()),
            writer: stream,
        }
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).unwrap();
        (count > 0).then(|| line.trim_end().to_owned())
    }

    fn number(&mut self) -> i32 {
        self.line().unwrap().parse().unwrap()
    }
}

fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit_once(')')
            .unwrap()
            .1
            .trim_start()
            .starts_with('Z')
    })
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_child_talks_and_ends_with_its_input() {
    let mut child = spawn(
        &shell("read line; echo \"got $line\"; cat >/dev/null; exit 7"),
        &binary(),
    )
    .unwrap();
    let mut talk = Talk::new(child.stream);
    talk.writer.write_all(b"hello\n").unwrap();
    assert_eq!(talk.line().as_deref(), Some("got hello"));
    talk.writer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(child.keeper.wait().unwrap().code(), Some(7));
    assert_eq!(talk.line(), None, "the stream ends with the child");
}

#[test]
fn a_child_gets_its_environment_directory_and_limits_and_no_more() {
    let folder = scratch("child");
    let mut spec =
        shell("env | sort; pwd; ulimit -n; ulimit -c; ulimit -d; ls /proc/self/fd | wc -l");
    spec.environment.push(("GRANTED".into(), "yes".into()));
    spec.directory = Some(folder.clone());
    spec.limits.open_files = Some(77);
    spec.limits.memory_bytes = Some(512 << 20);
    let mut child = spawn(&spec, &binary()).unwrap();
    let mut talk = Talk::new(child.stream);
    let lines: Vec<String> = std::iter::from_fn(|| talk.line()).collect();
    child.keeper.wait().unwrap();
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    for name in &names {
        assert!(
            ["GRANTED", "PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name),
            "{name} leaked"
        );
    }
    assert!(names.contains(&"GRANTED"));
    let rest = &lines[lines.len() - 5..];
    assert_eq!(Path::new(&rest[0]), folder.canonicalize().unwrap());
    assert_eq!(rest[1..4], ["77", "0", &(512 << 10).to_string()]);
    // What this test itself was started with is all that a child may have.
    let inherited = Command::new("sh")
        .args(["-c", "ls /proc/self/fd | wc -l"])
        .output()
        .unwrap();
    let inherited = String::from_utf8(inherited.stdout).unwrap();
    assert_eq!(
        rest[4],
        inherited.trim(),
        "a descriptor leaked into the child"
    );
}

#[test]
fn a_server_that_cannot_be_started_says_so() {
    let mut spec = shell("");
    spec.program = "/nonexistent/server".into();
    let mut child = spawn(&spec, &binary()).unwrap();
    let mut errors = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(child.errors), &mut errors).unwrap();
    assert_eq!(child.keeper.wait().unwrap().code(), Some(127));
    assert!(
        errors.contains("cannot start /nonexistent/server"),
        "{errors}"
    );
}

/// A server that ignores everything, with a child of its own that has left its session and does the same.
const STUBBORN: &str = "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP INT; echo $$; while :; do sleep 1; done' & \
                        echo $$; while :; do sleep 1; done";

fn two_pids(talk: &mut Talk) -> [i32; 2] {
    [talk.number(), talk.number()]
}

/// What a supervised child does, seen from a thread of the test.
struct Supervised {
    orders: mpsc::Sender<Order>,
    events: std::sync::mpsc::Receiver<ChildEvent>,
    thread: std::thread::JoinHandle<()>,
}

impl Supervised {
    fn start(spec: ChildSpec) -> Self {
        let (orders, receiver) = mpsc::channel(4);
        let (sender, events) = std::sync::mpsc::sync_channel(100);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(supervise(
                spec,
                rules(),
                &Spawner::here(&binary()),
                receiver,
                || 0,
                |event| {
                    sender.send(event).unwrap();
                },
            ));
        });
        Self {
            orders,
            events,
            thread,
        }
    }

    fn next(&self) -> ChildEvent {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    fn started(&self) -> Talk {
        match self.next() {
            ChildEvent::Started(stream) => Talk::new(stream),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_stubborn_child_and_all_that_it_started_is_ended() {
    let supervised = Supervised::start(shell(STUBBORN));
    let mut talk = supervised.started();
    let pids = two_pids(&mut talk);
    assert!(pids.into_iter().all(lives));
    let start = Instant::now();
    supervised.orders.blocking_send(Order::Stop).unwrap();
    assert!(matches!(supervised.next(), ChildEvent::CloseInput));
    talk.writer.shutdown(std::net::Shutdown::Write).unwrap();
    match supervised.next() {
        ChildEvent::Ended { how, restart_in_ms } => {
            assert_eq!((how.as_str(), restart_in_ms), ("ended by signal 9", None));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        start.elapsed() >= Duration::from_millis(400),
        "it got its time to end by itself"
    );
    supervised.thread.join().unwrap();
    assert!(!pids.into_iter().any(lives), "nothing is left");
}

#[test]
fn a_child_that_ends_by_itself_is_started_again_later_and_later() {
    let supervised = Supervised::start(shell("echo ready; exit 3"));
    let mut waits = Vec::new();
    for _ in 0..4 {
        assert_eq!(supervised.started().line().as_deref(), Some("ready"));
        match supervised.next() {
            ChildEvent::Ended { how, restart_in_ms } => {
                assert_eq!(how, "exited with code 3");
                waits.push(restart_in_ms.unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [20, 40, 80, 100]);
    drop(supervised.orders);
    while let Ok(event) = supervised.events.recv_timeout(PATIENCE) {
        drop(event);
    }
    supervised.thread.join().unwrap();
}

#[test]
fn a_child_is_restarted_on_order() {
    let supervised = Supervised::start(shell("echo $$; cat >/dev/null"));
    let mut talk = supervised.started();
    let first = talk.number();
    supervised.orders.blocking_send(Order::Restart).unwrap();
    assert!(matches!(supervised.next(), ChildEvent::CloseInput));
    drop(talk);
    assert!(matches!(
        supervised.next(),
        ChildEvent::Ended {
            restart_in_ms: Some(_),
            ..
        }
    ));
    let mut talk = supervised.started();
    assert_ne!(talk.number(), first);
    supervised.orders.blocking_send(Order::Stop).unwrap();
    drop(talk);
    supervised.thread.join().unwrap();
}

/// Stands for the appliance in the test below, which kills it.
#[test]
#[ignore = "it never ends by itself"]
fn a_process_that_is_killed() {
    let child = spawn(&shell(STUBBORN), &binary()).unwrap();
    let mut talk = Talk::new(child.stream);
    let pids = two_pids(&mut talk);
    println!("\npids {} {} {}", pids[0], pids[1], child.keeper.id());
    loop {
        std::thread::park();
    }
}

#[test]
fn nothing_outlives_an_appliance_that_is_killed() {
    let mut appliance = Command::new(std::env::current_exe().unwrap())
        .args([
            "children::a_process_that_is_killed",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(appliance.stdout.take().unwrap()).lines();
    let pids: Vec<i32> = lines
        .map_while(Result::ok)
        .find_map(|line| {
            let numbers = line.strip_prefix("pids ")?;
            Some(numbers.split(' ').map(|pid| pid.parse().unwrap()).collect())
        })
        .unwrap();
    assert_eq!(pids.iter().filter(|pid| lives(**pid)).count(), 3);
    appliance.kill().unwrap();
    appliance.wait().unwrap();
    wait_until("all are gone", || !pids.iter().any(|pid| lives(*pid)));
}

#[test]
fn a_server_does_not_outlive_its_keeper() {
    let mut child = spawn(
        &shell("trap '' TERM; echo $$; while :; do sleep 1; done"),
        &binary(),
    )
    .unwrap();
    let server = Talk::new(child.stream).number();
    child.keeper.kill().unwrap();
    child.keeper.wait().unwrap();
    wait_until("the server is gone", || !lives(server));
}

#[test]
fn a_keeper_that_is_killed_is_noticed() {
    let supervised = Supervised::start(shell("echo $PPID; echo $$; exec sleep 1000"));
    let mut talk = supervised.started();
    let [keeper, server] = two_pids(&mut talk);
    assert!(
        Command::new("kill")
            .args(["-9", &keeper.to_string()])
            .status()
            .unwrap()
            .success()
    );
    match supervised.next() {
        ChildEvent::Ended { how, restart_in_ms } => {
            assert_eq!(
                (how.as_str(), restart_in_ms),
                ("its keeper was killed", Some(20))
            );
        }
        other => panic!("{other:?}"),
    }
    wait_until("the server is gone", || !lives(server));
    supervised.started();
    drop(supervised.orders);
    supervised.thread.join().unwrap();
}
