//! Loading a component file into the component directory: checked by compiling it, as the command and the management tools do.

use std::path::Path;
use std::sync::Arc;

use super::config::Config;
use super::store::{Loaded, Manifest, Store};
use crate::component::{Component, Runtime, RuntimeOptions};
use crate::error::{Problem, exit};
use crate::tape::{Backend, Recorder};

/// A runtime that compiles for this configuration, and keeps what it compiled where `serve` finds it.
///
/// Errors: the host does not give what it needs.
pub fn runtime(config: &Config) -> Result<Arc<Runtime>, Problem> {
    let options = RuntimeOptions {
        cache_dir: Some(config.cache_dir.clone()),
        worker_count: config.workers,
        ..RuntimeOptions::default()
    };
    Runtime::new(&config.limits, options)
}

/// Checks a component file and keeps it under `name`, or under its own stem. Compiles: blocks.
///
/// Errors: it cannot be read, is no component, or cannot be kept; nothing has changed then.
pub fn load(
    config: &Config,
    store: &Store,
    file: &Path,
    name: Option<&str>,
) -> Result<Loaded, Problem> {
    // Ordinary system calls: a process that has given up what it does not need makes no rings any longer.
    let recorder = Recorder::start(Backend::Plain)?;
    let runtime = runtime(config)?;
    let validate = |name: &str, bytes: &[u8]| {
        // On a thread of its own: compiling may block on the workers' runtime, and this closure is called from async code.
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| runtime.load(name, bytes));
            let loaded = loading.join().map_err(|_| {
                Problem::operator(
                    exit::SOFTWARE,
                    "component",
                    name,
                    "made the compiler panic",
                    "report it with the file",
                )
            })?;
            let component =
                loaded.map_err(|error| error.into_problem(file.display().to_string()))?;
            Ok(tool_names(&component))
        })
    };
    let handle = recorder.handle();
    wait(store.load(&handle, file, name, &config.limits, &validate))?
}

/// Removes a component by name, or by a unique beginning of its digest.
///
/// Errors: there is none, or it cannot be removed.
pub fn remove(store: &Store, name: &str) -> Result<Manifest, Problem> {
    let recorder = Recorder::start(Backend::Plain)?;
    wait(store.remove(&recorder.handle(), name))?
}

/// Plain functions first, then the component's own list.
fn tool_names(component: &Component) -> Vec<String> {
    let listed = component.definitions();
    let plain = component.tools().iter().map(|tool| tool.name().to_owned());
    plain
        .chain(listed.tools.iter().map(|tool| tool.name.to_string()))
        .collect()
}

fn wait<T>(future: impl Future<Output = T>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Problem::operator(
                exit::HOST,
                "threads",
                "",
                error.to_string(),
                "raise the limits on files and threads",
            )
        })?;
    Ok(runtime.block_on(future))
}
