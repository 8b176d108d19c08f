use super::*;

const NEEDS: Needs = Needs {
    io: Io::Uring,
    connection_count_max: 1_000,
    memlock_bytes_min: 1 << 20,
};

fn fit() -> Facts {
    Facts {
        release: "6.18.44-generic".to_owned(),
        disabled: Some(0),
        setup: Ok(()),
        missing: Vec::new(),
        ring: Ok(()),
        memlock_bytes: None,
        open_files_soft: 1_024,
        open_files_hard: 1 << 20,
    }
}

fn refused(change: impl FnOnce(&mut Facts)) -> Problem {
    let mut facts = fit();
    change(&mut facts);
    let problem = verdict(&judge(&facts, &NEEDS)).unwrap_err();
    assert_eq!(problem.exit_code, exit::HOST);
    assert!(
        !problem.remedy.is_empty() && !problem.remedy.contains('\n'),
        "a fix is one line"
    );
    problem
}

#[test]
fn a_fit_host_passes() {
    assert_eq!(verdict(&judge(&fit(), &NEEDS)), Ok(()));
}

#[test]
fn this_host_is_judged_without_hanging() {
    let findings = probe(&NEEDS);
    assert_eq!(findings.len(), 6);
    assert!(
        findings
            .iter()
            .all(|finding| finding.ok || !finding.fix.is_empty())
    );
}

#[test]
fn what_is_missing_is_named_with_its_fix() {
    assert!(
        refused(|facts| facts.setup = Err(libc::ENOSYS))
            .rule
            .contains("seccomp")
    );
    assert!(
        refused(|facts| facts.setup = Err(libc::EPERM))
            .remedy
            .contains("--io epoll")
    );
    assert!(
        refused(|facts| facts.setup = Err(libc::ENOMEM))
            .remedy
            .contains("ulimit -l")
    );
    assert!(
        refused(|facts| facts.release = "5.15.0".to_owned())
            .remedy
            .contains("6.1")
    );
    assert!(
        refused(|facts| facts.missing = vec!["recv"])
            .rule
            .contains("recv")
    );
    assert!(
        refused(|facts| facts.ring = Err(libc::EINVAL))
            .remedy
            .contains("newer kernel")
    );
    assert!(
        refused(|facts| facts.memlock_bytes = Some(64 << 10))
            .rule
            .contains("1048576")
    );
    assert!(
        refused(|facts| facts.open_files_hard = 64)
            .remedy
            .contains("LimitNOFILE=1128")
    );
    let problem = refused(|facts| {
        facts.disabled = Some(2);
        facts.setup = Err(libc::EPERM);
    });
    assert_eq!(problem.thing, "kernel.io_uring_disabled");
}

#[test]
fn epoll_needs_no_ring_and_no_locked_memory() {
    let facts = Facts {
        memlock_bytes: Some(64 << 10),
        setup: Err(libc::ENOSYS),
        disabled: Some(2),
        release: "5.4".to_owned(),
        ..fit()
    };
    assert_eq!(
        verdict(&judge(
            &facts,
            &Needs {
                io: Io::Epoll,
                ..NEEDS
            }
        )),
        Ok(())
    );
}

/// Makes `io_uring_setup` fail with `errno` for the calling thread, as Docker's default profile does.
fn forbid_io_uring(errno: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let load_number = statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0);
    let mut is_setup = statement(
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::SYS_io_uring_setup as u32,
    );
    is_setup.jf = 1;
    let refuse = statement(
        libc::BPF_RET | libc::BPF_K,
        libc::SECCOMP_RET_ERRNO | errno as u32,
    );
    let allow = statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);
    let mut filter = [load_number, is_setup, refuse, allow];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: changes only this thread; no pointer is passed.
    let no_privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(no_privileges, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: changes only this thread; `program` and its filter live until the call returns.
    let filtered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(filtered, 0);
}

#[test]
fn a_seccomp_filter_is_recognised() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let problem = std::thread::spawn(move || {
            forbid_io_uring(errno);
            verdict(&probe(&NEEDS)).unwrap_err()
        })
        .join()
        .unwrap();
        assert_eq!(
            (problem.thing.as_str(), problem.exit_code),
            ("io_uring_setup", exit::HOST)
        );
        assert!(problem.remedy.contains("seccomp"));
    }
}
