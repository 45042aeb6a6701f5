//! Drives the real nginx through the failures it can log, one table per protocol, and compares what we make of each
//! error-log entry with what nginx itself says: its words, and its access log.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    unreachable_pub
)]

#[path = "../common/mod.rs"]
mod common;

mod case;
mod fastcgi;
mod grpc;
mod host;
mod local;
mod php;
mod proxy;
mod stream;
mod tls;
mod uwsgi_scgi;

use std::collections::BTreeSet;

use nginx_502_exporter::observation::Verdict;

#[test]
fn the_tables_hold_at_least_thirty_distinct_classes() {
    let lab = common::Lab::new();
    let tables = [
        proxy::cases(&lab),
        tls::cases(&lab),
        fastcgi::cases(&lab),
        uwsgi_scgi::cases(&lab),
        grpc::cases(&lab),
        stream::cases(&lab),
        local::cases(&lab),
    ];
    let classes: BTreeSet<&str> = tables
        .iter()
        .flatten()
        .flat_map(|case| case.verdicts())
        .filter(|verdict| matches!(verdict, Verdict::Upstream(_) | Verdict::Local(_)))
        .filter_map(|verdict| verdict.class())
        .collect();
    assert!(classes.len() >= 30, "{}: {classes:?}", classes.len());
}
