//! Variables: the granted ones, in `wasi:cli/environment` and in `wasi:config/store`.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime_wasi::WasiCtxBuilder;

use crate::policy::permission::Ask;

use super::super::store::State;
use super::{Gate, Value};

/// The drafts of `wasi:config` that toolchains build for: a draft has no version that another one stands in for.
pub(crate) const CONFIG_INTERFACES: [&str; 2] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft",
];

/// `wasi:config/store.error`. Never given: what is not granted is not there.
#[derive(ComponentType, Lower, Lift, Clone, Debug)]
#[component(variant)]
enum Failure {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Told<T> = wasmtime::Result<(Result<T, Failure>,)>;

/// Adds `wasi:config/store`.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for interface in CONFIG_INTERFACES {
        let mut store = linker.instance(interface)?;
        store.func_wrap(
            "get",
            |store: StoreContextMut<'_, State>, (key,): (String,)| -> Told<Option<String>> {
                Ok((Ok(store.data().gate().variable(&key)),))
            },
        )?;
        store.func_wrap(
            "get-all",
            |store: StoreContextMut<'_, State>, (): ()| -> Told<Vec<(String, String)>> {
                Ok((Ok(store.data().gate().variables()),))
            },
        )?;
    }
    Ok(())
}

/// Puts the granted variables into an instance's environment.
pub(super) fn fill(builder: &mut WasiCtxBuilder, gate: &Arc<Gate>) {
    for (key, value) in gate.variables() {
        builder.env(key, value);
    }
}

impl Gate {
    /// Those that the call may see, or, where none runs, those that the component may.
    fn variables(&self) -> Vec<(String, String)> {
        let Some(grants) = self.guard().grants() else {
            return Vec::new();
        };
        let is_visible =
            |(key, _): &&(Box<str>, Value)| self.decide(&Ask::Environment { key }).is_allowed;
        let seen = grants.environment.iter().filter(is_visible);
        seen.map(|(key, value)| (key.to_string(), value.reveal().to_owned()))
            .collect()
    }

    fn variable(&self, key: &str) -> Option<String> {
        if !self.allows(&Ask::Environment { key }) {
            return None;
        }
        let grants = self.guard().grants()?;
        let (_, value) = grants.environment.iter().find(|(own, _)| **own == *key)?;
        if matches!(value, Value::Secret(_)) {
            self.gave_secret("env read", key);
        }
        Some(value.reveal().to_owned())
    }
}
