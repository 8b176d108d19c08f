//! What is in force: the components, the catalogue made of them, and the snapshot that the shards see.
//!
//! A new snapshot is published when the directory changes, and when a component announces that it lists itself anew. The lists are
//! asked for on a thread of their own: a component announces from the middle of a call, and its lists may need that
//! call's instance.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::catalog::{Catalog, Kind};
use crate::component::Announcement;
use crate::error::Problem;
use crate::mcp::HostRules;
use crate::metrics::UpstreamNumbers;
use crate::shard::{Shared, Snapshot};

use super::components::ComponentSet;
use super::pins::Pins;
use super::store::Change;
use super::upstreams::OfferSet;

/// Rest after the announced lists were asked for: however often components announce, that is how often they are.
const RELIST_PAUSE: Duration = Duration::from_millis(100);

/// Times that a component is asked for lists that it does not give: its one instance may be waiting for a person, and each time it is
/// waited for.
const ATTEMPTS_MAX: u32 = 30;

/// The components in force, and the way of what they say to the shards.
pub struct Publisher {
    shared: Arc<Shared>,
    // Control's own state: never locked by a shard.
    set: Mutex<ComponentSet>,
    /// The upstreams in numbers, for whoever cannot wait until a component is compiled.
    numbers: ArcSwap<Vec<UpstreamNumbers>>,
    hosts: HostRules,
    pins: Option<Arc<Pins>>,
    announced: Arc<Announced>,
}

/// Lists that have to be asked for anew: by component, which.
#[derive(Default)]
struct Announced {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    by_component: BTreeMap<u64, Lists>,
    /// Nobody is left to be told.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lists {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Lists {
    fn with(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
        }
    }

    /// Which of them an announcement is about; none for one that is about no list.
    fn of(announcement: &Announcement) -> Option<Self> {
        let none = Self::default();
        match announcement {
            Announcement::Tools => Some(Self {
                tools: true,
                ..none
            }),
            Announcement::Prompts => Some(Self {
                prompts: true,
                ..none
            }),
            Announcement::Resources => Some(Self {
                resources: true,
                ..none
            }),
            Announcement::Updated(_) => None,
        }
    }

    /// Where two catalogues differ.
    fn that_differ(one: &Catalog, other: &Catalog) -> Self {
        let differs = |kind| !one.lists_the_same_of(kind, other);
        Self {
            tools: differs(Kind::Tools),
            prompts: differs(Kind::Prompts),
            resources: differs(Kind::Resources) || differs(Kind::Templates),
        }
    }

    fn announcements(self) -> impl Iterator<Item = Announcement> {
        [
            self.tools.then_some(Announcement::Tools),
            self.prompts.then_some(Announcement::Prompts),
            self.resources.then_some(Announcement::Resources),
        ]
        .into_iter()
        .flatten()
    }
}

impl Publisher {
    /// A publisher of what `shared` serves now, and the thread that asks for announced lists.
    ///
    /// Errors: the host gives no thread.
    pub fn start(
        shared: Arc<Shared>,
        mut set: ComponentSet,
        hosts: HostRules,
    ) -> io::Result<Arc<Self>> {
        let numbers = ArcSwap::from_pointee(set.upstreams().numbers());
        let pins = set.pins();
        let publisher = Arc::new(Self {
            shared,
            set: Mutex::new(set),
            numbers,
            hosts,
            pins,
            announced: Arc::default(),
        });
        let announced = Arc::clone(&publisher.announced);
        let relisting = Arc::downgrade(&publisher);
        // Ends with its publisher, or with the process: it holds nothing that has to be written out.
        std::thread::Builder::new()
            .name("margay-lists".to_owned())
            .spawn(move || relist_announced(&announced, &relisting))?;
        // The runtime lives as long as what it announces to: it must not keep that alive.
        let listening = Arc::downgrade(&publisher);
        publisher
            .shared
            .runtime
            .set_announcer(move |component_id, announcement| {
                if let Some(publisher) = listening.upgrade() {
                    publisher.hear(component_id, announcement);
                }
            });
        Ok(publisher)
    }

    /// Loads what was added, forgets what was removed, and puts the new catalogue in force. Compiles: blocks.
    ///
    /// Errors: one for each component that could not be loaded; the others are served all the same.
    pub fn apply(&self, change: &Change) -> Vec<Problem> {
        let mut set = lock(&self.set);
        let problems = set.apply(&self.shared.runtime, change);
        self.publish(&mut set, Lists::default());
        problems
    }

    /// Whether an operator has approved tools since the last look. Does not wait.
    pub fn sees_approvals(&self) -> bool {
        self.pins.as_ref().is_some_and(|pins| pins.look())
    }

    /// Makes the catalogue anew of what there is, and puts it in force. May wait for a component that is being compiled.
    pub fn renew(&self) {
        self.publish(&mut lock(&self.set), Lists::default());
    }

    /// Takes what upstreams have said and what has become of them, and puts the new catalogue in force if it is another.
    ///
    /// Shape: `announced` are the lists that upstreams said have changed: clients are told, whatever stands in them.
    pub fn hear_of_upstreams(&self, announced: &[Kind], take: impl FnOnce(&mut OfferSet) -> bool) {
        let told = Lists {
            tools: announced.contains(&Kind::Tools),
            prompts: announced.contains(&Kind::Prompts),
            resources: announced.contains(&Kind::Resources),
        };
        let mut set = lock(&self.set);
        let is_changed = take(set.upstreams());
        self.numbers.store(Arc::new(set.upstreams().numbers()));
        if is_changed {
            self.publish(&mut set, told);
        } else {
            told.announcements().for_each(|one| self.announced(one));
        }
    }

    /// The upstreams in numbers.
    pub fn upstream_numbers(&self) -> Arc<Vec<UpstreamNumbers>> {
        self.numbers.load_full()
    }

    /// A component announces, from the middle of a call: nothing here waits.
    fn hear(&self, component_id: u64, announcement: Announcement) {
        let Some(lists) = Lists::of(&announcement) else {
            return self.announced(announcement);
        };
        self.announced.add(component_id, lists);
    }

    /// Tells clients what has changed, once the snapshot in force has it. Called from any thread; does not block.
    fn announced(&self, announcement: Announcement) {
        tracing::debug!(?announcement, "announced");
        match announcement {
            Announcement::Tools => self.shared.list_changed(Kind::Tools),
            Announcement::Prompts => self.shared.list_changed(Kind::Prompts),
            Announcement::Resources => self.shared.list_changed(Kind::Resources),
            Announcement::Updated(uri) => self.shared.resource_updated(&uri),
        }
    }

    /// Asks these components for their lists, and puts what changed in force.
    ///
    /// Shape: those that did not give them.
    fn relist(&self, announced: &BTreeMap<u64, Lists>) -> BTreeMap<u64, Lists> {
        let mut failed = BTreeMap::new();
        let mut told = Lists::default();
        let mut is_changed = false;
        for (id, lists) in announced {
            let Some(component) = lock(&self.set).find(*id) else {
                continue;
            };
            let before = component.definitions();
            match self.shared.runtime.relist(&component) {
                Ok(()) => {
                    told = told.with(*lists);
                    is_changed |= *before != *component.definitions();
                }
                Err(error) => {
                    tracing::warn!(
                        component = component.name(),
                        %error,
                        "its lists changed and cannot be had now; what it listed before stays in force"
                    );
                    failed.insert(*id, *lists);
                }
            }
        }
        if is_changed {
            self.publish(&mut lock(&self.set), told);
        } else {
            // It said so; whoever listens may look for himself.
            told.announcements().for_each(|one| self.announced(one));
        }
        failed
    }

    /// Puts a new catalogue in force, and tells what differs and what is announced anyhow.
    fn publish(&self, set: &mut ComponentSet, told: Lists) {
        let catalog = set.catalog();
        let before = self.shared.snapshot.load_full();
        let differing = Lists::that_differ(&catalog, &before.catalog);
        tracing::info!(
            generation = catalog.generation(),
            tools = catalog.names().len(),
            listing_changed = differing != Lists::default(),
            "a new tool list is in force"
        );
        self.shared.publish(Snapshot {
            catalog,
            hosts: self.hosts.clone(),
        });
        let told = told.with(differing);
        told.announcements().for_each(|one| self.announced(one));
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        lock(&self.announced.waiting).is_over = true;
        self.announced.arrived.notify_one();
    }
}

/// The announcing thread.
fn relist_announced(announced: &Announced, publisher: &Weak<Publisher>) {
    let mut attempts: BTreeMap<u64, u32> = BTreeMap::new();
    while let Some(lists) = announced.wait() {
        let Some(publisher) = publisher.upgrade() else {
            return;
        };
        let failed = publisher.relist(&lists);
        drop(publisher);
        attempts.retain(|id, _| failed.contains_key(id));
        for (id, lists) in failed {
            let count = attempts.entry(id).or_default();
            *count += 1;
            if *count < ATTEMPTS_MAX {
                announced.add(id, lists);
            }
        }
        std::thread::sleep(RELIST_PAUSE);
    }
}

impl Announced {
    fn add(&self, component_id: u64, lists: Lists) {
        let mut waiting = lock(&self.waiting);
        let known = waiting.by_component.entry(component_id).or_default();
        *known = known.with(lists);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Waits for something to be announced; none when nobody is left to be told.
    fn wait(&self) -> Option<BTreeMap<u64, Lists>> {
        let is_quiet = |waiting: &mut Waiting| waiting.by_component.is_empty() && !waiting.is_over;
        let waited = self.arrived.wait_while(lock(&self.waiting), is_quiet);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        (!waiting.is_over).then(|| std::mem::take(&mut waiting.by_component))
    }
}

/// A panic while the lock was held leaves control's state as it was last written, which is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::component::tests::hosted::Module;
    use crate::component::{
        Asking, Caller, ComponentOptions, InstanceMode, Job, Runtime, RuntimeOptions,
    };
    use crate::limits::Limits;
    use crate::mcp::{Revision, Sessions};

    /// Lists one tool more after each call, and announces that.
    fn growing() -> Vec<u8> {
        let mut module = Module::default()
            .import("changes", "tools-changed", "")
            .field("(global $count (mut i32) (i32.const 1))");
        let schema = r#"{"type":"object"}"#;
        let tools = [
            module.tool("run", schema, None),
            module.tool("second", schema, None),
        ];
        let tools = module.put(&tools.concat());
        let list = module.put(&[0; 32]);
        let count = list + 4;
        module
            .export(
                "tools",
                "list-tools",
                &format!(
                    "(result i32) (i32.store (i32.const {list}) (i32.const {tools}))
                     (i32.store (i32.const {count}) (global.get $count)) (i32.const {list})"
                ),
            )
            .export(
                "tools",
                "call-tool",
                "(param i32 i32 i32 i32) (result i32)
                 (global.set $count (i32.const 2)) (call $tools-changed)
                 (call $said (local.get 2) (local.get 3))",
            )
            .build()
    }

    #[test]
    fn a_list_that_a_component_announces_is_asked_for_and_put_in_force() {
        let limits = Limits {
            instance_count_max: 20,
            ..Limits::default()
        };
        let runtime = Runtime::new(&limits, RuntimeOptions::default()).unwrap();
        let options = ComponentOptions {
            instances: InstanceMode::Singleton,
            ..ComponentOptions::default()
        };
        let component = runtime.load_with("growing", &growing(), options).unwrap();
        let mut set = ComponentSet::of(vec![Arc::clone(&component)]);
        let hosts = HostRules::loopback();
        let snapshot = Snapshot {
            catalog: set.catalog(),
            hosts: hosts.clone(),
        };
        let shared = Arc::new(Shared::new(
            limits,
            snapshot,
            Sessions::new(1, 0),
            Arc::clone(&runtime),
            0,
        ));
        let publisher = Publisher::start(Arc::clone(&shared), set, hosts).unwrap();
        assert_eq!(shared.snapshot.load().catalog.names(), ["run"]);
        let caller = Caller {
            asking: Asking::Never(""),
            ..Caller::silent("tools/call", Revision::MODERN)
        };
        let job = Job::CallTool {
            name: "run".into(),
            arguments: Vec::new(),
        };
        let end = Instant::now() + Duration::from_secs(20);
        let ended = Box::new(|_| ());
        runtime
            .run_detached(&component, job, Arc::new(caller), end, ended)
            .unwrap();
        while shared.snapshot.load().catalog.names() != ["run", "second"] {
            assert!(Instant::now() < end, "the new list is not in force");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(shared.snapshot.load().catalog.generation(), 2);
        drop(publisher);
    }

    #[test]
    fn whoever_waits_for_announcements_hears_of_the_end() {
        let announced = Arc::new(Announced::default());
        let waiting = Arc::clone(&announced);
        let waiter = std::thread::spawn(move || waiting.wait());
        lock(&announced.waiting).is_over = true;
        announced.arrived.notify_one();
        assert_eq!(waiter.join().unwrap(), None);
    }
}
