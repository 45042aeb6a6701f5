//! What there is to look at: the identities that configuration and discovery give. Labels come from here, never from a
//! reply.

use std::sync::Arc;
use std::time::SystemTime;

use super::PeerLabels;
use super::fpm::WorkerMemory;
use super::socket::ListenerKey;

/// Everything that is known by name. A new one replaces the one before: what it no longer names is no longer shown, except
/// counters, which only grow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Peers that nginx is configured to pass requests to, each once.
    pub peers: Vec<KnownPeer>,
    /// Pools of PHP-FPM.
    pub pools: Vec<KnownPool>,
    /// When nginx loaded its configuration: its start, or its last reload. `None` while no nginx is seen.
    pub nginx_loaded_at: Option<SystemTime>,
}

/// A peer that nginx is configured to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its `upstream {}` block, or the literal target, and its address.
    pub labels: PeerLabels,
    /// The name that leads to it, where it is configured by name.
    pub host: Option<Arc<str>>,
    /// The listening socket, where it is one of this host.
    pub listener: Option<ListenerKey>,
}

/// A pool of PHP-FPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPool {
    /// Its label: the pool's name, with its version or file where two pools share one.
    pub pool: Arc<str>,
    /// Its listening socket, as the kernel's tables name it.
    pub listener: Option<ListenerKey>,
    /// `pm.max_children`.
    pub max_children: Option<u32>,
}

/// Memory of a pool's workers, and how many of them would fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolMemory {
    /// What the workers hold now.
    pub memory: WorkerMemory,
    /// How many workers fit into what is available and what they hold, shared fairly between pools.
    pub recommended: Option<u64>,
}
