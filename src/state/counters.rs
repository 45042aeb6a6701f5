//! Counters with label values that nobody promised to be few.

use std::collections::{BTreeMap, BTreeSet};

use super::label::OpenLabels;

/// Series that a family may have at 0 before anything happened. Beyond, a series starts with its first event.
const MAX_SERIES_FROM_ZERO: usize = 1_000;

/// One row `V` of counters per set of open label values `L`, in order, capped.
///
/// Past the cap a label set that is not there yet is counted under [`OpenLabels::other`] and in the overflow. A row never
/// goes away: a counter that disappeared and came back would be read as a reset.
#[derive(Debug, Clone)]
pub struct OpenCounters<L, V> {
    rows: BTreeMap<L, V>,
    from_zero: BTreeSet<L>,
    overflow: V,
    zero: V,
    capacity: usize,
}

impl<L: OpenLabels + Clone, V: Clone> OpenCounters<L, V> {
    pub(super) fn new(capacity: usize, zero: V) -> Self {
        Self { rows: BTreeMap::new(), from_zero: BTreeSet::new(), overflow: zero.clone(), zero, capacity }
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

    /// Makes the row of these clean labels, which stands for that many series, before anything happened; unless too many
    /// were made so.
    pub(super) fn begin(&mut self, labels: &L, series: usize) {
        let known = self.rows.contains_key(labels);
        let fits = known || self.rows.len() < self.capacity;
        let series_before = self.from_zero.len().saturating_mul(series);
        if fits && series_before.saturating_add(series) <= MAX_SERIES_FROM_ZERO && self.from_zero.insert(labels.clone())
        {
            self.rows.entry(labels.clone()).or_insert_with(|| self.zero.clone());
        }
    }

    /// Whether all series of that row are shown from 0 on, not only those of what happened.
    pub fn is_from_zero(&self, labels: &L) -> bool {
        self.from_zero.contains(labels)
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
