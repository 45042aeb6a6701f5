//! What there is to look at, under clean labels, and the upstream names that the log's peers get from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{OpenLabels, State, add, cleaned};
use crate::observation::fpm::StatusReason;
use crate::observation::probe::ProbeReason;
use crate::observation::{Known, KnownPeer, KnownPool, PeerLabels, UpstreamClass};

/// Times of nginx's load that are no further apart mean the same load.
const SAME_LOAD: Duration = Duration::from_secs(2);

/// The name of the only upstream that has this peer; `None` where several have it.
pub(super) type UpstreamNames = BTreeMap<Arc<str>, Option<Arc<str>>>;

impl State {
    /// Replaces what is looked at. Readings of what left are dropped; counters stay, and those of what came begin at 0.
    pub(super) fn known(&mut self, known: &Known) {
        self.upstreams = upstream_names(&known.peers);
        let clean_peers = known.peers.iter().map(|peer| {
            let labels = peer.labels.clone().cleaned();
            let host = peer.host.clone().map(cleaned);
            (labels.clone(), KnownPeer { labels, host, listener: peer.listener.clone() })
        });
        let clean_pools = known.pools.iter().map(|pool| {
            let label = cleaned(Arc::clone(&pool.pool));
            (Arc::clone(&label), KnownPool { pool: label, ..pool.clone() })
        });
        let (peers, more_peers) = self.capped(clean_peers);
        let (pools, more_pools) = self.capped(clean_pools);

        let now = &mut self.now;
        add(&mut now.peers_overflow, more_peers);
        add(&mut now.pools_overflow, more_pools);
        now.probes.retain(|labels, _| peers.contains_key(labels));
        now.status_pages.retain(|pool, _| pools.contains_key(pool));
        now.pool_memory.retain(|pool, _| pools.contains_key(pool));
        for labels in peers.keys() {
            now.upstream_errors.begin(labels, UpstreamClass::COUNT);
            now.peers_disabled.begin(labels, 1);
            now.probe_failures.begin(labels, ProbeReason::COUNT);
        }
        for pool in pools.keys() {
            now.status_failures.begin(pool, StatusReason::COUNT);
        }
        let loaded_again = is_another(now.known.nginx_loaded_at, known.nginx_loaded_at);
        now.known = Arc::new(Known {
            peers: peers.into_values().collect(),
            pools: pools.into_values().collect(),
            nginx_loaded_at: known.nginx_loaded_at,
        });
        self.names_known(loaded_again);
    }

    /// In order, each label once; how many were too many.
    fn capped<L: OpenLabels, V>(&self, all: impl Iterator<Item = (L, V)>) -> (BTreeMap<L, V>, u64) {
        let mut kept = BTreeMap::new();
        let mut more = 0;
        for (labels, target) in all {
            if kept.len() < self.limits.label_sets_per_family || kept.contains_key(&labels) {
                kept.entry(labels).or_insert(target);
            } else {
                add(&mut more, 1);
            }
        }
        (kept, more)
    }

    /// Where the log knows an address only, the upstream that it belongs to, if that is certain.
    pub(super) fn named(&self, labels: PeerLabels) -> PeerLabels {
        let PeerLabels { upstream, peer } = labels;
        let name = (upstream == peer).then(|| self.upstreams.get(&peer)).flatten().cloned().flatten();
        PeerLabels { upstream: name.unwrap_or(upstream), peer }
    }
}

/// Whether these are the times of two loads. The time of one is derived from the clock, which is adjusted now and then.
fn is_another(before: Option<SystemTime>, after: Option<SystemTime>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => {
            after.duration_since(before).unwrap_or_else(|backwards| backwards.duration()) > SAME_LOAD
        }
        _ => before != after,
    }
}

fn upstream_names(peers: &[KnownPeer]) -> UpstreamNames {
    let mut names = UpstreamNames::new();
    for PeerLabels { upstream, peer } in peers.iter().map(|peer| &peer.labels) {
        names
            .entry(Arc::clone(peer))
            .and_modify(|name| {
                if name.as_ref() != Some(upstream) {
                    *name = None;
                }
            })
            .or_insert_with(|| Some(Arc::clone(upstream)));
    }
    names
}
