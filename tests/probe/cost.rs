//! What probing costs; printed, not asserted: `cargo test --release --test probe -- --ignored --nocapture cost`.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nginx_502_exporter::inputs::probe::schedule::Options;
use nginx_502_exporter::inputs::probe::{Ask, Target, TlsOptions, Verify};
use rustix::time::{ClockId, clock_gettime};

use crate::common::Lab;
use crate::common::tls::Certificate;
use crate::schedule::{Schedule, always};
use crate::tls::serving;
use crate::{PATIENT, prober, runtime, target};

/// Two thousand peers behind 500 sockets and 500 ports. The kernel takes the connections; nobody else does any work, so
/// that what is measured is ours.
#[test]
#[ignore = "a measurement"]
fn cost_of_an_interval() {
    const LISTENERS: usize = 500;
    const PEERS: usize = 2000;
    const ROUNDS: u32 = 2;
    let lab = Lab::new();
    let sockets: Vec<_> = (0..LISTENERS).map(|n| UnixListener::bind(lab.path(&format!("{n}.sock"))).unwrap()).collect();
    let ports: Vec<_> = (0..LISTENERS).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (kind, over_tcp) in [("unix", false), ("TCP", true)] {
        let targets = (0..PEERS).map(|n| {
            let listener = n % LISTENERS;
            let mut target = match over_tcp {
                true => target(ports[listener].local_addr().unwrap(), Ask::Nothing),
                false => target(format!("unix:{}", lab.path(&format!("{listener}.sock")).display()), Ask::Nothing),
            };
            target.labels.peer = n.to_string().into();
            target
        });
        let targets: Vec<_> = targets.collect();
        let options = Options::default();
        let drain = || {
            for socket in &sockets {
                socket.set_nonblocking(true).unwrap();
                while socket.accept().is_ok() {}
            }
            for port in &ports {
                port.set_nonblocking(true).unwrap();
                while port.accept().is_ok() {}
            }
        };
        let begun = cpu();
        for n in 0..PEERS {
            match over_tcp {
                true => drop(std::net::TcpStream::connect(ports[n % LISTENERS].local_addr().unwrap()).unwrap()),
                false => {
                    drop(std::os::unix::net::UnixStream::connect(lab.path(&format!("{}.sock", n % LISTENERS))).unwrap())
                }
            }
        }
        println!("{kind}: {:?} of CPU for {PEERS} connections alone", cpu() - begun);
        drain();
        let memory = resident();
        let runtime = crate::runtime();
        runtime.block_on(async {
            let mut schedule = Schedule::start(options, targets, always);
            for round in 0..ROUNDS {
                let (cpu, begun) = (cpu(), Instant::now());
                for _ in 0..PEERS {
                    let reading = schedule.next().await;
                    assert_eq!(reading.up, Ok(()));
                }
                let spent = self::cpu() - cpu;
                let grown = resident().saturating_sub(memory) / 1024;
                println!(
                    "{kind}, round {round}: {spent:?} of CPU for {PEERS} probes in {:?}; {grown} kB more memory",
                    begun.elapsed()
                );
                drain();
            }
            schedule.end().await;
        });
    }
}

/// A handshake with nginx, which is another process; certificate verified.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_handshake() {
    const TIMES: u32 = 500;
    let lab = Lab::new();
    let certificate = Certificate::self_signed(&lab, "app.test");
    let (_nginx, address) = serving(&lab, &certificate);
    let verify = Some(Verify { trusted: certificate.certificate, depth: 1 });
    let tls = Some(Arc::new(TlsOptions { verify, ..TlsOptions::new("app.test") }));
    let mut prober = prober(Target { tls, ..target(&address, Ask::Nothing) }, PATIENT);
    let spent = runtime().block_on(async {
        let begun = cpu();
        for _ in 0..TIMES {
            assert_eq!(prober.probe().await.up, Ok(()));
        }
        cpu() - begun
    });
    println!("TLS: {:?} of CPU for each probe", spent / TIMES);
}

/// CPU time of this process, the kernel's part of it included.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
