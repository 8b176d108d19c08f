//! Stand-ins for imports that this host does not offer.
//!
//! Language toolchains import more than a tool uses: every JavaScript component that was not built with its features off
//! imports `wasi:http`. Such a component loads, and is refused nothing until it calls what is not there: then that call ends
//! as a tool error that names the function. What a stand-in never does is return.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};
use wasmtime::{Engine, bail};
use wasmtime_wasi::p2::bindings::io::error::Error as IoError;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

use super::grant::CONFIG_INTERFACES;
use super::host;
use super::store::State;

/// The packages and interfaces of WASI 0.2 that the linker has.
const OFFERED: [&str; 8] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// An interface of those packages that is not stable and not there.
const NOT_OFFERED: &str = "wasi:clocks/timezone";

/// The type of a resource that nobody can make.
enum Absent {}

/// Defines what the component imports and this host does not offer, as functions that trap.
///
/// Shape: the names of those imports. Errors: an import that is neither a function nor an instance of them.
pub(super) fn stand_in(
    linker: &mut Linker<State>,
    component: &Component,
) -> wasmtime::Result<Vec<String>> {
    let mut stand_in = StandIn {
        engine: linker.engine().clone(),
        shared: Vec::new(),
    };
    let ty = component.component_type();
    let engine = stand_in.engine.clone();
    let mut absent = Vec::new();
    // An interface comes after those whose resources it uses.
    for (name, import) in ty.imports(&engine) {
        match import.ty {
            ComponentItem::ComponentInstance(_) if host::is_offered(name) => continue,
            ComponentItem::ComponentInstance(instance) if is_offered(name) => {
                stand_in.share(&instance);
                continue;
            }
            ComponentItem::ComponentInstance(instance) => {
                stand_in.fill(&mut linker.instance(name)?, name, &instance)?;
            }
            item => stand_in.define(&mut linker.root(), None, name, item)?,
        }
        absent.push(name.to_owned());
    }
    Ok(absent)
}

fn is_offered(import: &str) -> bool {
    if CONFIG_INTERFACES.contains(&import) {
        return true;
    }
    let is_wasi = OFFERED.iter().any(|package| import.starts_with(package));
    is_wasi && import.contains("@0.2.") && !import.starts_with(NOT_OFFERED)
}

struct StandIn {
    engine: Engine,
    /// Resources of offered interfaces as the component declares them, and what they are here. An absent interface that
    /// passes them on (`wasi:http` does so with streams) has to name the same.
    shared: Vec<(ResourceType, ResourceType)>,
}

impl StandIn {
    fn share(&mut self, instance: &ComponentInstance) {
        for (name, export) in instance.exports(&self.engine) {
            let here = match name {
                "input-stream" => ResourceType::host::<DynInputStream>(),
                "output-stream" => ResourceType::host::<DynOutputStream>(),
                "pollable" => ResourceType::host::<DynPollable>(),
                "error" => ResourceType::host::<IoError>(),
                _ => continue,
            };
            if let ComponentItem::Resource(declared) = export.ty {
                self.shared.push((declared, here));
            }
        }
    }

    fn fill(
        &self,
        linker: &mut LinkerInstance<'_, State>,
        path: &str,
        instance: &ComponentInstance,
    ) -> wasmtime::Result<()> {
        for (name, export) in instance.exports(&self.engine) {
            self.define(linker, Some(path), name, export.ty)?;
        }
        Ok(())
    }

    fn define(
        &self,
        linker: &mut LinkerInstance<'_, State>,
        path: Option<&str>,
        name: &str,
        item: ComponentItem,
    ) -> wasmtime::Result<()> {
        let full_name = path.map_or_else(|| name.to_owned(), |path| format!("{path}#{name}"));
        match item {
            ComponentItem::ComponentFunc(_) => linker.func_new(name, move |_, _, _, _| {
                bail!("it called `{full_name}`, which this host does not offer")
            }),
            ComponentItem::ComponentInstance(instance) => {
                self.fill(&mut linker.instance(name)?, &full_name, &instance)
            }
            ComponentItem::Resource(declared) => {
                let known = self.shared.iter().find(|(theirs, _)| *theirs == declared);
                let ty = known.map_or_else(ResourceType::host::<Absent>, |(_, here)| *here);
                linker.resource(name, ty, |_, _| Ok(()))
            }
            ComponentItem::Type(_) => Ok(()),
            ComponentItem::CoreFunc(_) | ComponentItem::Module(_) | ComponentItem::Component(_) => {
                bail!(
                    "it imports the module or component `{full_name}`, which this host does not offer"
                )
            }
        }
    }
}
