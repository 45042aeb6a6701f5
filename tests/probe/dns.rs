//! Names: as the system resolves them, and as nginx's `resolver` would.

use std::net::{IpAddr, SocketAddr};

use nginx_502_exporter::inputs::probe::{Address, Ask, Resolver, Target};
use nginx_502_exporter::observation::probe::{AddressChange, ProbePhase, ProbeReason};

use crate::common::faults::Step::Hang;
use crate::common::faults::dns::{DnsServer, Reply};
use crate::common::faults::{Peer, Wire};
use crate::common::lab::free_port;
use crate::{IMPATIENT, PATIENT, probe, prober, reason, runtime, target};

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

fn named(port: u16, servers: &[SocketAddr]) -> Target {
    let resolver = Resolver::Nameservers { servers: servers.into(), ipv6: true };
    let address = Address::Name { host: "app.test".into(), port, resolver };
    Target { address, ..target(format!("app.test:{port}"), Ask::Nothing) }
}

#[test]
fn a_name_is_followed_to_where_it_leads_now() {
    let peer = Peer::tcp(Wire::Raw, [Hang]);
    let port = peer.tcp_address().port();
    let server = DnsServer::start(Reply::Addresses(addresses(&["127.0.0.1"])));
    let (runtime, mut prober) = (runtime(), prober(named(port, &[server.address()]), PATIENT));
    let before = runtime.block_on(prober.probe());
    assert_eq!((&before.up, before.resolved.clone()), (&Ok(()), Some(addresses(&["127.0.0.1"]))));
    assert!(before.phases.get(ProbePhase::Dns).is_some());

    server.change(Reply::Addresses(addresses(&["127.0.0.2", "127.0.0.1"])));
    let after = runtime.block_on(prober.probe());
    assert_eq!(after.resolved, Some(addresses(&["127.0.0.1", "127.0.0.2"])));
    assert_eq!(reason(&after), Some(ProbeReason::Refused), "nobody listens at one of them");
    assert!(after.up.unwrap_err().detail.contains(&format!("127.0.0.2:{port}")));
    let change = AddressChange::between(&before.resolved.unwrap(), &after.resolved.unwrap());
    assert_eq!(change, AddressChange { gone: vec![], added: addresses(&["127.0.0.2"]) });
    assert!(change.is_stale());
}

#[test]
fn both_kinds_of_addresses_are_asked_for() {
    let server = DnsServer::start(Reply::Addresses(addresses(&["::1", "127.0.0.1"])));
    let reading = probe(named(free_port(), &[server.address()]), PATIENT);
    assert_eq!(reading.resolved, Some(addresses(&["127.0.0.1", "::1"])));
    let server = DnsServer::start(Reply::Addresses(addresses(&["::1"])));
    let reading = probe(named(free_port(), &[server.address()]), PATIENT);
    assert_eq!(reading.resolved, Some(addresses(&["::1"])));
}

#[test]
fn name_servers_fail_each_in_their_own_way() {
    let says = |reply| DnsServer::start(reply);
    let silent = says(Reply::Silence);
    let good = says(Reply::Addresses(addresses(&["127.0.0.1"])));
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let peer = Peer::tcp(Wire::Raw, [Hang]);
    let port = peer.tcp_address().port();
    for (name, servers, deadline, expected) in [
        ("no such name", vec![says(Reply::Code(3)).address()], PATIENT, Some(ProbeReason::DnsNotFound)),
        ("no address", vec![says(Reply::Addresses(vec![])).address()], PATIENT, Some(ProbeReason::DnsNotFound)),
        ("server failure", vec![says(Reply::Code(2)).address()], PATIENT, Some(ProbeReason::DnsFailed)),
        ("silence", vec![silent.address()], IMPATIENT, Some(ProbeReason::DnsTimeout)),
        ("nobody there", vec![nobody], PATIENT, Some(ProbeReason::DnsFailed)),
        ("no server", vec![], PATIENT, Some(ProbeReason::DnsFailed)),
        ("the second one answers", vec![nobody, good.address()], PATIENT, None),
        ("the second one answers in time", vec![silent.address(), good.address()], PATIENT, None),
    ] {
        let reading = probe(named(port, &servers), deadline);
        assert_eq!(reason(&reading), expected, "{name}: {:?}", reading.up);
        assert_eq!(reading.resolved.is_some(), expected.is_none(), "{name}");
    }
}

#[test]
fn the_system_knows_localhost() {
    let peer = Peer::tcp(Wire::Raw, [Hang]);
    let reading = probe(target(format!("localhost:{}", peer.tcp_address().port()), Ask::Nothing), PATIENT);
    let resolved = reading.resolved.clone().unwrap();
    assert!(resolved.contains(&addresses(&["127.0.0.1"])[0]), "{reading:?}");
    // Where localhost is an IPv6 address too, nginx meets nobody there.
    let expected = (resolved.len() > 1).then_some(ProbeReason::Refused);
    assert_eq!(reason(&reading), expected);
}
