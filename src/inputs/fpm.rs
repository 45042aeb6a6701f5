//! PHP-FPM: its status page over FastCGI, and what its workers weigh.
//!
//! ```text
//! discovery ──► Target ──► read: one exchange, one deadline ──► PoolReading
//!                            fastcgi: bytes ◄─► records (pure)
//!                            status:  page ──► numbers (pure)
//!                            monotonic: counters go on over restarts of FPM
//! ```
//!
//! **`json&full`.** The short page is not enough: FPM's own counts of idle and active are wrong in several versions
//! (php#18956, php#14212, php#16932), so workers are recounted from the list, which also tells their states and the
//! oldest request. FPM has crashed under frequent `full` requests (php#16432): the interval is 15 s, not the scrape's.
//!
//! **Saturation.** Without `pm.status_listen` the page is served by a worker of the pool: with all of them busy it waits
//! behind their requests, and takes a place in the queue. So nobody asks through a pool that the kernel sees saturated.

mod exchange;
pub mod fastcgi;
mod hint;
pub mod memory;
mod monotonic;
mod poll;
pub mod status;
mod target;
pub mod weigh;

pub use monotonic::{Counters, Monotonic};
pub use poll::{Options, Saturated, run};
pub use target::{Address, Page, Target};

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use crate::observation::fpm::{FpmStatus, PoolReading, StatusFailure, StatusReason};

/// Why there is no status; with a hint it becomes a [`StatusFailure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The closed reason.
    pub reason: StatusReason,
    /// Somebody's words.
    pub detail: String,
}

impl Failed {
    fn new(reason: StatusReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Reads the status page of a pool once, in `deadline` altogether. Counters are FPM's own, see [`Counters`].
pub async fn read(target: &Target, full: bool, deadline: Duration) -> PoolReading {
    let start = Instant::now();
    let outcome = match timeout(deadline, ask(target, full)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failed::new(StatusReason::Timeout, format!("no whole answer within {deadline:?}"))),
    };
    reading(target, outcome, start.elapsed())
}

/// A reading that was not taken.
fn skipped(target: &Target, reason: StatusReason) -> PoolReading {
    reading(target, Err(Failed::new(reason, String::new())), Duration::ZERO)
}

fn reading(target: &Target, outcome: Result<FpmStatus, Failed>, took: Duration) -> PoolReading {
    let outcome = outcome.map_err(|Failed { reason, detail }| StatusFailure {
        reason,
        detail: detail.into(),
        hint: hint::hint(reason, target).into(),
    });
    PoolReading { pool: target.pool.clone(), peer: target.peer.clone(), outcome, took, at: SystemTime::now() }
}

async fn ask(target: &Target, full: bool) -> Result<FpmStatus, Failed> {
    let Some(Page { address, path, separate }) = &target.page else {
        return Err(Failed::new(StatusReason::NotConfigured, String::new()));
    };
    let request = fastcgi::request(&[
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", path),
        // FPM wants one, whatever it is.
        ("SCRIPT_FILENAME", path),
        ("QUERY_STRING", if full { "json&full" } else { "json" }),
    ]);
    let mut answer = status::understand(&exchange::exchange(address, &request).await?, target.max_children);
    // The scoreboard is locked for microseconds at a time.
    if matches!(answer, Err(Failed { reason: StatusReason::Busy, .. })) {
        answer = status::understand(&exchange::exchange(address, &request).await?, target.max_children);
    }
    let mut status = answer?;
    status.includes_us = !separate;
    let only_ours = status.busy() == Some(0);
    if let Some(processes) = status.processes.as_mut().filter(|_| only_ours) {
        processes.longest_request = None;
    }
    if target.peer.starts_with("unix:") {
        // FPM asks TCP only, and says 0 for the rest.
        (status.listen_queue, status.max_listen_queue, status.listen_queue_limit) = (None, None, None);
    }
    Ok(status)
}
