//! The state at one moment: what every rendering looks at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Limits, OpenCounters};
use crate::observation::{
    Failure, FileDelta, Level, LocalClass, NGINX_ERROR_LOG, PeerLabels, PhpKind, ProcessUsage, Reload, UpstreamClass,
};

/// Everything that is known, at one moment. Rows of counters are indexed by the closed set they count.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was taken; the epoch before anything was seen.
    pub taken_at: SystemTime,
    /// Entries of nginx's error logs, by [`Level::index`].
    pub entries: [u64; Level::COUNT],
    /// Failed upstream attempts of the whole host, by [`UpstreamClass::index`].
    pub upstream_failures: [u64; UpstreamClass::COUNT],
    /// Failures inside nginx or its host, by [`LocalClass::index`].
    pub local_errors: [u64; LocalClass::COUNT],
    /// Failed upstream attempts by peer.
    pub upstream_errors: OpenCounters<PeerLabels, [u64; UpstreamClass::COUNT]>,
    /// Failed upstream attempts by virtual host.
    pub server_errors: OpenCounters<Arc<str>, [u64; UpstreamClass::COUNT]>,
    /// PHP messages by peer, by [`PhpKind::index`].
    pub php_errors: OpenCounters<Arc<str>, [u64; PhpKind::COUNT]>,
    /// How often a peer was taken out of its group.
    pub peers_disabled: OpenCounters<PeerLabels, u64>,
    /// What was read, by file.
    pub files: OpenCounters<Arc<str>, FileDelta>,
    /// The inputs that have spoken, by identity.
    pub inputs: BTreeMap<Arc<str>, Input>,
    /// Statements of inputs that were too many to remember.
    pub inputs_overflow: u64,
    /// The last attempt to read the configuration again.
    pub reload: Option<Reload>,
    /// When the configuration was last read successfully.
    pub last_successful_reload: Option<SystemTime>,
    /// What this process uses.
    pub process: Option<ProcessUsage>,
}

/// What an input last said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `Ok` while it works, otherwise why it does not.
    pub outcome: Result<(), Failure>,
    /// When it said so.
    pub at: SystemTime,
    /// How long the newest byte may have waited to be read; absent before the first reading and while it does not work.
    pub lag: Option<Duration>,
    /// What it was last denied permission to read, also after the permission was granted.
    pub denied: Option<Arc<str>>,
}

impl Snapshot {
    pub(super) fn empty(limits: Limits, taken_at: SystemTime) -> Self {
        let sets = limits.label_sets_per_family;
        Self {
            taken_at,
            entries: [0; Level::COUNT],
            upstream_failures: [0; UpstreamClass::COUNT],
            local_errors: [0; LocalClass::COUNT],
            upstream_errors: OpenCounters::new(sets, [0; UpstreamClass::COUNT]),
            server_errors: OpenCounters::new(sets, [0; UpstreamClass::COUNT]),
            php_errors: OpenCounters::new(sets, [0; PhpKind::COUNT]),
            peers_disabled: OpenCounters::new(sets, 0),
            files: OpenCounters::new(sets, FileDelta::default()),
            inputs: BTreeMap::new(),
            inputs_overflow: 0,
            reload: None,
            last_successful_reload: None,
            process: None,
        }
    }

    /// Whether an error log was opened, or said why it cannot be: from then on nothing written to it is missed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inputs.keys().any(|input| input.starts_with(NGINX_ERROR_LOG))
    }
}
