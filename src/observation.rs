//! The vocabulary: everything an input may say, and nothing else.
//!
//! This module does no I/O and knows no metric. Inputs speak it, `state` applies it, `diagnosis` judges it. The
//! closed sets below are wire names (labels, JSON): their spelling is part of the contract.

pub(crate) mod closed_set;
mod delta;
mod entry;
pub mod fpm;
mod names;

pub use delta::{FileDelta, LogDelta, PeerLabels, SeriesDelta};
pub use entry::{CivilTime, Entry, Fields, PhpKinds, Verdict};
pub use names::{Kind, Level, LocalClass, Phase, PhpKind, Protocol, Source, UpstreamClass};

use std::sync::Arc;
use std::time::SystemTime;

/// One statement of an input. The hub is the only reader.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Observation {
    /// What one pass over one log has added since the pass before.
    Log(Box<LogDelta>),
    /// An input works, or no longer does.
    Health(Health),
    /// What this process itself uses; read by an input of its own so that a scrape does no I/O.
    Process(ProcessUsage),
    /// The outcome of a configuration reload.
    Reload(Reload),
}

/// Kind of the inputs that follow nginx's error log: their identity is this, a colon and the path or pattern.
pub const NGINX_ERROR_LOG: &str = "nginx_error_log";
/// Identity of the input that reads what this process uses.
pub const PROCESS: &str = "process";

/// Whether an input can do its work, as said by the input itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Identity of the input, from configuration: `nginx_error_log:/var/log/nginx/error.log`.
    pub input: Arc<str>,
    /// `Ok` while it works, otherwise why it does not.
    pub outcome: Result<(), Failure>,
    /// When the input said so.
    pub at: SystemTime,
}

/// Why an input could not read what it is meant to read: a closed set, so that it can be a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The closed reason.
    pub reason: FailureReason,
    /// What was being read: a path or an address.
    pub what: Arc<str>,
    /// The operating system's words, for the log and the page; never a label.
    pub detail: Arc<str>,
}

closed_set::closed_set! {
    /// Reason of a [`Failure`].
    pub enum FailureReason {
        /// Nothing exists under that name.
        NotFound = "not_found",
        /// It exists, but this process may not read it.
        Permission = "permission",
        /// It is something that cannot be read as asked, a directory for example.
        WrongType = "wrong_type",
        /// Any other error of the operating system.
        Io = "io",
        /// The input was removed from the configuration or its glob no longer matches.
        Removed = "removed",
    }
}

/// Resources of this process, under the names Prometheus client libraries use.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUsage {
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// The soft limit on open file descriptors.
    pub max_fds: u64,
    /// Start of the process, in seconds since the epoch.
    pub start_time_seconds: f64,
    /// Threads of the process.
    pub threads: u64,
}

/// A finished attempt to read the configuration again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// Whether the new configuration is in force.
    pub successful: bool,
    /// When the attempt ended.
    pub at: SystemTime,
}
