//! What looks at pools, sockets and peers, and the clock that finds out which there are.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::logs::Logs;
use super::survey::{Seen, Survey, survey};
use crate::config::Config;
use crate::inputs::fpm::{self, Target as PoolTarget, weigh, weigh::Weighed};
use crate::inputs::probe::{self, Target as ProbeTarget, schedule};
use crate::inputs::socket::queue::{QueueReader, Wanted};
use crate::inputs::socket::watch::{self as sockets, Saturation};
use crate::inputs::{Closed, Sink};
use crate::observation::probe::ProbeKind;
use crate::observation::{Known, Observation, PeerLabels};

/// How often the configurations of nginx and FPM are looked at again.
const SURVEY_INTERVAL: Duration = Duration::from_secs(10);

/// Readings that may wait for the sink.
const READINGS: usize = 64;

/// Where the targets of each input are set.
struct Targets {
    sockets: watch::Sender<Arc<Wanted>>,
    pools: watch::Sender<Arc<[PoolTarget]>>,
    weighed: watch::Sender<Arc<[Weighed]>>,
    probes: watch::Sender<Arc<[ProbeTarget]>>,
    /// `pm.max_children` by peer.
    limits: Arc<RwLock<HashMap<Arc<str>, u32>>>,
}

/// Starts everything that looks at pools, sockets and peers; `first` is the look that says at which to begin with.
pub(super) fn start(
    config: &Config,
    (first, seen): (Survey, Seen),
    logs: &Arc<Logs>,
    sink: &Sink,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let saturation = Arc::new(Saturation::default());
    let limits: Arc<RwLock<HashMap<Arc<str>, u32>>> = Arc::default();
    let (sockets, wanted) = watch::channel(Arc::default());
    let (pools, pool_targets) = watch::channel(Arc::from([]));
    let (weighed, weigh_targets) = watch::channel(Arc::from([]));
    let (probes, probe_targets) = watch::channel(Arc::from([]));
    let targets = Targets { sockets, pools, weighed, probes, limits: Arc::clone(&limits) };

    let reader = QueueReader::new(&config.procfs, &config.rootfs);
    let looking = Arc::clone(&saturation);
    let mut tasks = vec![
        tokio::spawn(sockets::run(reader, wanted, config.socket_interval, looking, sink.clone(), stop.clone())),
        tokio::spawn(weigh::run(config.procfs.clone(), weigh_targets, sink.clone(), stop.clone())),
    ];

    let (readings, statuses) = mpsc::channel(READINGS);
    let options = fpm::Options { interval: config.fpm_interval, deadline: config.fpm_timeout, full: true };
    let asked = Arc::clone(&saturation);
    let saturated: fpm::Saturated =
        Arc::new(move |target: &PoolTarget| asked.is_saturated(&target.peer, target.max_children));
    tasks.push(tokio::spawn(fpm::run(pool_targets, options, saturated, readings, stop.clone())));
    tasks.push(tokio::spawn(pass_on(statuses, sink.clone(), |reading| Observation::Pool(Box::new(reading)))));

    if !config.probe_disable.contains(&"all") {
        let (readings, probed) = mpsc::channel(READINGS);
        let may_probe = move |labels: &PeerLabels| {
            let limits = limits.read().unwrap_or_else(PoisonError::into_inner);
            !saturation.is_saturated(&labels.peer, limits.get(&labels.peer).copied())
        };
        tasks.push(tokio::spawn(schedule::run(
            probe_options(config),
            probe_targets,
            may_probe,
            readings,
            stop.clone(),
        )));
        tasks.push(tokio::spawn(pass_on(probed, sink.clone(), |reading| Observation::Probe(Box::new(reading)))));
    }

    let surveyor = Surveyor {
        config: config.clone(),
        targets,
        logs: Arc::clone(logs),
        sink: sink.clone(),
        seen,
        told: BTreeSet::new(),
    };
    let watching = stop.clone();
    tasks.push(tokio::spawn(async move {
        if let Some(Err(Closed)) = watching.run_until_cancelled(surveyor.run(first)).await {
            tracing::debug!("no one reads what is discovered any more");
        }
    }));
    tasks
}

fn probe_options(config: &Config) -> schedule::Options {
    let kinds = config.probe_disable.iter().filter_map(|name| ProbeKind::from_name(name)).collect();
    let peers = config.probe_exclude.iter().map(|peer| Arc::from(peer.as_str())).collect();
    schedule::Options {
        interval: config.probe_interval,
        deadline: config.probe_timeout,
        rootfs: config.rootfs.clone(),
        procfs: config.procfs.clone(),
        off: probe::schedule::Off { kinds, peers },
    }
}

/// Hands readings to the sink until their source ends or the hub has gone.
async fn pass_on<T>(mut readings: mpsc::Receiver<T>, sink: Sink, observation: fn(T) -> Observation) {
    while let Some(reading) = readings.recv().await {
        if sink.send(observation(reading)).await.is_err() {
            return;
        }
    }
}

/// Finds out what there is to look at, again and again.
struct Surveyor {
    config: Config,
    targets: Targets,
    logs: Arc<Logs>,
    sink: Sink,
    seen: Seen,
    /// Problems already told.
    told: BTreeSet<String>,
}

impl Surveyor {
    async fn run(mut self, first: Survey) -> Result<(), Closed> {
        let mut known = None;
        self.apply(first, &mut known).await?;
        let mut ticks = interval(SURVEY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is now.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let config = self.config.clone();
            let mut seen = std::mem::take(&mut self.seen);
            let look = tokio::task::spawn_blocking(move || (survey(&config, &mut seen), seen));
            let Ok((found, seen)) = look.await else {
                tracing::error!("looking at the configurations failed; what was found before stays in force");
                continue;
            };
            self.seen = seen;
            let Some(found) = found else { continue };
            self.logs.discovered(&found.error_logs);
            self.apply(found, &mut known).await?;
        }
    }

    /// Makes a survey the one in force. Inputs whose targets are the same notice nothing.
    async fn apply(&mut self, found: Survey, known: &mut Option<Known>) -> Result<(), Closed> {
        for problem in &found.problems {
            if self.told.len() < 1_000 && self.told.insert(problem.clone()) {
                tracing::warn!(problem, "a configuration was not understood in full");
            }
        }
        if known.as_ref() != Some(&found.known) {
            tracing::info!(peers = found.known.peers.len(), pools = found.known.pools.len(), "discovered");
            self.sink.send(Observation::Known(Arc::new(found.known.clone()))).await?;
            *known = Some(found.known);
            self.targets.sockets.send_replace(Arc::new(Wanted::new(found.listeners)));
        }
        let limit = |label: &Arc<str>| found.pools.iter().find(|pool| pool.pool == *label)?.max_children;
        let weighed: Vec<Weighed> =
            found.workers.into_iter().map(|workers| Weighed { max_children: limit(&workers.pool), workers }).collect();
        let limits = found.pools.iter().filter_map(|pool| Some((Arc::clone(&pool.peer), pool.max_children?))).collect();
        *self.targets.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        replace(&self.targets.weighed, weighed);
        replace(&self.targets.pools, found.pools);
        replace(&self.targets.probes, found.probes);
        Ok(())
    }
}

fn replace<T: PartialEq>(targets: &watch::Sender<Arc<[T]>>, now: Vec<T>) {
    targets.send_if_modified(|before| {
        let changed = **before != *now;
        if changed {
            *before = now.into();
        }
        changed
    });
}
