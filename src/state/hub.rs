//! The one task that owns the [`State`]: takes observations, publishes snapshots.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Snapshot, State};
use crate::observation::Observation;

/// Observations applied at once, before looking at the clock.
const BATCH: usize = 256;

/// Two snapshots are never closer together than this.
const MIN_SPACING: Duration = Duration::from_millis(5);
/// What was seen is never published later than this.
const MAX_SPACING: Duration = Duration::from_millis(250);
/// Rest after a snapshot, in multiples of what it cost: publishing takes at most 1/21 of one core.
const REST_PER_COST: u32 = 20;

/// Applies observations until every [`Sink`](crate::inputs::Sink) is gone, then publishes what is left and ends.
///
/// The first change after a quiet time is published at once; under load, snapshots are spaced by what they cost.
pub async fn run(
    mut observations: mpsc::Receiver<Observation>,
    mut state: State,
    publisher: watch::Sender<Arc<Snapshot>>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut changed = false;
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            received = observations.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    break;
                }
                batch.drain(..).for_each(|observation| state.apply(observation));
                changed = true;
            }
            () = sleep_until(not_before), if changed => {}
        }
        let started = Instant::now();
        if changed && started >= not_before {
            publisher.send_replace(state.snapshot(SystemTime::now()));
            let ended = Instant::now();
            not_before = ended + spacing(ended - started);
            changed = false;
        }
    }
    publisher.send_replace(state.snapshot(SystemTime::now()));
}

/// How long to rest after a snapshot that took this long.
fn spacing(cost: Duration) -> Duration {
    cost.saturating_mul(REST_PER_COST).clamp(MIN_SPACING, MAX_SPACING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::ProcessUsage;
    use crate::state::Limits;

    fn threads(threads: u64) -> Observation {
        Observation::Process(ProcessUsage { threads, ..ProcessUsage::default() })
    }

    fn start() -> (mpsc::Sender<Observation>, watch::Receiver<Arc<Snapshot>>, tokio::task::JoinHandle<()>) {
        let state = State::new(Limits::default());
        let (sender, observations) = mpsc::channel(16);
        let (publisher, snapshots) = watch::channel(state.snapshot(SystemTime::UNIX_EPOCH));
        (sender, snapshots, tokio::spawn(run(observations, state, publisher)))
    }

    fn seen(snapshot: &Arc<Snapshot>) -> Option<u64> {
        snapshot.process.map(|usage| usage.threads)
    }

    #[tokio::test]
    async fn every_change_is_published() {
        let (sender, mut snapshots, _hub) = start();
        for n in 1..=20 {
            sender.send(threads(n)).await.unwrap();
            let published = snapshots.wait_for(|snapshot| seen(snapshot) == Some(n));
            let snapshot = tokio::time::timeout(Duration::from_secs(5), published).await.unwrap().unwrap();
            assert!(snapshot.taken_at > SystemTime::UNIX_EPOCH);
        }
    }

    #[tokio::test]
    async fn what_came_last_is_published_when_the_inputs_have_gone() {
        let (sender, snapshots, hub) = start();
        for n in 1..=1000 {
            sender.send(threads(n)).await.unwrap();
        }
        drop(sender);
        tokio::time::timeout(Duration::from_secs(5), hub).await.unwrap().unwrap();
        assert_eq!(seen(&snapshots.borrow()), Some(1000));
    }

    #[test]
    fn snapshots_are_spaced_by_what_they_cost_within_bounds() {
        assert_eq!(spacing(Duration::ZERO), MIN_SPACING);
        assert_eq!(spacing(Duration::from_millis(2)), Duration::from_millis(40));
        assert_eq!(spacing(Duration::from_secs(1)), MAX_SPACING);
    }
}
