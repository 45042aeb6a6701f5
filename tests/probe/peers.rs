//! Peers that go wrong on purpose, each with the reason its probe must give.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nginx_502_exporter::inputs::probe::{Ask, Prober, Shared, Target, TlsOptions};
use nginx_502_exporter::observation::probe::{ProbePhase, ProbeReason};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::common::Lab;
use crate::common::faults::Step::{Close, Hang, ReadRequest, Reset, Write as Say};
use crate::common::faults::address::Dead;
use crate::common::faults::fastcgi::{STDOUT, answer, record};
use crate::common::faults::{HTTP_OK, Peer, Step, Wire};
use crate::common::lab::is_root;
use crate::{IMPATIENT, PATIENT, fastcgi, http, ping, probe, reason, runtime, target};

/// What is probed, for how long, and what comes of it.
type Case = (&'static str, Target, Duration, Option<ProbeReason>);
/// The same for a peer that is still to be started.
type Scripted = (&'static str, Ask, Vec<Step>, Duration, Option<ProbeReason>);
/// What is asked, how the answer begins, how it goes on for ever, and what comes of it.
type Endless<'a> = (Ask, &'a [u8], &'a [u8], Option<ProbeReason>);

#[test]
fn addresses_at_which_nobody_serves() {
    use ProbeReason::{BacklogFull, ConnectTimeout, Other, Refused, SocketMissing};
    let lab = Lab::new();
    let (port, full_port) = (Dead::port(), Dead::full_port());
    let (missing, stale) = (Dead::missing_socket(&lab), Dead::stale_socket(&lab));
    let (full, datagram) = (Dead::full_socket(&lab), Dead::datagram_socket(&lab));
    let long = format!("unix:/{}", "x".repeat(200));
    let at = |dead: &Dead| target(dead.address(), Ask::Nothing);
    check(vec![
        ("taken port", at(&port), PATIENT, Some(Refused)),
        ("full port", at(&full_port), IMPATIENT, Some(ConnectTimeout)),
        ("missing socket", at(&missing), PATIENT, Some(SocketMissing)),
        ("stale socket", at(&stale), PATIENT, Some(Refused)),
        ("full socket", at(&full), PATIENT, Some(BacklogFull)),
        ("socket of another type", at(&datagram), PATIENT, Some(Other)),
        ("too long a path", target(long, Ask::Nothing), PATIENT, Some(Other)),
    ]);
}

#[test]
fn a_socket_that_this_user_may_not_connect_to() {
    let lab = Lab::new();
    let forbidden = Dead::forbidden_socket(&lab);
    let target = target(forbidden.address(), Ask::Nothing);
    let probing = std::thread::spawn(move || {
        // Of this thread only; it ends with the test.
        if is_root() {
            let nobody = 65_534;
            let (user, group) = (Uid::from_raw(nobody), Gid::from_raw(nobody));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
        }
        probe(target, PATIENT)
    });
    let reading = probing.join().unwrap();
    assert_eq!(reason(&reading), Some(ProbeReason::Permission), "{reading:?}");
}

#[test]
fn peers_that_speak_http_or_ought_to() {
    use ProbeReason::{BadReply, BadStatus, Closed, ProtocolMismatch, Reset as WasReset, ResponseTimeout};
    let lab = Lab::new();
    let say = |bytes: &[u8]| vec![ReadRequest, Say(bytes.to_vec())];
    let for_tls = b"HTTP/1.1 400 Bad Request\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>";
    let cases: Vec<(&str, Vec<Step>, Duration, Option<ProbeReason>)> = vec![
        ("answers", say(HTTP_OK), PATIENT, None),
        ("redirects", say(b"HTTP/1.0 302 Found\r\n\r\n"), PATIENT, None),
        ("says no", say(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), PATIENT, Some(BadStatus)),
        ("rejects", say(b"HTTP/1.1 400 Bad Request\r\n\r\nwhat?"), PATIENT, Some(BadStatus)),
        ("expects TLS", say(for_tls), PATIENT, Some(ProtocolMismatch)),
        ("alerts", say(b"\x15\x03\x01\x00\x02\x02\x46"), PATIENT, Some(ProtocolMismatch)),
        ("speaks FastCGI", say(&answer(b"hello")), PATIENT, Some(ProtocolMismatch)),
        ("speaks HTTP/2", say(b"\0\0\0\x04\0\0\0\0\0"), PATIENT, Some(ProtocolMismatch)),
        ("babbles", say(b"SSH-2.0-x\r\n"), PATIENT, Some(BadReply)),
        ("breaks off", say(b"HTTP/1.1 20"), PATIENT, Some(Closed)),
        // Over TCP: a unix socket knows no reset once all is read.
        ("resets", vec![ReadRequest, Reset], PATIENT, Some(WasReset)),
        ("closes", vec![ReadRequest, Close], PATIENT, Some(Closed)),
        ("hangs", vec![ReadRequest, Hang], IMPATIENT, Some(ResponseTimeout)),
    ];
    let peers: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(n, (_, script, ..))| match n % 2 {
            0 => Peer::tcp(Wire::Http, script.clone()),
            _ => Peer::unix(&lab, &format!("{n}.sock"), Wire::Http, script.clone()),
        })
        .collect();
    let cases = cases.into_iter().zip(&peers);
    check(
        cases.map(|((name, _, wait, expected), peer)| (name, target(peer.address(), http()), wait, expected)).collect(),
    );
    assert!(peers.iter().all(|peer| peer.accepted() == 1), "one connection each");
}

#[test]
fn peers_that_speak_fastcgi_or_ought_to() {
    use ProbeReason::{BadReply, BadStatus, Closed, ProtocolMismatch, Reset as WasReset, ResponseTimeout};
    let say = |bytes: &[u8]| vec![ReadRequest, Say(bytes.to_vec())];
    let values = [&[1, 10, 0, 0, 0, 18, 0, 0][..], b"\x0f\x01FCGI_MPXS_CONNS0"].concat();
    let unknown_type = [1, 11, 0, 0, 0, 8, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    let missing = [record(STDOUT, b"Status: 404 Not Found\r\n\r\nFile not found.\n"), answer(b"")].concat();
    let cases: Vec<Scripted> = vec![
        ("knows values", fastcgi(), say(&values), PATIENT, None),
        ("knows no values", fastcgi(), say(&unknown_type), PATIENT, None),
        ("speaks HTTP", fastcgi(), say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), PATIENT, Some(ProtocolMismatch)),
        ("speaks TLS", fastcgi(), say(b"\x15\x03\x03\x00\x02\x02\x0a"), PATIENT, Some(ProtocolMismatch)),
        ("babbles", fastcgi(), say(b"\xff\xfe\x00garbage"), PATIENT, Some(BadReply)),
        ("says half", fastcgi(), say(&values[..12]), PATIENT, Some(Closed)),
        ("says less", fastcgi(), say(&values[..2]), PATIENT, Some(BadReply)),
        ("hangs", fastcgi(), vec![ReadRequest, Hang], IMPATIENT, Some(ResponseTimeout)),
        ("closes", fastcgi(), vec![ReadRequest, Close], PATIENT, Some(Closed)),
        ("resets", fastcgi(), vec![ReadRequest, Reset], PATIENT, Some(WasReset)),
        ("pongs", ping("/ping"), say(&answer(b"pong")), PATIENT, None),
        ("has no ping", ping("/ping"), say(&missing), PATIENT, Some(BadStatus)),
        ("says nothing", ping("/ping"), say(&record(3, &[0; 8])), PATIENT, Some(BadReply)),
        (
            "never ends",
            ping("/ping"),
            vec![ReadRequest, Say(record(STDOUT, b"X")), Hang],
            IMPATIENT,
            Some(ResponseTimeout),
        ),
    ];
    let peers: Vec<_> = cases.iter().map(|(_, _, script, ..)| Peer::tcp(Wire::Raw, script.clone())).collect();
    let cases = cases.into_iter().zip(&peers);
    check(
        cases
            .map(|((name, ask, _, wait, expected), peer)| (name, target(peer.address(), ask), wait, expected))
            .collect(),
    );
}

#[test]
fn peers_that_ought_to_speak_tls() {
    use ProbeReason::{ProtocolMismatch, TlsHandshake, TlsProtocol, TlsTimeout};
    let cases: Vec<(&str, Vec<Step>, Duration, Option<ProbeReason>)> = vec![
        (
            "plain HTTP",
            vec![ReadRequest, Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())],
            PATIENT,
            Some(ProtocolMismatch),
        ),
        ("garbage", vec![ReadRequest, Say(b"SSH-2.0-x\r\n".to_vec())], PATIENT, Some(ProtocolMismatch)),
        // handshake_failure and protocol_version (RFC 8446, section 6).
        ("refuses", vec![ReadRequest, Say(b"\x15\x03\x03\x00\x02\x02\x28".to_vec())], PATIENT, Some(TlsHandshake)),
        (
            "knows no such version",
            vec![ReadRequest, Say(b"\x15\x03\x01\x00\x02\x02\x46".to_vec())],
            PATIENT,
            Some(TlsProtocol),
        ),
        ("closes", vec![ReadRequest, Close], PATIENT, Some(TlsHandshake)),
        ("resets", vec![ReadRequest, Reset], PATIENT, Some(TlsHandshake)),
        ("hangs", vec![ReadRequest, Hang], IMPATIENT, Some(TlsTimeout)),
    ];
    let peers: Vec<_> = cases.iter().map(|(_, script, ..)| Peer::tcp(Wire::Raw, script.clone())).collect();
    let tls = Some(Arc::new(TlsOptions::new("backend.test")));
    let over_tls = |peer: &Peer| Target { tls: tls.clone(), ..target(peer.address(), Ask::Nothing) };
    let cases = cases.into_iter().zip(&peers);
    check(cases.map(|((name, _, wait, expected), peer)| (name, over_tls(peer), wait, expected)).collect());
}

#[test]
fn a_connection_alone_asks_nothing() {
    let peer = Peer::tcp(Wire::Raw, [Hang]);
    let reading = probe(target(peer.address(), Ask::Nothing), PATIENT);
    assert_eq!(reading.up, Ok(()));
    assert!(reading.phases.get(ProbePhase::Connect).is_some());
    assert_eq!(
        [ProbePhase::Dns, ProbePhase::Tls, ProbePhase::Response].map(|phase| reading.phases.get(phase)),
        [None; 3]
    );
    assert_eq!((&*reading.target.upstream, &*reading.target.peer), ("backend", &*peer.address().to_string()));
}

#[test]
fn one_byte_at_a_time_ends_with_the_deadline() {
    let stdout = record(STDOUT, &[b'\n'; 8192]);
    for (ask, bytes) in [(http(), HTTP_OK), (fastcgi(), &stdout), (ping("/ping"), &stdout)] {
        let bytes = bytes.to_vec();
        let address = serve(move |mut client| {
            // At this pace the deadline passes long before the answer makes sense.
            for byte in bytes {
                if client.write_all(&[byte]).is_err() || matches!(client.read(&mut [0; 4096]), Ok(0)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let begun = Instant::now();
        let reading = probe(target(address, ask.clone()), IMPATIENT);
        assert!(begun.elapsed() < PATIENT);
        assert_eq!(reason(&reading), Some(ProbeReason::ResponseTimeout), "{ask:?} {reading:?}");
    }
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    let endless: [Endless<'_>; 4] = [
        (http(), b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 65_536], None),
        (http(), b"HTTP/1.1 200 ", &[b'x'; 65_536], Some(ProbeReason::BadReply)),
        (http(), b"HTTP/1.1 400 no\r\n\r\n", &[b'x'; 65_536], Some(ProbeReason::BadStatus)),
        (ping("/ping"), b"", &record(STDOUT, &[b'\n'; 8192]), None),
    ];
    for (ask, beginning, rest, expected) in endless {
        let (beginning, rest) = (beginning.to_vec(), rest.to_vec());
        let (told, sent) = std::sync::mpsc::channel();
        let address = serve(move |mut client| {
            let mut total = beginning.len();
            if client.write_all(&beginning).is_ok() {
                // A gigabyte, if it were taken.
                while total < 1 << 30 && client.write_all(&rest).is_ok() {
                    total += rest.len();
                }
            }
            told.send(total).unwrap();
        });
        let reading = probe(target(address, ask.clone()), PATIENT);
        assert_eq!(reason(&reading), expected, "{ask:?} {reading:?}");
        let total = sent.recv_timeout(PATIENT).unwrap();
        assert!(total < 64 << 20, "{total} bytes were taken, socket buffers included");
    }
}

#[test]
fn sockets_are_found_below_another_root() {
    let lab = Lab::new();
    let deep = format!("host/{}/run", "d".repeat(100));
    lab.subfolder(&format!("{deep}/php"));
    lab.subfolder("host/var");
    std::os::unix::fs::symlink(format!("/{}/run", "d".repeat(100)), lab.path("host/var/run")).unwrap();
    // Bound where the path is short, moved where it is long.
    let _peer = Peer::unix(&lab, "app.sock", Wire::Raw, [Hang]);
    std::fs::rename(lab.path("app.sock"), lab.path(&deep).join("php/app.sock")).unwrap();
    let shared = Arc::new(Shared::new(PATIENT, &lab.path("host"), std::path::Path::new("/proc")));
    let probe = |peer: &str| runtime().block_on(Prober::new(target(peer, Ask::Nothing), Arc::clone(&shared)).probe());
    assert_eq!(probe("unix:/var/run/php/app.sock").up, Ok(()));
    assert_eq!(reason(&probe("unix:/run/php/app.sock")), Some(ProbeReason::SocketMissing));
}

fn check(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for (name, target, deadline, expected) in cases {
        let reading = probe(target, deadline);
        if reason(&reading) != expected {
            wrong.push(format!("{name}: expected {expected:?}, got {:?}", reading.up));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Plays a server for one connection.
fn serve(play: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        client.set_write_timeout(Some(PATIENT)).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        play(client);
    });
    address
}
