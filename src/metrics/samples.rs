//! What each family of the catalogue takes out of a snapshot.

pub(super) mod peers;
pub(super) mod pools;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::catalogue::overflows;
use super::writer::{Number, Samples};
use crate::state::{
    Failure, FailureReason, FileDelta, Level, LocalClass, PhpKind, ProcessUsage, Snapshot, UpstreamClass,
};

pub(super) fn upstream_failures(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    all(UpstreamClass::ALL, &snapshot.upstream_failures).try_for_each(|(class, n)| out.add(&[class.name()], n))
}

pub(super) fn upstream_errors(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.upstream_errors.rows().try_for_each(|(labels, row)| {
        let from_zero = snapshot.upstream_errors.is_from_zero(labels);
        shown(UpstreamClass::ALL, row, from_zero)
            .try_for_each(|(class, n)| out.add(&[&labels.upstream, &labels.peer, class.name()], n))
    })
}

pub(super) fn server_errors(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.server_errors.rows().try_for_each(|(server, row)| {
        shown(UpstreamClass::ALL, row, false).try_for_each(|(class, n)| out.add(&[server, class.name()], n))
    })
}

pub(super) fn local_errors(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    all(LocalClass::ALL, &snapshot.local_errors).try_for_each(|(class, n)| out.add(&[class.name()], n))
}

pub(super) fn php_errors(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.php_errors.rows().try_for_each(|(peer, row)| {
        shown(PhpKind::ALL, row, false).try_for_each(|(kind, n)| out.add(&[kind.name(), peer], n))
    })
}

pub(super) fn entries(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    all(Level::ALL, &snapshot.entries).try_for_each(|(level, n)| out.add(&[level.name()], n))
}

pub(super) fn peers_disabled(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.peers_disabled.rows().try_for_each(|(labels, n)| out.add(&[&labels.upstream, &labels.peer], *n))
}

pub(super) fn build_info(_: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    out.add(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH], 1)
}

pub(super) fn input_up(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.inputs.iter().try_for_each(|(name, input)| out.add(&[name], input.outcome.is_ok()))
}

pub(super) fn input_failure(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.inputs.iter().try_for_each(|(name, input)| {
        let failed = input.outcome.as_ref().err().map(|failure| failure.reason);
        lasting_reasons().try_for_each(|reason| out.add(&[name, reason.name()], failed == Some(reason)))
    })
}

pub(super) fn input_lag(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot
        .inputs
        .iter()
        .filter_map(|(name, input)| Some((name, input.lag?)))
        .try_for_each(|(name, lag)| out.add(&[name], lag.as_secs_f64()))
}

pub(super) fn permission_missing(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    let mut missing = std::collections::BTreeMap::new();
    for input in snapshot.inputs.values() {
        if let Some(what) = &input.denied {
            *missing.entry(what).or_insert(false) |= is_denied(&input.outcome);
        }
    }
    missing.into_iter().try_for_each(|(what, now)| out.add(&[what], now))
}

pub(super) fn log_bytes(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_files(snapshot, out, |file| file.bytes)
}

pub(super) fn log_lines(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_files(snapshot, out, |file| file.lines)
}

pub(super) fn log_unrecognised(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_files(snapshot, out, |file| file.unrecognised)
}

pub(super) fn log_rotations(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_files(snapshot, out, |file| file.rotations)
}

pub(super) fn log_bytes_lost(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_files(snapshot, out, |file| file.lost_bytes)
}

pub(super) fn label_overflow(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    overflows().try_for_each(|(family, overflow)| out.add(&[family], overflow(snapshot)))
}

pub(super) fn reload_successful(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.reload.iter().try_for_each(|reload| out.add(&[], reload.successful))
}

pub(super) fn reload_success_time(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.last_successful_reload.and_then(timestamp).into_iter().try_for_each(|timestamp| out.add(&[], timestamp))
}

pub(super) fn listen_overflows(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.listen_overflows.iter().try_for_each(|n| out.add(&[], *n))
}

pub(super) fn process_cpu(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_process(snapshot, out, |usage| usage.cpu_seconds.into())
}

pub(super) fn process_resident(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_process(snapshot, out, |usage| usage.resident_bytes.into())
}

pub(super) fn process_virtual(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_process(snapshot, out, |usage| usage.virtual_bytes.into())
}

pub(super) fn process_open_fds(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_process(snapshot, out, |usage| usage.open_fds.into())
}

pub(super) fn process_max_fds(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_process(snapshot, out, |usage| usage.max_fds.into())
}

pub(super) fn process_start_time(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_process(snapshot, out, |usage| usage.start_time_seconds.into())
}

pub(super) fn process_threads(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_process(snapshot, out, |usage| usage.threads.into())
}

/// Every reason an input can be down for. An input that was removed is not down: it is gone, with its series.
pub(super) fn lasting_reasons() -> impl Iterator<Item = FailureReason> {
    FailureReason::ALL.iter().copied().filter(|reason| *reason != FailureReason::Removed)
}

fn is_denied(outcome: &Result<(), Failure>) -> bool {
    outcome.as_ref().is_err_and(|failure| failure.reason == FailureReason::Permission)
}

/// The members of a closed set with their counters.
fn all<'a, T: Copy>(members: &'static [T], row: &'a [u64]) -> impl Iterator<Item = (T, u64)> + 'a {
    members.iter().copied().zip(row.iter().copied())
}

/// The same; without those that never happened, unless the row is shown from 0 on.
fn shown<'a, T: Copy>(members: &'static [T], row: &'a [u64], from_zero: bool) -> impl Iterator<Item = (T, u64)> + 'a {
    all(members, row).filter(move |(_, n)| from_zero || *n > 0)
}

/// Seconds since the epoch, to the fraction; `None` before it.
fn timestamp(moment: SystemTime) -> Option<f64> {
    moment.duration_since(UNIX_EPOCH).ok().map(|since_epoch| since_epoch.as_secs_f64())
}

fn of_files(snapshot: &Snapshot, out: &mut Samples<'_>, number: fn(&FileDelta) -> u64) -> fmt::Result {
    snapshot.files.rows().try_for_each(|(file, total)| out.add(&[file], number(total)))
}

fn of_process(snapshot: &Snapshot, out: &mut Samples<'_>, number: fn(&ProcessUsage) -> Number) -> fmt::Result {
    snapshot.process.iter().try_for_each(|usage| out.add(&[], number(usage)))
}
