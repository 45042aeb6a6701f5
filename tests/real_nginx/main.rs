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
mod counters;
mod fastcgi;
mod grpc;
mod host;
mod local;
mod pass;
mod php;
mod proxy;
mod run;
mod stream;
mod tls;
mod uwsgi_scgi;

use std::collections::BTreeSet;

use nginx_502_exporter::observation::Verdict;

use case::Case;
use common::Lab;

#[test]
fn the_tables_hold_at_least_thirty_distinct_classes() {
    let tables: [fn(&Lab) -> Vec<Case>; 7] =
        [proxy::cases, tls::cases, fastcgi::cases, uwsgi_scgi::cases, grpc::cases, stream::cases, local::cases];
    let mut classes = BTreeSet::new();
    for table in tables {
        let cases = table(&Lab::new());
        let verdicts = cases.iter().flat_map(Case::verdicts);
        let classed = verdicts.filter(|verdict| matches!(verdict, Verdict::Upstream(_) | Verdict::Local(_)));
        classes.extend(classed.filter_map(Verdict::class));
    }
    assert!(classes.len() >= 30, "{}: {classes:?}", classes.len());
}
