//! When which peer is probed: each on its own clock, spread over the interval, few at once.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{Prober, Shared, Target};
use crate::observation::PeerLabels;
use crate::observation::probe::{ProbeKind, ProbeReading};

/// Probes in flight at once, over all peers.
const MAX_IN_FLIGHT: usize = 64;
/// Distance between places in the interval.
const APART: Duration = Duration::from_millis(250);
/// No peer is probed more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// How probes are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How often each peer is probed.
    pub interval: Duration,
    /// How long one probe may take.
    pub deadline: Duration,
    /// Root of the file system that unix sockets and certificate files are named in.
    pub rootfs: PathBuf,
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// What is not probed.
    pub off: Off,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            deadline: Duration::from_secs(3),
            rootfs: "/".into(),
            procfs: "/proc".into(),
            off: Off::default(),
        }
    }
}

/// The off switches. A target that takes anything switched off is not probed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Off {
    /// Kinds of probe.
    pub kinds: BTreeSet<ProbeKind>,
    /// Peers, by their label.
    pub peers: BTreeSet<Arc<str>>,
}

impl Off {
    fn covers(&self, target: &Target) -> bool {
        self.peers.contains(&target.labels.peer) || target.kinds().any(|kind| self.kinds.contains(&kind))
    }
}

/// Probes the current targets until `stop`, or until nobody takes the readings. `may_probe` is asked before each probe:
/// it says no while a pool has no worker to spare, and that is then the reading.
pub async fn run(
    options: Options,
    mut targets: watch::Receiver<Arc<[Target]>>,
    may_probe: impl Fn(&PeerLabels) -> bool + Send + Sync + 'static,
    readings: mpsc::Sender<ProbeReading>,
    stop: CancellationToken,
) {
    let common = Arc::new(Common {
        interval: options.interval.max(SHORTEST_INTERVAL),
        started: Instant::now(),
        shared: Arc::new(Shared::new(options.deadline, &options.rootfs, &options.procfs)),
        in_flight: Semaphore::new(MAX_IN_FLIGHT),
        may_probe,
        readings,
    });
    let mut running = Running::default();
    loop {
        let wanted = Arc::clone(&targets.borrow_and_update());
        running.replace(wanted.iter().filter(|target| !options.off.covers(target)), &common);
        tokio::select! {
            () = stop.cancelled() => return,
            () = common.readings.closed() => return,
            () = change(&mut targets) => {}
        }
    }
}

/// Waits for other targets: for ever, once nobody can name any.
async fn change(targets: &mut watch::Receiver<Arc<[Target]>>) {
    if targets.changed().await.is_err() {
        std::future::pending().await
    }
}

/// The tasks of all targets. Dropping it ends them, and with them their connections.
#[derive(Debug, Default)]
struct Running {
    tasks: JoinSet<()>,
    by_target: HashMap<Target, AbortHandle>,
}

impl Running {
    /// Goes on with the targets that stay, ends the others, begins with the new ones.
    fn replace<'a, M>(&mut self, wanted: impl Iterator<Item = &'a Target>, common: &Arc<Common<M>>)
    where
        M: Fn(&PeerLabels) -> bool + Send + Sync + 'static,
    {
        let mut before = std::mem::take(&mut self.by_target);
        for target in wanted {
            let task = before.remove(target).unwrap_or_else(|| {
                let prober = Prober::new(target.clone(), Arc::clone(&common.shared));
                self.tasks.spawn(keep_probing(prober, Arc::clone(common)))
            });
            if let Some(twice) = self.by_target.insert(target.clone(), task) {
                twice.abort();
            }
        }
        before.values().for_each(AbortHandle::abort);
        while self.tasks.try_join_next().is_some() {}
    }
}

/// What every task needs.
struct Common<M> {
    interval: Duration,
    started: Instant,
    shared: Arc<Shared>,
    in_flight: Semaphore,
    may_probe: M,
    readings: mpsc::Sender<ProbeReading>,
}

async fn keep_probing<M: Fn(&PeerLabels) -> bool>(mut prober: Prober, common: Arc<Common<M>>) {
    let mut ticks = interval_at(common.started + offset(prober.target(), common.interval), common.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Ok(slot) = common.in_flight.acquire().await else { return };
        let reading = if (common.may_probe)(&prober.target().labels) {
            // Boxed: thousands of waiting tasks need no room for a handshake each.
            Box::pin(prober.probe()).await
        } else {
            prober.saturated()
        };
        drop(slot);
        if common.readings.send(reading).await.is_err() {
            return;
        }
    }
}

/// Where in the interval a target has its place: always the same, so that no two intervals are alike crowded. Places are
/// some way apart, so that a process with thousands of targets does not wake up for each of them.
fn offset(target: &Target, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    target.labels.hash(&mut hasher);
    let places = (interval.as_millis() / APART.as_millis()).max(1);
    let place = u128::from(hasher.finish()) % places;
    APART * u32::try_from(place).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::probe::Ask;

    #[test]
    fn targets_are_spread_over_the_interval_and_keep_their_place() {
        let target = |n: usize| {
            let labels = PeerLabels { upstream: "backend".into(), peer: format!("10.0.0.1:{n}").into() };
            Target { labels, address: "10.0.0.1:80".parse().unwrap(), tls: None, ask: Ask::Nothing }
        };
        let interval = Duration::from_secs(15);
        let mut per_second = [0; 15];
        for n in 0..1500 {
            let offset = offset(&target(n), interval);
            assert_eq!(offset, super::offset(&target(n), interval));
            per_second[usize::try_from(offset.as_secs()).unwrap()] += 1;
        }
        assert!(per_second.iter().all(|count| (50..200).contains(count)), "{per_second:?}");
        assert_eq!(offset(&target(1), Duration::from_millis(10)), Duration::ZERO);
    }
}
