//! The host side of permissions: what a component's policy grants is there, and nothing else is.
//!
//! Every capability of WASI that leads out of the sandbox asks one [`Decide`](crate::policy::permission::Decide): paths of files, HTTP
//! requests, addresses, names, variables. The [`Gate`] of an instance asks it, for the component and for whom its call is made, and
//! tells the audit log of each refusal with the rule, or that no rule allows it.
//!
//! Invariants:
//! - what is opened or connected to is what was asked about: paths are walked by descriptors and not by names, addresses are resolved here
//!   and connected to as they were checked;
//! - a call that is made for somebody may do what both the component's grants and that somebody's allow;
//! - a guest never holds a secret that is sent for it.

mod body;
mod budget;
mod environment;
mod files;
mod gate;
mod grants;
mod http;
mod names;
mod outward;
mod path;
mod roots;
mod sockets;

pub(crate) use budget::{CpuMeter, Overspent, metered};
pub(crate) use environment::CONFIG_INTERFACES;
pub(crate) use gate::{Gate, Guard};
pub use grants::{Behalf, Grants, Injector, Value};
pub(crate) use http::Hooks;
pub(crate) use outward::Outward;
pub use outward::{Resolve, Resolving};

use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;

use super::store::State;

/// Adds what wasmtime-wasi has not, and takes the place of what it would do without asking.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    http::link(linker)?;
    environment::link(linker)?;
    linker.allow_shadowing(true);
    files::link(linker)?;
    sockets::link(linker)?;
    names::link(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Fills in what an instance is shown.
pub(crate) fn fill(builder: &mut WasiCtxBuilder, gate: &std::sync::Arc<Gate>) {
    sockets::check(builder, gate);
    environment::fill(builder, gate);
}
