//! The clock of the socket queues.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::queue::{QueueReader, Wanted};
use crate::inputs::{Closed, Sink};
use crate::observation::socket::{ListenerState, SocketReading};
use crate::observation::{Failure, FailureReason, Health, Observation, SOCKETS};

/// What the last look says about single peers: who talks to them asks here first, so as not to take a pool's last worker.
#[derive(Debug, Default)]
pub struct Saturation {
    by_peer: RwLock<HashMap<String, Load>>,
}

#[derive(Debug, Clone, Copy)]
struct Load {
    busy: u64,
    waiting: u64,
}

impl Saturation {
    /// Whether every worker of the peer is busy, as far as the kernel tells: somebody waits, or as many are served as
    /// there may be workers.
    #[must_use]
    pub fn is_saturated(&self, peer: &str, max_children: Option<u32>) -> bool {
        let by_peer = self.by_peer.read().unwrap_or_else(PoisonError::into_inner);
        by_peer
            .get(peer)
            .is_some_and(|load| load.waiting > 0 || max_children.is_some_and(|limit| load.busy >= u64::from(limit)))
    }

    fn update(&self, reading: &SocketReading) {
        let load =
            |state: &ListenerState| Load { busy: state.busy(), waiting: state.queue.map_or(0, |queue| queue.waiting) };
        let now = reading.listeners.iter();
        let now = now.filter_map(|(key, state)| Some((key.to_string(), load(state.as_ref().ok()?)))).collect();
        *self.by_peer.write().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Looks at the tables until `stop`, or until the hub has gone.
pub async fn run(
    reader: QueueReader,
    wanted: watch::Receiver<Arc<Wanted>>,
    every: Duration,
    saturation: Arc<Saturation>,
    sink: Sink,
    stop: CancellationToken,
) {
    let watching = look_again(reader, wanted, every, saturation, sink);
    if let Some(Err(Closed)) = stop.run_until_cancelled(watching).await {
        tracing::debug!("no one reads the socket queues any more");
    }
}

async fn look_again(
    mut reader: QueueReader,
    wanted: watch::Receiver<Arc<Wanted>>,
    every: Duration,
    saturation: Arc<Saturation>,
    sink: Sink,
) -> Result<(), Closed> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        ticks.tick().await;
        let targets = Arc::clone(&wanted.borrow());
        // One look at a time: the reader goes there and comes back.
        let look = tokio::task::spawn_blocking(move || {
            let reading = reader.read(&targets, SystemTime::now());
            (reader, reading)
        });
        let Ok((back, reading)) = look.await else {
            tracing::error!("reading the socket tables failed; they are read no more");
            return std::future::pending().await;
        };
        reader = back;
        saturation.update(&reading);
        let outcome = health(&reading);
        if said.as_ref() != Some(&outcome) {
            let health = Health { input: SOCKETS.into(), outcome: outcome.clone(), at: reading.at };
            sink.send(Observation::Health(health)).await?;
            said = Some(outcome);
        }
        sink.send(Observation::Sockets(Box::new(reading))).await?;
    }
}

/// The input works while every listener could be looked up.
fn health(reading: &SocketReading) -> Result<(), Failure> {
    let failure = reading.listeners.iter().find_map(|(_, state)| state.as_ref().err());
    match failure {
        None => Ok(()),
        Some(failure) => Err(Failure {
            reason: FailureReason::Io,
            what: Arc::clone(&failure.what),
            detail: Arc::clone(&failure.detail),
        }),
    }
}
