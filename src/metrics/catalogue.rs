//! Every family, once. `docs/metrics.md` is tested against this table.
//!
//! Only counters and gauges (and histograms, when one is needed): these have the same type in OpenMetrics 1.0 and in text
//! 0.0.4. Help texts are single lines without backslash, because prometheus-client does not escape them.

mod family;

pub use family::{Family, Kind, Label, Values};

use super::samples::{self, peers, pools};
use crate::state::{
    FailureReason, Level, LocalClass, MemoryKind, PhpKind, ProbePhase, ProbeReason, Snapshot, StatusReason,
    UpstreamClass, WorkerState,
};

const fn open(name: &'static str) -> Label {
    Label { name, values: Values::Open }
}

const fn closed(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label { name, values: Values::Closed(values) }
}

const UPSTREAM_CLASS: Label = closed("class", || UpstreamClass::ALL.iter().map(|class| class.name()).collect());
const LOCAL_CLASS: Label = closed("class", || LocalClass::ALL.iter().map(|class| class.name()).collect());
const PHP_KIND: Label = closed("kind", || PhpKind::ALL.iter().map(|kind| kind.name()).collect());
const LEVEL: Label = closed("level", || Level::ALL.iter().map(|level| level.name()).collect());
const REASON: Label = closed("reason", || samples::lasting_reasons().map(FailureReason::name).collect());
const PROBE_REASON: Label = closed("reason", || peers::failures().map(ProbeReason::name).collect());
const PHASE: Label = closed("phase", || ProbePhase::ALL.iter().map(|phase| phase.name()).collect());
const STATUS_REASON: Label = closed("reason", || pools::failures().map(StatusReason::name).collect());
const WORKER_STATE: Label = closed("state", || WorkerState::ALL.iter().map(|state| state.name()).collect());
const MEMORY_KIND: Label = closed("kind", || MemoryKind::ALL.iter().map(|kind| kind.name()).collect());
const MEMORY_STAT: Label = closed("stat", || pools::MEMORY_STATS.into());
const CAPPED_FAMILY: Label = closed("family", || overflows().map(|(family, _)| family).collect());

/// The families that are capped, and what tells how much went past the cap.
pub(super) fn overflows() -> impl Iterator<Item = (&'static str, fn(&Snapshot) -> u64)> {
    FAMILIES.iter().filter_map(|family| Some((family.name, family.overflow?)))
}

fn total(row: &[u64]) -> u64 {
    row.iter().fold(0, |sum, n| sum.saturating_add(*n))
}

/// Every family, in the order of exposition.
pub static FAMILIES: &[Family] = &[
    Family::counter(
        "nginx_upstream_failures_total",
        &[UPSTREAM_CLASS],
        "Failed attempts at an upstream on the whole host, by class.",
        samples::upstream_failures,
    ),
    Family::counter(
        "nginx_upstream_errors_total",
        &[open("upstream"), open("peer"), UPSTREAM_CLASS],
        "Failed attempts at an upstream, by upstream, peer and class; from 0 for known peers while they are few, otherwise from the first event.",
        samples::upstream_errors,
    )
    .capped(|s| total(s.upstream_errors.overflow())),
    Family::counter(
        "nginx_server_upstream_errors_total",
        &[open("server"), UPSTREAM_CLASS],
        "Failed attempts at an upstream, by virtual host and class; a series starts with its first event.",
        samples::server_errors,
    )
    .capped(|s| total(s.server_errors.overflow())),
    Family::counter(
        "nginx_local_errors_total",
        &[LOCAL_CLASS],
        "Failures inside nginx or its host, by class.",
        samples::local_errors,
    ),
    Family::counter(
        "nginx_php_errors_total",
        &[PHP_KIND, open("peer")],
        "PHP messages nginx received on FastCGI standard error, by kind and peer; a series starts with its first event.",
        samples::php_errors,
    )
    .capped(|s| total(s.php_errors.overflow())),
    Family::counter(
        "nginx_error_log_entries_total",
        &[LEVEL],
        "Entries of the error logs, by level.",
        samples::entries,
    ),
    Family::counter(
        "nginx_peer_disabled_total",
        &[open("upstream"), open("peer")],
        "How often nginx took a peer out of its upstream for a while; from 0 for known peers while they are few.",
        samples::peers_disabled,
    )
    .capped(|s| *s.peers_disabled.overflow()),
    Family::gauge(
        "nginx_upstream_up",
        &[open("upstream"), open("peer")],
        "Whether the last probe of the peer succeeded; absent where it was not probed.",
        peers::up,
    )
    .capped(|s| s.peers_overflow),
    Family::counter(
        "nginx_upstream_probe_failures_total",
        &[open("upstream"), open("peer"), PROBE_REASON],
        "Failed probes of the peer, by reason; from 0 for known peers while they are few.",
        peers::probe_failures,
    )
    .capped(|s| total(s.probe_failures.overflow())),
    Family::gauge(
        "nginx_upstream_probe_seconds",
        &[open("upstream"), open("peer"), PHASE],
        "How long each phase of the last probe took; absent for what was not done or failed.",
        peers::probe_seconds,
    ),
    Family::gauge(
        "nginx_upstream_listening",
        &[open("upstream"), open("peer")],
        "Local peers: whether a connection to the address reaches a listening socket, as the kernel has it.",
        peers::listening,
    ),
    Family::gauge(
        "nginx_upstream_accept_queue",
        &[open("upstream"), open("peer")],
        "Local peers: connections that wait to be accepted, as the kernel has it.",
        peers::accept_queue,
    ),
    Family::gauge(
        "nginx_upstream_accept_queue_limit",
        &[open("upstream"), open("peer")],
        "Local peers: the backlog in force; one connection more than this can wait.",
        peers::accept_queue_limit,
    ),
    Family::gauge(
        "nginx_upstream_connections",
        &[open("upstream"), open("peer")],
        "Local peers: connections accepted and open, without those of the exporter.",
        peers::connections,
    ),
    Family::gauge(
        "nginx_upstream_certificate_expiry_timestamp_seconds",
        &[open("upstream"), open("peer")],
        "When the first of the certificates that the peer presents runs out, in seconds since the epoch.",
        peers::certificate_expiry,
    ),
    Family::gauge(
        "nginx_upstream_dns_stale",
        &[open("upstream"), open("host")],
        "Whether the name resolves to other addresses than at the first look since nginx loaded its configuration; absent while no nginx is seen.",
        peers::dns_stale,
    ),
    Family::gauge(
        "phpfpm_up",
        &[open("pool")],
        "Whether the status page answered; absent where there is none, and while every worker is busy, when it is not asked: then phpfpm_busy_workers tells that the pool lives.",
        pools::up,
    )
    .capped(|s| s.pools_overflow),
    Family::counter(
        "phpfpm_status_failures_total",
        &[open("pool"), STATUS_REASON],
        "Failed looks at the status page, by reason; from 0 for known pools while they are few.",
        pools::status_failures,
    )
    .capped(|s| total(s.status_failures.overflow())),
    Family::gauge(
        "phpfpm_max_children",
        &[open("pool")],
        "The most workers the pool may have, from its configuration.",
        pools::max_children,
    ),
    Family::gauge(
        "phpfpm_busy_workers",
        &[open("pool")],
        "Workers that serve a connection: from the kernel, true also while the pool is saturated; from the status page where the kernel does not see the pool.",
        pools::busy_workers,
    ),
    Family::gauge(
        "phpfpm_saturation_ratio",
        &[open("pool")],
        "Busy workers as a share of max_children; at 1 the next request waits.",
        pools::saturation,
    ),
    Family::gauge(
        "phpfpm_listen_queue",
        &[open("pool")],
        "Connections that wait for a worker: from the kernel; from the status page for TCP only, where the kernel does not see the pool.",
        pools::listen_queue,
    ),
    Family::gauge(
        "phpfpm_listen_queue_limit",
        &[open("pool")],
        "The backlog in force: from the kernel; from the status page for TCP only, where the kernel does not tell.",
        pools::listen_queue_limit,
    ),
    Family::gauge(
        "phpfpm_processes",
        &[open("pool"), WORKER_STATE],
        "Workers by state, from the status page.",
        pools::processes,
    ),
    Family::gauge(
        "phpfpm_active_processes",
        &[open("pool")],
        "Workers that do anything but wait for a request, from the status page; the one that answers it counts.",
        pools::active_processes,
    ),
    Family::gauge(
        "phpfpm_idle_processes",
        &[open("pool")],
        "Workers that wait for a request, from the status page.",
        pools::idle_processes,
    ),
    Family::gauge(
        "phpfpm_total_processes",
        &[open("pool")],
        "Workers, from the status page.",
        pools::total_processes,
    ),
    Family::gauge(
        "phpfpm_max_active_processes",
        &[open("pool")],
        "The most workers that were active, from the status page.",
        pools::max_active_processes,
    ),
    Family::gauge(
        "phpfpm_max_listen_queue",
        &[open("pool")],
        "The most connections that waited for a worker, from the status page.",
        pools::max_listen_queue,
    ),
    Family::counter(
        "phpfpm_accepted_connections_total",
        &[open("pool")],
        "Connections accepted, from the status page; goes on over restarts of FPM.",
        pools::accepted_connections,
    ),
    Family::counter(
        "phpfpm_max_children_reached_total",
        &[open("pool")],
        "How often max_children was reached, from the status page; goes on over restarts of FPM. FPM does not count it for pm = static.",
        pools::max_children_reached,
    ),
    Family::counter(
        "phpfpm_slow_requests_total",
        &[open("pool")],
        "Requests slower than request_slowlog_timeout, from the status page; goes on over restarts of FPM.",
        pools::slow_requests,
    ),
    Family::gauge(
        "phpfpm_start_time_seconds",
        &[open("pool")],
        "When the pool was started or reloaded, in seconds since the epoch, from the status page.",
        pools::start_time,
    ),
    Family::gauge(
        "phpfpm_longest_request_seconds",
        &[open("pool")],
        "How long the oldest running request has been running, from the status page; absent when none runs.",
        pools::longest_request,
    ),
    Family::gauge(
        "phpfpm_worker_memory_bytes",
        &[open("pool"), MEMORY_STAT, MEMORY_KIND],
        "Memory of the pool's workers: proportional (pss), or resident (rss) where that may not be read.",
        pools::worker_memory,
    ),
    Family::gauge(
        "phpfpm_recommended_max_children",
        &[open("pool")],
        "How many workers fit into the available memory and what the workers hold, shared between the pools.",
        pools::recommended_max_children,
    ),
    Family::counter(
        "host_listen_overflows_total",
        &[],
        "Connections the network namespace turned away because a TCP accept queue was full.",
        samples::listen_overflows,
    ),
    Family::gauge(
        "nginx_502_exporter_build_info",
        &[open("version"), open("arch")],
        "Always 1; its labels tell which exporter this is.",
        samples::build_info,
    ),
    Family::gauge(
        "nginx_502_exporter_input_up",
        &[open("input")],
        "Whether the input can do its work.",
        samples::input_up,
    )
    .capped(|s| s.inputs_overflow),
    Family::gauge(
        "nginx_502_exporter_input_failure",
        &[open("input"), REASON],
        "1 for the reason why the input cannot do its work, otherwise 0.",
        samples::input_failure,
    ),
    Family::gauge(
        "nginx_502_exporter_input_lag_seconds",
        &[open("input")],
        "How long the newest byte of the last reading may have waited to be read; absent while the input is down.",
        samples::input_lag,
    ),
    Family::gauge(
        "nginx_502_exporter_permission_missing",
        &[open("what")],
        "1 while this may not be read by the exporter, 0 once the permission was granted.",
        samples::permission_missing,
    ),
    Family::counter("nginx_502_exporter_log_bytes_total", &[open("file")], "Bytes read from the log.", samples::log_bytes)
    .capped(|s| s.files.overflow().bytes),
    Family::counter(
        "nginx_502_exporter_log_lines_total",
        &[open("file")],
        "Lines read from the log, continuation lines included.",
        samples::log_lines,
    )
    .capped(|s| s.files.overflow().lines),
    Family::counter(
        "nginx_502_exporter_log_lines_unrecognised_total",
        &[open("file")],
        "Lines that belong to no log entry the exporter knows.",
        samples::log_unrecognised,
    )
    .capped(|s| s.files.overflow().unrecognised),
    Family::counter(
        "nginx_502_exporter_log_rotations_total",
        &[open("file")],
        "Rotations of the log: a new file under its name, or a truncation.",
        samples::log_rotations,
    )
    .capped(|s| s.files.overflow().rotations),
    Family::counter(
        "nginx_502_exporter_log_bytes_lost_total",
        &[open("file")],
        "Bytes of the log known to be lost: truncated before they were read, or cut from an overlong line.",
        samples::log_bytes_lost,
    )
    .capped(|s| s.files.overflow().lost_bytes),
    Family::counter(
        "nginx_502_exporter_label_overflow_total",
        &[CAPPED_FAMILY],
        "What was counted under the label value other because the family was full; for input_up, upstream_up and phpfpm_up, what was not shown.",
        samples::label_overflow,
    ),
    Family::gauge(
        "nginx_502_exporter_config_last_reload_successful",
        &[],
        "Whether the last attempt to read the configuration succeeded.",
        samples::reload_successful,
    ),
    Family::gauge(
        "nginx_502_exporter_config_last_reload_success_timestamp_seconds",
        &[],
        "When the configuration was last read successfully, in seconds since the epoch.",
        samples::reload_success_time,
    ),
    Family::counter(
        "process_cpu_seconds_total",
        &[],
        "User and system CPU time the exporter spent.",
        samples::process_cpu,
    ),
    Family::gauge("process_resident_memory_bytes", &[], "Resident memory of the exporter.", samples::process_resident),
    Family::gauge("process_virtual_memory_bytes", &[], "Virtual memory of the exporter.", samples::process_virtual),
    Family::gauge("process_open_fds", &[], "Open file descriptors of the exporter.", samples::process_open_fds),
    Family::gauge("process_max_fds", &[], "Limit on open file descriptors.", samples::process_max_fds),
    Family::gauge(
        "process_start_time_seconds",
        &[],
        "When the exporter was started, in seconds since the epoch.",
        samples::process_start_time,
    ),
    Family::gauge("process_threads", &[], "Threads of the exporter.", samples::process_threads),
];
