//! Memory that was freed, handed back to the system.

/// Returns what the C library's allocator holds and nobody uses. It keeps freed memory for itself otherwise: after 100,000 sessions
/// have expired, all that they took.
///
/// Costs milliseconds, during which other threads that allocate may wait: for rare moments, off the shards.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no memory is passed; the allocator locks its own arenas, and frees only pages without a live allocation in them.
    unsafe {
        libc::malloc_trim(0);
    }
}
