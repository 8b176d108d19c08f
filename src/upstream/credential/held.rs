//! The credential in force: written by control, read by every thread for each request without a lock.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::secret::Secret;

/// One credential.
#[derive(Debug)]
pub struct Issued {
    /// Its number: each is greater than those before it.
    pub generation: u64,
    authorization: Secret,
}

impl Issued {
    /// A bearer token.
    pub fn bearer(generation: u64, token: &Secret) -> Self {
        Self {
            generation,
            authorization: Secret::new(format!("Bearer {}", token.reveal())),
        }
    }

    /// The value of `Authorization`.
    pub fn authorization(&self) -> &[u8] {
        self.authorization.reveal().as_bytes()
    }
}

/// The place of an upstream's credential.
#[derive(Debug, Default)]
pub struct Credential {
    is_managed: bool,
    current: ArcSwapOption<Issued>,
}

impl Credential {
    /// One that control gets when the upstream asks for it; none is there yet.
    pub fn managed() -> Self {
        Self {
            is_managed: true,
            current: ArcSwapOption::empty(),
        }
    }

    /// Whether there is somebody to ask for a new one.
    pub fn is_managed(&self) -> bool {
        self.is_managed
    }

    /// The one in force.
    pub fn load(&self) -> Guard<Option<Arc<Issued>>> {
        self.current.load()
    }

    /// The number of the one in force; 0 where there is none.
    pub fn generation(&self) -> u64 {
        self.load().as_ref().map_or(0, |issued| issued.generation)
    }

    /// Puts another in force.
    pub fn publish(&self, issued: Issued) {
        self.current.store(Some(Arc::new(issued)));
    }
}
