//! Where an instance asks whether it may, and where its refusals are told.

use std::collections::HashMap;
use std::fs::File;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::OwnedMutexGuard;

use crate::audit::{Event, Kind, Outcome};
use crate::limits::{
    HTTP_BYTES_PER_CALL, HTTP_REQUESTS_PER_CALL, LOOKUPS_PER_CALL, OPEN_FILES_PER_CALL,
    REFUSALS_PER_CALL_MAX,
};
use crate::policy::permission::{
    Access, Alias, Ask, Budgets, By, Decider, Protocol, Verdict, decide_place,
};

use super::super::call::Control;
use super::budget::{LOOKUPS, REFUSALS};
use super::{Behalf, Grants, Outward, Overspent};

/// Refusals of one call that its caller is told.
const TOLD_MAX: usize = 4;

/// Bytes of a text that a guest chose, where its refusal is told.
const TEXT_BYTES_MAX: usize = 1_024;

/// Names that one call has looked up, and what they led to.
const NAMES_MAX: usize = 256;

/// Refusals of one component that are logged in a second. The audit log is told of all.
const LOGGED_PER_SECOND: u64 = 5;

/// What the instances of one component have in common.
pub(crate) struct Guard {
    component: Arc<str>,
    digest: Box<str>,
    grants: Option<Arc<Grants>>,
    outward: Arc<Outward>,
    log: Throttle,
}

impl Guard {
    pub(crate) fn new(
        component: Arc<str>,
        digest: String,
        grants: Option<Arc<Grants>>,
        outward: Arc<Outward>,
    ) -> Arc<Self> {
        Arc::new(Self {
            component,
            digest: digest.into(),
            grants,
            outward,
            log: Throttle::new(),
        })
    }

    pub(crate) fn grants(&self) -> Option<&Arc<Grants>> {
        self.grants.as_ref()
    }

    /// Linear memory that the grants leave to an instance.
    pub(crate) fn memory_bytes(&self, behalf: Option<&Behalf>) -> Option<u64> {
        self.budgets(behalf).memory_bytes
    }

    pub(crate) fn budgets(&self, behalf: Option<&Behalf>) -> Budgets {
        let own = self.grants.as_ref().map(|grants| grants.budgets);
        let own = own.unwrap_or_default();
        behalf.map_or(own, |behalf| own.and(&behalf.budgets))
    }

    fn decide(&self, behalf: Option<&Behalf>, ask: &Ask<'_>) -> Verdict {
        let Some(grants) = &self.grants else {
            return Verdict::denied(By::NoRule);
        };
        if let Ask::Path { path, .. } = ask
            && let Some(by) = self.outward.own(path)
        {
            return Verdict::denied(by);
        }
        let granted = grants.decider.decide(ask);
        match behalf.and_then(|behalf| behalf.narrow.as_ref()) {
            Some(narrow) if granted.is_allowed => {
                let narrowed = narrow.decide(ask);
                if narrowed.is_allowed {
                    granted
                } else {
                    narrowed
                }
            }
            _ => granted,
        }
    }

    /// The same for a place with several names: one line that denies any of them is enough, and one that allows any.
    fn decide_place(&self, behalf: Option<&Behalf>, access: Access, names: &[String]) -> Verdict {
        if let Some(by) = names.iter().find_map(|name| self.outward.own(name)) {
            return Verdict::denied(by);
        }
        let by = |decider: &Decider| decide_place(&**decider, access, names);
        let granted = self.grants.as_ref().map(|grants| by(&grants.decider));
        let granted = granted.unwrap_or(Verdict::denied(By::NoRule));
        match behalf.and_then(|behalf| behalf.narrow.as_ref()) {
            Some(narrow) if granted.is_allowed => {
                let narrowed = by(narrow);
                if narrowed.is_allowed {
                    granted
                } else {
                    narrowed
                }
            }
            _ => granted,
        }
    }

    /// Which of the granted variables are there for a call on this behalf.
    fn visible(&self, behalf: Option<&Behalf>) -> Visible {
        let variables = self.grants.as_ref().map(|grants| &grants.environment);
        Visible(
            variables
                .into_iter()
                .flatten()
                .map(|(key, _)| self.decide(behalf, &Ask::Environment { key }).is_allowed)
                .collect(),
        )
    }
}

/// The granted variables that an instance was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Visible(Box<[bool]>);

impl Visible {
    /// Whether everything that is seen here may be seen there.
    fn is_within(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(own, others)| !own || *others)
    }

    fn add(&mut self, other: &Self) {
        for (own, others) in self.0.iter_mut().zip(&other.0) {
            *own |= others;
        }
    }
}

/// A call, as it is remembered by what it has begun and what may end after it.
#[derive(Clone)]
pub(super) struct Errand {
    call: u64,
    behalf: Option<Arc<Behalf>>,
}

/// What one call has used up, and what was refused to it.
#[derive(Default)]
struct Scope {
    /// Which call of the instance it is; 0 between calls.
    call: u64,
    behalf: Option<Arc<Behalf>>,
    control: Option<Arc<Control>>,
    budgets: Budgets,
    http_requests: u64,
    http_bytes: u64,
    lookups: u64,
    refused: u64,
    told: Vec<String>,
    names: Vec<(IpAddr, Arc<str>)>,
    lasting: Lasting,
}

/// What outlives a call, with the instance.
#[derive(Default)]
struct Lasting {
    /// What was opened, and is as long as a descriptor or a stream has it open.
    open: Vec<Weak<File>>,
    /// Directories that are being listed: by the number of the listing, their paths and how many entries they have.
    listings: HashMap<u32, (Arc<str>, usize)>,
    /// Where granted directories are, and what the policy calls them, if that is a link.
    aliases: Vec<Alias>,
    /// Calls so far.
    calls: u64,
    /// The variables that the callers so far could see together.
    seen: Option<Visible>,
}

/// The gate of one instance. Shared by what is on the way for it: requests, lookups, sockets.
pub(crate) struct Gate {
    guard: Arc<Guard>,
    /// For whom the instance was made: what it was shown when it started is what that one may see.
    made_for: Option<Arc<Behalf>>,
    scope: Mutex<Scope>,
}

impl Gate {
    pub(crate) fn new(guard: Arc<Guard>, behalf: Option<Arc<Behalf>>) -> Arc<Self> {
        let budgets = guard.budgets(behalf.as_deref());
        Arc::new(Self {
            guard,
            made_for: behalf.clone(),
            scope: Mutex::new(Scope {
                behalf,
                budgets,
                ..Scope::default()
            }),
        })
    }

    /// A call begins.
    pub(crate) fn begin(&self, behalf: Option<&Arc<Behalf>>, control: &Arc<Control>) {
        let budgets = self.guard.budgets(behalf.map(AsRef::as_ref));
        if let Some(limit) = budgets.cpu_time_ms {
            control.bound_cpu(limit);
        }
        let visible = self.guard.visible(behalf.map(AsRef::as_ref));
        let mut scope = self.scope();
        let mut lasting = std::mem::take(&mut scope.lasting);
        lasting.calls += 1;
        match &mut lasting.seen {
            Some(seen) => seen.add(&visible),
            seen => *seen = Some(visible),
        }
        *scope = Scope {
            call: lasting.calls,
            behalf: behalf.cloned(),
            control: Some(Arc::clone(control)),
            budgets,
            lasting,
            ..Scope::default()
        };
    }

    /// Whether the instance has been shown nothing that this caller may not see.
    pub(crate) fn suits(&self, behalf: Option<&Behalf>) -> bool {
        behalf.is_none_or(|behalf| behalf.narrow.is_none()) || {
            let mut shown = self.guard.visible(self.made_for.as_deref());
            if let Some(seen) = &self.scope().lasting.seen {
                // What it was told for one caller it may tell another.
                shown.add(seen);
            }
            shown.is_within(&self.guard.visible(behalf))
        }
    }

    /// The call is over.
    pub(crate) fn end(&self) {
        let mut scope = self.scope();
        let lasting = std::mem::take(&mut scope.lasting);
        *scope = Scope {
            lasting,
            ..Scope::default()
        };
    }

    fn scope(&self) -> MutexGuard<'_, Scope> {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(super) fn outward(&self) -> &Arc<Outward> {
        &self.guard.outward
    }

    /// For whom this is done.
    pub(crate) fn behalf(&self) -> Option<Arc<Behalf>> {
        self.scope().behalf.clone()
    }

    pub(super) fn is_narrowed(&self) -> bool {
        let scope = self.scope();
        scope
            .behalf
            .as_ref()
            .is_some_and(|behalf| behalf.narrow.is_some())
    }

    /// The call that runs now.
    pub(super) fn errand(&self) -> Errand {
        let scope = self.scope();
        Errand {
            call: scope.call,
            behalf: scope.behalf.clone(),
        }
    }

    /// Whether it may; nobody is told.
    pub(super) fn decide(&self, ask: &Ask<'_>) -> Verdict {
        self.decide_on(&self.errand(), ask)
    }

    /// The same for what a call has begun, whichever runs now.
    pub(super) fn decide_on(&self, errand: &Errand, ask: &Ask<'_>) -> Verdict {
        let behalf = errand.behalf.as_deref();
        if let Ask::Path { access, path } = *ask {
            let mut names = self.also_called(path);
            if !names.is_empty() {
                names.push(path.to_owned());
                return self.guard.decide_place(behalf, access, &names);
            }
        }
        self.guard.decide(behalf, ask)
    }

    /// A granted directory is elsewhere than the policy says.
    pub(super) fn call_also(&self, place: &str, name: &str) {
        let alias = Alias {
            place: place.to_owned(),
            name: name.to_owned(),
        };
        let mut scope = self.scope();
        if !scope.lasting.aliases.contains(&alias) {
            scope.lasting.aliases.push(alias);
        }
    }

    /// Whether it may. A refusal is told.
    pub(super) fn allows(&self, ask: &Ask<'_>) -> bool {
        self.allows_on(&self.errand(), ask)
    }

    /// The same for what a call has begun.
    pub(super) fn allows_on(&self, errand: &Errand, ask: &Ask<'_>) -> bool {
        let verdict = self.decide_on(errand, ask);
        if !verdict.is_allowed {
            self.refuse_by(errand, ask, &verdict.by);
        }
        verdict.is_allowed
    }

    /// Tells of a refusal.
    pub(super) fn refuse_by(&self, errand: &Errand, ask: &Ask<'_>, by: &By) {
        let (method, target) = described(ask);
        self.refuse_on(errand, &method, &target, &by.to_string());
    }

    pub(super) fn refuse(&self, method: &str, target: &str, rule: &str) {
        self.refuse_on(&self.errand(), method, target, rule);
    }

    fn refuse_on(&self, errand: &Errand, method: &str, target: &str, rule: &str) {
        // A guest chooses both.
        let (method, target) = (clipped(method), clipped(target));
        self.count_refusal(errand, method, target, rule);
        let guard = &self.guard;
        let behalf = errand.behalf.as_ref();
        let principal = behalf.map_or("", |behalf| &*behalf.principal);
        self.record(&Event {
            principal,
            method,
            target,
            rule,
            component_digest: &guard.digest,
            detail: &guard.component,
            ..Event::new(Kind::SecurityViolation, Outcome::Denied)
        });
        if let Some(missed) = guard.log.admits() {
            // Escaped: a guest chooses the target.
            let target = target.escape_debug();
            tracing::warn!(
                component = %guard.component,
                principal,
                missed,
                "refused to a component: {method} {target}: {rule}"
            );
        }
    }

    /// Counts a refusal of the call that runs. One that is over is told of nothing, and neither is the next of what was not its own.
    fn count_refusal(&self, errand: &Errand, method: &str, target: &str, rule: &str) {
        let mut scope = self.scope();
        if scope.call != errand.call {
            return;
        }
        scope.refused += 1;
        // One that goes on and on would drown what others are refused.
        let is_over = scope.refused > REFUSALS_PER_CALL_MAX;
        let _ = Self::spend(&scope, is_over, REFUSALS, REFUSALS_PER_CALL_MAX);
        if scope.told.len() < TOLD_MAX {
            let text = format!("{method} {target} was refused: {rule}");
            if !scope.told.contains(&text) {
                scope.told.push(text);
            }
        }
    }

    fn record(&self, event: &Event<'_>) {
        if let Some(audit) = self.guard.outward.audit() {
            audit.record(event);
        }
    }

    /// Tells that a secret was given away, as it was granted.
    pub(super) fn gave_secret(&self, method: &str, target: &str) {
        let behalf = self.behalf();
        self.record(&Event {
            principal: behalf.as_ref().map_or("", |behalf| &*behalf.principal),
            method,
            target,
            component_digest: &self.guard.digest,
            detail: &self.guard.component,
            ..Event::new(Kind::SensitiveDataAccess, Outcome::Ok)
        });
    }

    /// What was refused to the call, for its caller; none, if nothing was.
    pub(crate) fn told(&self) -> Option<String> {
        let scope = self.scope();
        if scope.told.is_empty() {
            return None;
        }
        let mut text = scope.told.join("; ");
        let more = scope.refused.saturating_sub(scope.told.len() as u64);
        if more > 0 {
            text.push_str(&format!("; and {more} more times"));
        }
        Some(text)
    }

    /// One request more.
    pub(super) fn spend_request(&self) -> Result<(), Overspent> {
        let mut scope = self.scope();
        let limit = scope
            .budgets
            .http_requests
            .unwrap_or(HTTP_REQUESTS_PER_CALL);
        scope.http_requests += 1;
        let is_over = scope.http_requests > limit;
        Self::spend(&scope, is_over, "http_requests", limit)
    }

    /// So many bytes of bodies more.
    pub(super) fn spend_bytes(&self, bytes: usize) -> Result<(), Overspent> {
        let mut scope = self.scope();
        let limit = scope.budgets.http_bytes.unwrap_or(HTTP_BYTES_PER_CALL);
        scope.http_bytes = scope.http_bytes.saturating_add(bytes as u64);
        let is_over = scope.http_bytes > limit;
        Self::spend(&scope, is_over, "http_bytes", limit)
    }

    /// One lookup of a name more.
    pub(super) fn spend_lookup(&self) -> Result<(), Overspent> {
        let mut scope = self.scope();
        scope.lookups += 1;
        let is_over = scope.lookups > LOOKUPS_PER_CALL;
        Self::spend(&scope, is_over, LOOKUPS, LOOKUPS_PER_CALL)
    }

    /// Whether one more file may be opened.
    pub(super) fn spend_file(&self) -> Result<(), Overspent> {
        let mut scope = self.scope();
        let limit = scope.budgets.open_files.unwrap_or(OPEN_FILES_PER_CALL);
        scope.lasting.open.retain(|file| file.strong_count() > 0);
        let is_over = scope.lasting.open.len() as u64 >= limit;
        Self::spend(&scope, is_over, "open_files", limit)
    }

    pub(super) fn opened(&self, file: &Arc<File>) {
        self.scope().lasting.open.push(Arc::downgrade(file));
    }

    /// Entries of the directories that are being listed.
    pub(super) fn listed(&self) -> usize {
        let scope = self.scope();
        let listings = scope.lasting.listings.values();
        listings.map(|(_, count)| count).sum()
    }

    pub(super) fn lists(&self, listing: u32, path: Arc<str>, count: usize) {
        let mut scope = self.scope();
        scope.lasting.listings.insert(listing, (path, count));
    }

    /// The directory of a listing.
    pub(super) fn listing(&self, listing: u32) -> Option<Arc<str>> {
        let scope = self.scope();
        let found = scope.lasting.listings.get(&listing);
        found.map(|(path, _)| Arc::clone(path))
    }

    pub(super) fn listed_all(&self, listing: u32) {
        self.scope().lasting.listings.remove(&listing);
    }

    /// Waits until nobody moves or links anything, and keeps it so: two who move at once could have what was looked at be another
    /// thing when it is moved.
    pub(super) async fn moving(&self) -> OwnedMutexGuard<()> {
        self.guard.outward.moving().await
    }

    /// Whether the component may write here, whoever calls it.
    pub(super) fn may_be_written(&self, path: &str) -> bool {
        let access = Access::Write;
        let mut names = self.also_called(path);
        names.push(path.to_owned());
        self.guard.decide_place(None, access, &names).is_allowed
    }

    /// A path as it is called by way of the links that granted directories were reached by.
    fn also_called(&self, path: &str) -> Vec<String> {
        let scope = self.scope();
        let aliases = scope.lasting.aliases.iter();
        aliases.filter_map(|alias| alias.called(path)).collect()
    }

    fn spend(
        scope: &Scope,
        is_over: bool,
        budget: &'static str,
        limit: u64,
    ) -> Result<(), Overspent> {
        if !is_over {
            return Ok(());
        }
        let overspent = Overspent { budget, limit };
        // The call ends at the next tick, whatever the guest does with the error.
        if let Some(control) = &scope.control {
            control.overspend(overspent);
        }
        Err(overspent)
    }

    /// A name led to these addresses, for the call that looked it up.
    pub(super) fn remember(&self, errand: &Errand, name: &Arc<str>, addresses: &[IpAddr]) {
        let mut scope = self.scope();
        if scope.call != errand.call {
            return;
        }
        for address in addresses {
            let entry = (*address, Arc::clone(name));
            if scope.names.len() < NAMES_MAX && !scope.names.contains(&entry) {
                scope.names.push(entry);
            }
        }
    }

    /// The names that led the call to this address.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<Arc<str>> {
        let scope = self.scope();
        let names = scope.names.iter().filter(|(known, _)| *known == address);
        names.map(|(_, name)| Arc::clone(name)).collect()
    }
}

/// The beginning of a text that a guest chose, as much as a person reads.
fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// What is asked, as the log has it: the capability, and what it is about.
fn described(ask: &Ask<'_>) -> (String, String) {
    match *ask {
        Ask::Http {
            method,
            scheme,
            host,
            port,
            path,
        } => (
            format!("http {method}"),
            format!("{scheme}://{host}:{port}{path}"),
        ),
        Ask::Address {
            host,
            address,
            port,
            scheme,
            protocol,
        } => {
            let protocol = match (scheme, protocol) {
                (Some(scheme), _) => scheme,
                (None, Protocol::Tcp) => "tcp",
                (None, Protocol::Udp) => "udp",
            };
            let at = std::net::SocketAddr::new(address, port);
            let target = host.map_or_else(|| at.to_string(), |host| format!("{host} ({at})"));
            (format!("{protocol} connect"), target)
        }
        Ask::Resolve { name } => ("dns lookup".to_owned(), name.to_owned()),
        Ask::Path { access, path } => {
            let method = match access {
                Access::Read => "fs read",
                Access::Write => "fs write",
            };
            (method.to_owned(), path.to_owned())
        }
        Ask::Environment { key } => ("env read".to_owned(), key.to_owned()),
    }
}

/// Lets a few through in each second.
struct Throttle {
    started: Instant,
    second: AtomicU64,
    count: AtomicU64,
    missed: AtomicU64,
}

impl Throttle {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            second: AtomicU64::new(0),
            count: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// With how many were kept back since the last one that was let through.
    fn admits(&self) -> Option<u64> {
        let second = self.started.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.count.store(0, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < LOGGED_PER_SECOND {
            return Some(self.missed.swap(0, Ordering::Relaxed));
        }
        self.missed.fetch_add(1, Ordering::Relaxed);
        None
    }
}
