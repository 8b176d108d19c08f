//! What bounds one instance's memory and tables, and remembers which bound was hit.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;

/// Core instances, memories and tables of one component instance. The pool bounds them more tightly; these are the backstop.
const PARTS_PER_INSTANCE_MAX: usize = 1_000;

/// A growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Linear memory, in bytes; with the budget, if it was that.
    Memory {
        wanted: usize,
        budget: Option<usize>,
    },
    /// Table elements.
    Table { wanted: usize },
}

/// The limiter of one store.
///
/// A growth beyond the limit is answered as WebAssembly defines it (the instruction returns −1), so a guest that copes goes
/// on; one that traps instead is reported with the limit's name.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    /// The component's policy may leave it less.
    memory_budget: Option<usize>,
    table_elements_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    refused: Option<Refused>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes_max,
            memory_budget: None,
            table_elements_max: limits.table_elements_max,
            memory_bytes: 0,
            table_elements: 0,
            refused: None,
        }
    }

    /// Bounds the memory by a budget too.
    pub(crate) fn budget_memory(&mut self, bytes: Option<u64>) {
        let bytes = bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        self.memory_budget = bytes.filter(|bytes| *bytes < self.memory_bytes_max);
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// What was refused to one call says nothing about the next.
    pub(crate) fn forget_refusal(&mut self) {
        self.refused = None;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .memory_bytes
            .saturating_sub(current)
            .saturating_add(desired);
        if total > self.memory_budget.unwrap_or(self.memory_bytes_max) {
            self.refused = Some(Refused::Memory {
                wanted: total,
                budget: self.memory_budget,
            });
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_elements
            .saturating_sub(current)
            .saturating_add(desired);
        if total > self.table_elements_max {
            self.refused = Some(Refused::Table { wanted: total });
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Ok(())
    }

    fn instances(&self) -> usize {
        PARTS_PER_INSTANCE_MAX
    }

    fn tables(&self) -> usize {
        PARTS_PER_INSTANCE_MAX
    }

    fn memories(&self) -> usize {
        PARTS_PER_INSTANCE_MAX
    }
}
