//! Byte buffers in three size classes, reused on one shard, under one byte cap for the process.
//!
//! Every buffer's capacity is charged to the process's [`ByteBudget`] from its allocation to its release, idle or
//! not, so resident memory is what the budget says. A shard short of budget frees its own idle buffers first.
//! A buffer may grow like any vector; the growth is settled when it comes home, or at once by
//! [`PoolBuffer::try_reserve`], which is the way that cannot pass the cap.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::BUFFER_CLASS_BYTES;

const CLASSES: usize = BUFFER_CLASS_BYTES.len();

/// Bytes the whole process may hold for one purpose, such as pooled buffers; shared by everybody who does.
#[derive(Debug)]
pub struct ByteBudget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl ByteBudget {
    /// A budget of `limit_bytes`, to be shared.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
        })
    }

    /// Bytes charged now.
    pub fn used(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// The cap.
    pub fn limit(&self) -> usize {
        self.limit_bytes
    }

    /// Charges bytes, if they fit.
    #[must_use]
    pub fn try_charge(&self, bytes: usize) -> bool {
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes)
                    .filter(|total| *total <= self.limit_bytes)
            })
            .is_ok()
    }

    /// Charges bytes that exist already: a vector that grew by itself.
    fn charge_existing(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives charged bytes back.
    pub fn refund(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// No buffer can be had within the process's byte cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolExhausted {
    /// Bytes that were asked for.
    pub asked_bytes: usize,
    /// The process's cap.
    pub limit_bytes: usize,
}

impl fmt::Display for PoolExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "buffer memory: {} bytes more: the limit is {} bytes; raise limits.buffer_pool_bytes_max",
            self.asked_bytes, self.limit_bytes
        )
    }
}

impl std::error::Error for PoolExhausted {}

/// Counters of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferPoolStats {
    /// Buffers taken and not yet back.
    pub checked_out: usize,
    /// The most that were ever out at once.
    pub high_water: usize,
    /// Takes that had to allocate.
    pub misses: u64,
    /// Takes refused by the cap.
    pub refused: u64,
    /// Bytes this pool holds, idle and out.
    pub bytes: usize,
    /// Buffers waiting to be taken.
    pub idle: usize,
}

struct Inner {
    budget: Arc<ByteBudget>,
    idle: RefCell<[Vec<Vec<u8>>; CLASSES]>,
    keep_counts: [usize; CLASSES],
    checked_out: Cell<usize>,
    high_water: Cell<usize>,
    misses: Cell<u64>,
    refused: Cell<u64>,
    bytes: Cell<usize>,
}

/// The buffers of one shard.
#[derive(Clone)]
pub struct BufferPool {
    inner: Rc<Inner>,
}

impl BufferPool {
    /// An empty pool under `budget`, keeping at most `keep_counts` idle buffers of each class.
    pub fn new(budget: Arc<ByteBudget>, keep_counts: [usize; CLASSES]) -> Self {
        Self {
            inner: Rc::new(Inner {
                budget,
                idle: RefCell::new(keep_counts.map(Vec::with_capacity)),
                keep_counts,
                checked_out: Cell::new(0),
                high_water: Cell::new(0),
                misses: Cell::new(0),
                refused: Cell::new(0),
                bytes: Cell::new(0),
            }),
        }
    }

    /// A pool with its own budget and the usual counts: for tests and single-shard tools.
    pub fn with_limit(limit_bytes: usize) -> Self {
        Self::new(ByteBudget::new(limit_bytes), [1024, 64, 4])
    }

    /// An empty buffer with room for at least `min_bytes`, of the smallest class that fits.
    ///
    /// Errors: [`PoolExhausted`] when neither an idle buffer nor the budget has it.
    pub fn take(&self, min_bytes: usize) -> Result<PoolBuffer, PoolExhausted> {
        let class = BUFFER_CLASS_BYTES
            .iter()
            .position(|bytes| *bytes >= min_bytes);
        let idle = class.and_then(|class| self.inner.idle.borrow_mut()[class].pop());
        let bytes = match idle {
            Some(buffer) => buffer,
            None => self.allocate(class.map_or(min_bytes, |class| BUFFER_CLASS_BYTES[class]))?,
        };
        let out = self.inner.checked_out.get() + 1;
        self.inner.checked_out.set(out);
        self.inner
            .high_water
            .set(self.inner.high_water.get().max(out));
        Ok(PoolBuffer {
            charged_bytes: bytes.capacity(),
            bytes,
            pool: Rc::clone(&self.inner),
        })
    }

    /// Frees idle buffers; returns the bytes given back.
    pub fn trim(&self) -> usize {
        let mut given = 0;
        for class in self.inner.idle.borrow_mut().iter_mut() {
            for buffer in class.drain(..) {
                given += buffer.capacity();
            }
        }
        self.inner.release(given);
        given
    }

    /// The counters now.
    pub fn stats(&self) -> BufferPoolStats {
        BufferPoolStats {
            checked_out: self.inner.checked_out.get(),
            high_water: self.inner.high_water.get(),
            misses: self.inner.misses.get(),
            refused: self.inner.refused.get(),
            bytes: self.inner.bytes.get(),
            idle: self.inner.idle.borrow().iter().map(Vec::len).sum(),
        }
    }

    fn allocate(&self, bytes: usize) -> Result<Vec<u8>, PoolExhausted> {
        self.inner.misses.set(self.inner.misses.get() + 1);
        let mut charged = self.inner.budget.try_charge(bytes);
        if !charged && self.trim() > 0 {
            charged = self.inner.budget.try_charge(bytes);
        }
        let mut buffer = Vec::new();
        if charged && buffer.try_reserve_exact(bytes).is_err() {
            self.inner.budget.refund(bytes);
            charged = false;
        }
        if !charged {
            self.inner.refused.set(self.inner.refused.get() + 1);
            return Err(PoolExhausted {
                asked_bytes: bytes,
                limit_bytes: self.inner.budget.limit(),
            });
        }
        self.inner.bytes.set(self.inner.bytes.get() + bytes);
        // The allocator may round up; the budget has what the vector says it holds.
        let extra = buffer.capacity() - bytes;
        self.inner.charge_existing(extra);
        Ok(buffer)
    }
}

impl Inner {
    fn charge_existing(&self, bytes: usize) {
        self.budget.charge_existing(bytes);
        self.bytes.set(self.bytes.get() + bytes);
    }

    fn release(&self, bytes: usize) {
        self.budget.refund(bytes);
        self.bytes.set(self.bytes.get() - bytes);
    }

    /// Makes the account of a returning buffer match what it holds.
    fn settle(&self, charged: usize, capacity: usize) {
        if capacity > charged {
            self.charge_existing(capacity - charged);
        } else {
            self.release(charged - capacity);
        }
    }

    fn come_home(&self, mut bytes: Vec<u8>, charged: usize) {
        self.checked_out.set(self.checked_out.get() - 1);
        let capacity = bytes.capacity();
        self.settle(charged, capacity);
        // The largest class it can serve in full; larger than the largest class: freed.
        let class = BUFFER_CLASS_BYTES
            .iter()
            .rposition(|class| *class <= capacity);
        let oversize = capacity > BUFFER_CLASS_BYTES[CLASSES - 1];
        if let (Some(class), false) = (class, oversize) {
            let mut idle = self.idle.borrow_mut();
            if idle[class].len() < self.keep_counts[class] {
                bytes.clear();
                idle[class].push(bytes);
                return;
            }
        }
        drop(bytes);
        self.release(capacity);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let bytes = self.bytes.get();
        self.budget.refund(bytes);
    }
}

/// A buffer on loan; it goes back to its class when dropped.
pub struct PoolBuffer {
    bytes: Vec<u8>,
    charged_bytes: usize,
    pool: Rc<Inner>,
}

impl PoolBuffer {
    /// Makes room for `additional` bytes, moving up the classes, within the process's cap.
    ///
    /// Errors: [`PoolExhausted`]; the buffer and its content stay as they are.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), PoolExhausted> {
        let need = self.bytes.len().saturating_add(additional);
        if need <= self.bytes.capacity() {
            return Ok(());
        }
        let class = BUFFER_CLASS_BYTES.iter().find(|bytes| **bytes >= need);
        // Past the classes, doubling keeps repeated growth linear.
        let target = class
            .copied()
            .unwrap_or_else(|| need.max(self.bytes.capacity().saturating_mul(2)));
        let pool = BufferPool {
            inner: Rc::clone(&self.pool),
        };
        let mut larger = match pool.take(target) {
            Ok(larger) => larger,
            Err(_) if target > need => pool.take(need)?,
            Err(error) => return Err(error),
        };
        larger.bytes.extend_from_slice(&self.bytes);
        // The old memory goes home with the handle that now holds it.
        std::mem::swap(&mut self.bytes, &mut larger.bytes);
        std::mem::swap(&mut self.charged_bytes, &mut larger.charged_bytes);
        Ok(())
    }
}

impl Deref for PoolBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for PoolBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl fmt::Debug for PoolBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PoolBuffer({} of {} bytes)",
            self.bytes.len(),
            self.bytes.capacity()
        )
    }
}

impl Drop for PoolBuffer {
    fn drop(&mut self) {
        self.pool
            .come_home(std::mem::take(&mut self.bytes), self.charged_bytes);
    }
}

#[cfg(test)]
#[path = "buffer_pool/tests.rs"]
mod tests;
