//! Drives the real nginx through the failures it can log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::faults::address::Dead;
use common::{Lab, Nginx, NginxConfig};

#[test]
fn harness_runs() {
    let lab = Lab::new();
    let dead = Dead::port();
    let nginx = Nginx::start(
        &lab,
        &NginxConfig::server(format!("location /refused {{ proxy_pass http://{}; }}", dead.address())),
    );
    assert_eq!(nginx.get("/refused").status, 502);
    println!("{}", String::from_utf8_lossy(&nginx.errors()));
}
