//! Following log files: which files, from where on, and what became of them.
//!
//! ```text
//!  patterns ─► pattern ─► names ─► identities ─► one LogFile each ─► Consumer ─► Observation::Log
//!                         (places)  (dev, inode)   reads, notices truncation
//! ```
//!
//! A file is its device and inode; names come and go. That one rule makes most of rotation fall into place: a renamed
//! file stays the file it was, read on while nginx still writes to it; a name that shows another file has been rotated;
//! two names for one file count it once. What was read of a file is remembered after it is closed, and across restarts
//! with a position file, together with a hash of the bytes before that place: an inode number used again is no match.
//!
//! What cannot be known is not claimed: what copytruncate cuts off between our last read and the truncation leaves no
//! trace; a file truncated and filled again beyond our place is noticed unless the 1,024 bytes before that place are
//! the same again. A glob that also matches the copies copytruncate makes counts them: they are other files. Positions
//! are saved once per second and at the end: after a crash, up to a second is read again.
//!
//! One thread follows all files. inotify tells it when to look; once per [`FollowOptions::poll_interval`] it looks
//! everywhere regardless, which is all there is on network file systems or where inotify is refused.

mod file;
mod health;
mod names;
mod pattern;
mod place;
mod position;
mod siblings;
mod watch;
mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Consumer;
use crate::inputs::Sink;
use watch::Waker;

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// What the logs are, the first half of their identity in [`Health`](crate::observation::Health):
    /// `nginx_error_log`.
    pub kind: &'static str,
    /// Paths; with `*`, `?` or `[` in them, globs.
    pub patterns: Vec<String>,
    /// The directory that is `/` to the patterns and to symlinks: where a host's root is mounted into a container.
    pub rootfs: Option<PathBuf>,
    /// Read files that exist at the start from their beginning, not from their end.
    pub from_start: bool,
    /// Where to remember over a restart what was read.
    pub position_file: Option<PathBuf>,
    /// The longest time between two looks at everything.
    pub poll_interval: Duration,
    /// How long a file that lost its name must have been quiet before it is closed. Rotation scripts may tell nginx to
    /// reopen its logs late; what nginx writes to a file closed here is lost.
    pub keep_rotated: Duration,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            kind: "nginx_error_log",
            patterns: Vec::new(),
            rootfs: None,
            from_start: false,
            position_file: None,
            poll_interval: Duration::from_secs(1),
            keep_rotated: Duration::from_secs(60),
        }
    }
}

/// Makes the consumer for a newly opened file, given the name under which configuration knows it.
pub type MakeConsumer = Box<dyn FnMut(&Path) -> Box<dyn Consumer + Send> + Send>;

/// The thread that follows logs. Dropping it stops the thread without waiting for it.
#[derive(Debug)]
pub struct Follower {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts following. What goes wrong with a file later is said as [`Health`](crate::observation::Health).
    ///
    /// # Errors
    /// The operating system gives no thread or no descriptor, or `rootfs` cannot be opened.
    pub fn start(options: FollowOptions, make_consumer: MakeConsumer, sink: Sink) -> io::Result<Self> {
        let orders =
            Arc::new(Orders { waker: Waker::new()?, stop: AtomicBool::new(false), patterns: Mutex::new(None) });
        let worker = worker::Worker::new(options, make_consumer, sink, Arc::clone(&orders))?;
        let thread = std::thread::Builder::new().name("follow-logs".to_owned()).spawn(move || worker.run())?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Follows these patterns from now on. Files that still match keep their place.
    pub fn update(&self, patterns: Vec<String>) {
        *self.orders.patterns.lock().unwrap_or_else(PoisonError::into_inner) = Some(patterns);
        self.orders.waker.wake();
    }

    /// Whether the thread has ended: after [`Self::stop`], or because the hub has gone.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Reads what is there, hands it over, saves the positions and ends the thread; waits for all of that. The hub must
    /// still be running. Not for the async runtime's threads.
    pub fn stop(mut self) {
        self.orders.order_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows logs had failed");
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.orders.order_stop();
    }
}

/// What the thread is told.
#[derive(Debug)]
struct Orders {
    waker: Waker,
    stop: AtomicBool,
    patterns: Mutex<Option<Vec<String>>>,
}

impl Orders {
    fn order_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn new_patterns(&self) -> Option<Vec<String>> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
