//! `margay stdio`: one client on standard input and output, no listener, no shard.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Problem, exit};
use crate::mcp::{HostRules, Sessions};
use crate::shard::{Shared, Snapshot, StdioServer};

use super::components::{Prepared, prepare};
use super::config::Config;
use super::publisher::Publisher;
use super::secret::request_state_key;
use super::store::POLL_INTERVAL;

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
    let mut server =
        StdioServer::start(shared, std::io::stdin(), std::io::stdout()).map_err(failed)?;
    let served = server.run().map_err(failed);
    drop((server, entered, publisher));
    timers.shutdown_timeout(Duration::from_millis(100));
    served
}
