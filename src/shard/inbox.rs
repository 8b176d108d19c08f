//! The bytes a connection has received and not yet consumed.
//!
//! While one kernel buffer holds all of them they are read where the kernel put them. As soon as they span buffers, or the
//! connection has to wait for more, they are gathered into one pooled buffer and the kernel's goes back to its group:
//! a connection that waits never pins a receive buffer.

use crate::limits::BUFFER_CLASS_BYTES;
use crate::mem::{BufferPool, PoolBuffer, PoolExhausted};
use crate::ring::ReceiveBuffer;

/// Room that is made for a request on the word of its `Content-Length`.
const PROMISED_BYTES_MAX: usize = BUFFER_CLASS_BYTES[1];

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Kernel(ReceiveBuffer),
    Gathered(PoolBuffer),
}

/// Unread bytes, in order.
#[derive(Default)]
pub(super) struct Inbox {
    held: Held,
    consumed: usize,
    /// Unread bytes that the request now arriving will have; 0 while that is not known.
    expected: usize,
}

impl Inbox {
    /// The bytes not yet consumed.
    pub(super) fn unread(&self) -> &[u8] {
        let bytes: &[u8] = match &self.held {
            Held::Nothing => &[],
            Held::Kernel(buffer) => buffer,
            Held::Gathered(buffer) => buffer,
        };
        &bytes[self.consumed..]
    }

    /// Takes what the kernel delivered; copies only if earlier bytes are still unread.
    pub(super) fn push(
        &mut self,
        bytes: ReceiveBuffer,
        pool: &BufferPool,
    ) -> Result<(), PoolExhausted> {
        if self.unread().is_empty() {
            self.consumed = 0;
            self.held = Held::Kernel(bytes);
            return Ok(());
        }
        self.gather(bytes.len(), pool)?;
        let Held::Gathered(buffer) = &mut self.held else {
            return Ok(());
        };
        buffer.extend_from_slice(&bytes);
        Ok(())
    }

    /// Takes bytes that are in no buffer of the kernel's: those that were decrypted.
    pub(super) fn push_plain(
        &mut self,
        bytes: &[u8],
        pool: &BufferPool,
    ) -> Result<(), PoolExhausted> {
        self.gather(bytes.len(), pool)?;
        if let Held::Gathered(buffer) = &mut self.held {
            buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Marks the first `count` unread bytes as consumed.
    pub(super) fn consume(&mut self, count: usize) {
        self.consumed += count;
        self.expected = 0;
        if self.unread().is_empty() {
            self.held = Held::Nothing;
            self.consumed = 0;
        }
    }

    /// Makes the unread bytes independent of the kernel's buffer, with room for `more` bytes behind them.
    pub(super) fn gather(&mut self, more: usize, pool: &BufferPool) -> Result<(), PoolExhausted> {
        let unread = self.unread().len();
        if let Held::Gathered(buffer) = &mut self.held {
            if buffer.capacity() - buffer.len() >= more {
                return Ok(());
            }
            if self.consumed > 0 && buffer.capacity() - unread >= more {
                buffer.drain(..self.consumed);
                self.consumed = 0;
                return Ok(());
            }
        }
        if unread + more == 0 {
            return Ok(());
        }
        // Doubling keeps a body that arrives in small pieces linear.
        let doubled = match &self.held {
            Held::Gathered(buffer) => buffer.capacity() * 2,
            Held::Kernel(_) | Held::Nothing => 0,
        };
        let useful = if self.expected == 0 {
            doubled
        } else {
            doubled.min(self.expected)
        };
        let wanted = useful.max(unread + more);
        let mut gathered = pool.take(wanted)?;
        gathered.extend_from_slice(self.unread());
        self.held = Held::Gathered(gathered);
        self.consumed = 0;
        Ok(())
    }

    /// Prepares for a request of `whole` bytes whose beginning is here. Room grows with what arrives, because a promise costs a
    /// peer nothing.
    pub(super) fn expect(&mut self, whole: usize, pool: &BufferPool) -> Result<(), PoolExhausted> {
        self.expected = whole;
        let unread = self.unread().len();
        let room = whole.min(PROMISED_BYTES_MAX).saturating_sub(unread);
        self.gather(room.max(1), pool)
    }

    /// Called when the connection waits for more bytes: gives a kernel buffer back.
    pub(super) fn settle(&mut self, pool: &BufferPool) -> Result<(), PoolExhausted> {
        if matches!(self.held, Held::Kernel(_)) && !self.unread().is_empty() {
            return self.gather(1, pool);
        }
        Ok(())
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
