//! What a confined thread can and cannot do. Each deed is done in a process of its own: it does not come back from the confinement.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;
use crate::control::config::Overrides;
use crate::ring::{RingOptions, UringRing};

/// The environment variable that names the deed, and the one that names the folder.
const DEED: &str = "MARGAY_TEST_DEED";
const FOLDER: &str = "MARGAY_TEST_FOLDER";

/// Does one deed in a confined process; `others` says what else is in the configuration.
fn doing(deed: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for name in ["state", "cache", "components", "outside", "granted"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file"), name).unwrap();
    }
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "control::harden::tests::inside"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .env(DEED, deed)
        .env(FOLDER, folder.path())
        .output()
        .unwrap()
}

fn done(deed: &str) {
    let output = doing(deed);
    assert!(output.status.success(), "{deed}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{deed} was done: {text}");
}

/// SIGSYS.
fn killed_at_once(deed: &str) {
    let output = doing(deed);
    assert_eq!(
        output.status.signal(),
        Some(libc::SIGSYS),
        "{deed}: {output:?}"
    );
}

#[test]
#[ignore = "runs in a process of its own, started by the others"]
fn inside() {
    let deed = std::env::var(DEED).unwrap();
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let mut config = Config::parse("", Path::new("margay.yaml"), &Overrides::default()).unwrap();
    config.state_dir = folder.join("state");
    config.cache_dir = folder.join("cache");
    config.component_dir = Some(folder.join("components"));
    config.hardening.required = true;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let roots = Roots {
        read: vec![folder.join("granted")],
        write: Vec::new(),
    };
    // The threads of the test runner are none of a server's, so not `confine` itself.
    rustix::thread::set_no_new_privs(true).unwrap();
    let has_children = deed == "children";
    let (abi, whole) = domain::enter(&Paths::of(&config, &roots), has_children).unwrap();
    assert!(abi >= 6 && whole, "this test is for a kernel that has all");
    filter::install(has_children).unwrap();
    match deed.as_str() {
        "files" => files(&folder),
        "network" => network(&listener),
        "programs" => programs(),
        "threads" => threads(),
        "children" => children(),
        "new rings" => new_rings(),
        "panic" => panic!("a report that can be read"),
        "another's descriptor" => {
            let me = pidfd_open(getpid(), PidfdFlags::empty()).unwrap_err();
            assert_eq!(me, rustix::io::Errno::PERM, "without children");
            let _ = pidfd_getfd(listener.as_fd(), 0, PidfdGetfdFlags::empty());
        }
        "another namespace" => {
            let own = File::open("/proc/self/ns/net").unwrap();
            let _ = move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network));
        }
        other => panic!("{other} is no deed"),
    }
}

fn refused<T>(result: std::io::Result<T>) {
    let kind = result.map(drop).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::PermissionDenied));
}

fn files(folder: &Path) {
    let file = |name: &str| folder.join(name).join("file");
    for name in ["state", "cache", "components"] {
        assert_eq!(fs::read_to_string(file(name)).unwrap(), name);
        fs::write(file(name), "new").unwrap();
        fs::rename(file(name), folder.join(name).join("other")).unwrap();
        fs::remove_file(folder.join(name).join("other")).unwrap();
    }
    assert_eq!(fs::read_to_string(file("granted")).unwrap(), "granted");
    refused(fs::write(file("granted"), "new"));
    refused(fs::read(file("outside")));
    refused(fs::read_dir(folder));
    refused(fs::read("/etc/shadow"));
    refused(fs::read(format!("/proc/{}/environ", 1)));
    refused(fs::write(folder.join("outside/new"), ""));
    // "Another device": what a link or a move out of a domain is told.
    assert!(fs::hard_link(file("outside"), folder.join("state/link")).is_err());
    // By way of a link that leads out.
    std::os::unix::fs::symlink(file("outside"), folder.join("state/way")).unwrap();
    refused(fs::read(folder.join("state/way")));
    assert!(!fs::read("/etc/hosts").unwrap().is_empty());
    assert!(
        fs::read_to_string("/proc/thread-self/status")
            .unwrap()
            .contains("Seccomp:\t2")
    );
}

fn network(listener: &TcpListener) {
    let mut out = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut arrived, _) = listener.accept().unwrap();
    out.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    arrived.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    refused(TcpListener::bind("127.0.0.1:0"));
    // What a name server is asked with.
    assert!(UdpSocket::bind("127.0.0.1:0").is_ok());
    refused(socket2::Socket::new(
        socket2::Domain::PACKET,
        socket2::Type::RAW,
        None,
    ));
    // Packet filters.
    refused(socket2::Socket::new(
        socket2::Domain::from(libc::AF_NETLINK),
        socket2::Type::RAW,
        Some(socket2::Protocol::from(libc::NETLINK_NETFILTER)),
    ));
    // Whoever starts containers listens on a path, which Landlock does not see.
    refused(std::os::unix::net::UnixStream::connect("/run/docker.sock"));
    refused(std::os::unix::net::UnixDatagram::unbound());
    assert!(std::os::unix::net::UnixStream::pair().is_ok());
    assert!(std::net::ToSocketAddrs::to_socket_addrs("localhost:1").is_ok());
}

fn programs() {
    refused(Command::new("/bin/true").spawn());
    refused(Command::new("/proc/self/exe").spawn());
}

/// More of a server's life: threads, sleeping, memory, random numbers.
fn threads() {
    let named = std::thread::Builder::new().name("another".to_owned());
    let another = named.spawn(|| {
        std::thread::sleep(Duration::from_millis(1));
        refused(Command::new("/bin/true").spawn());
        vec![getrandom::u64().unwrap(); 1 << 20].len()
    });
    assert_eq!(another.unwrap().join().unwrap(), 1 << 20);
    let ring = UringRing::new(RingOptions::default());
    assert!(ring.is_ok(), "before all have settled");
}

fn children() {
    assert!(pidfd_open(getpid(), PidfdFlags::empty()).is_ok());
    programs();
}

fn new_rings() {
    filter::forbid_new_rings().unwrap();
    refused(UringRing::new(RingOptions::default()).map(drop));
    let elsewhere = std::thread::spawn(|| UringRing::new(RingOptions::default()).map(drop));
    refused(elsewhere.join().unwrap());
}

#[test]
fn only_the_files_of_the_configuration_can_be_reached() {
    done("files");
}

#[test]
fn no_listener_can_be_added_and_connections_can() {
    done("network");
}

#[test]
fn no_program_can_be_run() {
    done("programs");
    done("children");
}

#[test]
fn threads_inherit_it_and_can_be_started() {
    done("threads");
}

#[test]
fn no_ring_can_be_made_once_all_is_settled() {
    done("new rings");
}

#[test]
fn what_only_an_attacker_does_ends_the_process() {
    killed_at_once("another's descriptor");
    killed_at_once("another namespace");
}

#[test]
fn a_panic_still_reports() {
    let output = doing("panic");
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("a report that can be read"), "{text}");
    assert!(text.contains("src/control/harden/tests.rs"), "{text}");
}

#[test]
fn no_call_is_both_allowed_and_hostile() {
    let only_with = calls::ONLY_WITH.iter().map(|(call, _, _)| call);
    let allowed: Vec<_> = [calls::ALLOWED, calls::OLDER, calls::FOR_CHILDREN]
        .concat()
        .into_iter()
        .chain(only_with.copied())
        .collect();
    let mut once = allowed.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), allowed.len(), "each is listed once");
    for call in calls::HOSTILE {
        assert!(!allowed.contains(call), "{call}");
    }
    for call in [libc::SYS_execve, libc::SYS_execveat, libc::SYS_listen] {
        assert!(!allowed.contains(&call) && !calls::HOSTILE.contains(&call));
    }
}
