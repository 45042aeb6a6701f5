//! From rows of TCP sockets to the state of each address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hashbrown::{HashMap, HashSet};

use super::row::{Role, TcpRow};
use super::tally::{Own, Seen, Tally};
use super::wanted::Wanted;
use crate::observation::socket::{ListenerState, Listening, QueueSource};

/// The loopback device has this number in every network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// A local end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Local {
    ip: IpAddr,
    port: u16,
    /// It belongs to an IPv6 socket, although the address may be an IPv4 one.
    v6: bool,
}

#[derive(Debug, Default)]
struct Listener {
    tally: Tally,
    only_v6: bool,
}

/// What a pass over the tables has found so far.
#[derive(Debug)]
pub(super) struct TcpTally<'a> {
    wanted: &'a Wanted,
    own: &'a Own,
    listeners: HashMap<Local, Listener>,
    /// Accepted connections by their local end.
    accepted: HashMap<Local, Tally>,
    /// Connections that this process has opened to a wanted port: its own end, the other end.
    ours: HashSet<(SocketAddr, SocketAddr)>,
    /// Connections from a socket of this host, which may be ours: the order of rows is the kernel's.
    maybe_ours: Vec<(Local, SocketAddr)>,
    seen: Seen,
}

impl<'a> TcpTally<'a> {
    pub(super) fn new(wanted: &'a Wanted, own: &'a Own) -> Self {
        let (listeners, accepted, ours) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { wanted, own, listeners, accepted, ours, maybe_ours: Vec::new(), seen: Seen::default() }
    }

    /// Counts a row if it is a wanted one.
    pub(super) fn add(&mut self, row: &TcpRow) {
        let local = Local { ip: row.local.ip(), port: row.local.port(), v6: row.v6 };
        if self.wanted.has_port(row.local.port()) {
            if self.seen.again(row.inode) {
                return;
            }
            match row.role {
                // Connections of this host to itself come in by the loopback device.
                Role::Listener { .. } if row.device > LOOPBACK => {}
                Role::Listener { waiting, limit, only_v6 } => {
                    let listener = self.listeners.entry(local).or_default();
                    listener.tally.listener(row.inode, waiting, limit);
                    listener.only_v6 = only_v6;
                }
                Role::Accepted => {
                    self.accepted.entry(local).or_default().accepted(row.client_closed);
                    if !row.client_closed {
                        self.maybe_ours.push((local, row.remote));
                    }
                }
                Role::Queued => {}
            }
        } else if self.wanted.has_port(row.remote.port()) && self.own.has(row.inode) {
            self.ours.insert((row.local, row.remote));
        }
    }

    /// Gives the accepted connections to the listeners they came by. Call it after the last row.
    pub(super) fn settle(&mut self) {
        for (local, remote) in self.maybe_ours.drain(..) {
            if self.ours.contains(&(remote, SocketAddr::new(local.ip, local.port))) {
                self.accepted.entry(local).or_default().own();
            }
        }
        let listeners = &mut self.listeners;
        self.accepted.retain(|local, tally| {
            // A socket serves its own family: an IPv6 one has accepted this connection if it is an IPv6 one itself.
            let listener = ways_to(*local).filter(|way| way.v6 == local.v6).find(|way| takes(listeners, local.ip, way));
            let listener = listener.and_then(|way| listeners.get_mut(&way));
            listener.map(|listener| listener.tally.adopt(tally)).is_none()
        });
    }

    /// What was found for one address. `is_local`: the address is one of this host.
    pub(super) fn state(&self, source: QueueSource, address: SocketAddr, is_local: bool) -> ListenerState {
        let state = |listening, tally: &Tally| tally.state(source, listening, true, self.own);
        let local = Local { ip: address.ip(), port: address.port(), v6: address.is_ipv6() };
        if !is_local {
            return state(Listening::Remote, &Tally::default());
        }
        let loopback = match address.ip() {
            // Connecting to an unspecified address connects to the loopback.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        let further = loopback.into_iter().flat_map(|ip| ways_to(Local { ip, ..local }));
        let found = ways_to(local).chain(further).find(|way| takes(&self.listeners, local.ip, way));
        if let Some(listener) = found.and_then(|way| self.listeners.get(&way)) {
            return state(Listening::Yes, &listener.tally);
        }
        let mut left = Tally::default();
        for v6 in [false, true] {
            self.accepted.get(&Local { v6, ..local }).into_iter().for_each(|tally| left.adopt(tally));
        }
        state(Listening::No, &left)
    }
}

/// The listeners that a connection to an address may reach, in the order the kernel prefers them
/// (`__inet_lookup_listener` and `compute_score` in `net/ipv4/inet_hashtables.c`): bound to the address before bound to
/// every address, IPv4 sockets before IPv6 ones.
fn ways_to(local: Local) -> impl Iterator<Item = Local> {
    let (any_v4, any_v6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let ways = [(local.ip, false), (local.ip, true), (any_v4, false), (any_v4, true), (any_v6, true)];
    let reaches = move |way: &Local| local.ip.is_ipv4() || (way.v6 && way.ip.is_ipv6());
    ways.into_iter().map(move |(ip, v6)| Local { ip, v6, ..local }).filter(reaches)
}

fn takes(listeners: &HashMap<Local, Listener>, ip: IpAddr, way: &Local) -> bool {
    listeners.get(way).is_some_and(|listener| ip.is_ipv6() || !listener.only_v6)
}
