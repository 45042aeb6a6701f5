mod targets;

use std::time::Duration;

use super::*;

const LOG: &str = "/var/log/nginx/error.log";
const LOG_INPUT: &str = "nginx_error_log:/var/log/nginx/error.log";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn delta(series: Vec<SeriesDelta>) -> Observation {
    let mut upstream = [0; UpstreamClass::COUNT];
    upstream[UpstreamClass::ConnectRefused.index()] = 2;
    let mut levels = [0; Level::COUNT];
    levels[Level::Error.index()] = 3;
    let mut local = [0; LocalClass::COUNT];
    local[LocalClass::WorkerCrashed.index()] = 1;
    Observation::Log(Box::new(LogDelta {
        file: LOG.into(),
        read: FileDelta { bytes: 100, lines: 4, unrecognised: 1, rotations: 1, lost_bytes: 5 },
        levels,
        upstream,
        local,
        series,
        lag: Duration::from_millis(3),
        at: at(1),
    }))
}

fn health(input: &str, outcome: Result<(), FailureReason>) -> Observation {
    let outcome = outcome.map_err(|reason| Failure { reason, what: "/var/log/nginx".into(), detail: "said so".into() });
    Observation::Health(Health { input: input.into(), outcome, at: at(2) })
}

fn peer(name: &str) -> PeerLabels {
    PeerLabels { upstream: "app".into(), peer: name.into() }
}

fn refused(name: &str, n: u64) -> SeriesDelta {
    SeriesDelta::Upstream(peer(name), UpstreamClass::ConnectRefused, n)
}

fn state_after(observations: impl IntoIterator<Item = Observation>) -> Arc<Snapshot> {
    let mut state = State::new(Limits { label_sets_per_family: 2 });
    observations.into_iter().for_each(|observation| state.apply(observation));
    state.snapshot(at(9))
}

#[test]
fn nothing_seen_means_no_reading_and_zero_counters() {
    let snapshot = state_after([]);
    assert_eq!(snapshot.taken_at, at(9));
    assert_eq!(snapshot.upstream_failures, [0; UpstreamClass::COUNT]);
    assert_eq!((snapshot.process, snapshot.reload, snapshot.inputs.len()), (None, None, 0));
    assert!(!snapshot.is_ready());
}

#[test]
fn deltas_add_up() {
    let series = || vec![refused("a", 2), SeriesDelta::PeerDisabled(peer("a"), 1)];
    let snapshot = state_after([delta(series()), delta(series())]);
    assert_eq!(snapshot.upstream_failures[UpstreamClass::ConnectRefused.index()], 4);
    assert_eq!(snapshot.entries[Level::Error.index()], 6);
    assert_eq!(snapshot.local_errors[LocalClass::WorkerCrashed.index()], 2);
    let (labels, row) = snapshot.upstream_errors.rows().next().unwrap();
    assert_eq!((labels, row[UpstreamClass::ConnectRefused.index()]), (&peer("a"), 4));
    assert_eq!(snapshot.peers_disabled.rows().next(), Some((&peer("a"), &2)));
    let file = FileDelta { bytes: 200, lines: 8, unrecognised: 2, rotations: 2, lost_bytes: 10 };
    assert_eq!(snapshot.files.rows().collect::<Vec<_>>(), [(&LOG.into(), &file)]);
}

#[test]
fn past_the_cap_new_label_sets_are_counted_as_other_with_their_class() {
    let snapshot = state_after([delta(vec![
        refused("a", 1),
        refused("b", 1),
        refused("c", 4),
        SeriesDelta::Upstream(peer("d"), UpstreamClass::ReadHeaderTimeout, 8),
        refused("a", 16),
    ])]);
    let rows: Vec<_> = snapshot.upstream_errors.rows().map(|(labels, _)| labels.clone()).collect();
    assert_eq!(rows, [peer("a"), peer("b"), PeerLabels::other()]);
    let row = |labels| *snapshot.upstream_errors.rows().find(|(l, _)| **l == labels).unwrap().1;
    assert_eq!(row(peer("a"))[UpstreamClass::ConnectRefused.index()], 17);
    assert_eq!(row(PeerLabels::other())[UpstreamClass::ConnectRefused.index()], 4);
    assert_eq!(row(PeerLabels::other())[UpstreamClass::ReadHeaderTimeout.index()], 8);
    assert_eq!(snapshot.upstream_errors.overflow().iter().sum::<u64>(), 12);
}

#[test]
fn a_counter_stops_at_its_limit_instead_of_going_back() {
    let snapshot = state_after([delta(vec![refused("a", u64::MAX)]), delta(vec![refused("a", 1)])]);
    let (_, row) = snapshot.upstream_errors.rows().next().unwrap();
    assert_eq!(row[UpstreamClass::ConnectRefused.index()], u64::MAX);
}

#[test]
fn a_log_counts_from_zero_once_it_was_opened() {
    let snapshot = state_after([health(LOG_INPUT, Ok(()))]);
    assert_eq!(snapshot.files.rows().collect::<Vec<_>>(), [(&LOG.into(), &FileDelta::default())]);
    assert!(snapshot.is_ready());
}

#[test]
fn an_unreadable_log_is_ready_and_has_no_counters() {
    let snapshot = state_after([health(LOG_INPUT, Err(FailureReason::NotFound))]);
    assert!(snapshot.is_ready());
    assert_eq!(snapshot.files.rows().count(), 0);
}

#[test]
fn a_failed_input_keeps_no_lag_and_says_what_it_is_denied_until_it_is_granted() {
    let denied = || health(LOG_INPUT, Err(FailureReason::Permission));
    let failed = state_after([health(LOG_INPUT, Ok(())), delta(vec![]), denied()]);
    let input = &failed.inputs[LOG_INPUT];
    assert_eq!((input.lag, input.denied.as_deref()), (None, Some("/var/log/nginx")));

    let granted = state_after([denied(), health(LOG_INPUT, Ok(())), delta(vec![])]);
    let input = &granted.inputs[LOG_INPUT];
    assert_eq!((input.lag, input.denied.as_deref()), (Some(Duration::from_millis(3)), Some("/var/log/nginx")));
    assert!(input.outcome.is_ok());
}

#[test]
fn a_removed_input_leaves_and_its_counters_stay() {
    let snapshot = state_after([
        health(LOG_INPUT, Ok(())),
        delta(vec![]),
        health(LOG_INPUT, Err(FailureReason::Removed)),
        delta(vec![]),
    ]);
    assert!(snapshot.inputs.is_empty());
    assert_eq!(snapshot.files.rows().next().unwrap().1.bytes, 200);
}

#[test]
fn inputs_past_the_cap_are_counted() {
    let snapshot = state_after(["a", "b", "c", "b"].map(|input| health(input, Ok(()))));
    assert_eq!(snapshot.inputs.keys().map(|key| &**key).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(snapshot.inputs_overflow, 1);
}

#[test]
fn process_usage_that_can_no_longer_be_read_is_absent() {
    let usage = Observation::Process(ProcessUsage { threads: 4, ..ProcessUsage::default() });
    assert_eq!(state_after([usage.clone()]).process.unwrap().threads, 4);
    assert_eq!(state_after([usage, health(PROCESS, Err(FailureReason::Io))]).process, None);
}

#[test]
fn a_failed_reload_keeps_the_time_of_the_last_good_one() {
    let reload = |successful, seconds| Observation::Reload(Reload { successful, at: at(seconds) });
    let snapshot = state_after([reload(true, 5), reload(false, 6)]);
    assert_eq!(snapshot.reload, Some(Reload { successful: false, at: at(6) }));
    assert_eq!(snapshot.last_successful_reload, Some(at(5)));
}
