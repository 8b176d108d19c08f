//! The buffer group: a fixed set of equal receive buffers that wander between the kernel and the shard.
//!
//! Each buffer is in exactly one place: with the kernel, lent out as a [`ReceiveBuffer`], or in `returned` on its way
//! back. An idle connection holds none.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;

/// Memory of the group, and who holds which part.
pub struct BufferGroup {
    memory: NonNull<u8>,
    layout: Layout,
    buffer_bytes: usize,
    count: u16,
    lent: Cell<usize>,
    returned: RefCell<Vec<u16>>,
    /// Woken when a buffer returns while a receive is starved.
    starved_waker: RefCell<Option<Waker>>,
}

impl BufferGroup {
    /// `count` buffers of `buffer_bytes` each, page-aligned, all of them the kernel's to begin with.
    pub(super) fn new(count: u16, buffer_bytes: usize) -> Rc<Self> {
        assert!(count > 0 && buffer_bytes > 0, "a group has buffers");
        let layout = Layout::from_size_align(usize::from(count) * buffer_bytes, 4096)
            .expect("65535 buffers of a few KiB fit in an address space");
        // SAFETY: the layout's size is not zero: asserted above.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else {
            handle_alloc_error(layout)
        };
        Rc::new(Self {
            memory,
            layout,
            buffer_bytes,
            count,
            lent: Cell::new(0),
            returned: RefCell::new(Vec::with_capacity(usize::from(count))),
            starved_waker: RefCell::new(None),
        })
    }

    /// Buffers in the group.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Bytes of one buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Buffers in the shard's hands.
    pub fn lent(&self) -> usize {
        self.lent.get()
    }

    /// Buffers on their way back to the kernel.
    pub(super) fn returned(&self) -> usize {
        self.returned.borrow().len()
    }

    /// Where a buffer begins.
    pub(super) fn address(&self, index: u16) -> NonNull<u8> {
        assert!(
            index < self.count,
            "the kernel names only buffers of this group"
        );
        // SAFETY: index < count, so the offset lies inside the allocation of count * buffer_bytes bytes.
        unsafe { self.memory.add(usize::from(index) * self.buffer_bytes) }
    }

    /// The handle of a buffer that an event handed over, holding `len` bytes.
    pub(super) fn lend(self: &Rc<Self>, index: u16, len: usize) -> ReceiveBuffer {
        assert!(
            index < self.count && len <= self.buffer_bytes,
            "the kernel fills only its buffer"
        );
        self.lent.set(self.lent.get() + 1);
        ReceiveBuffer {
            group: Rc::clone(self),
            index,
            len: len as u32,
        }
    }

    /// Takes a returned buffer, to be provided again.
    pub(super) fn take_returned(&self) -> Option<u16> {
        self.returned.borrow_mut().pop()
    }

    /// Keeps the waker of a shard that sleeps with starved receives.
    pub(super) fn wake_on_return(&self, waker: &Waker) {
        let mut kept = self.starved_waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }
}

impl Drop for BufferGroup {
    fn drop(&mut self) {
        // SAFETY: `memory` came from `alloc_zeroed` with this layout. No handle is left, each holds an `Rc` of this;
        // and the driver lets go of its `Rc` only when the kernel is retired, or leaks it.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// Bytes that arrived, in the buffer where the kernel put them; dropping it gives the buffer back.
pub struct ReceiveBuffer {
    group: Rc<BufferGroup>,
    index: u16,
    len: u32,
}

impl Deref for ReceiveBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let address = self.group.address(self.index);
        // SAFETY: between `lend` and drop the buffer is neither the kernel's nor another handle's (`BufferGroup`
        // hands an index out once and takes it back only in drop); len <= buffer_bytes is checked in `lend`, and
        // the memory was zeroed at the start, so all of it is initialized.
        unsafe { std::slice::from_raw_parts(address.as_ptr(), self.len as usize) }
    }
}

impl fmt::Debug for ReceiveBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiveBuffer({} bytes)", self.len)
    }
}

impl Drop for ReceiveBuffer {
    fn drop(&mut self) {
        self.group.lent.set(self.group.lent.get() - 1);
        self.group.returned.borrow_mut().push(self.index);
        // Not inside the `if let`: the borrow would last while foreign code runs.
        let waker = self.group.starved_waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
