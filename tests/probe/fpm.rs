//! The real PHP-FPM, over a unix socket and over TCP.

use nginx_502_exporter::inputs::probe::Ask;
use nginx_502_exporter::observation::probe::{ProbePhase, ProbeReason, Spoken};

use crate::common::http::Address;
use crate::common::lab::{WORKER_USER, free_port, is_root};
use crate::common::php_fpm::PhpFpm;
use crate::common::process::{pause, resume};
use crate::common::{Lab, http};
use crate::{IMPATIENT, PATIENT, fastcgi, ping, probe, prober, reason, runtime, target};

/// A pool on the unix socket, and one like it over TCP.
fn start(lab: &Lab) -> (PhpFpm, Vec<Address>) {
    let port = free_port();
    let identity = if is_root() { format!("user = {WORKER_USER}\ngroup = {WORKER_USER}\n") } else { String::new() };
    let fpm = PhpFpm::start(
        lab,
        &format!(
            "pm.max_children = 1\nping.path = /ping\n\n[tcp]\n{identity}listen = 127.0.0.1:{port}\npm = static\n\
             pm.max_children = 1\nping.path = /ping\n"
        ),
    );
    lab.wait_for("a worker in each pool", PATIENT, || fpm.process.children().len() == 2);
    let addresses = vec![fpm.address(), Address::loopback(port)];
    (fpm, addresses)
}

#[test]
fn a_living_pool_answers_without_running_php() {
    let lab = Lab::new();
    let (_fpm, addresses) = start(&lab);
    for address in &addresses {
        for ask in [fastcgi(), ping("/ping"), fastcgi()] {
            let reading = probe(target(address, ask.clone()), PATIENT);
            assert_eq!(reading.up, Ok(()), "{address} {ask:?}");
            assert!(reading.phases.get(ProbePhase::Response).is_some());
        }
        let reading = probe(target(address, ping("/no-such-page")), PATIENT);
        assert_eq!(reason(&reading), Some(ProbeReason::BadStatus), "{reading:?}");
        // The only worker is free again at once.
        assert_eq!(probe(target(address, ping("/ping")), PATIENT).up, Ok(()));
    }
}

#[test]
fn http_spoken_to_a_pool_is_not_understood() {
    let lab = Lab::new();
    let (_fpm, addresses) = start(&lab);
    for address in &addresses {
        let reading = probe(target(address, crate::http()), PATIENT);
        let expected = [Some(ProbeReason::Closed), Some(ProbeReason::Reset)];
        assert!(expected.contains(&reason(&reading)), "{reading:?}");
        let spoken = runtime().block_on(prober(target(address, crate::http()), PATIENT).identify());
        assert_eq!(spoken, Some(Spoken::FastCgi));
    }
}

#[test]
fn a_stopped_a_busy_and_a_dead_pool_are_told_apart() {
    let lab = Lab::new();
    let (mut fpm, addresses) = start(&lab);
    let children = fpm.process.children();
    pause(&lab, &children);
    for address in &addresses {
        assert_eq!(reason(&probe(target(address, fastcgi()), IMPATIENT)), Some(ProbeReason::ResponseTimeout));
        assert_eq!(reason(&probe(target(address, ping("/ping")), IMPATIENT)), Some(ProbeReason::ResponseTimeout));
        // The kernel still takes connections: that is all a connection proves.
        assert_eq!(probe(target(address, Ask::Nothing), PATIENT).up, Ok(()));
    }
    resume(&children);
    for address in &addresses {
        assert_eq!(probe(target(address, fastcgi()), PATIENT).up, Ok(()));
    }
    fpm.process.stop();
    let dead = addresses.iter().map(|address| reason(&probe(target(address, fastcgi()), PATIENT)));
    assert_eq!(dead.collect::<Vec<_>>(), [Some(ProbeReason::SocketMissing), Some(ProbeReason::Refused)]);
    assert!(http::Connection::open(&addresses[1]).is_err());
}
