//! What is known, and the one place that changes it.
//!
//! [`State::apply`] is the only writer; everything else looks at a [`Snapshot`], which never changes. Counters only grow
//! and live as long as the process; readings disappear when they can no longer be taken.

mod counters;
pub mod hub;
mod known;
mod label;
mod pools;
mod probes;
mod snapshot;
mod sockets;

pub use counters::OpenCounters;
pub use label::{MAX_LABEL_BYTES, OpenLabels};
pub use pools::{Pool, PoolTotals};
pub use probes::{NameReading, Peer, PeerName};
pub use snapshot::{Input, MAX_AGE, Snapshot};
pub use sockets::Sockets;

// The words a snapshot speaks: who renders one needs no other module.
pub use crate::observation::fpm::{FpmStatus, MemoryKind, StatusReason, WorkerState};
pub use crate::observation::probe::{ProbePhase, ProbeReason};
pub use crate::observation::socket::{ListenerState, Listening};
pub use crate::observation::{
    Failure, FailureReason, FileDelta, Level, LocalClass, PeerLabels, PhpKind, ProcessUsage, Reload, UpstreamClass,
};

use std::sync::Arc;
use std::time::SystemTime;

use crate::observation::{Health, LogDelta, NGINX_ERROR_LOG, Observation, PROCESS, SeriesDelta};

use known::UpstreamNames;
use label::cleaned;
use probes::LoadedNames;

/// How much the outside world can make us remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Different open label values (upstream and peer, server, file, …) per family. What comes later is counted under
    /// the value `other`.
    pub label_sets_per_family: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { label_sets_per_family: 500 }
    }
}

/// The truth, owned by the hub.
#[derive(Debug)]
pub struct State {
    now: Snapshot,
    limits: Limits,
    upstreams: UpstreamNames,
    loaded_names: LoadedNames,
}

impl State {
    /// Nothing seen yet: every closed set at zero, every reading absent.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            now: Snapshot::empty(limits, SystemTime::UNIX_EPOCH),
            limits,
            upstreams: UpstreamNames::new(),
            loaded_names: LoadedNames::new(),
        }
    }

    /// The state as of `taken_at`, without readings older than [`MAX_AGE`].
    #[must_use]
    pub fn snapshot(&self, taken_at: SystemTime) -> Arc<Snapshot> {
        let mut snapshot = Snapshot { taken_at, ..self.now.clone() };
        snapshot.drop_outdated();
        snapshot.into()
    }

    /// Takes note of one observation.
    pub fn apply(&mut self, observation: Observation) {
        match observation {
            Observation::Log(delta) => self.log(*delta),
            Observation::Health(health) => self.health(health),
            Observation::Process(usage) => self.now.process = Some(usage),
            Observation::Reload(reload) => {
                if reload.successful {
                    self.now.last_successful_reload = Some(reload.at);
                }
                self.now.reload = Some(reload);
            }
            Observation::Known(known) => self.known(&known),
            Observation::Sockets(reading) => self.sockets(*reading),
            Observation::Pool(reading) => self.pool(*reading),
            Observation::PoolMemory(pools) => self.pool_memory(pools),
            Observation::Probe(reading) => self.probe(*reading),
        }
    }

    fn log(&mut self, delta: LogDelta) {
        let LogDelta { file, read, levels, upstream, local, series, lag, at: _ } = delta;
        add_all(&mut self.now.entries, &levels);
        add_all(&mut self.now.upstream_failures, &upstream);
        add_all(&mut self.now.local_errors, &local);
        series.into_iter().for_each(|moved| self.series(moved));
        let now = &mut self.now;
        // A file drained after its input left has no input any more: then the lag is nobody's.
        if let Some(input) = now.inputs.get_mut(&cleaned(error_log_input(&file).into()))
            && input.outcome.is_ok()
        {
            input.lag = Some(lag);
        }
        now.files.update(file, |total| add_file(total, read));
    }

    fn series(&mut self, moved: SeriesDelta) {
        match moved {
            SeriesDelta::Upstream(peer, class, n) => {
                let peer = self.named(peer);
                self.now.upstream_errors.update(peer, |row| add_at(row, class.index(), n));
            }
            SeriesDelta::Server(server, class, n) => {
                self.now.server_errors.update(server, |row| add_at(row, class.index(), n));
            }
            SeriesDelta::Php(kind, peer, n) => self.now.php_errors.update(peer, |row| add_at(row, kind.index(), n)),
            SeriesDelta::PeerDisabled(peer, n) => {
                let peer = self.named(peer);
                self.now.peers_disabled.update(peer, |row| add(row, n));
            }
        }
    }

    fn health(&mut self, health: Health) {
        let Health { input, outcome, at } = health;
        let now = &mut self.now;
        if matches!(&outcome, Err(Failure { reason: FailureReason::Removed, .. })) {
            now.inputs.remove(&cleaned(input));
            return;
        }
        if *input == *PROCESS && outcome.is_err() {
            now.process = None;
        }
        if let (Ok(()), Some(file)) = (&outcome, error_log_file(&input)) {
            now.files.update(file.into(), |_| {});
        }
        let input = cleaned(input);
        if now.inputs.len() >= self.limits.label_sets_per_family && !now.inputs.contains_key(&input) {
            add(&mut now.inputs_overflow, 1);
            return;
        }
        let before = now.inputs.remove(&input);
        let lag = before.as_ref().and_then(|before| before.lag).filter(|_| outcome.is_ok());
        let denied = match &outcome {
            Err(Failure { reason: FailureReason::Permission, what, .. }) => Some(cleaned(Arc::clone(what))),
            _ => before.and_then(|before| before.denied),
        };
        now.inputs.insert(input, Input { outcome, at, lag, denied });
    }
}

/// Identity of the input that follows that file.
fn error_log_input(file: &str) -> String {
    format!("{NGINX_ERROR_LOG}:{file}")
}

/// The file an input follows, by its identity.
fn error_log_file(input: &str) -> Option<&str> {
    input.strip_prefix(NGINX_ERROR_LOG)?.strip_prefix(':')
}

fn add(counter: &mut u64, n: u64) {
    *counter = counter.saturating_add(n);
}

fn add_at(row: &mut [u64], index: usize, n: u64) {
    if let Some(counter) = row.get_mut(index) {
        add(counter, n);
    }
}

fn add_all<const N: usize>(row: &mut [u64; N], deltas: &[u64; N]) {
    row.iter_mut().zip(deltas).for_each(|(counter, n)| add(counter, *n));
}

fn add_file(total: &mut FileDelta, delta: FileDelta) {
    let FileDelta { bytes, lines, unrecognised, rotations, lost_bytes } = delta;
    add(&mut total.bytes, bytes);
    add(&mut total.lines, lines);
    add(&mut total.unrecognised, unrecognised);
    add(&mut total.rotations, rotations);
    add(&mut total.lost_bytes, lost_bytes);
}

#[cfg(test)]
mod tests;
