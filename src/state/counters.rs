//! Counters with label values that nobody promised to be few.

use std::collections::BTreeMap;

use super::label::OpenLabels;

/// One row `V` of counters per set of open label values `L`, in order, capped.
///
/// Past the cap a label set that is not there yet is counted under [`OpenLabels::other`] and in the overflow. A row never
/// goes away: a counter that disappeared and came back would be read as a reset.
#[derive(Debug, Clone)]
pub struct OpenCounters<L, V> {
    rows: BTreeMap<L, V>,
    overflow: V,
    zero: V,
    capacity: usize,
}

impl<L: OpenLabels, V: Clone> OpenCounters<L, V> {
    pub(super) fn new(capacity: usize, zero: V) -> Self {
        Self { rows: BTreeMap::new(), overflow: zero.clone(), zero, capacity }
    }

    /// Changes the row of these labels, making it first where there is none.
    pub(super) fn update(&mut self, labels: L, change: impl Fn(&mut V)) {
        let mut labels = labels.cleaned();
        if self.rows.len() >= self.capacity && !self.rows.contains_key(&labels) {
            change(&mut self.overflow);
            labels = L::other();
        }
        change(self.rows.entry(labels).or_insert_with(|| self.zero.clone()));
    }

    /// Every row, in the order of its labels.
    pub fn rows(&self) -> impl Iterator<Item = (&L, &V)> {
        self.rows.iter()
    }

    /// What went to `other` because the family was full.
    pub fn overflow(&self) -> &V {
        &self.overflow
    }
}
