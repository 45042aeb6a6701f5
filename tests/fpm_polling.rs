//! The loop that reads status pages, against the real PHP-FPM. One test only: it counts the descriptors of its process.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use common::http::Address;
use common::{Lab, PhpFpm};
use nginx_502_exporter::inputs::fpm::{self, Options, Target, run};
use nginx_502_exporter::observation::fpm::{FpmStatus, PoolReading, StatusReason};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const PATIENT: Duration = Duration::from_secs(30);

fn target(pool: &str, address: &Address) -> Target {
    let Address::Unix(socket) = address else { panic!("a unix socket") };
    let page = Some(fpm::Page {
        address: fpm::Address::Unix { root: "/".into(), path: socket.clone() },
        path: "/status".into(),
        separate: false,
    });
    Target { pool: pool.into(), peer: address.to_string().into(), page, max_children: Some(1), place: None }
}

/// The next reading of a pool that satisfies `wanted`.
async fn next(
    readings: &mut mpsc::Receiver<PoolReading>,
    pool: &str,
    mut wanted: impl FnMut(&Result<FpmStatus, StatusReason>) -> bool,
) -> Result<FpmStatus, StatusReason> {
    let found = async {
        loop {
            let reading = readings.recv().await.expect("the loop runs");
            let outcome = reading.outcome.map_err(|failure| failure.reason);
            if *reading.pool == *pool && wanted(&outcome) {
                return outcome;
            }
        }
    };
    tokio::time::timeout(PATIENT, found).await.unwrap_or_else(|_| panic!("no such reading of {pool}"))
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

#[tokio::test]
async fn pools_are_read_as_long_as_they_are_wanted_and_nothing_is_left() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 1\npm.status_path = /status");
    let www = target("www", &fpm.address());
    let gone = target("gone", &Address::Unix(lab.path("nothing.sock")));
    let before = descriptors();

    let (targets, watched) = watch::channel(Arc::from([www.clone(), gone.clone()]));
    let (out, mut readings) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let options = Options { interval: Duration::from_millis(20), deadline: Duration::from_millis(200), full: true };
    let saturated = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&saturated);
    let task = tokio::spawn(run(
        watched,
        options,
        Arc::new(move |target: &Target| *target.pool == *"www" && says.load(Ordering::SeqCst)),
        out,
        stop.clone(),
    ));

    // Each pool has its own outcome.
    next(&mut readings, "www", Result::is_ok).await.unwrap();
    assert_eq!(next(&mut readings, "gone", |_| true).await, Err(StatusReason::SocketMissing));

    // A reload begins FPM's counters again, not ours. FPM tells its start to the second.
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let old = next(&mut readings, "www", |outcome| {
        outcome.as_ref().is_ok_and(|status| status.start_time.unwrap() < now() && status.accepted.unwrap() > 20)
    });
    let old = old.await.unwrap();
    fpm.process.signal(Signal::USR2);
    let mut last = old.accepted;
    let reloaded = next(&mut readings, "www", |outcome| {
        let Ok(status) = outcome else { return false };
        assert!(status.accepted >= last, "{last:?} then {status:?}");
        last = status.accepted;
        status.start_time > old.start_time
    });
    let reloaded = reloaded.await.unwrap();
    let more =
        next(&mut readings, "www", |outcome| outcome.as_ref().is_ok_and(|status| status.accepted > reloaded.accepted));
    more.await.unwrap();

    // Nor does a pool begin again when its limit has been changed.
    let changed = Target { max_children: Some(2), ..www.clone() };
    targets.send(Arc::from([changed.clone(), gone.clone()])).unwrap();
    let www = changed;
    for _ in 0..5 {
        let after = next(&mut readings, "www", Result::is_ok).await.unwrap();
        assert!(after.accepted > reloaded.accepted, "{reloaded:?} then {after:?}");
    }

    // A stopped FPM is a timeout each time, and recovers.
    let processes = [vec![fpm.process.pid()], fpm.process.children()].concat();
    let signal =
        |signal| processes.iter().for_each(|pid| rustix::process::kill_process(*pid, signal).expect("our own"));
    signal(Signal::STOP);
    for _ in 0..5 {
        next(&mut readings, "www", |outcome| *outcome == Err(StatusReason::Timeout)).await.unwrap_err();
    }
    signal(Signal::CONT);
    next(&mut readings, "www", Result::is_ok).await.unwrap();

    // Nobody asks through a pool that the kernel sees saturated.
    saturated.store(true, Ordering::SeqCst);
    next(&mut readings, "www", |outcome| *outcome == Err(StatusReason::Saturated)).await.unwrap_err();
    saturated.store(false, Ordering::SeqCst);
    next(&mut readings, "www", Result::is_ok).await.unwrap();

    // One that is no longer wanted is no longer read; one that is wanted again begins again.
    targets.send(Arc::from([www])).unwrap();
    let mut others = 0;
    next(&mut readings, "www", |_| {
        others += 1;
        others > 20
    })
    .await
    .unwrap();
    while let Ok(reading) = readings.try_recv() {
        assert_eq!(&*reading.pool, "www");
    }
    targets.send(Arc::from([gone])).unwrap();
    next(&mut readings, "gone", |_| true).await.unwrap_err();

    stop.cancel();
    tokio::time::timeout(PATIENT, task).await.expect("it stops").unwrap();
    lab.wait_for("every connection to be closed", PATIENT, || descriptors() == before);
}
