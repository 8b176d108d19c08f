//! What the process keeps for its one client.

use std::sync::Arc;

use crate::mcp::{InlineId, News, Reason, Subscriptions, Told, reply};

use crate::task::{Follow, Record, wire};

use super::super::Shared;
use super::super::dispatch::Conversation;
use super::super::listen::{Listen, too_many};

/// The client of a process.
pub(super) struct Client {
    shared: Arc<Shared>,
    /// `clientInfo` of its `initialize`.
    info: Option<Box<[u8]>>,
    /// What its legacy side was told of.
    told: Told,
    subscriptions: Subscriptions,
    /// What its modern side listens to.
    listeners: Vec<Listen>,
    /// The tasks of its legacy side.
    tasks: Vec<Follow>,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let sessions = &shared.sessions;
        let (changes, budget) = (sessions.changes(), sessions.kept_bytes());
        let subscriptions = Subscriptions::new(Arc::clone(changes), Arc::clone(budget));
        Self {
            told: changes.now(),
            subscriptions,
            info: None,
            listeners: Vec::new(),
            tasks: Vec::new(),
            shared,
        }
    }

    /// Its legacy handshake begins.
    pub(super) fn begin(&mut self, info: Option<&[u8]>) {
        self.info = info.map(Box::from);
        self.told = self.shared.sessions.changes().now();
    }

    /// It listens to this too.
    ///
    /// Errors: it has as many listeners as there may be.
    pub(super) fn listen(&mut self, listen: Listen) -> Result<(), Reason<'static>> {
        let value = self.shared.limits.stream_count_max;
        if self.listeners.len() >= value {
            let limit = "limits.stream_count_max";
            return Err(Reason::Overloaded { limit, value });
        }
        self.listeners.push(listen);
        Ok(())
    }

    /// Its legacy side hears of this task of its own.
    pub(super) fn follow_task(&mut self, record: &Record) {
        let (id, principal) = (record.id.text(), record.owner.principal);
        let tasks = self.shared.tasks();
        if let Some(entry) = tasks.and_then(|tasks| tasks.table().find(&id, principal)) {
            let mut follow = entry.follow();
            follow.told(record);
            self.tasks.push(follow);
        }
    }

    /// It listens to this no longer.
    pub(super) fn unlisten(&mut self, id: &InlineId) {
        self.listeners
            .retain(|listener| listener.id.as_bytes() != id.as_bytes());
    }

    /// Appends a line for each thing that has changed; `is_initialized` says whether the legacy side may be told. What it
    /// `hears` nothing of counts as told.
    pub(super) fn write_news(
        &mut self,
        is_initialized: bool,
        hears: impl Fn(News<'_>) -> bool,
        out: &mut Vec<u8>,
    ) {
        let changes = self.shared.sessions.changes();
        if is_initialized {
            self.told.news(changes, |list| {
                if hears(News::List(list)) {
                    reply::list_changed::<InlineId>(out, list, None);
                    out.push(b'\n');
                }
                true
            });
            self.subscriptions.news(|uri| {
                if hears(News::Resource(uri)) {
                    reply::resource_updated::<InlineId>(out, uri, None);
                    out.push(b'\n');
                }
                true
            });
        }
        for follow in &mut self.tasks {
            if let Some(record) = follow.news() {
                wire::status_changed(out, &record);
                out.push(b'\n');
                follow.told(&record);
            }
        }
        self.tasks.retain(|follow| !follow.is_over());
        for listener in &mut self.listeners {
            listener.news(changes, &hears, |message| {
                out.extend_from_slice(message);
                out.push(b'\n');
                true
            });
        }
    }
}

impl Conversation for Client {
    fn client_info(&self) -> Option<Box<[u8]>> {
        self.info.clone()
    }

    fn follow(&mut self, uri: &str) -> Result<bool, Reason<'static>> {
        let count_max = self.shared.limits.subscription_count_max;
        self.subscriptions.add(uri, count_max).map_err(too_many)
    }

    fn unfollow(&mut self, uri: &str) {
        self.subscriptions.remove(uri);
    }
}
