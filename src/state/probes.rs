//! Upstream peers: what the probes and the kernel say of each, and whether nginx still has the addresses of their names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::{OpenLabels, Snapshot, State, add_at};
use crate::observation::KnownPeer;
use crate::observation::probe::{AddressChange, ProbeReading};
use crate::observation::socket::{ListenerKey, ListenerState};

/// A name that leads to peers: the upstream, and the host in its configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerName {
    /// The upstream.
    pub upstream: Arc<str>,
    /// The name.
    pub host: Arc<str>,
}

/// What a name resolves to, compared with what it resolved to when nginx loaded its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameReading {
    /// The difference.
    pub change: AddressChange,
    /// When it was looked up.
    pub at: SystemTime,
}

/// The addresses each name had at the first look since nginx loaded its configuration, which are those nginx has.
pub(super) type LoadedNames = BTreeMap<PeerName, Vec<IpAddr>>;

/// A peer with all that is known about it now.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Who it is.
    pub known: &'a KnownPeer,
    /// Its socket, where it is one of this host.
    pub listener: Option<&'a ListenerState>,
    /// The last probe.
    pub probe: Option<&'a ProbeReading>,
}

impl Peer<'_> {
    /// Whether the last probe succeeded; `None` where there was none.
    #[must_use]
    pub fn is_up(&self) -> Option<bool> {
        match &self.probe?.up {
            Ok(()) => Some(true),
            Err(failure) if failure.reason.is_skip() => None,
            Err(_) => Some(false),
        }
    }
}

impl Snapshot {
    /// The peers, in the order of their labels.
    pub fn peers(&self) -> impl Iterator<Item = Peer<'_>> {
        self.known.peers.iter().map(|known| Peer {
            known,
            listener: self.listener(known.listener.as_ref()),
            probe: self.probes.get(&known.labels).map(|reading| &**reading),
        })
    }

    pub(super) fn listener(&self, key: Option<&ListenerKey>) -> Option<&ListenerState> {
        self.sockets.as_ref()?.listeners.get(key?)
    }
}

impl State {
    pub(super) fn probe(&mut self, mut reading: ProbeReading) {
        reading.target = reading.target.cleaned();
        let Some(known) = self.now.known.peers.iter().find(|known| known.labels == reading.target) else { return };
        let host = known.host.clone();
        if let Some(host) = host {
            self.name_looked_up(PeerName { upstream: Arc::clone(&reading.target.upstream), host }, &reading);
        }
        if let Err(failure) = &reading.up
            && !failure.reason.is_skip()
        {
            let index = failure.reason.index();
            self.now.probe_failures.update(reading.target.clone(), |row| add_at(row, index, 1));
        }
        self.now.probes.insert(reading.target.clone(), reading.into());
    }

    /// Without an nginx that has loaded anything, or after a failed lookup, there is nothing to compare.
    fn name_looked_up(&mut self, name: PeerName, reading: &ProbeReading) {
        let since_load = self.now.known.nginx_loaded_at.is_some_and(|loaded_at| reading.at >= loaded_at);
        match &reading.resolved {
            Some(addresses) if since_load => {
                let loaded = self.loaded_names.entry(name.clone()).or_insert_with(|| addresses.clone());
                let change = AddressChange::between(loaded, addresses);
                self.now.names.insert(name, NameReading { change, at: reading.at });
            }
            _ => {
                self.now.names.remove(&name);
            }
        }
    }

    /// Forgets the names that nothing leads to any more, and all of them when nginx has loaded its configuration again.
    pub(super) fn names_known(&mut self, loaded_again: bool) {
        let peers = &self.now.known.peers;
        let stays = |name: &PeerName| {
            let leads_there =
                |peer: &KnownPeer| peer.labels.upstream == name.upstream && peer.host.as_ref() == Some(&name.host);
            !loaded_again && peers.iter().any(leads_there)
        };
        self.loaded_names.retain(|name, _| stays(name));
        self.now.names.retain(|name, _| stays(name));
    }
}
