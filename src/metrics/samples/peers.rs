//! Samples of upstream peers.

use std::fmt;

use super::{shown, timestamp};
use crate::metrics::writer::{Number, Samples};
use crate::state::{Listening, Peer, ProbePhase, ProbeReason, Snapshot};

/// The reasons that are failures: where nothing was probed, nothing failed.
pub(in crate::metrics) fn failures() -> impl Iterator<Item = ProbeReason> {
    ProbeReason::ALL.iter().copied().filter(|reason| !reason.is_skip())
}

pub(in crate::metrics) fn up(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_peers(snapshot, out, |peer| peer.is_up().map(Number::from))
}

pub(in crate::metrics) fn probe_failures(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.probe_failures.rows().try_for_each(|(labels, row)| {
        shown(ProbeReason::ALL, row, snapshot.probe_failures.is_from_zero(labels))
            .filter(|(reason, _)| !reason.is_skip())
            .try_for_each(|(reason, n)| out.add(&[&labels.upstream, &labels.peer, reason.name()], n))
    })
}

pub(in crate::metrics) fn probe_seconds(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.probes.iter().try_for_each(|(labels, probe)| {
        ProbePhase::ALL
            .iter()
            .filter_map(|phase| Some((phase, probe.phases.get(*phase)?)))
            .try_for_each(|(phase, took)| out.add(&[&labels.upstream, &labels.peer, phase.name()], took.as_secs_f64()))
    })
}

pub(in crate::metrics) fn listening(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_peers(snapshot, out, |peer| Some((peer.listener?.listening == Listening::Yes).into()))
}

pub(in crate::metrics) fn accept_queue(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_peers(snapshot, out, |peer| Some(peer.listener?.queue?.waiting.into()))
}

pub(in crate::metrics) fn accept_queue_limit(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_peers(snapshot, out, |peer| Some(peer.listener?.queue?.limit?.into()))
}

pub(in crate::metrics) fn connections(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_peers(snapshot, out, |peer| Some(peer.listener?.busy().into()))
}

pub(in crate::metrics) fn certificate_expiry(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_peers(snapshot, out, |peer| Some(timestamp(peer.probe?.expires_at()?)?.into()))
}

pub(in crate::metrics) fn dns_stale(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot
        .names
        .iter()
        .try_for_each(|(name, reading)| out.add(&[&name.upstream, &name.host], reading.change.is_stale()))
}

fn of_peers(snapshot: &Snapshot, out: &mut Samples<'_>, number: fn(&Peer<'_>) -> Option<Number>) -> fmt::Result {
    snapshot
        .peers()
        .filter_map(|peer| Some((&peer.known.labels, number(&peer)?)))
        .try_for_each(|(labels, number)| out.add(&[&labels.upstream, &labels.peer], number))
}
