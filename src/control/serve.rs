//! `margay serve`: from a configuration to running shards, and from a signal to a drained end.
//!
//! Order of the start: everything that can be wrong is found before the first connection is accepted; what binds addresses comes
//! before the process confines itself, and every thread after it. Order of the end: not ready, stop
//! accepting, finish what is in flight, write out the logs.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::audit::Audit;
use crate::component::Runtime;
use crate::error::{Problem, exit};
use crate::limits::Limits;
use crate::mcp::{HostRules, Sessions};
use crate::mem::ByteBudget;
use crate::policy::auth::Authenticator;
use crate::policy::rule::Effect;
use crate::policy::{Limiter, RuleSet};
use crate::shard::{
    IoKind, ListenOptions, ServiceOptions, ShardThread, Shared, Snapshot, TlsListener,
    bind_listeners,
};
use crate::tape::{Backend, LogKey, LogOptions, LogProducer, Recorder};
use crate::task::{Folder, Purpose};

use super::admin::Admin;
use super::audit::{self, Auditing};
use super::auth::Auth;
use super::components::{ComponentSet, Prepared, prepare};
use super::config::{Config, Io, ManagementTools};
use super::directory::Directory;
use super::harden;
use super::management::{Desk, Endpoint};
use super::plane::Plane;
use super::policies;
use super::publisher::Publisher;
use super::secret::request_state_key;
use super::secrets::Secrets;
use super::shards::Shards;
use super::store::{POLL_INTERVAL, Watch};
use super::tls::Certificates;
use super::upstreams::{self, Started};

/// Time beyond the drain deadline after which the process ends whatever still runs.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// Time between two looks at whether the shards have drained.
pub(super) const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Serves until a signal ends it.
///
/// Shape: `announce` is told the addresses, of MCP and of the admin listener, and what is shared, once a tool can be called.
/// Errors: one problem, before anything was served; or that a shard broke.
pub fn run(
    config: &Config,
    announce: impl FnOnce(SocketAddr, Option<SocketAddr>, &Shared),
) -> Result<(), Problem> {
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| internal(&error))?;
    let options = ListenOptions {
        nodelay: config.network.tcp_nodelay,
        keep_alive: config.network.keep_alive,
    };
    let (address, listeners) = bind_listeners(config.listen, config.shards, options)
        .map_err(|error| unbindable("listen", "--listen", config.listen, &error))?;
    let admin_listener = config.admin.map(bind_admin).transpose()?;
    let certificates = Certificates::of(config)?;
    // The first thread beside this one, and the only one that is not confined.
    let spawner = upstreams::spawner(config).map_err(|error| internal(&error))?;
    let in_force = harden::confine(config, &policies::reach(config), spawner.is_some())?;
    let secrets = Secrets::new(config);
    let auth = Auth::of(config, &secrets)?;
    let state_key = request_state_key(config)?;
    let recorder = Recorder::start(backend(config.io))?;
    let auditing = Auditing::open(config, &control, &recorder.handle())?;
    let mut auth = auth.with_audit(&auditing.audit());
    let access_log = open_access_log(config, &control, &recorder)?;
    let (folder, tasks) = Folder::open(&config.state_dir, Purpose::Serve, recorder.handle())?;
    let upstreams =
        upstreams::Prepared::of(config, &secrets)?.map(|upstreams| upstreams.with_spawner(spawner));
    // Not inside the control runtime: loading a component may block on the runtime of its workers.
    let Prepared {
        runtime,
        mut set,
        watch,
    } = prepare(config, &secrets)?;
    set.pin(config, auditing.audit())?;
    set.tell(auditing.audit());
    runtime.set_audit(auditing.audit());
    let (rules, limiter) = guards(config, config.is_exposed())?;
    let hosts = host_rules(config, address)?;
    // There are at most 1,024 shards.
    let homes = 0..u16::try_from(config.shards).unwrap_or(u16::MAX);
    let limits = config.limits.clone();
    let shared = share(limits, &mut set, &hosts, runtime, upstreams.as_ref(), homes)
        .with_state_key(state_key)
        .with_audit(auditing.audit())
        .with_http_sse(config.http_sse)
        .with_neutralising(config.sanitize.outputs)
        .with_guards(auth.data(), rules, limiter);
    let shared = Arc::new(match certificates.data() {
        Some(listener) => shared.with_tls(listener),
        None => shared,
    });
    shared
        .start_tasks(folder, tasks)
        .map_err(|error| internal(&error))?;
    let buffers = ByteBudget::new(config.limits.buffer_pool_bytes_max);

    // Before the first connection: from then on a signal must not cut anyone off.
    let signals = {
        let _entered = control.enter();
        Signals::listen()?
    };
    let mut threads = Vec::with_capacity(config.shards);
    for (index, listener) in listeners.into_iter().enumerate() {
        let producer = access_log
            .as_ref()
            .map(|(key, handle)| producer(&control, handle, key))
            .transpose()?;
        let options = ServiceOptions {
            buffers: Arc::clone(&buffers),
            access_log: producer,
            audit: auditing.lane(&control).map_err(|error| internal(&error))?,
        };
        let started = ShardThread::start(
            index,
            io_kind(config),
            Arc::clone(&shared),
            vec![listener],
            options,
        );
        threads.push(started.map_err(|error| shard_failed(config.io, &error))?);
    }
    let log_key = access_log.map(|(key, _)| key);
    let publisher =
        Publisher::start(Arc::clone(&shared), set, hosts).map_err(|error| internal(&error))?;
    let upstreams = upstreams.map(|upstreams| upstreams.start(&shared, &publisher));
    let upstreams = upstreams.transpose()?;
    harden::settle(config, &in_force)?;
    let shards = Shards::new(Arc::clone(&shared), threads, publisher, buffers, log_key);
    let plane: Arc<dyn Plane> = Arc::new(shards.with_audit_log(auditing.log()));
    let admin_address = admin_listener.as_ref().map(|(_, address)| *address);
    let admin_auth = auth.admin();
    let admin_listener = admin_listener.map(|(listener, address)| AdminListener {
        listener,
        address,
        auth: admin_auth,
    });
    audit::startup(&shared.audit, config);
    control.block_on(auth.begin());
    control.spawn(auth.keep());
    let result = control.block_on(supervise(
        config,
        signals,
        plane,
        admin_listener,
        Watched {
            directory: watch,
            certificates,
            secrets,
            audit: auditing.audit(),
        },
        &recorder,
        upstreams,
        || announce(address, admin_address, &shared),
    ));
    // Blocking work (a compilation) must not hold the end up.
    control.shutdown_timeout(Duration::from_millis(100));
    // Before the recorder: what was asked for is still stored.
    if let Some(tasks) = shared.tasks() {
        tasks.end();
    }
    audit::shutdown(&shared.audit, &result);
    recorder.stop();
    result
}

/// Who may do what, and how often.
///
/// Errors: there are more rules, or more keys in them, than may be.
pub(super) fn guards(config: &Config, is_exposed: bool) -> Result<(RuleSet, Limiter), Problem> {
    // On loopback whoever is known may do everything, until a rule says otherwise.
    let default = config.rules.default_effect(is_exposed, false);
    if default == Effect::Deny && config.rules.rules.is_empty() && config.rules.roles.is_empty() {
        tracing::warn!(
            "no rule allows anything, so nobody may call anything: write `rules`, or `default_rule: allow`"
        );
    }
    let rules = RuleSet::compile(&config.rules, default).map_err(|error| {
        let remedy = "have fewer";
        Problem::operator(exit::CONFIG, "rules", "", error.to_string(), remedy)
    })?;
    let limiter = Limiter::new(&config.rates, config.limits.rate_key_count_max);
    Ok((rules, limiter))
}

/// What all threads share: what is offered at first, one port for each thread, and the upstreams, if there are any, whose homes
/// are the last of the ports.
pub(super) fn share(
    limits: Limits,
    set: &mut ComponentSet,
    hosts: &HostRules,
    runtime: Arc<Runtime>,
    upstreams: Option<&upstreams::Prepared>,
    homes: Range<u16>,
) -> Shared {
    if let Some(upstreams) = upstreams {
        *set.upstreams() = upstreams.offers();
    }
    let snapshot = Snapshot {
        catalog: set.catalog(),
        hosts: hosts.clone(),
    };
    let sessions = Sessions::of(&limits);
    let port_count = usize::from(homes.end);
    let shared = Shared::new(limits, snapshot, sessions, runtime, port_count);
    match upstreams {
        Some(upstreams) => shared.with_upstreams(upstreams.shared(homes)),
        None => shared,
    }
}

/// Where the admin plane will be, and who may call it.
struct AdminListener {
    listener: TcpListener,
    address: SocketAddr,
    auth: Arc<Authenticator>,
}

/// The admin listener begins to serve.
fn start_admin(
    config: &Config,
    plane: &Arc<dyn Plane>,
    given: AdminListener,
    (tls, audit): (Option<Arc<TlsListener>>, Audit),
) -> Result<Admin, Problem> {
    let AdminListener {
        listener,
        address,
        auth,
    } = given;
    let management = (config.management_tools != ManagementTools::Off)
        .then(|| Endpoint::new(Desk::new(config), &config.limits));
    let page = Admin::new(Arc::clone(plane), address, &config.allowed_hosts)
        .with_management(management)
        .with_auth(auth, audit)
        .with_rates(&config.rates, config.limits.rate_key_count_max);
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| internal(&error))?;
    tokio::spawn(page.clone().serve(listener, tls));
    tracing::info!(%address, "admin listener: /metrics, /healthz, /readyz");
    Ok(page)
}

/// What is looked at while the server runs.
struct Watched {
    directory: Option<Watch>,
    certificates: Certificates,
    secrets: Secrets,
    audit: Audit,
}

/// Signals, the component directory, certificates, housekeeping; then the drain. Announces once the upstreams are known.
async fn supervise(
    config: &Config,
    signals: Signals,
    plane: Arc<dyn Plane>,
    admin_listener: Option<AdminListener>,
    watched: Watched,
    recorder: &Recorder,
    upstreams: Option<Started>,
    announce: impl FnOnce(),
) -> Result<(), Problem> {
    let Signals {
        mut end,
        mut hang_up,
    } = signals;
    let Watched {
        directory,
        mut certificates,
        secrets,
        audit,
    } = watched;
    let admin = admin_listener.map(|listener| {
        start_admin(
            config,
            &plane,
            listener,
            (certificates.admin(), audit.clone()),
        )
    });
    let admin = admin.transpose()?;
    let reload = admin
        .as_ref()
        .map_or_else(Arc::default, Admin::reload_requests);
    let is_starting = |starting| {
        if let Some(admin) = &admin {
            admin.set_starting(starting);
        }
    };
    is_starting(upstreams.is_some());
    let mut directory = Directory::new(Arc::clone(&plane), directory);
    let mut clock = tokio::time::interval(POLL_INTERVAL);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let deadline = config.limits.upstream_start_deadline;
    let known = upstreams
        .as_ref()
        .map(|upstreams| upstreams.known(deadline));
    let mut known = pin!(async {
        if let Some(known) = known {
            known.await;
        }
    });
    let mut announce = Some(announce);
    let broken = loop {
        tokio::select! {
            biased;
            () = end.recv() => break false,
            () = &mut known, if announce.is_some() => {
                is_starting(false);
                announce.take().into_iter().for_each(|announce| announce());
            }
            _ = clock.tick() => {
                plane.tick();
                if let Some(admin) = &admin {
                    admin.sweep();
                }
                if plane.running() < plane.shard_count() {
                    break true;
                }
                directory.look(false);
                certificates.look(false);
                audit::look_at_secrets(&secrets, &audit);
            }
            _ = hang_up.recv() => {
                reopen_logs(recorder).await;
                certificates.look(true);
                directory.look(true);
            }
            () = reload.notified() => directory.look(true),
            () = directory.looked() => {}
        }
    };
    if let Some(admin) = &admin {
        admin.begin_drain();
    }
    tracing::info!("draining");
    if let Some(upstreams) = &upstreams {
        upstreams.drain();
    }
    plane.drain();
    let drained = tokio::select! {
        drained = finish(&*plane, config.limits.drain_deadline + DRAIN_GRACE, upstreams) => drained,
        // A second signal: the operator does not want to wait.
        () = end.recv() => false,
    };
    if broken {
        return Err(Problem::operator(
            exit::SOFTWARE,
            "shard",
            "",
            "ended by itself",
            "see the log above; start again, and report it with the log",
        ));
    }
    tracing::info!(drained, "stopped");
    Ok(())
}

/// Waits for the drain, then ends the upstreams' children, which calls in flight have needed until then.
async fn finish(plane: &dyn Plane, deadline: Duration, upstreams: Option<Started>) -> bool {
    let drained = wait_for_drain(plane, deadline).await;
    if let Some(upstreams) = upstreams {
        upstreams.stop().await;
    }
    drained
}

async fn wait_for_drain(plane: &dyn Plane, deadline: Duration) -> bool {
    let drained = async {
        // Calls that nobody waits for are let finish, too: what they have done would be lost.
        while plane.running() > 0 || plane.tasks_running() > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    tokio::time::timeout(deadline, drained).await.is_ok()
}

async fn reopen_logs(recorder: &Recorder) {
    if let Err(error) = recorder.handle().reopen().await {
        tracing::error!(%error, "the logs could not be reopened");
    }
}

type AccessLog = (LogKey, crate::tape::RecorderHandle);

fn open_access_log(
    config: &Config,
    control: &tokio::runtime::Runtime,
    recorder: &Recorder,
) -> Result<Option<AccessLog>, Problem> {
    let Some(path) = &config.access_log else {
        return Ok(None);
    };
    let handle = recorder.handle();
    let opened = control.block_on(handle.open_log(path.clone(), LogOptions::default()));
    let key = opened.map_err(|error| {
        let remedy = "name another file with --access-log";
        Problem::operator(
            exit::NO_INPUT,
            "access log",
            path.display().to_string(),
            error.to_string(),
            remedy,
        )
    })?;
    Ok(Some((key, handle)))
}

fn producer(
    control: &tokio::runtime::Runtime,
    handle: &crate::tape::RecorderHandle,
    key: &LogKey,
) -> Result<LogProducer, Problem> {
    control
        .block_on(handle.producer(key))
        .map_err(|error| internal(&io::Error::other(error)))
}

/// The recorder's files are written with what the sockets are driven with.
pub(crate) fn backend(io: Io) -> Backend {
    match io {
        Io::Uring => Backend::Uring,
        Io::Epoll => Backend::Plain,
    }
}

pub(super) fn io_kind(config: &Config) -> IoKind {
    match config.io {
        Io::Uring if config.hardening.ring_restrictions => IoKind::Uring,
        Io::Uring => IoKind::UringUnrestricted,
        Io::Epoll => IoKind::Epoll,
    }
}

/// The names under which the data listeners may be called.
///
/// Errors: an allowed host that is none.
pub(crate) fn host_rules(config: &Config, address: SocketAddr) -> Result<HostRules, Problem> {
    let mut hosts = HostRules::loopback();
    hosts.allow_listener(address);
    for host in &config.allowed_hosts {
        if !hosts.allow_host(host) {
            return Err(Problem::operator(
                exit::USAGE,
                "allowed host (--allowed-host, allowed_hosts)",
                format!("`{host}`"),
                "is not a host",
                "write it like mcp.example.com or mcp.example.com:8443, without a scheme",
            ));
        }
    }
    for origin in &config.allowed_origins {
        hosts.allow_origin(origin);
    }
    Ok(hosts)
}

fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Problem> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let actual = listener.local_addr()?;
        Ok((listener, actual))
    });
    bound.map_err(|error| unbindable("admin", "--admin", address, &error))
}

fn unbindable(thing: &str, flag: &str, address: SocketAddr, error: &io::Error) -> Problem {
    let (rule, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = address.port();
            (
                "is in use by another process".to_owned(),
                format!(
                    "stop it (`ss -ltnp 'sport = :{port}'` names it), or choose another with {flag}"
                ),
            )
        }
        io::ErrorKind::PermissionDenied => (
            "needs a privilege".to_owned(),
            format!("choose a port above 1023 with {flag}, or grant CAP_NET_BIND_SERVICE"),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "is not an address of this host".to_owned(),
            format!("choose one of `ip address` with {flag}"),
        ),
        _ => (
            error.to_string(),
            format!("choose another address with {flag}"),
        ),
    };
    Problem::operator(
        exit::UNAVAILABLE,
        format!("{thing} address"),
        address.to_string(),
        rule,
        remedy,
    )
}

pub(super) fn shard_failed(io: Io, error: &io::Error) -> Problem {
    let remedy = match io {
        Io::Uring => "run `margay probe`; on a host that forbids io_uring use --io epoll",
        Io::Epoll => "run `margay probe`",
    };
    Problem::operator(
        exit::HOST,
        "shard",
        "",
        format!("cannot start: {error}"),
        remedy,
    )
}

fn internal(error: &io::Error) -> Problem {
    Problem::operator(
        exit::HOST,
        "control",
        "",
        error.to_string(),
        "raise the limits on files and threads",
    )
}

/// The signals that a server acts on.
struct Signals {
    end: EndSignals,
    hang_up: Signal,
}

struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are kept for the server, and end the process no more. Called inside the control runtime.
    fn listen() -> Result<Self, Problem> {
        let listen = |kind| signal(kind).map_err(|error| internal(&error));
        Ok(Self {
            end: EndSignals {
                terminate: listen(SignalKind::terminate())?,
                interrupt: listen(SignalKind::interrupt())?,
            },
            hang_up: listen(SignalKind::hangup())?,
        })
    }
}

impl EndSignals {
    /// Waits for one that asks for the end.
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
