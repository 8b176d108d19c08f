//! One component on one engine: linked, with the places of its exports.
//!
//! Threads that make and dispose of instances on one engine meet at its counts and its slots: on two threads that do not
//! share a cache they served 1.05 times what one did, and 1.7 times with an engine each. So each shard has engines of its own,
//! and a component a copy of its code on each. Large components stay on one engine that all share: their cost is elsewhere,
//! and their code is tens of megabytes.

use wasmtime::Engine;
use wasmtime::component::{Component as Compiled, ComponentExportIndex, InstancePre, Linker};

use crate::mem::{SealKey, Sealed};

use super::host::{self, Exports};
use super::imports;
use super::load::LoadError;
use super::store::State;
use super::tool::Tool;
use super::wasi;

/// The copy for one engine.
pub(crate) struct Placed {
    pre: InstancePre<State>,
    functions: Vec<ComponentExportIndex>,
    exports: Exports,
}

impl Placed {
    /// Links the compiled code.
    ///
    /// Shape: with the names of imports that this host does not offer.
    /// Errors: an import that cannot be stood in for, or a tool that is not exported.
    pub(super) fn link(
        compiled: &Compiled,
        tools: &[Tool],
    ) -> Result<(Self, Vec<String>), LoadError> {
        let refused = |error: wasmtime::Error| LoadError::Import(format!("{error:#}"));
        let engine = compiled.engine();
        let mut linker: Linker<State> = Linker::new(engine);
        let mut absent = Vec::new();
        if has_imports(compiled) {
            wasi::link(&mut linker).map_err(refused)?;
            host::link(&mut linker).map_err(refused)?;
            absent = imports::stand_in(&mut linker, compiled).map_err(refused)?;
        }
        let pre = linker.instantiate_pre(compiled).map_err(refused)?;
        let exports =
            Exports::find(&pre).map_err(|error| LoadError::Export(format!("{error:#}")))?;
        let functions = tools
            .iter()
            .map(|tool| {
                tool.find_in(compiled).ok_or_else(|| {
                    LoadError::Compile(format!("its tool {} is not exported", tool.name()))
                })
            })
            .collect::<Result<_, _>>()?;
        let placed = Self {
            pre,
            functions,
            exports,
        };
        Ok((placed, absent))
    }

    pub(super) fn pre(&self) -> &InstancePre<State> {
        &self.pre
    }

    pub(super) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    pub(super) fn export(&self, tool_index: usize) -> &ComponentExportIndex {
        &self.functions[tool_index]
    }

    /// Its exports of `margay:host`.
    pub(super) fn exports(&self) -> &Exports {
        &self.exports
    }
}

/// Whether the component imports anything.
pub(super) fn has_imports(compiled: &Compiled) -> bool {
    compiled.component_type().imports(compiled.engine()).len() > 0
}

/// Whether the component imports what has to do with its caller.
pub(super) fn is_speaking(compiled: &Compiled) -> bool {
    let ty = compiled.component_type();
    ty.imports(compiled.engine())
        .any(|(name, _)| host::is_speaking(name))
}

/// The same code on each of these engines, all of the same settings. It never leaves this process's memory: a key of the moment
/// will do.
pub(super) fn spread(compiled: Compiled, engines: &[&Engine]) -> wasmtime::Result<Vec<Compiled>> {
    let is_here = |engine: &Engine| Engine::same(engine, compiled.engine());
    if engines.iter().all(|engine| is_here(engine)) {
        return Ok(vec![compiled; engines.len()]);
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
    let key = SealKey::new(key);
    let entry = Sealed::seal(&key, b"", &compiled.serialize()?);
    let sealed = Sealed::open(&key, b"", entry)
        .ok_or_else(|| wasmtime::Error::msg("compiled code changed in memory"))?;
    engines
        .iter()
        .map(|engine| match is_here(engine) {
            true => Ok(compiled.clone()),
            false => sealed.component(engine),
        })
        .collect()
}
