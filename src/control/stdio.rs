//! `margay stdio`: one client on standard input and output, no listener; a shard only where there are upstreams to call.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Audit;
use crate::error::{Problem, exit};
use crate::mcp::HostRules;
use crate::mem::ByteBudget;
use crate::policy::auth::Authenticator;
use crate::shard::{ServiceOptions, ShardThread, Shared, StdioServer};
use crate::tape::{Backend, Recorder};
use crate::task::{Folder, Purpose};

use super::audit::{self, Auditing};
use super::components::{Prepared, prepare};
use super::config::Config;
use super::publisher::Publisher;
use super::secret::request_state_key;
use super::secrets::Secrets;
use super::serve::{DRAIN_POLL, guards, io_kind, shard_failed, share};
use super::store::{POLL_INTERVAL, Watch};
use super::upstreams::{self, Started};

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
    let secrets = Secrets::new(config);
    let upstreams = upstreams::Prepared::of(config, &secrets)?;
    let Prepared {
        runtime,
        mut set,
        watch,
    } = prepare(config, &secrets)?;
    let auditing = AuditKept::start(config)?;
    set.pin(config, auditing.audit.clone())?;
    set.tell(auditing.audit.clone());
    runtime.set_audit(auditing.audit.clone());
    let hosts = HostRules::loopback();
    let mut limits = config.limits.clone();
    // One client, one implicit session: the table stays empty. One port, to wake the server; another for the thread that calls
    // upstreams.
    let homes = match &upstreams {
        None => HOME..HOME,
        Some(_) => {
            // Nobody connects to it: its ring needs no places for clients.
            limits.connection_count_max = 1;
            HOME..HOME + 1
        }
    };
    let shared = share(limits, &mut set, &hosts, runtime, upstreams.as_ref(), homes);
    // Whoever started this process is nobody in particular to the rules, and reaches nothing that they keep from him.
    let (rules, limiter) = guards(config, false)?;
    let shared = shared
        .with_guards(Arc::new(Authenticator::anonymous()), rules, limiter)
        .with_state_key(request_state_key(config)?)
        .with_audit(auditing.audit.clone())
        .with_neutralising(config.sanitize.outputs);
    let shared = Arc::new(shared);
    let recorder = start_tasks(config, &shared);
    let publisher = Publisher::start(Arc::clone(&shared), set, hosts).map_err(failed)?;
    if let Some(watch) = watch {
        follow(watch, Arc::clone(&publisher))?;
    }
    // Components may wait on timers while they are called from this thread.
    let timers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let home = upstreams.map(|upstreams| Home::start(config, upstreams, &shared, &publisher));
    let home = home.transpose()?;
    if let Some(home) = &home {
        timers.block_on(home.upstreams.known(config.limits.upstream_start_deadline));
    }
    audit::startup(&auditing.audit, config);
    let entered = timers.enter();
    let mut server = StdioServer::start(Arc::clone(&shared), std::io::stdin(), std::io::stdout())
        .map_err(failed)?;
    let served = server.run().map_err(failed);
    drop((server, entered));
    if let Some(home) = home {
        home.upstreams.drain();
        shared.drain();
        timers.block_on(home.end(config.limits.drain_deadline));
    }
    drop(publisher);
    // Before the recorder: what was asked for is still stored.
    if let Some(tasks) = shared.tasks() {
        tasks.end();
    }
    drop(recorder);
    timers.shutdown_timeout(Duration::from_millis(100));
    audit::shutdown(&auditing.audit, &served);
    auditing.end();
    served
}

/// The audit log, where the configuration asks for one, and the recorder that writes it.
struct AuditKept {
    audit: Audit,
    recorder: Option<Recorder>,
}

impl AuditKept {
    fn start(config: &Config) -> Result<Self, Problem> {
        if config.audit.is_none() {
            return Ok(Self {
                audit: Audit::off(),
                recorder: None,
            });
        }
        let opening = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(failed)?;
        let recorder = Recorder::start(Backend::Plain)?;
        let auditing = Auditing::open(config, &opening, &recorder.handle())?;
        Ok(Self {
            audit: auditing.audit(),
            recorder: Some(recorder),
        })
    }

    /// Has everything written.
    fn end(self) {
        if let Some(recorder) = self.recorder {
            recorder.stop();
        }
    }
}

/// The port of the thread that calls upstreams.
const HOME: u16 = 1;

/// Upstreams, and the one thread that calls them: a shard without a listener.
struct Home {
    thread: ShardThread,
    upstreams: Started,
}

impl Home {
    fn start(
        config: &Config,
        upstreams: upstreams::Prepared,
        shared: &Arc<Shared>,
        publisher: &Arc<Publisher>,
    ) -> Result<Self, Problem> {
        let options = ServiceOptions {
            buffers: ByteBudget::new(config.limits.buffer_pool_bytes_max),
            access_log: None,
            audit: None,
        };
        let thread = ShardThread::start(
            usize::from(HOME),
            io_kind(config),
            Arc::clone(shared),
            Vec::new(),
            options,
        );
        Ok(Self {
            thread: thread.map_err(|error| shard_failed(config.io, &error))?,
            upstreams: upstreams.start(shared, publisher)?,
        })
    }

    /// Waits for the thread, which has been told to drain, but no longer than this; then ends the children.
    async fn end(self, deadline: Duration) {
        let drained = async {
            while !self.thread.is_finished() {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(deadline, drained).await.is_err() {
            tracing::warn!("calls of upstreams have not ended in time");
        }
        self.upstreams.stop().await;
    }
}

/// Serves what the directory has, as it changes.
fn follow(mut watch: Watch, publisher: Arc<Publisher>) -> Result<(), Problem> {
    let look = move || {
        loop {
            std::thread::sleep(POLL_INTERVAL);
            if publisher.sees_approvals() {
                publisher.renew();
            }
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
    Ok(())
}

fn failed(error: std::io::Error) -> Problem {
    Problem::operator(
        exit::UNAVAILABLE,
        "standard output",
        "",
        error.to_string(),
        "start it from an MCP client",
    )
}
