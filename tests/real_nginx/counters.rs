//! The same through the exporter itself: what it serves, having followed the log, is the sum of the cases.

use std::collections::BTreeMap;
use std::time::Duration;

use nginx_502_exporter::observation::{LocalClass, UpstreamClass, Verdict};

use crate::case::Case;
use crate::common::lab::poll;
use crate::common::{Exporter, Lab, Nginx};

/// How long the exporter may take to read a log of a few kilobytes.
const DEADLINE: Duration = Duration::from_secs(20);
const UPSTREAM: &str = "nginx_upstream_failures_total";
const LOCAL: &str = "nginx_local_errors_total";

/// Counts per series.
type Counts = BTreeMap<String, f64>;

/// Lets the exporter follow nginx's log and compares every class, those that must be zero too.
///
/// # Panics
/// When they differ.
pub fn compare(lab: &Lab, nginx: &Nginx, cases: &[Case]) {
    let expected = expected(cases);
    let exporter = Exporter::following(lab, &nginx.error_log());
    let mut served = Counts::new();
    poll(DEADLINE, || {
        served = [exporter.family(UPSTREAM), exporter.family(LOCAL)].into_iter().flatten().collect();
        (served == expected).then_some(())
    });
    let differ: Vec<_> = expected.iter().filter(|(series, count)| served.get(*series) != Some(count)).collect();
    assert!(served == expected, "expected {differ:#?} of\n{served:#?}{}", lab.log_tails());
}

fn expected(cases: &[Case]) -> Counts {
    let series = |family: &str, class: &str| format!("{family}{{class=\"{class}\"}}");
    let upstream = UpstreamClass::ALL.iter().map(|class| (series(UPSTREAM, class.name()), 0.0));
    let local = LocalClass::ALL.iter().map(|class| (series(LOCAL, class.name()), 0.0));
    let mut counts: Counts = upstream.chain(local).collect();
    for verdict in cases.iter().flat_map(Case::verdicts) {
        let counted = match verdict {
            Verdict::Upstream(class) => series(UPSTREAM, class.name()),
            Verdict::Local(class) => series(LOCAL, class.name()),
            _ => continue,
        };
        *counts.entry(counted).or_default() += 1.0;
    }
    counts
}
