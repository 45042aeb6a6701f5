//! Logs: following files ([`follow`]) and understanding what stands in them ([`nginx_error`]).
//!
//! The two meet in [`Consumer`]: the follower knows files and offsets and nothing of lines; the consumer knows lines and
//! nothing of files.

pub mod follow;
mod names;
pub mod nginx_error;

use crate::observation::LogDelta;

/// Whether more bytes may follow the ones handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// The log goes on: keep back what may be the beginning of something longer.
    Expected,
    /// Nothing came for a while: an entry that ends with a line feed is complete, even if it looks as if it went on.
    NotForNow,
    /// The file has ended for good: take everything, a last line without line feed too.
    Never,
}

/// The understanding half of a followed log. Implementations do no I/O.
pub trait Consumer {
    /// Takes whole entries from the front of `bytes` and returns how many bytes it took. The rest is handed over again,
    /// with what followed it. From [`MAX_HELD_BACK`] bytes on, it takes something in any case.
    fn consume(&mut self, bytes: &[u8], more: More) -> usize;

    /// The follower noticed a rotation; what it could not read of the old file (0 when it read all).
    fn rotated(&mut self, lost_bytes: u64);

    /// What has come together since the last call, if anything. `lag` and `at` are the follower's to fill in.
    fn take_delta(&mut self) -> Option<Box<LogDelta>>;
}

/// More than this is never held back: nginx's entries are at most 2,048 bytes, prefixes of log transports included.
pub const MAX_HELD_BACK: usize = 64 * 1024;
