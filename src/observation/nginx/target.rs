//! What passes lead to: groups of peers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, Place, Resolver, Setting};
use crate::observation::Protocol;

/// An `upstream {}`, or the literal address of a `*_pass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The label `upstream`: the block's name, or the address without scheme and URI.
    pub name: Arc<str>,
    /// `http` or `stream`.
    pub context: Context,
    /// Where it comes from.
    pub origin: Origin,
    /// What the passes that lead here speak, each once; empty where none does.
    pub protocols: Vec<Protocol>,
    /// Whom nginx may ask.
    pub peers: Vec<Peer>,
    /// `keepalive`: idle connections kept per worker. The built-in value is 32 since nginx 1.29.7, none before.
    pub keepalive: Option<Setting<u64>>,
    /// `zone`: the state of peers is shared between workers; without it each worker has its own `max_fails`.
    pub zone: Option<Setting<Arc<str>>>,
    /// The balancing method where it is not round robin: `least_conn`, `ip_hash`, `hash`, `random`…
    pub method: Option<Setting<Arc<str>>>,
    /// `resolver` inside the block.
    pub resolver: Option<Resolver>,
}

/// Where a target comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An `upstream {}`.
    Block(Place),
    /// The first `*_pass` with this literal address.
    Pass(Place),
}

impl Origin {
    /// The place in the configuration.
    #[must_use]
    pub const fn place(&self) -> &Place {
        match self {
            Self::Block(place) | Self::Pass(place) => place,
        }
    }
}

/// A `server` of an `upstream {}`, or the one peer of a literal target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The label `peer`, spelt as the error log spells it: `127.0.0.1:9000`, `[::1]:80`, `unix:/run/a.sock`. For a name
    /// `name:port`, which the log never gives: nginx looked it up when it started.
    pub address: Arc<str>,
    /// The same, taken apart.
    pub host: Host,
    /// `weight=`.
    pub weight: u64,
    /// `max_conns=`; 0: no limit.
    pub max_conns: u64,
    /// `max_fails=`; 0: never marked as failed.
    pub max_fails: u64,
    /// `fail_timeout=`.
    pub fail_timeout: Duration,
    /// `backup`.
    pub is_backup: bool,
    /// `down`.
    pub is_down: bool,
    /// `resolve`: the name is looked up again while nginx runs.
    pub resolves: bool,
    /// `service=`.
    pub service: Option<Arc<str>>,
    /// Where it stands.
    pub place: Place,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A unix socket, as written behind `unix:`.
    Unix(Arc<str>),
    /// An address.
    Ip(SocketAddr),
    /// A name.
    Name {
        /// The name.
        name: Arc<str>,
        /// The port.
        port: u16,
    },
}

/// Every target, and whom a peer belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    list: Vec<Target>,
    by_peer: HashMap<Arc<str>, Vec<usize>>,
}

impl Targets {
    /// Takes over the list.
    #[must_use]
    pub fn new(list: Vec<Target>) -> Self {
        let mut by_peer: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (at, target) in list.iter().enumerate() {
            // An entry about a group (`no live upstreams`) names the group where others name a peer.
            for address in target.peers.iter().map(|peer| &peer.address).chain([&target.name]) {
                let owners = by_peer.entry(Arc::clone(address)).or_default();
                if owners.last() != Some(&at) {
                    owners.push(at);
                }
            }
        }
        Self { list, by_peer }
    }

    /// All of them, blocks in the order of the files, then literal addresses.
    pub fn iter(&self) -> std::slice::Iter<'_, Target> {
        self.list.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The target of that name.
    #[must_use]
    pub fn get(&self, context: Context, name: &str) -> Option<&Target> {
        self.list.iter().find(|target| target.context == context && *target.name == *name)
    }

    /// The name of the target that the peer of a log entry belongs to: `None` where no target has it, or where several
    /// have it and the protocol does not tell them apart.
    #[must_use]
    pub fn upstream_of(&self, peer: &str, protocol: Option<Protocol>) -> Option<&Arc<str>> {
        let owners = || self.by_peer.get(peer).into_iter().flatten().filter_map(|at| self.list.get(*at));
        if let Some(protocol) = protocol
            && let Some(name) = single(owners().filter(|target| target.protocols.contains(&protocol)))
        {
            return Some(name);
        }
        single(owners())
    }
}

/// The one name all of these have.
fn single<'a>(mut targets: impl Iterator<Item = &'a Target>) -> Option<&'a Arc<str>> {
    let first = targets.next()?;
    targets.all(|target| target.name == first.name).then_some(&first.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, protocols: &[Protocol], peers: &[&str]) -> Target {
        let place = Place { file: "n.conf".into(), line: 1 };
        let peer = |address: &&str| Peer {
            address: (*address).into(),
            host: Host::Unix((*address).into()),
            weight: 1,
            max_conns: 0,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            is_backup: false,
            is_down: false,
            resolves: false,
            service: None,
            place: place.clone(),
        };
        Target {
            name: name.into(),
            context: Context::Http,
            origin: Origin::Block(place.clone()),
            protocols: protocols.to_vec(),
            peers: peers.iter().map(peer).collect(),
            keepalive: None,
            zone: None,
            method: None,
            resolver: None,
        }
    }

    #[test]
    fn a_peer_belongs_to_the_one_upstream_that_has_it() {
        let targets = Targets::new(vec![
            target("web", &[Protocol::Http], &["10.0.0.1:80", "10.0.0.2:80"]),
            target("api", &[Protocol::Http, Protocol::Https], &["10.0.0.2:80", "10.0.0.2:80"]),
            target("php", &[Protocol::FastCgi], &["10.0.0.1:80"]),
            target("10.0.0.3:80", &[Protocol::Http], &["10.0.0.3:80"]),
            target("unused", &[], &["10.0.0.4:80"]),
        ]);
        for (peer, protocol, upstream) in [
            ("10.0.0.1:80", Some(Protocol::Http), Some("web")),
            ("10.0.0.1:80", Some(Protocol::FastCgi), Some("php")),
            ("10.0.0.1:80", None, None),
            ("10.0.0.1:80", Some(Protocol::Grpc), None),
            ("10.0.0.2:80", Some(Protocol::Http), None),
            ("10.0.0.2:80", Some(Protocol::Https), Some("api")),
            ("10.0.0.3:80", Some(Protocol::Http), Some("10.0.0.3:80")),
            ("10.0.0.4:80", Some(Protocol::Http), Some("unused")),
            ("web", Some(Protocol::Http), Some("web")),
            ("10.0.0.9:80", None, None),
        ] {
            let found = targets.upstream_of(peer, protocol).map(|name| &**name);
            assert_eq!(found, upstream, "{peer} {protocol:?}");
        }
        assert_eq!(targets.get(Context::Http, "php").map(|target| target.peers.len()), Some(1));
        assert_eq!(targets.get(Context::Stream, "php"), None);
    }
}
