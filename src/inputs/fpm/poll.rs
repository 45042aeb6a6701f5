//! The clocks: each pool is read on its own, so that no pool waits for another.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{Counters, Target, read, skipped};
use crate::observation::fpm::{PoolReading, StatusReason};

/// Exchanges at once, over all pools: so many that 500 pools that hang until the deadline are through in an interval.
const AT_ONCE: usize = 128;

/// How to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Between the beginnings of two readings of one pool.
    pub interval: Duration,
    /// For one reading altogether.
    pub deadline: Duration,
    /// Whether to ask for the list of workers, which tells their states and the oldest request.
    pub full: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { interval: Duration::from_secs(15), deadline: Duration::from_secs(3), full: true }
    }
}

/// Says whether the kernel sees a pool saturated now: no worker free, or connections waiting. The latter alone is enough,
/// because a connection that we give up stays in the queue until somebody accepts it: asking a stopped FPM every 15 s
/// would fill it.
pub type Saturated = Arc<dyn Fn(&Target) -> bool + Send + Sync>;

/// Reads every target until `stop`, until nobody takes the readings or until nobody can change the targets any more. A
/// new target begins within an interval, at a time of its own; one that is gone ends at once, in the middle of a reading
/// too. One reading per pool is in flight, and at most 128 over all.
pub async fn run(
    targets: watch::Receiver<Arc<[Target]>>,
    options: Options,
    saturated: Saturated,
    out: mpsc::Sender<PoolReading>,
    stop: CancellationToken,
) {
    stop.run_until_cancelled(follow(targets, options, saturated, out)).await;
}

async fn follow(
    mut targets: watch::Receiver<Arc<[Target]>>,
    options: Options,
    saturated: Saturated,
    out: mpsc::Sender<PoolReading>,
) {
    // Dropping the set ends its tasks.
    let mut tasks = JoinSet::new();
    let mut running: HashMap<Target, AbortHandle> = HashMap::new();
    // A pool keeps its counters when its target changes: most reloads bring another `pm.max_children`.
    let mut counters: HashMap<Arc<str>, Arc<Mutex<Counters>>> = HashMap::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let wanted = Arc::clone(&targets.borrow_and_update());
        let pools: HashSet<&Arc<str>> = wanted.iter().map(|target| &target.pool).collect();
        let targets_now: HashSet<&Target> = wanted.iter().collect();
        running.retain(|target, task| {
            let stays = targets_now.contains(target);
            if !stays {
                task.abort();
            }
            stays
        });
        counters.retain(|pool, _| pools.contains(pool));
        for target in wanted.iter() {
            running.entry(target.clone()).or_insert_with(|| {
                let counters = Arc::clone(counters.entry(Arc::clone(&target.pool)).or_default());
                let clock = Clock { target: target.clone(), options, places: Arc::clone(&places), counters };
                tasks.spawn(clock.run(Arc::clone(&saturated), out.clone()))
            });
        }
        while tasks.try_join_next().is_some() {}
        tokio::select! {
            changed = targets.changed() => if changed.is_err() { return },
            () = out.closed() => return,
        }
    }
}

struct Clock {
    target: Target,
    options: Options,
    places: Arc<Semaphore>,
    counters: Arc<Mutex<Counters>>,
}

impl Clock {
    async fn run(self, saturated: Saturated, out: mpsc::Sender<PoolReading>) {
        let Self { target, options, places, counters } = self;
        let mut ticks = interval_at(Instant::now() + phase(&target, options.interval), options.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let waits_behind_requests = target.page.as_ref().is_some_and(|page| !page.separate);
            let mut reading = if waits_behind_requests && saturated(&target) {
                skipped(&target, StatusReason::Saturated)
            } else {
                let Ok(_place) = places.acquire().await else { return };
                read(&target, options.full, options.deadline).await
            };
            if let Ok(status) = &mut reading.outcome {
                counters.lock().unwrap_or_else(PoisonError::into_inner).carry(status);
            }
            if out.send(reading).await.is_err() {
                return;
            }
        }
    }
}

/// Where in the interval a target has its turn: always the same, and spread over all targets.
fn phase(target: &Target, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    interval.mul_f64((hasher.finish() % 1_000) as f64 / 1_000.0)
}
