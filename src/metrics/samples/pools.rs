//! Samples of PHP-FPM pools.

use std::fmt;

use super::{all, shown};
use crate::metrics::writer::{Number, Samples};
use crate::state::{Pool, PoolTotals, Snapshot, StatusReason, WorkerState};

/// Values of the label `stat` of the workers' memory.
pub(in crate::metrics) const MEMORY_STATS: [&str; 3] = ["sum", "max", "mean"];

/// The reasons that are failures: where nothing was asked, nothing failed.
pub(in crate::metrics) fn failures() -> impl Iterator<Item = StatusReason> {
    StatusReason::ALL.iter().copied().filter(|reason| !reason.is_skip())
}

pub(in crate::metrics) fn up(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| pool.is_up().map(Number::from))
}

pub(in crate::metrics) fn status_failures(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.status_failures.rows().try_for_each(|(pool, row)| {
        shown(StatusReason::ALL, row, snapshot.status_failures.is_from_zero(pool))
            .filter(|(reason, _)| !reason.is_skip())
            .try_for_each(|(reason, n)| out.add(&[pool, reason.name()], n))
    })
}

pub(in crate::metrics) fn max_children(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(u64::from(pool.known.max_children?).into()))
}

pub(in crate::metrics) fn busy_workers(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| pool.busy().map(Number::from))
}

pub(in crate::metrics) fn saturation(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| pool.saturation().map(Number::from))
}

pub(in crate::metrics) fn listen_queue(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| pool.waiting().map(Number::from))
}

pub(in crate::metrics) fn listen_queue_limit(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| pool.waiting_limit().map(Number::from))
}

pub(in crate::metrics) fn processes(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.pools().filter_map(|pool| Some((&pool.known.pool, pool.status()?.processes?))).try_for_each(
        |(pool, counts)| {
            all(WorkerState::ALL, &counts.states).try_for_each(|(state, n)| out.add(&[pool, state.name()], n))
        },
    )
}

pub(in crate::metrics) fn active_processes(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.status()?.active?.into()))
}

pub(in crate::metrics) fn idle_processes(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.status()?.idle?.into()))
}

pub(in crate::metrics) fn total_processes(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.status()?.total?.into()))
}

pub(in crate::metrics) fn max_active_processes(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.status()?.max_active?.into()))
}

pub(in crate::metrics) fn max_listen_queue(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.status()?.max_listen_queue?.into()))
}

pub(in crate::metrics) fn accepted_connections(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_totals(snapshot, out, |totals| totals.accepted)
}

pub(in crate::metrics) fn max_children_reached(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_totals(snapshot, out, |totals| totals.max_children_reached)
}

pub(in crate::metrics) fn slow_requests(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_totals(snapshot, out, |totals| totals.slow_requests)
}

pub(in crate::metrics) fn start_time(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.status()?.start_time?.into()))
}

pub(in crate::metrics) fn longest_request(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.status()?.processes?.longest_request?.as_secs_f64().into()))
}

pub(in crate::metrics) fn worker_memory(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    snapshot.pool_memory.iter().try_for_each(|(pool, measured)| {
        let memory = &measured.memory;
        MEMORY_STATS
            .into_iter()
            .zip([Some(memory.sum), Some(memory.max), memory.mean()])
            .filter_map(|(stat, bytes)| Some((stat, bytes?)))
            .try_for_each(|(stat, bytes)| out.add(&[pool, stat, memory.kind.name()], bytes))
    })
}

pub(in crate::metrics) fn recommended_max_children(snapshot: &Snapshot, out: &mut Samples<'_>) -> fmt::Result {
    of_pools(snapshot, out, |pool| Some(pool.memory?.recommended?.into()))
}

fn of_pools(snapshot: &Snapshot, out: &mut Samples<'_>, number: fn(Pool<'_>) -> Option<Number>) -> fmt::Result {
    snapshot
        .pools()
        .filter_map(|pool| Some((&pool.known.pool, number(pool)?)))
        .try_for_each(|(pool, number)| out.add(&[pool], number))
}

fn of_totals(snapshot: &Snapshot, out: &mut Samples<'_>, number: fn(&PoolTotals) -> Option<u64>) -> fmt::Result {
    snapshot
        .pool_totals
        .iter()
        .filter_map(|(pool, totals)| Some((pool, number(totals)?)))
        .try_for_each(|(pool, number)| out.add(&[pool], number))
}
