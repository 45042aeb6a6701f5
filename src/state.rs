//! What is known, and the one place that changes it.
//!
//! [`State::apply`] is the only writer; everything else looks at a [`Snapshot`], which never changes. Counters only grow
//! and live as long as the process; readings disappear when they can no longer be taken.

mod counters;
pub mod hub;
mod label;
mod snapshot;

pub use counters::OpenCounters;
pub use label::{MAX_LABEL_BYTES, OpenLabels};
pub use snapshot::{Input, Snapshot};

// The words a snapshot speaks: who renders one needs no other module.
pub use crate::observation::{
    Failure, FailureReason, FileDelta, Level, LocalClass, PeerLabels, PhpKind, ProcessUsage, Reload, UpstreamClass,
};

use std::sync::Arc;
use std::time::SystemTime;

use crate::observation::{Health, LogDelta, NGINX_ERROR_LOG, Observation, PROCESS, SeriesDelta};

use label::cleaned;

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
}

impl State {
    /// Nothing seen yet: every closed set at zero, every reading absent.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { now: Snapshot::empty(limits, SystemTime::UNIX_EPOCH), limits }
    }

    /// The state as of `taken_at`.
    #[must_use]
    pub fn snapshot(&self, taken_at: SystemTime) -> Arc<Snapshot> {
        Arc::new(Snapshot { taken_at, ..self.now.clone() })
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
            // Applied by the modules that follow.
            Observation::Known(_)
            | Observation::Sockets(_)
            | Observation::Pool(_)
            | Observation::PoolMemory(_)
            | Observation::Probe(_) => {}
        }
    }

    fn log(&mut self, delta: LogDelta) {
        let LogDelta { file, read, levels, upstream, local, series, lag, at: _ } = delta;
        let now = &mut self.now;
        add_all(&mut now.entries, &levels);
        add_all(&mut now.upstream_failures, &upstream);
        add_all(&mut now.local_errors, &local);
        for moved in series {
            match moved {
                SeriesDelta::Upstream(peer, class, n) => {
                    now.upstream_errors.update(peer, |row| add_at(row, class.index(), n));
                }
                SeriesDelta::Server(server, class, n) => {
                    now.server_errors.update(server, |row| add_at(row, class.index(), n));
                }
                SeriesDelta::Php(kind, peer, n) => now.php_errors.update(peer, |row| add_at(row, kind.index(), n)),
                SeriesDelta::PeerDisabled(peer, n) => now.peers_disabled.update(peer, |row| add(row, n)),
            }
        }
        // A file drained after its input left has no input any more: then the lag is nobody's.
        if let Some(input) = now.inputs.get_mut(&cleaned(error_log_input(&file).into()))
            && input.outcome.is_ok()
        {
            input.lag = Some(lag);
        }
        now.files.update(file, |total| add_file(total, read));
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
