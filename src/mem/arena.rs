//! Bump memory for one request: allocate forward, free everything at once.
//!
//! An arena has a hard byte cap, so one request cannot take more than its share; what does not fit is an error
//! of that request. Resetting keeps the newest chunk, so the next request allocates nothing.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use bumpalo::Bump;

/// An arena has no room for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaFull {
    /// Bytes that were asked for.
    pub asked_bytes: usize,
    /// The arena's cap.
    pub limit_bytes: usize,
}

impl fmt::Display for ArenaFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "request memory: {} bytes more: the limit is {} bytes; raise limits.arena_bytes_max",
            self.asked_bytes, self.limit_bytes
        )
    }
}

impl std::error::Error for ArenaFull {}

/// Bump memory with a hard byte cap.
pub struct Arena {
    bump: Bump,
    limit_bytes: usize,
    used_bytes: Cell<usize>,
}

impl Arena {
    /// An empty arena that will hold at most `limit_bytes`; nothing is allocated yet.
    pub fn new(limit_bytes: usize) -> Self {
        let bump = Bump::new();
        bump.set_allocation_limit(Some(limit_bytes));
        Self {
            bump,
            limit_bytes,
            used_bytes: Cell::new(0),
        }
    }

    /// Copies `bytes` in.
    ///
    /// Errors: [`ArenaFull`] when the cap would be passed; the arena stays usable.
    pub fn alloc_bytes(&self, bytes: &[u8]) -> Result<&[u8], ArenaFull> {
        Ok(self.alloc_slice(bytes)?)
    }

    /// Copies a string in.
    ///
    /// Errors: [`ArenaFull`].
    pub fn alloc_str(&self, text: &str) -> Result<&str, ArenaFull> {
        self.charge(text.len())?;
        self.bump
            .try_alloc_str(text)
            .map(|text| &*text)
            .map_err(|_| self.refund(text.len()))
    }

    /// Copies a slice of plain values in.
    ///
    /// Errors: [`ArenaFull`].
    pub fn alloc_slice<T: Copy>(&self, values: &[T]) -> Result<&mut [T], ArenaFull> {
        let bytes = size_of_val(values);
        self.charge(bytes)?;
        self.bump
            .try_alloc_slice_copy(values)
            .map_err(|_| self.refund(bytes))
    }

    /// A slice of `count` copies of `value`, to be filled in.
    ///
    /// Errors: [`ArenaFull`], also when the size overflows.
    pub fn alloc_filled<T: Copy>(&self, count: usize, value: T) -> Result<&mut [T], ArenaFull> {
        let bytes = count.saturating_mul(size_of::<T>());
        self.charge(bytes)?;
        self.bump
            .try_alloc_slice_fill_copy(count, value)
            .map_err(|_| self.refund(bytes))
    }

    /// Copies several pieces in as one contiguous slice: how a body that spans buffers becomes one text.
    ///
    /// Errors: [`ArenaFull`].
    pub fn gather(&self, pieces: &[&[u8]]) -> Result<&[u8], ArenaFull> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let whole = self.alloc_filled(bytes, 0u8)?;
        let mut filled = 0;
        for piece in pieces {
            whole[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(whole)
    }

    /// Frees everything at once; the newest chunk is kept for the next request.
    pub fn reset(&mut self) {
        self.bump.reset();
        self.used_bytes.set(0);
    }

    /// Bytes handed out since the last reset.
    pub fn used(&self) -> usize {
        self.used_bytes.get()
    }

    /// Bytes the arena holds from the allocator, handed out or not.
    pub fn held(&self) -> usize {
        self.bump.allocated_bytes()
    }

    /// The cap.
    pub fn limit(&self) -> usize {
        self.limit_bytes
    }

    fn charge(&self, bytes: usize) -> Result<(), ArenaFull> {
        match self.used_bytes.get().checked_add(bytes) {
            Some(used) if used <= self.limit_bytes => {
                self.used_bytes.set(used);
                Ok(())
            }
            _ => Err(ArenaFull {
                asked_bytes: bytes,
                limit_bytes: self.limit_bytes,
            }),
        }
    }

    fn refund(&self, bytes: usize) -> ArenaFull {
        self.used_bytes.set(self.used_bytes.get() - bytes);
        ArenaFull {
            asked_bytes: bytes,
            limit_bytes: self.limit_bytes,
        }
    }
}

/// Arenas of one shard, reused from request to request.
#[derive(Clone)]
pub struct ArenaPool {
    inner: Rc<ArenaPoolInner>,
}

struct ArenaPoolInner {
    limit_bytes: usize,
    keep_bytes: usize,
    keep_count: usize,
    idle: RefCell<Vec<Arena>>,
    out_count: Cell<usize>,
}

impl ArenaPool {
    /// A pool of arenas of at most `limit_bytes` each, of which `keep_count` are kept when idle.
    ///
    /// An arena that grew past `keep_bytes` is freed instead of kept, so one large request does not pin memory.
    pub fn new(limit_bytes: usize, keep_bytes: usize, keep_count: usize) -> Self {
        Self {
            inner: Rc::new(ArenaPoolInner {
                limit_bytes,
                keep_bytes,
                keep_count,
                idle: RefCell::new(Vec::with_capacity(keep_count)),
                out_count: Cell::new(0),
            }),
        }
    }

    /// An empty arena; it goes back, reset, when dropped.
    pub fn take(&self) -> PooledArena {
        let arena = self.inner.idle.borrow_mut().pop();
        self.inner.out_count.set(self.inner.out_count.get() + 1);
        PooledArena {
            arena: Some(arena.unwrap_or_else(|| Arena::new(self.inner.limit_bytes))),
            pool: Rc::clone(&self.inner),
        }
    }

    /// Arenas taken and not yet back.
    pub fn checked_out(&self) -> usize {
        self.inner.out_count.get()
    }

    /// Arenas waiting to be taken.
    pub fn idle(&self) -> usize {
        self.inner.idle.borrow().len()
    }

    /// Bytes the idle arenas hold.
    pub fn idle_bytes(&self) -> usize {
        self.inner.idle.borrow().iter().map(Arena::held).sum()
    }
}

/// An arena on loan from an [`ArenaPool`].
pub struct PooledArena {
    /// `None` only during drop.
    arena: Option<Arena>,
    pool: Rc<ArenaPoolInner>,
}

impl Deref for PooledArena {
    type Target = Arena;

    fn deref(&self) -> &Arena {
        self.arena
            .as_ref()
            .expect("an arena leaves its handle only in drop")
    }
}

impl DerefMut for PooledArena {
    fn deref_mut(&mut self) -> &mut Arena {
        self.arena
            .as_mut()
            .expect("an arena leaves its handle only in drop")
    }
}

impl Drop for PooledArena {
    fn drop(&mut self) {
        self.pool.out_count.set(self.pool.out_count.get() - 1);
        let Some(mut arena) = self.arena.take() else {
            return;
        };
        arena.reset();
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < self.pool.keep_count && arena.held() <= self.pool.keep_bytes {
            idle.push(arena);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_never_passes_its_cap_and_stays_usable() {
        let mut arena = Arena::new(4096);
        let mut kept = 0;
        while arena.alloc_bytes(&[7; 100]).is_ok() {
            kept += 1;
            assert!(arena.held() <= 4096);
        }
        assert!(kept >= 20, "a cap of 4096 holds {kept} pieces of 100");
        assert_eq!(arena.used(), kept * 100);
        let error = arena.alloc_filled::<u64>(usize::MAX, 0).unwrap_err();
        assert_eq!(error.limit_bytes, 4096);
        arena.reset();
        assert_eq!(arena.used(), 0);
        assert_eq!(arena.alloc_str("again").unwrap(), "again");
    }

    #[test]
    fn every_refused_size_leaves_what_was_there_untouched() {
        for limit in 0..600 {
            let arena = Arena::new(limit);
            let first = arena.alloc_bytes(b"first");
            let second = arena.gather(&[&[1; 200], &[], &[2; 100]]);
            assert_eq!(first.is_ok(), arena.used() % 100 == 5, "limit {limit}");
            if let Ok(bytes) = first {
                assert_eq!(bytes, b"first");
            }
            if let Ok(bytes) = second {
                assert_eq!((bytes.len(), bytes[199], bytes[200]), (300, 1, 2));
            }
        }
    }

    #[test]
    fn a_reset_arena_serves_the_same_request_without_growing() {
        let mut arena = Arena::new(1 << 20);
        for _ in 0..8 {
            for _ in 0..100 {
                arena.alloc_bytes(&[1; 777]).unwrap();
            }
            arena.reset();
        }
        let held = arena.held();
        for _ in 0..100 {
            arena.alloc_bytes(&[1; 777]).unwrap();
        }
        assert_eq!(arena.held(), held);
    }

    #[test]
    fn the_pool_reuses_small_arenas_and_frees_large_ones() {
        let pool = ArenaPool::new(1 << 20, 16 << 10, 2);
        let (a, b, c) = (pool.take(), pool.take(), pool.take());
        assert_eq!(pool.checked_out(), 3);
        a.alloc_bytes(&[0; 100]).unwrap();
        b.alloc_bytes(&[0; 500_000]).unwrap();
        drop((a, b, c));
        assert_eq!((pool.checked_out(), pool.idle()), (0, 2));
        assert!(pool.idle_bytes() <= 16 << 10);
    }
}
