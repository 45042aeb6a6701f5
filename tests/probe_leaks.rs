//! Nothing is left behind by probes: neither descriptors nor tasks nor threads. In a process of its own, because it
//! counts what the process has.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::faults::Step::{ReadRequest, Reset};
use common::faults::address::Dead;
use common::faults::dns::{DnsServer, Reply};
use common::faults::{HTTP_OK, Peer, Step, Wire};
use common::lab::poll;
use common::tls::Certificate;
use common::{Lab, http};
use nginx_502_exporter::inputs::probe::schedule::{Options, run};
use nginx_502_exporter::inputs::probe::{Address, Ask, Resolver, Target, TlsOptions, Verify};
use nginx_502_exporter::observation::PeerLabels;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

fn target(name: &str, address: &http::Address, ask: Ask) -> Target {
    let labels = PeerLabels { upstream: "backend".into(), peer: name.into() };
    Target { labels, address: address.to_string().parse().unwrap(), tls: None, ask }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn probes_leave_nothing_behind() {
    let lab = Lab::new();
    let ask = || Ask::Http { path: "/".into(), host: "h".into() };
    let certificate = Certificate::self_signed(&lab, "app.test");
    let verify = Some(Verify { trusted: certificate.certificate, depth: 1 });
    let tls = Some(Arc::new(TlsOptions { verify, ..TlsOptions::new("app.test") }));
    let (full, missing) = (Dead::full_socket(&lab), Dead::missing_socket(&lab));
    let good = Peer::unix(&lab, "good.sock", Wire::Http, [ReadRequest, Step::Write(HTTP_OK.to_vec())]);
    // Answers nothing, and ends when its client has gone.
    let hanging = Peer::tcp(Wire::Raw, [ReadRequest, ReadRequest]);
    let resetting = Peer::tcp(Wire::Raw, [ReadRequest, Reset]);
    let dns = DnsServer::start(Reply::Addresses(vec!["127.0.0.1".parse().unwrap()]));
    let resolver = Resolver::Nameservers { servers: [dns.address()].into(), ipv6: true };
    let name = Address::Name { host: "app.test".into(), port: hanging.tcp_address().port(), resolver };
    let localhost = format!("localhost:{}", hanging.tcp_address().port()).parse().unwrap();
    let targets: Vec<_> = vec![
        target("full", full.address(), Ask::Nothing),
        target("missing", missing.address(), Ask::Nothing),
        target("good", good.address(), ask()),
        target("hanging", hanging.address(), ask()),
        target("fastcgi", hanging.address(), Ask::FastCgi { ping: None }),
        target("resetting", resetting.address(), ask()),
        Target { tls: tls.clone(), ..target("tls", hanging.address(), ask()) },
        Target { tls, ..target("tls reset", resetting.address(), ask()) },
        Target { address: name, ..target("named", hanging.address(), ask()) },
        Target { address: localhost, ..target("by the system", hanging.address(), Ask::Nothing) },
    ];

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tasks = runtime.metrics();
    let before = runtime.block_on(async { (open_descriptors(), tasks.num_alive_tasks()) });
    let (replace, wanted) = watch::channel(Arc::from(targets.clone()));
    let (sender, mut readings) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let options =
        Options { interval: Duration::from_millis(20), deadline: Duration::from_millis(100), ..Options::default() };
    let schedule = runtime.spawn(run(options, wanted, |_: &PeerLabels| true, sender, stop.clone()));
    runtime.block_on(async {
        for round in 0..10 {
            for _ in 0..100 {
                readings.recv().await.unwrap();
            }
            // In the middle of whatever they are doing.
            let some = if round % 2 == 0 { &targets[5..] } else { &targets[..] };
            replace.send(Arc::from(some)).unwrap();
        }
        stop.cancel();
        schedule.await.unwrap();
    });
    let after = poll(Duration::from_secs(20), || {
        // The peers of the other side are threads of this process, and close theirs when ours are closed.
        let now = (open_descriptors(), tasks.num_alive_tasks());
        (now.0 <= before.0 && now.1 <= before.1).then_some(now)
    });
    assert!(after.is_some(), "before {before:?}, now {:?}", (open_descriptors(), tasks.num_alive_tasks()));
}
