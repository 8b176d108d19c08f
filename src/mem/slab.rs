//! A fixed table whose keys carry a generation, so that a stale key finds nothing.
//!
//! The table grows up to its bound and then refuses. A key is never 0.

/// The table is at its bound; the value comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlabFull<T>(pub T);

struct Entry<T> {
    /// Odd while occupied, even while free: a key is valid only while its generation is the entry's.
    generation: u32,
    value: Option<T>,
    next_free: u32,
}

const NONE: u32 = u32::MAX;

/// A bounded table with generational keys.
///
/// Shape: a key is `generation << 32 | index`.
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    first_free: u32,
    len: usize,
    count_max: usize,
}

impl<T> Slab<T> {
    /// An empty table of at most `count_max` values.
    pub fn new(count_max: usize) -> Self {
        assert!(count_max < NONE as usize, "indices are 32 bits");
        Self {
            entries: Vec::new(),
            first_free: NONE,
            len: 0,
            count_max,
        }
    }

    /// Stores a value under a new key.
    ///
    /// Errors: [`SlabFull`] with the value when the table is at its bound.
    pub fn insert(&mut self, value: T) -> Result<u64, SlabFull<T>> {
        let index = if self.first_free != NONE {
            self.first_free
        } else if self.entries.len() < self.count_max {
            self.entries.push(Entry {
                generation: 0,
                value: None,
                next_free: NONE,
            });
            (self.entries.len() - 1) as u32
        } else {
            return Err(SlabFull(value));
        };
        let entry = &mut self.entries[index as usize];
        if self.first_free == index {
            self.first_free = entry.next_free;
        }
        entry.generation = entry.generation.wrapping_add(1);
        entry.value = Some(value);
        self.len += 1;
        Ok(u64::from(entry.generation) << 32 | u64::from(index))
    }

    /// The value of a key that is still valid.
    pub fn get(&self, key: u64) -> Option<&T> {
        let entry = self.entries.get(key as u32 as usize)?;
        if entry.generation == (key >> 32) as u32 {
            entry.value.as_ref()
        } else {
            None
        }
    }

    /// The value of a key that is still valid, to be changed.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let entry = self.entries.get_mut(key as u32 as usize)?;
        if entry.generation == (key >> 32) as u32 {
            entry.value.as_mut()
        } else {
            None
        }
    }

    /// Takes the value out; the key is invalid from now on.
    pub fn remove(&mut self, key: u64) -> Option<T> {
        let index = key as u32;
        let entry = self.entries.get_mut(index as usize)?;
        if entry.generation != (key >> 32) as u32 {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next_free = self.first_free;
        self.first_free = index;
        self.len -= 1;
        Some(value)
    }

    /// Whether a key still names a value.
    pub fn contains(&self, key: u64) -> bool {
        self.get(key).is_some()
    }

    /// The key of the value at `index` now, if there is one.
    pub fn key_at(&self, index: u32) -> Option<u64> {
        let entry = self.entries.get(index as usize)?;
        entry
            .value
            .as_ref()
            .map(|_| u64::from(entry.generation) << 32 | u64::from(index))
    }

    /// Values and their keys, in index order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let key = u64::from(entry.generation) << 32 | index as u64;
                entry.value.as_ref().map(|value| (key, value))
            })
    }

    /// Values stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bound.
    pub fn count_max(&self) -> usize {
        self.count_max
    }

    /// Bytes of the table itself.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_value_and_finds_nothing() {
        let mut slab = Slab::new(2);
        let first = slab.insert("a").unwrap();
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b").unwrap();
        assert_ne!(first, second);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "b"));
    }

    #[test]
    fn the_bound_holds_and_the_value_comes_back() {
        let mut slab = Slab::new(3);
        let keys: Vec<_> = (0..3).map(|value| slab.insert(value).unwrap()).collect();
        assert_eq!(slab.insert(9), Err(SlabFull(9)));
        slab.remove(keys[1]);
        assert!(slab.insert(9).is_ok());
        assert_eq!(slab.len(), 3);
    }

    #[test]
    fn no_key_is_zero_and_none_is_ever_reused() {
        let mut slab = Slab::new(4);
        let mut seen = std::collections::HashSet::new();
        let mut live = Vec::new();
        let mut state = 1u64;
        for _ in 0..2_000 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            if live.len() < 4 && state >> 63 == 0 {
                let key = slab.insert(state).unwrap();
                assert_ne!(key, 0);
                assert!(seen.insert(key), "key handed out twice");
                live.push((key, state));
            } else if !live.is_empty() {
                let (key, value) = live.swap_remove((state >> 33) as usize % live.len());
                assert_eq!(slab.remove(key), Some(value));
            }
            assert_eq!(slab.len(), live.len());
            assert_eq!(slab.iter().count(), live.len());
        }
    }
}
