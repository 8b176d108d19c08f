//! What components announce to everybody, on its way to control.

use std::fmt;
use std::sync::OnceLock;

/// One announcement of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Its list of tools has to be asked for anew.
    Tools,
    /// Its list of prompts has to be asked for anew.
    Prompts,
    /// Its list of resources has to be asked for anew.
    Resources,
    /// What the resource at this address holds has changed.
    Updated(String),
}

type Listener = Box<dyn Fn(u64, Announcement) + Send + Sync>;

/// Who listens to announcements; nobody until somebody is set.
#[derive(Default)]
pub(crate) struct Announcer(OnceLock<Listener>);

impl Announcer {
    pub(crate) fn set(&self, listener: impl Fn(u64, Announcement) + Send + Sync + 'static) {
        if self.0.set(Box::new(listener)).is_err() {
            tracing::error!("a second listener to components' announcements was passed over");
        }
    }

    pub(crate) fn announce(&self, component_id: u64, announcement: Announcement) {
        if let Some(listener) = self.0.get() {
            listener(component_id, announcement);
        }
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer")
            .field("is_set", &self.0.get().is_some())
            .finish()
    }
}
