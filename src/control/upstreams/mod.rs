//! Upstreams as control has them: made from the configuration, their names resolved, their children kept, and what they offer
//! put in force.
//!
//! ```text
//!   homes ──news──▶ link ──▶ offers' thread ──▶ publisher        (the latest news of each upstream)
//!   homes ──orders─▶ link ──▶ this runtime: a task for each child ──words──▶ homes
//!                                        └─ names resolved now and then ──▶ places
//! ```
//!
//! Invariants: no home ever waits for control; what an upstream said last is what is in force; every child that was started
//! has ended when [`Started::stop`] is over, or was left to its keeper, which ends it.

mod children;
mod link;
mod offers;
mod reading;
mod remotes;
mod resolve;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::config::Config;
use super::credentials::{Account, Keeper};
use super::fetch::Fetch;
use super::publisher::Publisher;
use super::secrets::Secrets;
use crate::error::{Problem, exit};
use crate::gateway::{CredentialWant, Word};
use crate::shard::{Shared, Upstreams};
use crate::upstream::remote::Remote;
use crate::upstream::settings::{Transport, Upstream};
use crate::upstream::stdio::Spawner;
use children::{Nursery, STOP_DEADLINE};
use link::Link;
pub use offers::OfferSet;
use resolve::Resolver;

/// This very program, also once its file was replaced by another version's: its subcommands are the children's keepers.
const SELF: &str = "/proc/self/exe";

/// Time that a start waits for the first look at the upstreams' names.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Where wishes for credentials come from.
pub(crate) trait WantSource: Send + Sync + 'static {
    /// The next; none once everything is over.
    fn next_want(&self) -> impl Future<Output = Option<CredentialWant>>;
}

/// Upstreams that are there and not yet served.
pub struct Prepared {
    remotes: Vec<Arc<Remote>>,
    link: Arc<Link>,
    resolver: Resolver,
    runtime: tokio::runtime::Runtime,
    entry_count_max: usize,
    child_count_max: usize,
    spawner: Spawner,
    accounts: Vec<Account>,
}

/// The thread that starts children, where there are any to start. It keeps the rights that it has now.
///
/// Errors: the host gives no thread.
pub fn spawner(config: &Config) -> io::Result<Option<Spawner>> {
    let is_stdio = |upstream: &Upstream| matches!(upstream.transport, Transport::Stdio(_));
    let has_children = config.upstreams.iter().any(is_stdio);
    has_children
        .then(|| Spawner::on_its_own_thread(Path::new(SELF)))
        .transpose()
}

impl Prepared {
    /// The upstreams of a configuration, their names looked up once; none where it has none. Blocks for a moment, and must not be
    /// called inside an async context.
    ///
    /// Errors: a secret is not there, a certificate cannot be read, a header cannot be sent.
    pub fn of(config: &Config, secrets: &Secrets) -> Result<Option<Self>, Problem> {
        if config.upstreams.is_empty() {
            return Ok(None);
        }
        let remotes = remotes::remotes(&config.upstreams, secrets)?;
        let accounts = accounts(&remotes, secrets, &config.state_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("margay-names")
            .build()
            .map_err(|error| no_thread(&error))?;
        let mut resolver = Resolver::new(&remotes);
        // What does not resolve in time is looked up again, and known then.
        let _ = runtime.block_on(async { tokio::time::timeout(FIRST_LOOK, resolver.look()).await });
        Ok(Some(Self {
            link: Arc::new(Link::new(remotes.len())),
            remotes,
            resolver,
            runtime,
            entry_count_max: config.limits.upstream_entry_count_max,
            child_count_max: config.limits.upstream_child_count_max,
            spawner: Spawner::here(Path::new(SELF)),
            accounts,
        }))
    }

    /// The same; children are started by this one.
    pub fn with_spawner(self, spawner: Option<Spawner>) -> Self {
        match spawner {
            Some(spawner) => Self { spawner, ..self },
            None => self,
        }
    }

    /// All of them, as nobody knows yet what they offer.
    pub fn offers(&self) -> OfferSet {
        OfferSet::new(&self.remotes)
    }

    /// What threads share about them; `homes` are the ports of those with a ring.
    pub fn shared(&self, homes: Range<u16>) -> Upstreams {
        Upstreams::new(self.remotes.clone(), homes, self.link.clone())
    }

    /// Begins to hear news and to take orders. What homes have said before waits.
    ///
    /// Errors: the host gives no thread.
    pub fn start(
        self,
        shared: &Arc<Shared>,
        publisher: &Arc<Publisher>,
    ) -> Result<Started, Problem> {
        let Self {
            remotes,
            link,
            resolver,
            runtime,
            entry_count_max,
            child_count_max,
            spawner,
            accounts,
        } = self;
        let (unknown_count, unknown) = watch::channel(remotes.len());
        let reader = reading::Reading {
            link: Arc::clone(&link),
            remotes: remotes.clone(),
            publisher: Arc::downgrade(publisher),
            entry_count_max,
            unknown_count,
        };
        let reader = std::thread::Builder::new()
            .name("margay-offers".to_owned())
            .spawn(move || reader.run())
            .map_err(|error| no_thread(&error))?;
        link.set_reader(reader.thread().clone());
        let homes = Arc::downgrade(shared);
        let nursery = Nursery::new(
            Arc::clone(&link),
            remotes,
            child_count_max,
            spawner,
            move |child, news| hand(&homes, child.port, Word::Child { child, news }),
        );
        let homes = Arc::downgrade(shared);
        let credentials = Keeper::new(accounts, shared.audit.clone(), move |port, remote, news| {
            hand(&homes, port, Word::Credential(remote, news));
        });
        let wants = Arc::clone(&link);
        let (stopped, ended) = watch::channel(false);
        let keeper = std::thread::Builder::new()
            .name("margay-children".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let names = tokio::spawn(resolver.run());
                    let ((), ()) = tokio::join!(nursery.run(), credentials.run(wants));
                    names.abort();
                });
                // A lookup may still hang in the system's resolver.
                runtime.shutdown_background();
                stopped.send_replace(true);
            })
            .map_err(|error| no_thread(&error))?;
        Ok(Started {
            link,
            unknown,
            ended,
            threads: [reader, keeper],
        })
    }
}

/// Has an operator allow margay to use one upstream; `tell` is given the URL to open. Blocks until that is done.
///
/// Shape: the scopes that were asked for.
/// Errors: there is no such upstream, or why it was not allowed.
pub fn login(
    config: &Config,
    name: &str,
    follow: bool,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<String, Problem> {
    let refused =
        |code, rule: String, remedy: &str| Problem::operator(code, "upstream", name, rule, remedy);
    let own: Vec<_> = config
        .upstreams
        .iter()
        .filter(|own| own.name == name)
        .cloned()
        .collect();
    if own.is_empty() {
        let remedy = "name one of upstreams in the file of --config";
        return Err(refused(
            exit::CONFIG,
            "is not configured".to_owned(),
            remedy,
        ));
    }
    let secrets = Secrets::new(config);
    let remotes = remotes::remotes(&own, &secrets)?;
    let mut accounts = accounts(&remotes, &secrets, &config.state_dir)?;
    let Some(account) = accounts.first_mut() else {
        let rule = "has no auth that needs a login".to_owned();
        return Err(refused(
            exit::CONFIG,
            rule,
            "give it auth.authorization_code",
        ));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_thread(&error))?;
    runtime
        .block_on(async {
            // What documents may lead to depends on where the upstream is.
            Resolver::new(&remotes).look().await;
            account.login(follow, tell).await
        })
        .map_err(|why| refused(exit::UNAVAILABLE, why, "correct that and try again"))
}

/// What control gets for those upstreams that want it.
///
/// Errors: a file of roots cannot be read.
pub(crate) fn accounts(
    remotes: &[Arc<Remote>],
    secrets: &Secrets,
    state_dir: &Path,
) -> Result<Vec<Account>, Problem> {
    let mut accounts = Vec::new();
    for remote in remotes {
        let Transport::Http { tls, .. } = &remote.settings.transport else {
            continue;
        };
        if !remote.credential.is_managed() {
            continue;
        }
        let fetch = Fetch::new(tls.ca.as_deref()).map_err(|error| {
            let thing = format!("upstreams.{}.tls", remote.name());
            let remedy = "correct the file, or name another";
            Problem::operator(exit::CONFIG, thing, "", error.to_string(), remedy)
        })?;
        accounts.extend(Account::new(
            remote,
            fetch,
            Arc::new(secrets.clone()),
            state_dir,
        ));
    }
    Ok(accounts)
}

fn hand(homes: &Weak<Shared>, port: u16, word: Word) {
    // Where nobody is left to hear it there is nobody left to tell.
    if let Some(shared) = homes.upgrade()
        && let Some(port) = shared.ports.get(usize::from(port))
    {
        port.hand(word);
    }
}

/// Upstreams in service.
pub struct Started {
    link: Arc<Link>,
    /// How many have neither said what they offer nor are known to be down.
    unknown: watch::Receiver<usize>,
    ended: watch::Receiver<bool>,
    threads: [JoinHandle<()>; 2],
}

impl Started {
    /// Waits until each has said what it offers, or is known to be down, but no longer than this.
    pub fn known(&self, deadline: Duration) -> impl Future<Output = ()> + use<> {
        let mut unknown = self.unknown.clone();
        async move {
            let all = unknown.wait_for(|count| *count == 0);
            if tokio::time::timeout(deadline, all).await.is_err() {
                tracing::warn!(
                    upstreams = *unknown.borrow(),
                    "have not said yet what they offer; it is added once they have (limits.upstream_start_deadline)"
                );
            }
        }
    }

    /// Homes are about to end: a child that ends with its home is not started again.
    pub fn drain(&self) {
        self.link.drain();
    }

    /// Ends all children and waits until they have ended. Bounded: the keeper of one that does not end does that.
    pub async fn stop(mut self) {
        self.link.end();
        let ended = self.ended.wait_for(|ended| *ended);
        let _ = tokio::time::timeout(STOP_DEADLINE + Duration::from_secs(1), ended).await;
        for thread in self.threads {
            if thread.is_finished() {
                // It has nothing to say beyond what it has logged.
                let _ = thread.join();
            }
        }
    }
}

fn no_thread(error: &std::io::Error) -> Problem {
    Problem::operator(
        exit::HOST,
        "upstreams",
        "",
        error.to_string(),
        "raise the limits on files and threads",
    )
}

#[cfg(test)]
mod tests;
