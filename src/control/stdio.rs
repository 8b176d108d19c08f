//! `margay stdio`: one client on standard input and output, no listener, no shard.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Problem, exit};
use crate::mcp::{HostRules, Sessions};
use crate::shard::{Shared, Snapshot, StdioServer};
use crate::tape::{Backend, Recorder};
use crate::task::{Folder, Purpose};

use super::components::{Prepared, prepare};
use super::config::Config;
use super::publisher::Publisher;
use super::secret::request_state_key;
use super::store::POLL_INTERVAL;

/// Starts the tasks of this process's client, and what writes their files. Where that cannot be, tools are called without them: clients
/// start many such processes, and not each of them with a directory to keep something in.
fn start_tasks(config: &Config, shared: &Arc<Shared>) -> Option<Recorder> {
    // Ordinary system calls: nothing else here needs a ring.
    let started = Recorder::start(Backend::Plain).and_then(|recorder| {
        let (folder, tasks) = Folder::open(&config.state_dir, Purpose::Stdio, recorder.handle())?;
        let started = shared.start_tasks(folder, tasks);
        started.map_err(|error| {
            let remedy = "raise the limit on threads (ulimit -u)";
            Problem::operator(exit::HOST, "tasks", "", error.to_string(), remedy)
        })?;
        Ok(recorder)
    });
    started
        .inspect_err(|problem| tracing::warn!(%problem, "no call can become a task"))
        .ok()
}

/// Serves standard input until it ends.
///
/// Errors: nothing can be served, or the output is closed.
pub fn run(config: &Config) -> Result<(), Problem> {
    let Prepared {
        runtime,
        mut set,
        watch,
    } = prepare(config)?;
    let hosts = HostRules::loopback();
    let snapshot = Snapshot {
        catalog: set.catalog(),
        hosts: hosts.clone(),
    };
    // One client, one implicit session: the table stays empty. One port, to wake the server.
    let shared = Shared::new(
        config.limits.clone(),
        snapshot,
        Sessions::of(&config.limits),
        runtime,
        1,
    );
    let shared = Arc::new(shared.with_state_key(request_state_key(config)?));
    let failed = |error: std::io::Error| {
        Problem::operator(
            exit::UNAVAILABLE,
            "standard output",
            "",
            error.to_string(),
            "start it from an MCP client",
        )
    };
    let recorder = start_tasks(config, &shared);
    let publisher = Publisher::start(Arc::clone(&shared), set, hosts).map_err(failed)?;
    if let Some(mut watch) = watch {
        let publisher = Arc::clone(&publisher);
        let look = move || {
            loop {
                std::thread::sleep(POLL_INTERVAL);
                let Ok(change) = watch.poll() else { continue };
                if change.is_empty() {
                    continue;
                }
                for problem in publisher.apply(&change) {
                    tracing::error!(%problem, "a component is not served");
                }
            }
        };
        // Ends with the process: it holds nothing that has to be written out.
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(look)
            .map_err(failed)?;
    }
    // Components may wait on timers while they are called from this thread.
    let timers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let entered = timers.enter();
    let mut server = StdioServer::start(Arc::clone(&shared), std::io::stdin(), std::io::stdout())
        .map_err(failed)?;
    let served = server.run().map_err(failed);
    drop((server, entered, publisher));
    // Before the recorder: what was asked for is still stored.
    if let Some(tasks) = shared.tasks() {
        tasks.end();
    }
    drop(recorder);
    timers.shutdown_timeout(Duration::from_millis(100));
    served
}
