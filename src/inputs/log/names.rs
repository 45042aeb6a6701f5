//! Counters by a name that comes out of a log: found by its raw bytes, made a label once.

use std::sync::Arc;

use hashbrown::HashMap;

/// Names kept before the owner is asked to take the counts away.
const FULL: usize = 4096;

/// Counts per name. Names stay known when their counts are taken, so that a busy one is not made a label again and again.
#[derive(Debug)]
pub(super) struct Names<T> {
    slots: Vec<Slot<T>>,
    index: HashMap<Box<[u8]>, usize>,
    touched: Vec<usize>,
    last: usize,
}

#[derive(Debug)]
struct Slot<T> {
    raw: Box<[u8]>,
    label: Arc<str>,
    counts: T,
    is_touched: bool,
}

impl<T: Default> Names<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), index: HashMap::new(), touched: Vec::new(), last: 0 }
    }

    /// Whether the counts should be taken now.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.touched.len() >= FULL
    }

    /// Changes the counts of `name`.
    #[inline]
    pub(super) fn with(&mut self, name: &[u8], change: impl FnOnce(&mut T)) {
        let at = match self.slots.get(self.last) {
            Some(slot) if *slot.raw == *name => self.last,
            _ => self.find(name),
        };
        self.last = at;
        if let Some(slot) = self.slots.get_mut(at) {
            if !slot.is_touched {
                slot.is_touched = true;
                self.touched.push(at);
            }
            change(&mut slot.counts);
        }
    }

    fn find(&mut self, name: &[u8]) -> usize {
        if let Some(at) = self.index.get(name) {
            return *at;
        }
        let at = self.slots.len();
        let raw: Box<[u8]> = name.into();
        let label = Arc::from(String::from_utf8_lossy(name));
        self.index.insert(raw.clone(), at);
        self.slots.push(Slot { raw, label, counts: T::default(), is_touched: false });
        at
    }

    /// Takes all counts, and forgets the names when there are too many of them to keep.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Arc<str>, T)) {
        for at in self.touched.drain(..) {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.is_touched = false;
                take(&slot.label, std::mem::take(&mut slot.counts));
            }
        }
        if self.slots.len() >= FULL {
            self.slots.clear();
            self.index.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_by_name_and_taken_once() {
        let mut names = Names::<u64>::new();
        for name in [&b"a"[..], b"b", b"a", b"\xff"] {
            names.with(name, |count| *count += 1);
        }
        let mut taken = Vec::new();
        names.drain(|label, count| taken.push((label.to_string(), count)));
        assert_eq!(taken, [("a".into(), 2), ("b".into(), 1), ("\u{fffd}".into(), 1)]);
        names.drain(|_, _| panic!("nothing moved"));
    }

    #[test]
    fn new_names_in_every_line_cost_bounded_memory() {
        let mut names = Names::<u64>::new();
        let mut total = 0;
        for n in 0..20_000u32 {
            names.with(&n.to_be_bytes(), |count| *count += 1);
            if names.is_full() {
                names.drain(|_, count| total += count);
                assert!(names.slots.is_empty());
            }
        }
        names.drain(|_, count| total += count);
        assert_eq!(total, 20_000);
    }
}
