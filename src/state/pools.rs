//! PHP-FPM pools: what the kernel, the status page and the workers' memory say of each.

use std::sync::Arc;

use super::{Snapshot, State, add, add_at, cleaned};
use crate::observation::fpm::{FpmStatus, PoolReading};
use crate::observation::socket::{ListenerState, Listening};
use crate::observation::{KnownPool, PoolMemory};

/// Counters of a pool as the input keeps them: they go on over restarts of FPM. `None` is what FPM never said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolTotals {
    /// Accepted connections.
    pub accepted: Option<u64>,
    /// How often `pm.max_children` was reached.
    pub max_children_reached: Option<u64>,
    /// Requests slower than `request_slowlog_timeout`.
    pub slow_requests: Option<u64>,
}

/// A pool with all that is known about it now. The kernel's word counts first: it is true while the pool is saturated,
/// when the status page does not answer.
#[derive(Debug, Clone, Copy)]
pub struct Pool<'a> {
    /// Who it is.
    pub known: &'a KnownPool,
    /// Its socket, where something listens on it.
    pub listener: Option<&'a ListenerState>,
    /// The last look at its status page.
    pub page: Option<&'a PoolReading>,
    /// Memory of its workers.
    pub memory: Option<&'a PoolMemory>,
}

impl<'a> Pool<'a> {
    /// The status page, if it answered.
    #[must_use]
    pub fn status(self) -> Option<&'a FpmStatus> {
        self.page?.outcome.as_ref().ok()
    }

    /// Whether the status page answered; `None` where it was not asked.
    #[must_use]
    pub fn is_up(self) -> Option<bool> {
        match &self.page?.outcome {
            Ok(_) => Some(true),
            Err(failure) if failure.reason.is_skip() => None,
            Err(_) => Some(false),
        }
    }

    /// Workers that serve a request.
    #[must_use]
    pub fn busy(self) -> Option<u64> {
        self.listener.map(ListenerState::busy).or_else(|| self.status()?.busy())
    }

    /// Connections that wait for a worker. FPM knows that of TCP only.
    #[must_use]
    pub fn waiting(self) -> Option<u64> {
        self.listener.and_then(|listener| Some(listener.queue?.waiting)).or_else(|| self.status()?.listen_queue)
    }

    /// How many may wait.
    #[must_use]
    pub fn waiting_limit(self) -> Option<u64> {
        let from_page = || self.status().filter(|status| status.listen_queue.is_some())?.listen_queue_limit;
        self.listener.and_then(|listener| listener.queue?.limit).or_else(from_page)
    }

    /// Busy workers as a share of `pm.max_children`.
    #[must_use]
    pub fn saturation(self) -> Option<f64> {
        let most = self.known.max_children.filter(|most| *most > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "workers are few")]
        self.busy().map(|busy| busy as f64 / f64::from(most))
    }
}

impl Snapshot {
    /// The pools, in the order of their names.
    pub fn pools(&self) -> impl Iterator<Item = Pool<'_>> {
        self.known.pools.iter().map(|known| Pool {
            known,
            listener: self.listener(known.listener.as_ref()).filter(|listener| listener.listening != Listening::No),
            page: self.status_pages.get(&known.pool).map(|reading| &**reading),
            memory: self.pool_memory.get(&known.pool),
        })
    }
}

impl State {
    /// A page that was not read takes its gauges away; counters stay.
    pub(super) fn pool(&mut self, mut reading: PoolReading) {
        reading.pool = cleaned(reading.pool);
        let now = &mut self.now;
        if !now.known.pools.iter().any(|known| known.pool == reading.pool) {
            return;
        }
        match &reading.outcome {
            Err(failure) if failure.reason.is_skip() => {}
            Err(failure) => {
                let index = failure.reason.index();
                now.status_failures.update(Arc::clone(&reading.pool), |row| add_at(row, index, 1));
            }
            Ok(status) => {
                let full = now.pool_totals.len() >= self.limits.label_sets_per_family;
                if full && !now.pool_totals.contains_key(&reading.pool) {
                    add(&mut now.pools_overflow, 1);
                } else {
                    let totals = now.pool_totals.entry(Arc::clone(&reading.pool)).or_default();
                    totals.accepted = status.accepted.or(totals.accepted);
                    totals.max_children_reached = status.max_children_reached.or(totals.max_children_reached);
                    totals.slow_requests = status.slow_requests.or(totals.slow_requests);
                }
            }
        }
        now.status_pages.insert(Arc::clone(&reading.pool), reading.into());
    }

    /// Every pool that was measured: of the others nothing is known any more.
    pub(super) fn pool_memory(&mut self, all: Vec<PoolMemory>) {
        let known = &self.now.known.pools;
        self.now.pool_memory = all
            .into_iter()
            .map(|measured| (cleaned(Arc::clone(&measured.memory.pool)), measured))
            .filter(|(pool, _)| known.iter().any(|known| known.pool == *pool))
            .collect();
    }
}
