//! The clock of the workers' memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use procfs::{FromRead, Meminfo};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::memory::{Held, Workers, read, recommended};
use crate::discovery::fpm::Processes;
use crate::inputs::{Closed, Sink};
use crate::observation::{Observation, PoolMemory};

/// A pool whose workers are weighed, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Whose workers.
    pub workers: Workers,
    /// `pm.max_children`, if known.
    pub max_children: Option<u32>,
}

/// How often. Sizes change slowly, and reading them costs as much as all other looks together.
const INTERVAL: Duration = Duration::from_secs(60);

/// Weighs the workers of all pools, once a minute and when the pools change, until `stop` or until the hub has gone.
pub async fn run(procfs: PathBuf, pools: watch::Receiver<Arc<[Weighed]>>, sink: Sink, stop: CancellationToken) {
    if let Some(Err(Closed)) = stop.run_until_cancelled(weigh_again(procfs.into(), pools, sink)).await {
        tracing::debug!("no one reads the memory of workers any more");
    }
}

async fn weigh_again(procfs: Arc<Path>, mut pools: watch::Receiver<Arc<[Weighed]>>, sink: Sink) -> Result<(), Closed> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = pools.changed() => {}
        }
        let (procfs, pools) = (Arc::clone(&procfs), Arc::clone(&pools.borrow_and_update()));
        match tokio::task::spawn_blocking(move || weigh(&procfs, &pools)).await {
            Ok(memory) => sink.send(Observation::PoolMemory(memory)).await?,
            Err(error) => tracing::error!(%error, "weighing the workers failed"),
        }
    }
}

/// Without the host's available memory, the sizes are told all the same, and no recommendation.
fn weigh(procfs: &Path, pools: &[Weighed]) -> Vec<PoolMemory> {
    let workers: Vec<Workers> = pools.iter().map(|pool| pool.workers.clone()).collect();
    let measured = read(procfs, &Processes::read(procfs), &workers);
    let limit = |label: &Arc<str>| pools.iter().find(|pool| pool.workers.pool == *label)?.max_children.map(u64::from);
    let held: Vec<Held> = measured
        .iter()
        .map(|memory| Held { workers: memory.workers, bytes: memory.sum, max_children: limit(&memory.pool) })
        .collect();
    let available = Meminfo::from_file(procfs.join("meminfo")).ok().and_then(|memory| memory.mem_available);
    let fitting = available.map(|available| recommended(available, &held)).unwrap_or_default();
    let fitting = fitting.into_iter().chain(std::iter::repeat(None));
    measured.into_iter().zip(fitting).map(|(memory, recommended)| PoolMemory { memory, recommended }).collect()
}
