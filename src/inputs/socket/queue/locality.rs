//! Whether an address is one of this host.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use hashbrown::HashMap;

/// Addresses come and go with interfaces.
const MAX_AGE: Duration = Duration::from_secs(60);

/// What is known about addresses.
#[derive(Debug, Default)]
pub(super) struct Locality {
    known: HashMap<IpAddr, bool>,
    since: Option<SystemTime>,
}

impl Locality {
    /// Learns what is not known about these addresses, or was learned too long ago.
    pub(super) fn update(&mut self, ips: impl Iterator<Item = IpAddr>, now: SystemTime) {
        let age = self.since.and_then(|since| now.duration_since(since).ok());
        if age.is_none_or(|age| age >= MAX_AGE) {
            self.known.clear();
            self.since = Some(now);
        }
        for ip in ips.filter(|ip| !always_local(*ip)) {
            self.known.entry(ip).or_insert_with(|| can_bind(ip));
        }
    }

    pub(super) fn is_local(&self, ip: IpAddr) -> bool {
        always_local(ip) || self.known.get(&ip).copied().unwrap_or(true)
    }
}

fn always_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

/// The kernel lets a socket have the addresses of its host and no others (ip(7): `EADDRNOTAVAIL`). Nothing is sent.
fn can_bind(ip: IpAddr) -> bool {
    !matches!(UdpSocket::bind((ip, 0)), Err(error) if error.kind() == ErrorKind::AddrNotAvailable)
}
