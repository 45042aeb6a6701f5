//! Every family, once. `docs/metrics.md` is tested against this table.
//!
//! Only counters and gauges (and histograms, when one is needed): these have the same type in OpenMetrics 1.0 and in text
//! 0.0.4. Help texts are single lines without backslash, because prometheus-client does not escape them.

use std::fmt;

use prometheus_client::registry::Unit;

use super::samples;
use super::writer::Samples;
use crate::state::{FailureReason, Level, LocalClass, PhpKind, Snapshot, UpstreamClass};

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// The name of its series, in both formats.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it means, in one line.
    pub help: &'static str,
    /// Its labels, in order.
    pub labels: &'static [Label],
    /// Writes its samples.
    pub(super) samples: Write,
    /// For a family whose open labels are capped: what was counted under `other`.
    pub(super) overflow: Option<fn(&Snapshot) -> u64>,
}

type Write = fn(&Snapshot, &mut Samples<'_>) -> fmt::Result;

/// Type of a [`Family`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A label of a [`Family`].
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// The values it can have.
    pub values: Values,
}

/// The values a [`Label`] can have.
#[derive(Debug)]
pub enum Values {
    /// Named by configuration, file names or logs; capped.
    Open,
    /// These and no others. In a family without open label each of them is there from the start.
    Closed(fn() -> Vec<&'static str>),
}

impl Family {
    const fn counter(name: &'static str, labels: &'static [Label], help: &'static str, samples: Write) -> Self {
        Self { name, kind: Kind::Counter, help, labels, samples, overflow: None }
    }

    const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str, samples: Write) -> Self {
        Self { name, kind: Kind::Gauge, help, labels, samples, overflow: None }
    }

    const fn capped(mut self, overflow: fn(&Snapshot) -> u64) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// The unit, which is the last word of the name before `_total`.
    #[must_use]
    pub fn unit(&self) -> Option<Unit> {
        let name = self.without_total();
        [Unit::Bytes, Unit::Seconds].into_iter().find(|unit| strip_unit(name, unit).is_some())
    }

    /// The name as prometheus-client wants it: it appends the unit and `_total` by itself.
    pub(super) fn base(&self) -> &'static str {
        let name = self.without_total();
        self.unit().and_then(|unit| strip_unit(name, &unit)).unwrap_or(name)
    }

    fn without_total(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge => self.name,
        }
    }
}

fn strip_unit(name: &'static str, unit: &Unit) -> Option<&'static str> {
    name.strip_suffix(unit.as_str())?.strip_suffix('_')
}

impl Kind {
    /// The type's name, the same in both formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

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
        "Failed attempts at an upstream, by upstream, peer and class; a series starts with its first event.",
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
        "How often nginx took a peer out of its upstream for a while; a series starts with its first event.",
        samples::peers_disabled,
    )
    .capped(|s| *s.peers_disabled.overflow()),
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
        "What was counted under the label value other because the family was full; for input_up, what was not shown.",
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
