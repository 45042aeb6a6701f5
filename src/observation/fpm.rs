//! What inputs say of PHP-FPM pools.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::closed_set::closed_set;

/// One look at the status page of one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolReading {
    /// The pool's label, from configuration; never from a reply.
    pub pool: Arc<str>,
    /// Where nginx reaches the pool: `unix:/run/php/php8.2-fpm.sock`, `127.0.0.1:9000`.
    pub peer: Arc<str>,
    /// What the page said, or why it said nothing.
    pub outcome: Result<FpmStatus, StatusFailure>,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub at: SystemTime,
}

/// FPM's status page. `None` is what FPM did not say, or said where it is known to be no truth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FpmStatus {
    /// When the pool was started or reloaded, in seconds since the epoch.
    pub start_time: Option<u64>,
    /// Accepted connections; goes on over restarts of FPM, as the next two do.
    pub accepted: Option<u64>,
    /// How often `pm.max_children` was reached; FPM does not count that for `pm = static`.
    pub max_children_reached: Option<u64>,
    /// Requests slower than `request_slowlog_timeout`.
    pub slow_requests: Option<u64>,
    /// Connections that wait to be accepted. FPM knows that of TCP only: of a unix socket it always says 0, which is left
    /// out here, and the kernel knows better.
    pub listen_queue: Option<u64>,
    /// The most there were.
    pub max_listen_queue: Option<u64>,
    /// How many may wait.
    pub listen_queue_limit: Option<u64>,
    /// Workers that wait for a request; recounted where the list of processes was read, as the next two are.
    pub idle: Option<u64>,
    /// Workers in every other state.
    pub active: Option<u64>,
    /// All workers.
    pub total: Option<u64>,
    /// The most that were active.
    pub max_active: Option<u64>,
    /// The most memory a worker took, in bytes (PHP 8.4).
    pub memory_peak: Option<u64>,
    /// The workers one by one, added up.
    pub processes: Option<ProcessCounts>,
    /// Whether one of the active workers is the one that answered us: so it is without `pm.status_listen`.
    pub includes_us: bool,
}

impl FpmStatus {
    /// Active workers without the one that answered us.
    #[must_use]
    pub fn busy(&self) -> Option<u64> {
        self.active.map(|active| active.saturating_sub(u64::from(self.includes_us)))
    }
}

/// Workers by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessCounts {
    /// By [`WorkerState::index`].
    pub states: [u64; WorkerState::COUNT],
    /// How long the oldest running request has been running; `None` when none runs.
    pub longest_request: Option<Duration>,
}

impl ProcessCounts {
    /// All workers.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.states.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Workers that wait for a request.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.states.get(WorkerState::Idle.index()).copied().unwrap_or(0)
    }

    /// Workers in every other state: what FPM calls active is wrong in several versions.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.total().saturating_sub(self.idle())
    }
}

closed_set! {
    /// State of a worker (`fpm_request.c`).
    pub enum WorkerState {
        /// Waits for a connection. One that waits for the rest of a request counts so too.
        Idle = "idle",
        /// Reads the request's parameters.
        ReadingHeaders = "reading_headers",
        /// Looks up what is to be run.
        GettingInformation = "getting_request_information",
        /// Runs a script.
        Running = "running",
        /// Runs what a script left for its end.
        Ending = "ending",
        /// Sends the rest and cleans up.
        Finishing = "finishing",
        /// One that FPM has invented since.
        Other = "other",
    }
}

/// Why the status page was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFailure {
    /// The closed reason.
    pub reason: StatusReason,
    /// The system's or FPM's words, for the log and the page; may hold anything, and is never a label.
    pub detail: Arc<str>,
    /// What to do about it.
    pub hint: Arc<str>,
}

closed_set! {
    /// Reason of a [`StatusFailure`].
    pub enum StatusReason {
        /// The pool has no status page: nothing was asked.
        NotConfigured = "not_configured",
        /// The kernel sees every worker busy, and the page would wait behind their requests: nothing was asked.
        Saturated = "saturated",
        /// Nobody listens there.
        Refused = "refused",
        /// The socket file is not there.
        SocketMissing = "socket_missing",
        /// The socket may not be used by this process.
        Permission = "permission",
        /// The queue of the unix socket is full.
        BacklogFull = "backlog_full",
        /// The host of a TCP address cannot be reached or resolved.
        Unreachable = "unreachable",
        /// No whole answer in time.
        Timeout = "timeout",
        /// The connection was closed or reset before an answer was complete.
        Closed = "closed",
        /// `Access denied.`: FPM takes the status path for a script.
        AccessDenied = "access_denied",
        /// `File not found.`: the same.
        FileNotFound = "file_not_found",
        /// 404 without a word: the same, of FPM before it looked for a script.
        Empty404 = "empty_404",
        /// FPM's scoreboard was locked, also when asked again.
        Busy = "busy",
        /// FPM says that its scoreboard is broken.
        InternalError = "internal_error",
        /// What answers does not speak FastCGI, or its page is no status page.
        BadReply = "bad_reply",
        /// The answer is larger than any status page.
        TooLarge = "too_large",
        /// Any other error of the operating system.
        Io = "io",
    }
}

impl StatusReason {
    /// Whether nothing was asked at all: then the page has neither answered nor failed.
    #[must_use]
    pub const fn is_skip(self) -> bool {
        matches!(self, Self::NotConfigured | Self::Saturated)
    }
}

/// Memory of the workers of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerMemory {
    /// The pool's label.
    pub pool: Arc<str>,
    /// What was measured.
    pub kind: MemoryKind,
    /// Workers measured.
    pub workers: u64,
    /// Bytes of all of them.
    pub sum: u64,
    /// Bytes of the largest.
    pub max: u64,
    /// When.
    pub at: SystemTime,
}

impl WorkerMemory {
    /// Bytes of a worker on average; `None` without workers.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.workers)
    }
}

closed_set! {
    /// Kind of a [`WorkerMemory`].
    pub enum MemoryKind {
        /// Proportional: what is shared is divided among those who share it. Root may read it, others seldom.
        Pss = "pss",
        /// Resident: what is shared, opcache above all, counts in full for each worker.
        Rss = "rss",
    }
}
