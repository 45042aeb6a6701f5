//! What a pass over a log has added: a delta per batch, never a message per line.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::names::{Level, LocalClass, PhpKind, UpstreamClass};

/// What one pass over one log has added.
#[derive(Debug, Clone)]
pub struct LogDelta {
    /// The followed file, as named by configuration or matched by a glob.
    pub file: Arc<str>,
    /// The reader's bookkeeping.
    pub read: FileDelta,
    /// Entries per level, by [`Level::index`].
    pub levels: [u64; Level::COUNT],
    /// Failed upstream attempts per class, by [`UpstreamClass::index`]: the whole host's sum.
    pub upstream: [u64; UpstreamClass::COUNT],
    /// Local failures per class, by [`LocalClass::index`].
    pub local: [u64; LocalClass::COUNT],
    /// The same failures by who and where: only those that are not zero.
    pub series: Vec<SeriesDelta>,
    /// How long the newest byte of this pass may have waited to be read, at most.
    pub lag: Duration,
    /// When the pass ended.
    pub at: SystemTime,
}

/// What the follower did with the bytes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileDelta {
    /// Bytes read.
    pub bytes: u64,
    /// Lines read, continuation lines included.
    pub lines: u64,
    /// Lines that belong to no entry we know.
    pub unrecognised: u64,
    /// Rotations noticed (a new file under the name, or a truncation).
    pub rotations: u64,
    /// Bytes known to be lost: overwritten or truncated before they were read, or cut from an overlong line.
    pub lost_bytes: u64,
}

/// The labels that tell upstreams apart. Empty where nginx had not chosen a peer yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PeerLabels {
    /// Name of the `upstream {}` block or literal target; the peer where the configuration is not known.
    pub upstream: Arc<str>,
    /// The address contacted: `127.0.0.1:9000`, `unix:/run/php/php8.2-fpm.sock`.
    pub peer: Arc<str>,
}

/// One series with open labels that moved in this pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeriesDelta {
    /// `nginx_upstream_errors_total`.
    Upstream(PeerLabels, UpstreamClass, u64),
    /// `nginx_server_upstream_errors_total`.
    Server(Arc<str>, UpstreamClass, u64),
    /// `nginx_php_errors_total`: kind and peer.
    Php(PhpKind, Arc<str>, u64),
    /// `nginx_peer_disabled_total`.
    PeerDisabled(PeerLabels, u64),
}
