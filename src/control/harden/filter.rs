//! seccomp: which system calls are let through.
//!
//! Three filters, of which the sternest answer counts: what is not on the list is refused, what no server ever does ends the process,
//! and one call is said not to exist, so that the C library takes the older one, whose arguments a filter can see.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, apply_filter_all_threads,
};

use super::calls;

/// Rules for each call: one that holds is enough, none means always.
pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts the filters on the calling thread and all that it starts.
///
/// Errors: the kernel has none, or this processor has no list.
pub(super) fn install(has_children: bool) -> Result<(), String> {
    for program in programs(has_children)? {
        apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// From now on no thread of the process makes a ring, which would do what no filter sees.
///
/// Errors: a thread has other filters than this one.
pub(super) fn forbid_new_rings() -> Result<(), String> {
    let program = answer(&[libc::SYS_io_uring_setup], errno(libc::EPERM))?;
    apply_filter_all_threads(&program).map_err(|error| error.to_string())
}

fn programs(has_children: bool) -> Result<[BpfProgram; 3], String> {
    let mut allowed = always(calls::ALLOWED);
    allowed.append(&mut always(calls::OLDER));
    if has_children {
        allowed.append(&mut always(calls::FOR_CHILDREN));
    }
    for (call, argument, values) in calls::ONLY_WITH {
        allowed.insert(*call, one_of(*argument, values)?);
    }
    let (family, protocol) = calls::ABOUT_ADDRESSES;
    let asks = [(0, family), (2, protocol)]
        .map(|(argument, value)| condition(argument, SeccompCmpOp::Eq, value));
    let asks = asks.into_iter().collect::<Result<Vec<_>, _>>()?;
    let asks = SeccompRule::new(asks).map_err(|error| error.to_string())?;
    allowed.entry(libc::SYS_socket).or_default().push(asks);
    // A thread, never a process. 0: the flags.
    let threads = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let is_thread = condition(0, SeccompCmpOp::MaskedEq(threads), threads)?;
    allowed.insert(libc::SYS_clone, vec![rule(is_thread)?]);
    // Asking for a limit, not setting one. 2: the new limit.
    let asks = condition_of(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    allowed.insert(libc::SYS_prlimit64, vec![rule(asks)?]);
    Ok([
        compile(allowed, errno(libc::EPERM), SeccompAction::Allow)?,
        answer(&[libc::SYS_clone3], errno(libc::ENOSYS))?,
        answer(calls::HOSTILE, SeccompAction::KillProcess)?,
    ])
}

fn errno(errno: i32) -> SeccompAction {
    SeccompAction::Errno(errno.unsigned_abs())
}

/// A filter that gives these calls this answer, and says nothing about the others.
fn answer(calls: &[i64], action: SeccompAction) -> Result<BpfProgram, String> {
    compile(always(calls), SeccompAction::Allow, action)
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, String> {
    let arch = ARCH
        .try_into()
        .map_err(|_| format!("there is no list of system calls for {ARCH}"))?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch);
    filter
        .and_then(BpfProgram::try_from)
        .map_err(|error| error.to_string())
}

fn always(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, String> {
    let rules = values.iter();
    rules
        .map(|value| rule(condition(argument, SeccompCmpOp::Eq, *value)?))
        .collect()
}

fn rule(condition: SeccompCondition) -> Result<SeccompRule, String> {
    SeccompRule::new(vec![condition]).map_err(|error| error.to_string())
}

fn condition(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    condition_of(argument, SeccompCmpArgLen::Dword, compare, value)
}

fn condition_of(
    argument: u8,
    bits: SeccompCmpArgLen,
    compare: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, bits, compare, value).map_err(|error| error.to_string())
}
