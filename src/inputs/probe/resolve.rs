//! Names to addresses: by the system, or by the name servers of nginx's `resolver`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::{Duration, timeout};

use super::background::Background;
use super::dns;
use super::round::failure;
use super::target::Resolver;
use crate::observation::probe::{ProbeFailure, ProbeReason};

/// How long one of several name servers may take.
const SERVER_PATIENCE: Duration = Duration::from_millis(900);

/// Looks up names for one target.
#[derive(Debug)]
pub(super) struct Lookup {
    system: Background<io::Result<Vec<IpAddr>>>,
}

impl Lookup {
    pub(super) const fn new() -> Self {
        Self { system: Background::new() }
    }

    /// The addresses of a name, sorted: those that nginx would use.
    pub(super) async fn addresses(
        &mut self,
        host: &Arc<str>,
        resolver: &Resolver,
        slots: &Arc<Semaphore>,
        procfs: &Arc<Path>,
    ) -> Result<Vec<IpAddr>, ProbeFailure> {
        let mut addresses = match resolver {
            Resolver::System => self.system_addresses(host, slots, procfs).await?,
            Resolver::Nameservers { servers, ipv6 } => ask_each(servers, host, *ipv6).await?,
        };
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(failure(ProbeReason::DnsNotFound, format_args!("{host}: no address")));
        }
        Ok(addresses)
    }

    async fn system_addresses(
        &mut self,
        host: &Arc<str>,
        slots: &Arc<Semaphore>,
        procfs: &Arc<Path>,
    ) -> Result<Vec<IpAddr>, ProbeFailure> {
        let (name, root) = (Arc::clone(host), Arc::clone(procfs));
        match self.system.run(slots, move || system_lookup(&name, &root)).await {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(error)) => Err(failure(system_reason(&error), format_args!("{host}: {error}"))),
            None => Err(failure(ProbeReason::DnsFailed, format_args!("{host}: the lookup was given up"))),
        }
    }
}

/// `getaddrinfo` as nginx calls it (`ngx_inet_resolve_host`): with AI_ADDRCONFIG, so that IPv6 addresses count only on a
/// host that has one itself. The standard library leaves that flag out.
fn system_lookup(host: &str, procfs: &Path) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    if addresses.iter().any(IpAddr::is_ipv4) && !has_ipv6(procfs) {
        addresses.retain(IpAddr::is_ipv4);
    }
    Ok(addresses)
}

/// Whether any interface has an IPv6 address that is not the loopback's: `if_inet6` begins each line with 32 digits
/// (`if6_seq_show`, net/ipv6/addrconf.c).
fn has_ipv6(procfs: &Path) -> bool {
    let Ok(interfaces) = fs::read_to_string(procfs.join("net/if_inet6")) else { return false };
    interfaces.lines().any(|line| {
        let digits = line.split_ascii_whitespace().next().unwrap_or_default();
        u128::from_str_radix(digits, 16).is_ok_and(|address| Ipv6Addr::from(address) != Ipv6Addr::LOCALHOST)
    })
}

/// The standard library hides the number of `getaddrinfo`'s error. Its text is not translated, as nothing here sets a
/// locale: glibc and musl word EAI_NONAME and EAI_NODATA like this; everything else says nothing about the name.
fn system_reason(error: &io::Error) -> ProbeReason {
    const NOT_FOUND: [&str; 4] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
    ];
    let told = error.to_string();
    if NOT_FOUND.iter().any(|text| told.contains(text)) { ProbeReason::DnsNotFound } else { ProbeReason::DnsFailed }
}

/// Asks the servers one after the other, until one answers: yes or no.
async fn ask_each(servers: &[SocketAddr], host: &str, ipv6: bool) -> Result<Vec<IpAddr>, ProbeFailure> {
    let Some((last, others)) = servers.split_last() else {
        return Err(failure(ProbeReason::DnsFailed, "no resolver defined"));
    };
    for server in others {
        if let Ok(answered) = timeout(SERVER_PATIENCE, dns::ask(*server, host, ipv6)).await {
            match answered {
                Err(ProbeFailure { reason: ProbeReason::DnsFailed, .. }) => {}
                answered => return answered,
            }
        }
    }
    dns::ask(*last, host, ipv6).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_alone_is_no_ipv6() {
        let procfs = tempfile::tempdir().unwrap();
        fs::create_dir(procfs.path().join("net")).unwrap();
        assert!(!has_ipv6(procfs.path()));
        let loopback = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let global = "20010db8000000000000000000000002 02 40 00 80     eth0\n";
        for (lines, expected) in [
            (String::new(), false),
            (loopback.into(), false),
            (format!("{loopback}{global}"), true),
            ("x".into(), false),
        ] {
            fs::write(procfs.path().join("net/if_inet6"), &lines).unwrap();
            assert_eq!(has_ipv6(procfs.path()), expected, "{lines}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_from_a_failed_lookup() {
        let reason =
            |text: &str| system_reason(&io::Error::other(format!("failed to lookup address information: {text}")));
        assert_eq!(reason("Name or service not known"), ProbeReason::DnsNotFound);
        assert_eq!(reason("Name does not resolve"), ProbeReason::DnsNotFound);
        assert_eq!(reason("Temporary failure in name resolution"), ProbeReason::DnsFailed);
        assert_eq!(reason("Try again"), ProbeReason::DnsFailed);
    }
}
