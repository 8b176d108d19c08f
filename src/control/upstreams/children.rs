//! Children of stdio upstreams: each has a task that runs it until its home wants it no longer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::link::Link;
use crate::gateway::{ChildKey, ChildNews, ChildOrder, ControlLink};
use crate::upstream::remote::Remote;
use crate::upstream::settings::{Command, Transport};
use crate::upstream::stdio::{
    ChildEvent, ChildSpec, LifetimeRules, Order, Spawner, environment, supervise,
};

/// Time for all children to end once nothing is wanted any more: each is asked, then told, then killed, and that takes five
/// seconds at the most.
pub(super) const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// Orders to one child that wait. A second restart before the first has begun is the same.
const ORDERS_MAX: usize = 2;

/// All children.
pub(super) struct Nursery<T> {
    link: Arc<Link>,
    remotes: Vec<Arc<Remote>>,
    count_max: usize,
    spawner: Spawner,
    tell: Arc<T>,
    /// Those that are wanted.
    wanted: HashMap<ChildKey, mpsc::Sender<Order>>,
    /// Those that run, or are ending.
    tasks: JoinSet<()>,
}

impl<T> Nursery<T>
where
    T: Fn(ChildKey, ChildNews) + Send + Sync + 'static,
{
    /// None yet. `tell` hands homes their children's news.
    pub(super) fn new(
        link: Arc<Link>,
        remotes: Vec<Arc<Remote>>,
        count_max: usize,
        spawner: Spawner,
        tell: T,
    ) -> Self {
        Self {
            link,
            remotes,
            count_max,
            spawner,
            tell: Arc::new(tell),
            wanted: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Carries orders out until everything is over; then ends all children.
    pub(super) async fn run(mut self) {
        let orders = Arc::clone(&self.link);
        loop {
            tokio::select! {
                order = orders.next_order() => match order {
                    Some(order) => self.carry_out(order),
                    None => break,
                },
                // None left: only orders change anything.
                Some(ended) = self.tasks.join_next() => log_panic(&ended),
            }
        }
        self.stop().await;
    }

    fn carry_out(&mut self, order: ChildOrder) {
        match order {
            ChildOrder::Start { remote, child } => {
                if let Err(how) = self.start(remote, child) {
                    (self.tell)(
                        child,
                        ChildNews::Ended {
                            how,
                            restart_in_ms: None,
                        },
                    );
                }
            }
            ChildOrder::Restart(child) => {
                if let Some(orders) = self.wanted.get(&child) {
                    // A full queue has one already.
                    let _ = orders.try_send(Order::Restart);
                }
            }
            // Without a sender its task stops it.
            ChildOrder::Proved(child) => {
                if let Some(orders) = self.wanted.get(&child) {
                    // Where it cannot be told, it is started again later than it might.
                    let _ = orders.try_send(Order::Proved);
                }
            }
            ChildOrder::Stop(child) => drop(self.wanted.remove(&child)),
        }
    }

    /// Errors: why there is no such child, and never will be.
    fn start(&mut self, remote: usize, child: ChildKey) -> Result<(), String> {
        let remote = self
            .remotes
            .get(remote)
            .ok_or("there is no such upstream")?;
        let Transport::Stdio(command) = &remote.settings.transport else {
            return Err("it is not a stdio upstream".to_owned());
        };
        if self.tasks.len() >= self.count_max {
            let how = format!(
                "it was not started: {} children run, and limits.upstream_child_count_max is {}",
                self.tasks.len(),
                self.count_max
            );
            tracing::warn!(upstream = remote.name(), "{how}");
            return Err(how);
        }
        let rules = LifetimeRules::default();
        let spec = spec(remote.name(), command, &rules);
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        self.wanted.insert(child, sender);
        let (tell, link) = (Arc::clone(&self.tell), Arc::clone(&self.link));
        let (spawner, name) = (self.spawner.clone(), remote.name().to_owned());
        self.tasks.spawn(async move {
            let tell = move |event| {
                log(&name, &event);
                match &event {
                    // Its home has ended: dropped here, its input is closed.
                    ChildEvent::Started(_) if link.is_over() => return,
                    ChildEvent::Ended { .. } if link.is_draining() => {
                        link.order(ChildOrder::Stop(child));
                    }
                    _ => {}
                }
                tell(child, news(event));
            };
            supervise(spec, rules, &spawner, receiver, random, tell).await;
        });
        Ok(())
    }

    /// Ends all, and waits for them.
    async fn stop(&mut self) {
        self.wanted.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::warn!(
                children = self.tasks.len(),
                "have not ended in time; their keepers end them"
            );
        }
    }
}

fn spec(name: &str, command: &Command, rules: &LifetimeRules) -> ChildSpec {
    let set: Vec<(String, String)> = command.environment.clone().into_iter().collect();
    ChildSpec {
        name: name.to_owned(),
        program: command.program.clone(),
        arguments: command.arguments.clone(),
        environment: environment(std::env::vars_os(), &command.pass_environment, &set),
        directory: command.directory.clone(),
        limits: command.limits,
        close_ms: rules.close_ms,
        term_ms: rules.term_ms,
    }
}

fn news(event: ChildEvent) -> ChildNews {
    match event {
        ChildEvent::Started(stream) => ChildNews::Started(stream),
        ChildEvent::CloseInput => ChildNews::CloseInput,
        ChildEvent::Ended { how, restart_in_ms } => ChildNews::Ended { how, restart_in_ms },
    }
}

fn log(upstream: &str, event: &ChildEvent) {
    match event {
        ChildEvent::Started(_) => tracing::debug!(upstream, "its process was started"),
        ChildEvent::CloseInput => tracing::debug!(upstream, "its process is to end"),
        ChildEvent::Ended {
            how,
            restart_in_ms: Some(restart_in_ms),
        } => tracing::warn!(upstream, restart_in_ms, "its process has ended: {how}"),
        ChildEvent::Ended { how, .. } => {
            tracing::debug!(upstream, "its process has ended for good: {how}");
        }
    }
}

fn log_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a child's task broke; this is a defect of margay");
    }
}

/// For the spread of restarts: where there is no chance there is no spread.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}
