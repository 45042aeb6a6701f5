//! What is wrong with a configuration, each mistake told once and not too many of them.

use std::collections::HashSet;

use crate::observation::nginx::{Place, Problem};

/// More problems than this are only counted.
const MAX: usize = 100;

/// Problems in the order they were met.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    seen: HashSet<Problem>,
    untold: u64,
}

impl Problems {
    pub(super) fn add(&mut self, place: Place, what: impl Into<String>) {
        let problem = Problem { place, what: what.into().into() };
        if self.list.len() >= MAX {
            self.untold += u64::from(!self.seen.contains(&problem));
        } else if self.seen.insert(problem.clone()) {
            self.list.push(problem);
        }
    }

    /// The problems, and how many more there were.
    pub(super) fn into_parts(self) -> (Vec<Problem>, u64) {
        (self.list, self.untold)
    }
}
