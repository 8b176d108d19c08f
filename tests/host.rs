//! The appliance and its host: forbidden system calls, small limits, and signals at bad moments.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Appliance, Client, binary, cache, scratch};

/// Refusing takes no longer than this, on a machine that is busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Makes `io_uring_setup` (425) fail with the first argument for the command that follows, as container runtimes do.
const WITHOUT_IO_URING: &str = r#"
import ctypes, os, struct, sys
step = lambda code, yes, no, k: struct.pack("HBBI", code, yes, no, k)
steps = step(0x20, 0, 0, 0) + step(0x15, 0, 1, 425) + step(0x06, 0, 0, 0x50000 | int(sys.argv[1])) + step(0x06, 0, 0, 0x7FFF0000)
memory = ctypes.create_string_buffer(steps)
program = struct.pack("HxxxxxxQ", 4, ctypes.addressof(memory))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// `margay`, started by what these words say.
fn margay_under(prefix: &[&str], arguments: &[&str]) -> Command {
    let folder = scratch("host");
    let mut command = match prefix.split_first() {
        Some((program, rest)) => {
            let mut command = Command::new(program);
            command.args(rest).arg(binary());
            command
        }
        None => Command::new(binary()),
    };
    command
        .args(arguments)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", cache())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// The exit code and the one line that a refusal consists of.
#[track_caller]
fn refusal(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.spawn().unwrap();
    let status = ended_within(&mut child, AT_ONCE);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let status = status.unwrap_or_else(|| panic!("still running; stderr: {text}"));
    assert_eq!(text.lines().count(), 1, "{text}");
    (status.code(), text)
}

const ANYWHERE: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// Starts a server that must serve, asks it for its tools, and ends it.
#[track_caller]
fn serves(mut command: Command) {
    use std::io::BufRead;
    let mut child = command.args(ANYWHERE).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().map(Result::unwrap).unwrap_or_default();
    let address = first
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split("/mcp").next());
    let Some(address) = address.and_then(|text| text.parse::<SocketAddr>().ok()) else {
        let output = child.wait_with_output().unwrap();
        panic!(
            "does not serve: {first} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    Client::connect(address).call("echo", json!({"text": "x"}));
    signal(&child, "TERM");
    assert_eq!(
        ended_within(&mut child, AT_ONCE).and_then(|status| status.code()),
        Some(0)
    );
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(status.success());
}

/// A prefix under which little memory may be locked, also for root.
fn little_locked_memory() -> Vec<&'static str> {
    let mut prefix = vec!["prlimit", "--memlock=65536"];
    let user = Command::new("id").arg("-u").output().unwrap().stdout;
    if user == b"0\n" {
        prefix.extend([
            "setpriv",
            "--bounding-set",
            "-ipc_lock",
            "--inh-caps",
            "-ipc_lock",
        ]);
    }
    prefix
}

#[test]
fn forbidden_io_uring_is_said_at_once_and_epoll_serves() {
    for (errno, name) in [("1", "EPERM"), ("38", "ENOSYS")] {
        let filter = ["python3", "-c", WITHOUT_IO_URING, errno];
        let (code, text) = refusal(margay_under(
            &filter,
            &["serve", "--listen", "127.0.0.1:0", "--admin", "off"],
        ));
        assert_eq!(code, Some(71), "{text}");
        for needle in ["io_uring_setup", name, "seccomp", "--io epoll"] {
            assert!(text.contains(needle), "{needle}: {text}");
        }
        serves(margay_under(&filter, &["serve", "--io", "epoll"]));
    }
}

#[test]
fn little_locked_memory_is_said_at_once_and_epoll_needs_none() {
    let prefix = little_locked_memory();
    let (code, text) = refusal(margay_under(
        &prefix,
        &["serve", "--listen", "127.0.0.1:0", "--admin", "off"],
    ));
    assert_eq!(code, Some(71), "{text}");
    assert!(
        text.contains("locked memory") && text.contains("ulimit -l"),
        "{text}"
    );
    let log = scratch("memlock").join("access.jsonl");
    serves(margay_under(
        &prefix,
        &[
            "serve",
            "--io",
            "epoll",
            "--access-log",
            log.to_str().unwrap(),
        ],
    ));
    assert!(std::fs::read_to_string(log).unwrap().contains("echo"));
}

#[test]
fn too_few_open_files_are_said_at_once() {
    for limit in ["8", "64"] {
        let prefix = ["prlimit", &format!("--nofile={limit}")];
        let (code, text) = refusal(margay_under(
            &prefix,
            &["serve", "--listen", "127.0.0.1:0", "--admin", "off"],
        ));
        assert_eq!(code, Some(71), "{text}");
        assert!(
            text.contains("open files") && text.contains("LimitNOFILE="),
            "{text}"
        );
    }
}

#[test]
fn what_a_configuration_or_a_component_directory_cannot_be_is_said_at_once() {
    let folder = scratch("not-a-directory");
    let file = folder.join("file");
    std::fs::write(&file, "").unwrap();
    let (file, folder) = (file.to_str().unwrap(), folder.to_str().unwrap());
    for (flag, value, expected) in [
        ("--config", folder, 66),
        ("--config", "/dev/zero", 78),
        ("--component-dir", file, 66),
        ("--access-log", folder, 66),
    ] {
        let (code, text) = refusal(margay_under(
            &[],
            &[
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "off",
                flag,
                value,
            ],
        ));
        assert_eq!(code, Some(expected), "{flag} {value}: {text}");
        assert!(text.contains(value), "{text}");
    }
}

#[test]
fn a_signal_right_after_the_start_drains() {
    for name in ["TERM", "INT"] {
        for _ in 0..15 {
            let mut appliance = Appliance::start();
            appliance.signal(name);
            assert_eq!(appliance.wait(), Some(0), "{name}");
        }
    }
}

#[test]
fn a_second_signal_ends_a_long_drain() {
    const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/components/hostile.wat");
    let limits = "limits:\n  call_deadline: 60s\n  drain_deadline: 60s\n";
    let mut appliance = Appliance::with(&[HOSTILE], limits);
    let (body, headers) =
        crate::harness::modern(1, "tools/call", json!({"name": "spin", "arguments": {}}));
    let mut busy = appliance.connect();
    busy.send(crate::harness::request(&body, &headers));
    appliance.eventually("the call is running", || {
        appliance.metric("margay_requests_in_flight", "") == 1.0
    });
    appliance.signal("TERM");
    appliance.eventually("draining", || appliance.stderr().contains("draining"));
    let begun = Instant::now();
    appliance.signal("TERM");
    assert_eq!(appliance.wait(), Some(0));
    assert!(begun.elapsed() < AT_ONCE);
}

fn open_files(appliance: &Appliance) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", appliance.pid()))
        .unwrap()
        .count()
}

#[test]
fn connections_that_come_and_go_leave_no_descriptor_behind() {
    for io in ["uring", "epoll"] {
        let appliance = Appliance::with(&["--io", io], "");
        appliance.connect().call("echo", json!({"text": "x"}));
        let mut before = usize::MAX;
        // The first round has the descriptors that are made on demand.
        for round in 0..4 {
            for number in 0..200 {
                let mut client = TcpStream::connect(appliance.address).unwrap();
                let part = [
                    "",
                    "POST /mcp HT",
                    "garbage\r\n\r\n",
                    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
                ];
                client
                    .write_all(part[number % part.len()].as_bytes())
                    .unwrap();
            }
            // Another connection of each shard, so that the batch above was accepted.
            (0..20).for_each(|_| drop(appliance.connect().call("echo", json!({"text": "x"}))));
            if round == 0 {
                std::thread::sleep(Duration::from_millis(300));
                before = open_files(&appliance);
            }
        }
        appliance.eventually("all descriptors are home", || {
            open_files(&appliance) <= before
        });
    }
}

#[test]
fn descriptors_that_ran_out_are_waited_for_without_spinning() {
    let appliance = Appliance::with(&["--io", "epoll", "--shards", "1"], "");
    appliance.connect().call("echo", json!({"text": "x"}));
    let limit = open_files(&appliance) + 10;
    let status = Command::new("prlimit")
        .args([
            "--pid",
            &appliance.pid().to_string(),
            &format!("--nofile={limit}:"),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    let clients: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(appliance.address).unwrap())
        .collect();
    appliance.eventually("descriptors have run out", || {
        appliance.stderr().contains("EMFILE")
    });
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", appliance.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before < 30, "of 100 a second");
    drop(clients);
    appliance.connect().call("echo", json!({"text": "x"}));
}

#[test]
fn stdio_ends_when_nobody_reads_its_answers() {
    let mut child = margay_under(&[], &["stdio"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    let ping = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    // Its input stays open: it must notice by the broken output.
    let _ = input.write_all(ping);
    let status = ended_within(&mut child, AT_ONCE).expect("it ends by itself");
    let text = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(status.code(), Some(69), "{text}");
    assert!(
        text.contains("standard output") && !text.contains("panicked"),
        "{text}"
    );
}

#[test]
fn a_server_whose_output_nobody_reads_serves() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let mut child = margay_under(
        &[],
        &["serve", "--listen", &address.to_string(), "--admin", "off"],
    )
    .process_group(0)
    .spawn()
    .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < AT_ONCE, "nobody listens");
        std::thread::sleep(Duration::from_millis(20));
    }
    Client::connect(address).call("echo", json!({"text": "x"}));
    signal(&child, "HUP");
    Client::connect(address).call("echo", json!({"text": "x"}));
    signal(&child, "TERM");
    assert_eq!(
        ended_within(&mut child, AT_ONCE).and_then(|status| status.code()),
        Some(0)
    );
}
