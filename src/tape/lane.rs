//! The bounded way from one shard to the recorder.
//!
//! Buffers go round: the producer takes one from `free`, fills it and puts it into `full`; the recorder gives it back. Once as
//! many buffers exist as the shard needs at its peak, nothing is allocated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

/// Frames that may wait in one lane.
pub(super) const LANE_FRAMES_MAX: usize = 4_096;

/// Bytes that may wait in one lane.
pub(super) const LANE_BYTES_MAX: usize = 4 << 20;

/// Bytes of one frame. A frame fits a write buffer whole, so that a write ends at a frame's end.
pub(super) const FRAME_BYTES_MAX: usize = super::disk::BUFFER_BYTES;

/// Capacity that a buffer keeps when it goes back; a rare long frame must not pin its memory.
const FRAME_BYTES_KEPT: usize = 1 << 10;

const _: () = assert!(FRAME_BYTES_MAX <= LANE_BYTES_MAX);

/// Wakes the recorder, at most once between two of its rounds: a steady load costs no system call a frame.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Bell {
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Called before the lanes are read, so that a frame pushed during the reading rings again.
    ///
    /// A swap, not a store: a store may become visible after the lanes were read, and wipe out the ring of a frame that the
    /// reading missed.
    pub(super) fn reset(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }

    pub(super) async fn heard(&self) {
        std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.rung.load(Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    full: ArrayQueue<Vec<u8>>,
    free: ArrayQueue<Vec<u8>>,
    bytes: AtomicUsize,
    bytes_max: usize,
    dropped: AtomicU64,
    closed: AtomicBool,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self::of(LANE_FRAMES_MAX, LANE_BYTES_MAX)
    }

    /// A lane in which this many frames may wait, of this many bytes together.
    pub(super) fn of(frames_max: usize, bytes_max: usize) -> Self {
        Self {
            full: ArrayQueue::new(frames_max),
            free: ArrayQueue::new(frames_max),
            bytes_max,
            bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.full.len()
    }

    pub(super) fn pop(&self) -> Option<Vec<u8>> {
        let frame = self.full.pop()?;
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }

    pub(super) fn recycle(&self, mut frame: Vec<u8>) {
        frame.clear();
        frame.shrink_to(FRAME_BYTES_KEPT);
        // A full free list cannot happen while every buffer comes from `push`; if it did, the buffer is simply freed.
        drop(self.free.push(frame));
    }

    /// Frames that were dropped since it was made.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether fewer than this part of its room is left: one in so many.
    pub(super) fn is_nearly_full(&self, part: usize) -> bool {
        let frames_left = self.full.capacity() - self.full.len();
        let bytes_left = self
            .bytes_max
            .saturating_sub(self.bytes.load(Ordering::Relaxed));
        frames_left <= self.full.capacity() / part || bytes_left <= self.bytes_max / part
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn push(&self, frame: &[u8]) -> bool {
        if self.closed.load(Ordering::Acquire) || frame.len() > FRAME_BYTES_MAX {
            return false;
        }
        let before = self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        if before + frame.len() > self.bytes_max || self.full.is_full() {
            self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
            return false;
        }
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.extend_from_slice(frame);
        if let Err(buffer) = self.full.push(buffer) {
            self.bytes.fetch_sub(buffer.len(), Ordering::Relaxed);
            self.recycle(buffer);
            return false;
        }
        true
    }
}

/// A shard's end of its lane into one log.
#[derive(Clone, Debug)]
pub struct LogProducer {
    lane: Arc<Lane>,
    bell: Arc<Bell>,
}

impl LogProducer {
    pub(super) fn new(lane: Arc<Lane>, bell: Arc<Bell>) -> Self {
        Self { lane, bell }
    }

    /// Hands a frame over, or drops and counts it when the lane is full, the frame is larger than 64 KiB, or the recorder has
    /// stopped. Never waits.
    ///
    /// Shape: the frame's bytes, with their line end where the log has lines; whether they were taken.
    pub fn try_push(&self, frame: &[u8]) -> bool {
        let taken = self.lane.push(frame);
        if taken {
            self.bell.ring();
        } else {
            self.lane.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Frames that this lane dropped.
    pub fn dropped(&self) -> u64 {
        self.lane.dropped()
    }

    pub(super) fn is_nearly_full(&self, part: usize) -> bool {
        self.lane.is_nearly_full(part)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake, Waker};

    use super::*;

    fn producer() -> (LogProducer, Arc<Lane>, Arc<Bell>) {
        let (lane, bell) = (Arc::new(Lane::new()), Arc::new(Bell::default()));
        (
            LogProducer::new(Arc::clone(&lane), Arc::clone(&bell)),
            lane,
            bell,
        )
    }

    #[test]
    fn a_full_lane_drops_and_counts_and_does_not_wait() {
        let (producer, lane, _) = producer();
        for _ in 0..LANE_FRAMES_MAX {
            assert!(producer.try_push(b"frame\n"));
        }
        assert!(!producer.try_push(b"one too many\n"));
        assert_eq!(producer.dropped(), 1);
        lane.recycle(lane.pop().unwrap());
        assert!(producer.try_push(b"fits again\n"));
    }

    #[test]
    fn a_lane_is_bounded_in_bytes_too() {
        let (producer, lane, _) = producer();
        let frame = vec![b'x'; FRAME_BYTES_MAX];
        let taken = (0..LANE_FRAMES_MAX)
            .take_while(|_| producer.try_push(&frame))
            .count();
        assert_eq!(taken, LANE_BYTES_MAX / FRAME_BYTES_MAX);
        assert!(!producer.try_push(&vec![b'x'; FRAME_BYTES_MAX + 1]));
        while let Some(frame) = lane.pop() {
            lane.recycle(frame);
        }
        assert!(lane.free.pop().unwrap().capacity() <= FRAME_BYTES_KEPT);
    }

    #[test]
    fn a_warm_lane_uses_the_same_buffers_again() {
        let (producer, lane, _) = producer();
        let mut addresses = std::collections::HashSet::new();
        for round in 0..10_000 {
            assert!(producer.try_push(&[b'x'; 300][..200 + round % 100]));
            let frame = lane.pop().unwrap();
            if round > 100 {
                addresses.insert((frame.as_ptr() as usize, frame.capacity()));
            }
            lane.recycle(frame);
        }
        assert_eq!(
            addresses.len(),
            1,
            "a buffer was allocated in the steady state"
        );
    }

    #[test]
    fn a_thousand_frames_between_two_rounds_wake_the_recorder_once() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (producer, _lane, bell) = producer();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        for round in 1..=3 {
            let mut heard = std::pin::pin!(bell.heard());
            assert!(
                heard
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            (0..1_000).for_each(|_| assert!(producer.try_push(b"x")));
            assert_eq!(count.0.load(Ordering::Relaxed), round);
            bell.reset();
        }
    }
}
