//! What the kernel has to offer, for `margay probe`.

use std::fs;
use std::thread;

use landlock::{AccessFs, LandlockStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetError};

use crate::control::config::Hardening;
use crate::ring::probe::Finding;

/// Where the kernel lists what a seccomp filter may answer.
const SECCOMP_ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";

/// What the filters answer.
const NEEDED_ACTIONS: [&str; 3] = ["allow", "errno", "kill_process"];

/// One finding for each restriction. One that is lacking is a fault only where it is required.
pub fn offers(hardening: &Hardening) -> Vec<Finding> {
    let landlock = (
        "Landlock",
        landlock(),
        "use a kernel of 5.13 or later, with landlock in its lsm= boot parameter",
    );
    let seccomp = (
        "seccomp",
        seccomp(),
        "use a kernel with CONFIG_SECCOMP_FILTER, of 4.14 or later",
    );
    [(hardening.landlock, landlock), (hardening.seccomp, seccomp)]
        .into_iter()
        .map(|(wanted, (name, offered, fix))| {
            finding(name, offered, fix, wanted && hardening.required)
        })
        .collect()
}

fn finding(
    name: &'static str,
    offered: Result<String, String>,
    fix: &str,
    required: bool,
) -> Finding {
    let ok = offered.is_ok() || !required;
    let found = match offered {
        Ok(found) => found,
        Err(why) => format!("not there ({why}); margay serves without it"),
    };
    Finding {
        name,
        ok,
        found: if ok { found } else { "not there".to_owned() },
        cause: if ok {
            String::new()
        } else {
            "hardening.required asks for it".to_owned()
        },
        fix: if ok { String::new() } else { fix.to_owned() },
    }
}

/// Asked by a thread that ends with the answer: the only way to ask is to enter a domain.
fn landlock() -> Result<String, String> {
    let asked = thread::Builder::new().spawn(|| {
        Ruleset::default()
            .handle_access(AccessFs::Execute)
            .and_then(Ruleset::create)
            .and_then(RulesetCreated::restrict_self)
            .map(|status| status.landlock)
    });
    let answer = asked
        .map_err(|error| error.to_string())?
        .join()
        .map_err(|_| "the question broke".to_owned())?;
    match answer.map_err(|error: RulesetError| error.to_string())? {
        LandlockStatus::NotImplemented => Err("not built into this kernel".to_owned()),
        LandlockStatus::NotEnabled => Err("not enabled at boot".to_owned()),
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => {
            let abi = kernel_abi.unwrap_or(effective_abi as i32);
            let lacks = match abi {
                1..=3 => ": files; new listeners are not kept out",
                4 | 5 => ": files and new listeners",
                _ => ": files, new listeners, other processes' sockets and signals",
            };
            Ok(format!("ABI {abi}{lacks}"))
        }
    }
}

fn seccomp() -> Result<String, String> {
    let actions = fs::read_to_string(SECCOMP_ACTIONS).map_err(|error| error.to_string())?;
    let has = |action: &&str| actions.split_whitespace().any(|offered| offered == *action);
    match NEEDED_ACTIONS.iter().find(|action| !has(action)) {
        None => Ok("filters".to_owned()),
        Some(lacking) => Err(format!("no {lacking}")),
    }
}
