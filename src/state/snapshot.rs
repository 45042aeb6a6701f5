//! The state at one moment: what every rendering looks at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Limits, NameReading, OpenCounters, PeerName, PoolTotals, Sockets};
use crate::observation::fpm::{PoolReading, StatusReason};
use crate::observation::probe::{ProbeReading, ProbeReason};
use crate::observation::{
    Failure, FileDelta, Known, Level, LocalClass, NGINX_ERROR_LOG, PeerLabels, PhpKind, PoolMemory, ProcessUsage,
    Reload, UpstreamClass,
};

/// A reading of sockets, pools or probes that was not renewed for that long is absent: whoever took it is stuck.
pub const MAX_AGE: Duration = Duration::from_secs(180);

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
    /// What there is to look at: in the order of its labels, each once.
    pub known: Arc<Known>,
    /// Peers that were too many to look at.
    pub peers_overflow: u64,
    /// Pools that were too many to look at.
    pub pools_overflow: u64,
    /// The last look at the socket tables.
    pub sockets: Option<Arc<Sockets>>,
    /// Connections that the network namespace turned away because an accept queue was full.
    pub listen_overflows: Option<u64>,
    /// The last look at each pool's status page.
    pub status_pages: BTreeMap<Arc<str>, Arc<PoolReading>>,
    /// Failed looks at each pool's status page, by [`StatusReason::index`].
    pub status_failures: OpenCounters<Arc<str>, [u64; StatusReason::COUNT]>,
    /// Counters from the status pages; a pool that left keeps its own.
    pub pool_totals: BTreeMap<Arc<str>, PoolTotals>,
    /// Memory of each pool's workers.
    pub pool_memory: BTreeMap<Arc<str>, PoolMemory>,
    /// The last probe of each peer.
    pub probes: BTreeMap<PeerLabels, Arc<ProbeReading>>,
    /// Failed probes of each peer, by [`ProbeReason::index`].
    pub probe_failures: OpenCounters<PeerLabels, [u64; ProbeReason::COUNT]>,
    /// What the names of peers resolve to.
    pub names: BTreeMap<PeerName, NameReading>,
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
            known: Arc::default(),
            peers_overflow: 0,
            pools_overflow: 0,
            sockets: None,
            listen_overflows: None,
            status_pages: BTreeMap::new(),
            status_failures: OpenCounters::new(sets, [0; StatusReason::COUNT]),
            pool_totals: BTreeMap::new(),
            pool_memory: BTreeMap::new(),
            probes: BTreeMap::new(),
            probe_failures: OpenCounters::new(sets, [0; ProbeReason::COUNT]),
            names: BTreeMap::new(),
        }
    }

    pub(super) fn drop_outdated(&mut self) {
        let taken_at = self.taken_at;
        let is_fresh = |at: SystemTime| taken_at.duration_since(at).unwrap_or_default() <= MAX_AGE;
        self.sockets = self.sockets.take().filter(|sockets| is_fresh(sockets.at));
        self.status_pages.retain(|_, reading| is_fresh(reading.at));
        self.pool_memory.retain(|_, measured| is_fresh(measured.memory.at));
        self.probes.retain(|_, reading| is_fresh(reading.at));
        self.names.retain(|_, reading| is_fresh(reading.at));
    }

    /// Whether an error log was opened, or said why it cannot be: from then on nothing written to it is missed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inputs.keys().any(|input| input.starts_with(NGINX_ERROR_LOG))
    }
}
