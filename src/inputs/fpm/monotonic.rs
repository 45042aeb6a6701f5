//! Counters that go on where FPM begins again.

use crate::observation::fpm::FpmStatus;

/// A counter over many lives of the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Monotonic {
    total: u64,
    /// The highest value of this life.
    highest: u64,
}

impl Monotonic {
    /// Takes the next reading and returns the total so far. In a new life the count began at 0 again. Within one life a
    /// lower value is a mistake of FPM (php#16932: `accepted conn` goes down) and adds nothing, nor does the way back up.
    pub fn observe(&mut self, value: u64, new_life: bool) -> u64 {
        if new_life {
            self.highest = 0;
        }
        self.total = self.total.saturating_add(value.saturating_sub(self.highest));
        self.highest = self.highest.max(value);
        self.total
    }
}

/// The counters of one pool. The first reading gives FPM's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    started: Option<u64>,
    accepted: Monotonic,
    max_children_reached: Monotonic,
    slow_requests: Monotonic,
}

impl Counters {
    /// Replaces FPM's counters by ones that never fall. A pool has a new life when its start time is another.
    pub fn carry(&mut self, status: &mut FpmStatus) {
        let new_life = self.started.is_some() && status.start_time.is_some() && self.started != status.start_time;
        self.started = status.start_time.or(self.started);
        for (counter, value) in [
            (&mut self.accepted, &mut status.accepted),
            (&mut self.max_children_reached, &mut status.max_children_reached),
            (&mut self.slow_requests, &mut status.slow_requests),
        ] {
            // A new life has begun for a counter that is left out of this reading, too.
            let seen = value.unwrap_or(0);
            let total = counter.observe(seen, new_life);
            *value = value.map(|_| total);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn carried(readings: &[(u64, u64)]) -> Vec<u64> {
        let mut counters = Counters::default();
        readings
            .iter()
            .map(|(start, accepted)| {
                let mut status =
                    FpmStatus { start_time: Some(*start), accepted: Some(*accepted), ..FpmStatus::default() };
                counters.carry(&mut status);
                status.accepted.unwrap()
            })
            .collect()
    }

    #[test]
    fn a_reload_adds_to_what_was_counted_before() {
        assert_eq!(carried(&[(100, 40), (100, 50), (200, 3), (200, 10), (300, 0), (300, 1)]), [40, 50, 53, 60, 60, 61]);
    }

    #[test]
    fn a_new_life_that_has_counted_more_than_the_old_one_is_added_whole() {
        assert_eq!(carried(&[(100, 5), (200, 9)]), [5, 14]);
    }

    #[test]
    fn a_count_that_falls_within_a_life_adds_nothing_until_it_passes_its_highest() {
        assert_eq!(carried(&[(100, 50), (100, 20), (100, 50), (100, 51)]), [50, 50, 50, 51]);
    }

    #[test]
    fn what_a_reading_leaves_out_stays_out() {
        let mut counters = Counters::default();
        let mut status = FpmStatus { accepted: Some(7), ..FpmStatus::default() };
        counters.carry(&mut status);
        assert_eq!((status.accepted, status.slow_requests), (Some(7), None));
    }

    proptest! {
        #[test]
        fn totals_never_fall(readings in prop::collection::vec((0u64..4, any::<u64>()), 0..50)) {
            prop_assert!(carried(&readings).is_sorted());
        }
    }
}
