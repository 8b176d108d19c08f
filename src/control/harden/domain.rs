//! Landlock: which files the process may reach, whatever user it runs as.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::paths::Paths;

/// What the rules were written for: files (5 with devices), new listeners (4), sockets and signals of others (6).
const WRITTEN_FOR: ABI = ABI::V6;

/// Enters a domain. The kernel's ABI, and whether it has everything that the rules are about.
///
/// Shape: files are those of `paths`, and none can be run; no TCP listener can be added; connecting is free, because where
/// upstreams and components may connect is decided by name in their policies. Unix sockets without a path are closed; signals reach only this process,
/// unless it has children.
/// Errors: the kernel has none, or refuses.
pub(super) fn enter(paths: &Paths, has_children: bool) -> Result<(i32, bool), String> {
    let status = rules(paths, has_children)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    let abi = match status.landlock {
        LandlockStatus::NotImplemented => return Err("the kernel was built without it".to_owned()),
        LandlockStatus::NotEnabled => {
            return Err("it is not among the kernel's `lsm=` boot parameter".to_owned());
        }
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
    };
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok((abi, true)),
        RulesetStatus::PartiallyEnforced => Ok((abi, false)),
        RulesetStatus::NotEnforced => Err("the kernel does not enforce it".to_owned()),
    }
}

fn rules(paths: &Paths, has_children: bool) -> Result<RulesetCreated, RulesetError> {
    let scopes = if has_children {
        // The children live outside, and are to be ended.
        BitFlags::from(Scope::AbstractUnixSocket)
    } else {
        Scope::AbstractUnixSocket | Scope::Signal
    };
    Ruleset::default()
        .handle_access(AccessFs::from_all(WRITTEN_FOR))?
        .handle_access(AccessNet::BindTcp)?
        .scope(scopes)?
        .create()?
        .add_rules(path_beneath_rules(&paths.read, reading()))?
        .add_rules(path_beneath_rules(&paths.write, writing()))?
        .add_rules(path_beneath_rules(&paths.append, appending()))
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn writing() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn appending() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg
}
