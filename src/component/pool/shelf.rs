//! One component's instances on one shard, and how quick its calls are.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::super::host::Job;
use super::super::load::Component;
use super::super::store::Lease;

/// Linear memory that the ready instances of one component on one shard may start with, together: a language runtime's few tens
/// of megabytes each are not held by the dozen for calls that may not come.
const READY_MEMORY_BYTES_MAX: usize = 128 << 20;

/// Calls in a row that outlived their slice before a tool's calls start on a worker at once.
const STRIKES: u8 = 3;

/// Places for the paces of jobs that are no plain functions: what falls on the same place is thought alike.
const JOB_PACES: usize = 64;

/// One in this many calls of such a tool starts on the shard again, to see whether it still is slow.
const PROBE_EVERY: u32 = 32;

/// One component's instances.
pub(super) struct Shelf {
    /// Kept alive from here, so that a refill counts no reference that all shards share.
    pub(super) component: Arc<Component>,
    pub(super) ready: Vec<Lease>,
    pub(super) target: usize,
    /// What its memory allows; see [`READY_MEMORY_BYTES_MAX`].
    pub(super) ready_max: usize,
    /// Instances taken since the last maintenance.
    pub(super) taken: usize,
    /// Clock reading of the last call.
    pub(super) used_at: u64,
    /// Whether instances can be made on this thread.
    pub(super) refills: bool,
    /// Whether the catalogue in force has the component. One that it has not is let go once its last call is a while ago.
    pub(super) followed: bool,
    pub(super) tools: Vec<Pace>,
    /// Of jobs that are no plain functions, by what they are about; nothing for components that have none.
    pub(super) jobs: Vec<Pace>,
}

/// Whether a tool's calls tend to outlive their slice.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    strikes: u8,
    calls: u32,
}

impl Pace {
    pub(super) fn starts_here(&mut self) -> bool {
        if self.strikes < STRIKES {
            return true;
        }
        self.calls = self.calls.wrapping_add(1);
        self.calls.is_multiple_of(PROBE_EVERY)
    }

    pub(super) fn note(&mut self, slow: bool) {
        self.strikes = if slow {
            self.strikes.saturating_add(1)
        } else {
            0
        };
    }
}

/// Where the pace of a job is kept.
#[derive(Clone, Copy)]
pub(super) enum PaceIndex {
    /// With the plain functions.
    Tool(usize),
    /// With the other jobs.
    Job(usize),
}

impl Shelf {
    pub(super) fn new(component: &Arc<Component>) -> Self {
        Self {
            component: Arc::clone(component),
            ready: Vec::new(),
            target: 1,
            ready_max: READY_MEMORY_BYTES_MAX / component.initial_memory_bytes().max(1),
            taken: 0,
            used_at: 0,
            // The one of a singleton is not made here.
            refills: component.starts_quickly() && component.singleton().is_none(),
            followed: false,
            tools: vec![Pace::default(); component.tools().len()],
            jobs: match component.is_host_aware() {
                true => vec![Pace::default(); JOB_PACES],
                false => Vec::new(),
            },
        }
    }

    /// Where the pace of a job is kept.
    pub(super) fn pace_index(job: &Job) -> PaceIndex {
        let mut hasher = DefaultHasher::new();
        match job {
            Job::Function { tool_index, .. } => return PaceIndex::Tool(*tool_index),
            Job::CallTool { name, .. } => (0, name).hash(&mut hasher),
            Job::GetPrompt { name, .. } => (1, name).hash(&mut hasher),
            Job::ReadResource { .. } => 2.hash(&mut hasher),
            Job::Subscribe { .. } => 3.hash(&mut hasher),
            Job::Complete { .. } => 4.hash(&mut hasher),
        }
        PaceIndex::Job(hasher.finish() as usize % JOB_PACES)
    }

    pub(super) fn pace(&mut self, index: PaceIndex) -> Option<&mut Pace> {
        match index {
            PaceIndex::Tool(index) => self.tools.get_mut(index),
            PaceIndex::Job(index) => self.jobs.get_mut(index),
        }
    }

    pub(super) fn wants_more(&self) -> bool {
        self.refills && self.ready.len() < self.target
    }

    pub(super) fn lack(&self) -> usize {
        self.target.saturating_sub(self.ready.len())
    }
}

/// Component ids are consecutive numbers: they are their own hash.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The table takes its bucket from the low bits and its tag from the high ones.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
