use super::*;

const SMALL: usize = BUFFER_CLASS_BYTES[0];
const MEDIUM: usize = BUFFER_CLASS_BYTES[1];
const LARGE: usize = BUFFER_CLASS_BYTES[2];

#[test]
fn a_buffer_comes_home_empty_to_its_class() {
    let pool = BufferPool::with_limit(8 << 20);
    let mut buffer = pool.take(100).unwrap();
    assert_eq!(buffer.capacity(), SMALL);
    buffer.extend_from_slice(b"secret");
    let address = buffer.as_ptr();
    drop(buffer);
    let again = pool.take(SMALL).unwrap();
    assert_eq!(again.as_ptr(), address);
    assert!(again.is_empty());
    assert_eq!(pool.stats().misses, 1);
}

#[test]
fn a_buffer_that_grew_is_charged_and_kept_by_what_it_became() {
    let pool = BufferPool::with_limit(8 << 20);
    let mut buffer = pool.take(10).unwrap();
    buffer.resize(MEDIUM, 1);
    drop(buffer);
    let stats = pool.stats();
    assert_eq!((stats.checked_out, stats.idle), (0, 1));
    assert!(stats.bytes >= MEDIUM);
    assert!(pool.take(MEDIUM).unwrap().capacity() >= MEDIUM);
    assert_eq!(pool.stats().misses, 1);
}

#[test]
fn a_buffer_that_outgrew_the_largest_class_is_freed() {
    let budget = ByteBudget::new(8 << 20);
    let pool = BufferPool::new(Arc::clone(&budget), [8, 8, 8]);
    let mut buffer = pool.take(10).unwrap();
    buffer.resize(LARGE * 2, 1);
    drop(buffer);
    drop(pool.take(LARGE + 1).unwrap());
    assert_eq!((pool.stats().idle, budget.used()), (0, 0));
}

#[test]
fn the_cap_holds_for_every_cap() {
    for buffers in 0..20 {
        let budget = ByteBudget::new(buffers * SMALL);
        let pool = BufferPool::new(Arc::clone(&budget), [64, 8, 8]);
        let held: Vec<_> = std::iter::from_fn(|| pool.take(1).ok()).collect();
        assert_eq!(held.len(), buffers);
        assert_eq!(budget.used(), buffers * SMALL);
        assert_eq!(pool.stats().refused, 1);
        drop(held);
        assert_eq!(pool.stats().checked_out, 0);
        pool.trim();
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn idle_buffers_of_one_class_give_way_to_another() {
    let pool = BufferPool::with_limit(MEDIUM + SMALL);
    let small: Vec<_> = (0..16).map(|_| pool.take(1).unwrap()).collect();
    drop(small);
    assert!(pool.take(MEDIUM).is_ok());
}

#[test]
fn growing_within_the_cap_moves_up_the_classes_and_keeps_the_bytes() {
    let pool = BufferPool::with_limit(4 << 20);
    let mut buffer = pool.take(1).unwrap();
    let mut expected = Vec::new();
    while buffer.try_reserve(1000).is_ok() {
        buffer.extend_from_slice(&[expected.len() as u8; 1000]);
        expected.extend_from_slice(&[expected.len() as u8; 1000]);
        assert!(pool.stats().bytes <= 4 << 20);
    }
    assert!(expected.len() >= 1 << 20);
    assert_eq!(**buffer, *expected);
    assert_eq!(pool.stats().checked_out, 1);
    drop(buffer);
    assert_eq!(pool.stats().checked_out, 0);
}

#[test]
fn a_dropped_pool_gives_its_bytes_back_even_with_buffers_out() {
    let budget = ByteBudget::new(1 << 20);
    let pool = BufferPool::new(Arc::clone(&budget), [8, 8, 8]);
    let out = pool.take(1).unwrap();
    drop(pool.take(1));
    drop(pool);
    assert!(budget.used() > 0);
    drop(out);
    assert_eq!(budget.used(), 0);
}
