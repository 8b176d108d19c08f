//! Is this host fit: what the ring needs from the kernel and its settings, with cause and fix for what is missing.
//!
//! Gathering facts and judging them are apart, so that each judgement is tested on facts no test host has. Nothing
//! here changes the host; [`raise_open_files`] changes this process's soft limit, within its hard one.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::driver::RingOptions;
use super::uring::UringRing;
use crate::error::{Problem, exit};

/// The oldest kernel the ring is made for: multishot accept and buffer rings (5.19), and deferred task work (6.1).
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Descriptors beside those of connections: listeners, rings, runtimes, logs, components.
const OPEN_FILES_RESERVE: u64 = 128;

/// The capability that exempts from the locked memory limit.
const CAP_IPC_LOCK: u32 = 14;

/// Which kernel interface is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// io_uring.
    Uring,
    /// epoll: only the limit of open files matters.
    Epoll,
}

/// What the configuration needs of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The kernel interface.
    pub io: Io,
    /// Connections of the whole process.
    pub connection_count_max: usize,
    /// Bytes of registered buffers: the recorder's, on io_uring.
    pub memlock_bytes_min: u64,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as needed.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// Why that does not do; empty when it does.
    pub cause: String,
    /// What to do, in one line; empty when nothing is to be done.
    pub fix: String,
}

/// What was found out about the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    release: String,
    /// `kernel.io_uring_disabled`; absent before 6.6.
    disabled: Option<u8>,
    /// The error number of `io_uring_setup`.
    setup: Result<(), i32>,
    missing: Vec<&'static str>,
    /// The error number of making a whole ring, buffers and all.
    ring: Result<(), i32>,
    /// `None`: no limit, or this process is exempt.
    memlock_bytes: Option<u64>,
    open_files_soft: u64,
    open_files_hard: u64,
}

/// Looks at this host from the calling thread.
pub fn probe(needs: &Needs) -> Vec<Finding> {
    judge(&gather(needs), needs)
}

/// The first thing that is not as needed, as an error for the operator.
///
/// Errors: [`Problem`] with [`exit::HOST`].
pub fn verdict(findings: &[Finding]) -> Result<(), Problem> {
    match findings.iter().find(|finding| !finding.ok) {
        None => Ok(()),
        Some(bad) => Err(Problem::operator(
            exit::HOST,
            bad.name,
            &*bad.found,
            &*bad.cause,
            &*bad.fix,
        )),
    }
}

/// Raises this process's soft limit of open files to what is needed, as far as the hard limit allows.
///
/// Shape: the soft limit afterwards.
pub fn raise_open_files(connection_count_max: usize) -> u64 {
    let wanted = connection_count_max as u64 + OPEN_FILES_RESERVE;
    let (soft, hard) = limit(libc::RLIMIT_NOFILE);
    if soft >= wanted {
        return soft;
    }
    let raised = libc::rlimit {
        rlim_cur: wanted.min(hard),
        rlim_max: hard,
    };
    // SAFETY: the call reads one live structure.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } {
        0 => raised.rlim_cur,
        _ => soft,
    }
}

fn gather(needs: &Needs) -> Facts {
    let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    let (setup, missing, ring) = match needs.io {
        Io::Epoll => (Ok(()), Vec::new(), Ok(())),
        Io::Uring => match IoUring::new(4) {
            Err(error) => (Err(errno(error)), Vec::new(), Ok(())),
            Ok(small) => {
                let missing = missing_operations(&small);
                let ring = UringRing::new(RingOptions::default())
                    .map(drop)
                    .map_err(errno);
                (Ok(()), missing, ring)
            }
        },
    };
    let (open_files_soft, open_files_hard) = limit(libc::RLIMIT_NOFILE);
    let memlock = limit(libc::RLIMIT_MEMLOCK).0;
    Facts {
        release: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        disabled: fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        setup,
        missing,
        ring,
        memlock_bytes: (memlock != libc::RLIM_INFINITY && !has_capability(CAP_IPC_LOCK))
            .then_some(memlock),
        open_files_soft,
        open_files_hard,
    }
}

fn missing_operations(ring: &IoUring) -> Vec<&'static str> {
    let mut probe = Probe::new();
    if ring.submitter().register_probe(&mut probe).is_err() {
        return vec!["IORING_REGISTER_PROBE"];
    }
    let needed = [
        ("accept", opcode::AcceptMulti::CODE),
        ("connect", opcode::Connect::CODE),
        ("recv", opcode::Recv::CODE),
        ("send", opcode::Send::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("shutdown", opcode::Shutdown::CODE),
        ("async_cancel", opcode::AsyncCancel2::CODE),
        ("close", opcode::Close::CODE),
    ];
    needed
        .into_iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| name)
        .collect()
}

fn limit(resource: libc::__rlimit_resource_t) -> (u64, u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call writes one live structure. It cannot fail for a resource that exists; if it did, zeros would
    // be reported as too little.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> number & 1 == 1)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn judge(facts: &Facts, needs: &Needs) -> Vec<Finding> {
    let mut findings = Vec::new();
    if needs.io == Io::Uring {
        findings.push(judge_sysctl(facts));
        findings.push(judge_setup(facts));
        findings.push(judge_kernel(facts));
        findings.push(judge_ring(facts));
        // Only io_uring registers buffers.
        findings.push(judge_memlock(facts, needs));
    }
    findings.push(judge_open_files(facts, needs));
    findings
}

fn good(name: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        name,
        ok: true,
        found: found.into(),
        cause: String::new(),
        fix: String::new(),
    }
}

fn bad(
    name: &'static str,
    found: impl Into<String>,
    cause: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        name,
        ok: false,
        found: found.into(),
        cause: cause.into(),
        fix: fix.into(),
    }
}

fn judge_sysctl(facts: &Facts) -> Finding {
    const NAME: &str = "kernel.io_uring_disabled";
    match facts.disabled {
        None => good(NAME, "not present"),
        Some(0) => good(NAME, "0"),
        // 1 lets privileged processes and the group of kernel.io_uring_group through: the setup call decides.
        Some(1) if facts.setup.is_ok() => good(NAME, "1, and this process is exempt"),
        Some(value) => bad(
            NAME,
            value.to_string(),
            "the system administrator has switched io_uring off",
            "run `sysctl -w kernel.io_uring_disabled=0`, or choose `--io epoll`",
        ),
    }
}

fn judge_setup(facts: &Facts) -> Finding {
    const NAME: &str = "io_uring_setup";
    let seccomp = "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile \
                   (Docker: `--security-opt seccomp=tuning/seccomp.json`), or choose `--io epoll`";
    match facts.setup {
        Ok(()) => good(NAME, "works"),
        Err(libc::ENOSYS) => bad(
            NAME,
            "ENOSYS",
            "a seccomp filter hides io_uring, or the kernel is built without it",
            seccomp,
        ),
        Err(libc::EPERM) => bad(
            NAME,
            "EPERM",
            "a seccomp filter or kernel.io_uring_disabled forbids io_uring",
            seccomp,
        ),
        Err(libc::EACCES) => bad(
            NAME,
            "EACCES",
            "a security module (SELinux, AppArmor) forbids io_uring",
            "allow io_uring in its policy, or choose `--io epoll`",
        ),
        Err(libc::ENOMEM) => bad(
            NAME,
            "ENOMEM",
            "the limit of locked memory is too small for a ring",
            "run `ulimit -l unlimited`, or set `LimitMEMLOCK=infinity` in the unit",
        ),
        Err(libc::EMFILE | libc::ENFILE) => bad(
            NAME,
            "EMFILE",
            "no file descriptor is left",
            "raise the limit of open files: `ulimit -n`, or `LimitNOFILE=` in the unit",
        ),
        Err(errno) => bad(
            NAME,
            format!("error number {errno}"),
            "io_uring does not work here",
            "choose `--io epoll`",
        ),
    }
}

fn judge_kernel(facts: &Facts) -> Finding {
    const NAME: &str = "kernel";
    let fix = format!(
        "run Linux {}.{} or newer, or choose `--io epoll`",
        KERNEL_MIN.0, KERNEL_MIN.1
    );
    if !facts.missing.is_empty() {
        let cause = format!("io_uring lacks: {}", facts.missing.join(", "));
        return bad(NAME, &*facts.release, cause, fix);
    }
    match version(&facts.release) {
        Some(version) if version >= KERNEL_MIN => good(NAME, &*facts.release),
        Some(_) => bad(NAME, &*facts.release, "too old for deferred task work", fix),
        // A release that cannot be read says nothing; what works is what counts.
        None => good(NAME, &*facts.release),
    }
}

fn judge_ring(facts: &Facts) -> Finding {
    const NAME: &str = "ring with receive buffers";
    match facts.ring {
        Ok(()) => good(NAME, "works"),
        Err(libc::ENOMEM) => bad(
            NAME,
            "ENOMEM",
            "the limit of locked memory is too small for a shard's ring",
            "run `ulimit -l unlimited`, or set `LimitMEMLOCK=infinity` in the unit",
        ),
        Err(libc::EINVAL) => bad(
            NAME,
            "EINVAL",
            "the kernel lacks provided-buffer rings or their flags",
            "run a newer kernel, or choose `--io epoll`",
        ),
        Err(errno) => bad(
            NAME,
            format!("error number {errno}"),
            "a shard's ring cannot be made",
            "choose `--io epoll`",
        ),
    }
}

fn judge_memlock(facts: &Facts, needs: &Needs) -> Finding {
    const NAME: &str = "locked memory (RLIMIT_MEMLOCK)";
    match facts.memlock_bytes {
        None => good(NAME, "unlimited"),
        Some(bytes) if bytes >= needs.memlock_bytes_min => good(NAME, format!("{bytes} bytes")),
        Some(bytes) => bad(
            NAME,
            format!("{bytes} bytes"),
            format!("registered buffers need {} bytes", needs.memlock_bytes_min),
            "run `ulimit -l unlimited`, or set `LimitMEMLOCK=infinity` in the unit",
        ),
    }
}

fn judge_open_files(facts: &Facts, needs: &Needs) -> Finding {
    const NAME: &str = "open files (RLIMIT_NOFILE)";
    let wanted = needs.connection_count_max as u64 + OPEN_FILES_RESERVE;
    let found = format!(
        "{} (hard limit {})",
        facts.open_files_soft, facts.open_files_hard
    );
    // The soft limit is raised at start, so the hard one decides.
    if facts.open_files_hard >= wanted {
        return good(NAME, found);
    }
    bad(
        NAME,
        found,
        format!(
            "limits.connection_count_max is {}, which needs {wanted}",
            needs.connection_count_max
        ),
        format!("set `LimitNOFILE={wanted}` in the unit, or lower limits.connection_count_max"),
    )
}

#[cfg(test)]
#[path = "probe/tests.rs"]
mod tests;
