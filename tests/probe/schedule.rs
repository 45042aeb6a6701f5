//! Many peers, each on its own clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nginx_502_exporter::inputs::probe::schedule::{Off, Options, run};
use nginx_502_exporter::inputs::probe::{Ask, Target};
use nginx_502_exporter::observation::PeerLabels;
use nginx_502_exporter::observation::probe::{ProbeKind, ProbeReading, ProbeReason};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::Lab;
use crate::common::faults::Step::Hang;
use crate::common::faults::{Peer, Wire};
use crate::{IMPATIENT, PATIENT, fastcgi, http, reason, target};

/// A running schedule.
pub struct Schedule {
    targets: watch::Sender<Arc<[Target]>>,
    readings: mpsc::Receiver<ProbeReading>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Schedule {
    pub fn start(
        options: Options,
        targets: Vec<Target>,
        may_probe: impl Fn(&PeerLabels) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (targets, wanted) = watch::channel(targets.into());
        let (sender, readings) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(options, wanted, may_probe, sender, stop.clone()));
        Self { targets, readings, stop, task }
    }

    pub async fn next(&mut self) -> ProbeReading {
        tokio::time::timeout(PATIENT, self.readings.recv()).await.unwrap().unwrap()
    }

    /// Reads on until one fits.
    async fn until(&mut self, mut fits: impl FnMut(&ProbeReading) -> bool) -> ProbeReading {
        loop {
            let reading = self.next().await;
            if fits(&reading) {
                return reading;
            }
        }
    }

    /// Ends it; nothing comes afterwards.
    pub async fn end(mut self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENT, self.task).await.unwrap().unwrap();
        while self.readings.recv().await.is_some() {}
    }
}

fn often() -> Options {
    Options { interval: Duration::from_millis(50), deadline: PATIENT, ..Options::default() }
}

pub fn always(_: &PeerLabels) -> bool {
    true
}

#[tokio::test]
async fn every_peer_has_its_turn_again_and_again() {
    let lab = Lab::new();
    let peers: Vec<_> = (0..5).map(|n| Peer::unix(&lab, &format!("{n}.sock"), Wire::Raw, [Hang])).collect();
    let targets = peers.iter().map(|peer| target(peer.address(), Ask::Nothing)).collect();
    let mut schedule = Schedule::start(often(), targets, always);
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    while seen.len() < 5 || seen.values().any(|times| *times < 3) {
        let reading = schedule.next().await;
        assert_eq!(reading.up, Ok(()));
        *seen.entry(reading.target).or_default() += 1;
    }
    schedule.end().await;
}

#[tokio::test]
async fn a_saturated_pool_is_left_alone() {
    let lab = Lab::new();
    let peer = Peer::unix(&lab, "pool.sock", Wire::Raw, [Hang]);
    let spare = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&spare);
    let targets = vec![target(peer.address(), Ask::Nothing)];
    let mut schedule = Schedule::start(often(), targets, move |_| asked.load(Ordering::SeqCst));
    for _ in 0..3 {
        let reading = schedule.next().await;
        assert_eq!(reason(&reading), Some(ProbeReason::SkippedSaturated));
        assert!(reason(&reading).unwrap().is_skip());
    }
    assert_eq!(peer.accepted(), 0);
    spare.store(true, Ordering::SeqCst);
    schedule.until(|reading| reading.up.is_ok()).await;
    schedule.end().await;
}

#[tokio::test]
async fn targets_come_and_go_while_it_runs() {
    let lab = Lab::new();
    let peers: Vec<_> = (0..3).map(|n| Peer::unix(&lab, &format!("{n}.sock"), Wire::Raw, [Hang])).collect();
    let targets: Vec<_> = peers.iter().map(|peer| target(peer.address(), Ask::Nothing)).collect();
    let mut schedule = Schedule::start(often(), targets[..2].to_vec(), always);
    for wanted in &targets[..2] {
        schedule.until(|reading| reading.target == wanted.labels).await;
    }
    // The second stays, the first goes, the third comes; said twice, it comes once.
    schedule.targets.send([&targets[1..], &targets[1..]].concat().into()).unwrap();
    schedule.until(|reading| reading.target == targets[2].labels).await;
    let mut both = 0;
    schedule
        .until(|reading| {
            assert_ne!(reading.target, targets[0].labels);
            both += 1;
            both > 10
        })
        .await;
    schedule.targets.send(Arc::from([])).unwrap();
    // What was under way may still arrive.
    let silent = async { while tokio::time::timeout(often().interval * 4, schedule.next()).await.is_ok() {} };
    tokio::time::timeout(PATIENT, silent).await.unwrap();
    schedule.end().await;
}

#[tokio::test]
async fn what_is_switched_off_is_not_probed() {
    let lab = Lab::new();
    let peers: Vec<_> = (0..4).map(|n| Peer::unix(&lab, &format!("{n}.sock"), Wire::Raw, [Hang])).collect();
    let asks = [Ask::Nothing, http(), fastcgi(), Ask::Nothing];
    let targets: Vec<_> = peers.iter().zip(asks).map(|(peer, ask)| target(peer.address(), ask)).collect();
    let off = Off {
        kinds: BTreeSet::from([ProbeKind::Http, ProbeKind::FastCgi]),
        peers: BTreeSet::from([Arc::clone(&targets[0].labels.peer)]),
    };
    let mut schedule = Schedule::start(Options { off, ..often() }, targets.clone(), always);
    for _ in 0..8 {
        assert_eq!(schedule.next().await.target, targets[3].labels);
    }
    assert_eq!(peers[..3].iter().map(Peer::accepted).sum::<usize>(), 0);
    schedule.end().await;
}

#[tokio::test]
async fn sixty_four_are_probed_at_once_and_no_more() {
    const PEERS: usize = 200;
    const AT_ONCE: usize = 64;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let targets = (0..PEERS).map(|n| {
        let mut target = target(listener.local_addr().unwrap(), http());
        target.labels.peer = n.to_string().into();
        target
    });
    let schedule = Schedule::start(often(), targets.collect(), always);
    let mut waiting = Vec::new();
    while waiting.len() < AT_ONCE {
        waiting.push(tokio::time::timeout(PATIENT, listener.accept()).await.unwrap().unwrap().0);
    }
    assert!(tokio::time::timeout(IMPATIENT, listener.accept()).await.is_err(), "one too many");
    schedule.end().await;
    for mut connection in waiting {
        let mut request = Vec::new();
        let ended = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut request);
        tokio::time::timeout(PATIENT, ended).await.expect("the connection is closed with its probe").unwrap();
    }
}
