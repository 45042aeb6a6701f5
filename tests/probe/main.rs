//! Probes against real things: nginx as a TLS server, PHP-FPM, and peers that go wrong on purpose.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod cost;
mod dns;
mod fpm;
mod peers;
mod schedule;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nginx_502_exporter::inputs::probe::{Address, Ask, Prober, Shared, Target};
use nginx_502_exporter::observation::PeerLabels;
use nginx_502_exporter::observation::probe::{ProbeReading, ProbeReason};

/// Long enough for whatever is going to happen.
pub const PATIENT: Duration = Duration::from_secs(20);
/// For what is not going to happen.
pub const IMPATIENT: Duration = Duration::from_millis(300);

/// A plain connection to an address as nginx writes it.
pub fn target(peer: impl ToString, ask: Ask) -> Target {
    let peer = peer.to_string();
    let address: Address = peer.parse().unwrap();
    Target { labels: PeerLabels { upstream: "backend".into(), peer: peer.into() }, address, tls: None, ask }
}

/// One HTTP request.
pub fn http() -> Ask {
    Ask::Http { path: "/health".into(), host: "example.test".into() }
}

/// FCGI_GET_VALUES.
pub fn fastcgi() -> Ask {
    Ask::FastCgi { ping: None }
}

/// FPM's ping page.
pub fn ping(path: &str) -> Ask {
    Ask::FastCgi { ping: Some(path.into()) }
}

/// A probe that can run several times.
pub fn prober(target: Target, deadline: Duration) -> Prober {
    Prober::new(target, Arc::new(Shared::new(deadline, Path::new("/"), Path::new("/proc"))))
}

/// One probe, in a runtime of its own on this very thread.
pub fn probe(target: Target, deadline: Duration) -> ProbeReading {
    runtime().block_on(prober(target, deadline).probe())
}

/// A runtime that stays on this thread.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The reason, `None` for success.
pub fn reason(reading: &ProbeReading) -> Option<ProbeReason> {
    reading.up.as_ref().err().map(|failure| failure.reason)
}
