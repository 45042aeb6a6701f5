//! Peers and pools, from scripted observations.

use std::net::IpAddr;
use std::path::Path;

use super::*;
use crate::observation::fpm::{PoolReading, StatusFailure, WorkerMemory};
use crate::observation::probe::{ProbeFailure, ProbePhases, ProbeReading};
use crate::observation::socket::{
    ListenerKey, Overflows, OwnerScan, Queue, QueueSource, SocketFailure, SocketFailureReason, SocketReading,
};
use crate::observation::{Known, KnownPeer, KnownPool, PoolMemory};

const SOCKET: &str = "unix:/run/php/www.sock";

fn key() -> ListenerKey {
    ListenerKey::Unix(Path::new("/run/php/www.sock").into())
}

fn labels(upstream: &str, peer: &str) -> PeerLabels {
    PeerLabels { upstream: upstream.into(), peer: peer.into() }
}

fn known_peer(upstream: &str, peer: &str) -> KnownPeer {
    KnownPeer { labels: labels(upstream, peer), host: Some("app.internal".into()), listener: Some(key()) }
}

fn known_pool(pool: &str) -> KnownPool {
    KnownPool { pool: pool.into(), listener: Some(key()), max_children: Some(2) }
}

fn knowing(peers: &[(&str, &str)], pools: &[&str], loaded_at: u64) -> Observation {
    let peers = peers.iter().map(|(upstream, peer)| known_peer(upstream, peer)).collect();
    let pools = pools.iter().map(|pool| known_pool(pool)).collect();
    Observation::Known(Known { peers, pools, nginx_loaded_at: Some(at(loaded_at)) }.into())
}

fn www() -> Observation {
    knowing(&[("php", SOCKET)], &["www"], 1)
}

fn listener(accepted: u64, waiting: u64) -> ListenerState {
    ListenerState {
        source: QueueSource::Netlink,
        listening: Listening::Yes,
        queue: Some(Queue { waiting, limit: Some(4), full: Some(false), sockets: 1, inode: 1 }),
        accepted,
        abandoned: None,
        own: None,
        owner: None,
    }
}

fn unreadable() -> SocketFailure {
    SocketFailure { reason: SocketFailureReason::Timeout, what: "unix_diag".into(), detail: "late".into() }
}

fn sockets(listener: Result<ListenerState, SocketFailure>, overflows: Result<u64, SocketFailure>) -> Observation {
    let reading = SocketReading {
        at: at(8),
        took: Duration::ZERO,
        listeners: vec![(key(), listener)],
        fallbacks: vec![],
        overflows: overflows.map(|overflows| Overflows { overflows, drops: overflows }),
        owners: OwnerScan::default(),
    };
    Observation::Sockets(reading.into())
}

fn page(pool: &str, outcome: Result<FpmStatus, StatusReason>) -> Observation {
    let failure = |reason| StatusFailure { reason, detail: "".into(), hint: "".into() };
    let outcome = outcome.map_err(failure);
    Observation::Pool(
        PoolReading { pool: pool.into(), peer: SOCKET.into(), outcome, took: Duration::ZERO, at: at(8) }.into(),
    )
}

fn status(accepted: u64) -> FpmStatus {
    FpmStatus {
        accepted: Some(accepted),
        active: Some(2),
        includes_us: true,
        listen_queue_limit: Some(511),
        ..FpmStatus::default()
    }
}

fn probe(peer: &str, up: Result<(), ProbeReason>, resolved: Option<&str>, seconds: u64) -> Observation {
    let reading = ProbeReading {
        target: labels("php", peer),
        up: up.map_err(|reason| ProbeFailure { reason, detail: "".into() }),
        phases: ProbePhases::default(),
        chain: vec![],
        resolved: resolved.map(|list| list.split(' ').map(|ip| ip.parse::<IpAddr>().unwrap()).collect()),
        at: at(seconds),
    };
    Observation::Probe(reading.into())
}

fn is_name_stale(snapshot: &Snapshot) -> Option<bool> {
    snapshot.names.values().next().map(|reading| reading.change.is_stale())
}

#[test]
fn a_saturated_pool_is_seen_by_the_kernel_while_its_page_is_not_asked() {
    let snapshot = state_after([www(), sockets(Ok(listener(2, 3)), Ok(0)), page("www", Err(StatusReason::Saturated))]);
    let pool = snapshot.pools().next().unwrap();
    assert_eq!((pool.busy(), pool.saturation()), (Some(2), Some(1.0)));
    assert_eq!((pool.waiting(), pool.waiting_limit()), (Some(3), Some(4)));
    assert_eq!(pool.is_up(), None);
    let failures = snapshot.status_failures.rows().next().unwrap().1;
    assert_eq!(failures.iter().sum::<u64>(), 0, "a skip is no failure");
}

#[test]
fn own_connections_are_not_busy_workers() {
    let own = ListenerState { own: Some(1), ..listener(2, 0) };
    let snapshot = state_after([www(), sockets(Ok(own), Ok(0))]);
    assert_eq!(snapshot.pools().next().unwrap().saturation(), Some(0.5));
    assert_eq!(snapshot.peers().next().unwrap().listener.unwrap().busy(), 1);
}

#[test]
fn the_status_page_stands_in_for_the_kernel_where_it_can() {
    let unix = state_after([www(), sockets(Err(unreadable()), Ok(0)), page("www", Ok(status(7)))]);
    let pool = unix.pools().next().unwrap();
    assert_eq!((pool.is_up(), pool.busy(), pool.saturation()), (Some(true), Some(1), Some(0.5)));
    assert_eq!((pool.waiting(), pool.waiting_limit()), (None, None), "of a unix socket FPM does not know the queue");

    let tcp = FpmStatus { listen_queue: Some(9), ..status(7) };
    let tcp = state_after([www(), page("www", Ok(tcp))]);
    let pool = tcp.pools().next().unwrap();
    assert_eq!((pool.waiting(), pool.waiting_limit()), (Some(9), Some(511)));
}

#[test]
fn where_nothing_listens_a_pool_has_no_workers_to_be_busy_and_the_peer_is_shown_as_it_is() {
    let none = ListenerState { listening: Listening::No, queue: None, ..listener(0, 0) };
    let snapshot = state_after([www(), sockets(Ok(none), Ok(0))]);
    assert_eq!(snapshot.pools().next().unwrap().busy(), None);
    let peer = snapshot.peers().next().unwrap();
    assert_eq!(peer.listener.map(|listener| (listener.listening, listener.queue)), Some((Listening::No, None)));
}

#[test]
fn the_kernel_has_nothing_to_say_of_remote_addresses() {
    let remote = ListenerState { listening: Listening::Remote, queue: None, ..listener(0, 0) };
    assert_eq!(state_after([www(), sockets(Ok(remote), Ok(0))]).peers().next().unwrap().listener, None);
}

#[test]
fn a_page_that_failed_takes_its_gauges_away_and_leaves_its_counters() {
    let snapshot = state_after([www(), page("www", Ok(status(7))), page("www", Err(StatusReason::Timeout))]);
    let pool = snapshot.pools().next().unwrap();
    assert_eq!((pool.is_up(), pool.status(), pool.busy()), (Some(false), None, None));
    assert_eq!(snapshot.pool_totals["www"].accepted, Some(7));
    let (_, failures) = snapshot.status_failures.rows().next().unwrap();
    assert_eq!((failures[StatusReason::Timeout.index()], failures.iter().sum::<u64>()), (1, 1));
}

#[test]
fn a_counter_the_page_left_out_once_keeps_its_value() {
    let without = FpmStatus { accepted: None, slow_requests: Some(3), ..status(0) };
    let snapshot = state_after([www(), page("www", Ok(status(7))), page("www", Ok(without))]);
    let totals = PoolTotals { accepted: Some(7), max_children_reached: None, slow_requests: Some(3) };
    assert_eq!(snapshot.pool_totals["www"], totals);
}

#[test]
fn sockets_that_cannot_be_read_are_absent_and_the_overflows_stay() {
    let snapshot =
        state_after([www(), sockets(Ok(listener(2, 0)), Ok(5)), sockets(Err(unreadable()), Err(unreadable()))]);
    assert_eq!(snapshot.peers().next().unwrap().listener, None);
    assert_eq!(snapshot.listen_overflows, Some(5));
}

#[test]
fn what_left_keeps_its_counters_only_and_late_readings_of_it_are_ignored() {
    let memory = || {
        let kind = MemoryKind::Rss;
        let memory = WorkerMemory { pool: "www".into(), kind, workers: 2, sum: 4, max: 3, at: at(8) };
        Observation::PoolMemory(vec![PoolMemory { memory, recommended: Some(3) }])
    };
    let readings = || {
        let refused = probe(SOCKET, Err(ProbeReason::Refused), Some("10.0.0.1"), 8);
        [page("www", Err(StatusReason::Refused)), page("www", Ok(status(7))), memory(), refused]
    };
    let first = [www()].into_iter().chain(readings());
    let snapshot = state_after(first.chain([knowing(&[], &[], 1)]).chain(readings()));
    assert_eq!((snapshot.peers().count(), snapshot.pools().count()), (0, 0));
    assert!(snapshot.probes.is_empty() && snapshot.status_pages.is_empty() && snapshot.pool_memory.is_empty());
    assert!(snapshot.names.is_empty());
    assert_eq!(snapshot.pool_totals["www"].accepted, Some(7));
    assert_eq!(snapshot.status_failures.rows().next().unwrap().1[StatusReason::Refused.index()], 1);
    assert_eq!(snapshot.probe_failures.rows().next().unwrap().1[ProbeReason::Refused.index()], 1);
}

#[test]
fn a_peer_of_the_log_gets_the_name_of_the_only_upstream_that_has_it() {
    let moved = |upstream: &str, peer: &str| SeriesDelta::PeerDisabled(labels(upstream, peer), 1);
    let mut state = State::new(Limits::default());
    state.apply(knowing(&[("php", SOCKET), ("blog", "127.0.0.1:80"), ("shop", "127.0.0.1:80")], &[], 1));
    state.apply(delta(vec![
        moved(SOCKET, SOCKET),
        moved("127.0.0.1:80", "127.0.0.1:80"),
        moved("10.0.0.1:80", "10.0.0.1:80"),
        moved("group", ""),
        SeriesDelta::Upstream(labels(SOCKET, SOCKET), UpstreamClass::ConnectRefused, 4),
    ]));
    let snapshot = state.snapshot(at(9));
    let counted = |labels: &PeerLabels| snapshot.peers_disabled.rows().find(|(l, _)| *l == labels).map(|(_, n)| *n);
    assert_eq!(counted(&labels("php", SOCKET)), Some(1));
    assert_eq!(counted(&labels("127.0.0.1:80", "127.0.0.1:80")), Some(1), "two upstreams have it");
    assert_eq!(counted(&labels("blog", "127.0.0.1:80")), Some(0));
    assert_eq!(counted(&labels("10.0.0.1:80", "10.0.0.1:80")), Some(1), "nobody has it");
    assert_eq!(counted(&labels("group", "")), Some(1));
    let php = snapshot.upstream_errors.rows().find(|(l, _)| **l == labels("php", SOCKET)).unwrap().1;
    assert_eq!(php[UpstreamClass::ConnectRefused.index()], 4);
}

#[test]
fn known_peers_count_from_zero_until_there_are_a_thousand_series() {
    let names: Vec<_> = (100..400).map(|n| format!("10.0.0.1:{n}")).collect();
    let peers: Vec<_> = names.iter().map(|name| ("app", name.as_str())).collect();
    let mut state = State::new(Limits::default());
    state.apply(knowing(&peers, &[], 1));
    state.apply(knowing(&peers, &[], 2));
    let snapshot = state.snapshot(at(9));
    let errors = snapshot.upstream_errors.rows().map(|(labels, _)| labels);
    assert_eq!(errors.filter(|l| snapshot.upstream_errors.is_from_zero(l)).count(), 1_000 / UpstreamClass::COUNT);
    assert_eq!(snapshot.peers_disabled.rows().count(), 300);
}

#[test]
fn targets_past_the_cap_are_not_shown_and_counted() {
    let snapshot = state_after([knowing(&[("a", "1"), ("a", "2"), ("a", "1"), ("a", "3")], &["x", "y", "z", "x"], 1)]);
    assert_eq!(snapshot.peers().map(|peer| &*peer.known.labels.peer).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(snapshot.pools().map(|pool| &*pool.known.pool).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!((snapshot.peers_overflow, snapshot.pools_overflow), (1, 1));
}

#[test]
fn hostile_names_are_cleaned_where_they_enter() {
    let hostile = "w\nw";
    let snapshot = state_after([knowing(&[], &[hostile], 1), page(hostile, Ok(status(1)))]);
    let pool = snapshot.pools().next().unwrap();
    assert_eq!((&*pool.known.pool, pool.is_up()), ("w\u{fffd}w", Some(true)));
}

#[test]
fn a_probe_that_was_skipped_says_nothing() {
    let up = |outcome| {
        let snapshot = state_after([www(), probe(SOCKET, Ok(()), None, 7), probe(SOCKET, outcome, None, 8)]);
        let failures = snapshot.probe_failures.rows().next().unwrap().1.iter().sum::<u64>();
        (snapshot.peers().next().unwrap().is_up(), failures)
    };
    assert_eq!(up(Ok(())), (Some(true), 0));
    assert_eq!(up(Err(ProbeReason::Refused)), (Some(false), 1));
    assert_eq!(up(Err(ProbeReason::SkippedSaturated)), (None, 0));
}

#[test]
fn a_name_is_stale_while_it_has_other_addresses_than_nginx_loaded() {
    let seen = |addresses, seconds| probe(SOCKET, Ok(()), addresses, seconds);
    let mut state = State::new(Limits::default());
    let mut after = |observation| {
        state.apply(observation);
        is_name_stale(&state.snapshot(at(9)))
    };
    assert_eq!(after(www()), None);
    assert_eq!(after(seen(Some("10.0.0.1 10.0.0.2"), 2)), Some(false));
    assert_eq!(after(seen(Some("10.0.0.3"), 3)), Some(true));
    assert_eq!(after(knowing(&[("php", SOCKET)], &[], 2)), Some(true), "the same load, by an adjusted clock");
    assert_eq!(after(seen(None, 4)), None, "a failed lookup");
    assert_eq!(after(seen(Some("10.0.0.2 10.0.0.1"), 5)), Some(false));
    assert_eq!(after(seen(Some("10.0.0.3"), 6)), Some(true));
    assert_eq!(after(knowing(&[("php", SOCKET)], &[], 7)), None, "nginx has loaded again");
    assert_eq!(after(seen(Some("10.0.0.1"), 6)), None, "looked up before that");
    assert_eq!(after(seen(Some("10.0.0.3"), 8)), Some(false));
}

#[test]
fn readings_that_were_not_renewed_are_dropped() {
    let mut state = State::new(Limits::default());
    for observation in [
        www(),
        sockets(Ok(listener(2, 3)), Ok(1)),
        page("www", Ok(status(7))),
        probe(SOCKET, Ok(()), Some("10.0.0.1"), 8),
    ] {
        state.apply(observation);
    }
    let seen = |taken_at| {
        let snapshot = state.snapshot(taken_at);
        let peer = snapshot.peers().next().unwrap();
        let pool = snapshot.pools().next().unwrap();
        (peer.is_up(), peer.listener.is_some(), pool.is_up(), is_name_stale(&snapshot))
    };
    let fresh = (Some(true), true, Some(true), Some(false));
    assert_eq!(seen(at(1)), fresh, "the clock went back");
    assert_eq!(seen(at(8) + MAX_AGE), fresh);
    assert_eq!(seen(at(9) + MAX_AGE), (None, false, None, None));
}
