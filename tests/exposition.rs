//! What a scrape contains, seen through the public interface, promtool and a real Prometheus.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::middleware::{map_request, map_response};
use axum::response::Response;
use common::http::Address;
use common::prometheus::promtool_check;
use common::{Lab, Prometheus};
use nginx_502_exporter::metrics::catalogue::{FAMILIES, Family, Kind, Values};
use nginx_502_exporter::metrics::{Format, Renderer};
use nginx_502_exporter::observation::fpm::{
    FpmStatus, MemoryKind, PoolReading, ProcessCounts, WorkerMemory, WorkerState,
};
use nginx_502_exporter::observation::probe::{
    CertificateInfo, ProbeFailure, ProbePhase, ProbePhases, ProbeReading, ProbeReason,
};
use nginx_502_exporter::observation::socket::{
    ListenerKey, ListenerState, Listening, Overflows, OwnerScan, Queue, QueueSource, SocketReading,
};
use nginx_502_exporter::observation::{
    Health, Known, KnownPeer, KnownPool, LogDelta, Observation, PoolMemory, SeriesDelta,
};
use nginx_502_exporter::state::{
    Failure, FailureReason, FileDelta, Level, Limits, LocalClass, PeerLabels, PhpKind, ProcessUsage, Reload, Snapshot,
    State, UpstreamClass,
};
use nginx_502_exporter::web::{self, WebState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const LOG: &str = "/var/log/nginx/error.log";
const FPM: &str = "unix:/run/php/php8.2-fpm.sock";
const HOSTILE: &str = "a\"b\\c\nd\u{1b}[31m {x=\"1\"} 1 # EOF 🦀 ä,";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn health(input: &str, outcome: Result<(), FailureReason>) -> Observation {
    let failure = |reason| Failure { reason, what: "/var/log/nginx/other.log".into(), detail: "13".into() };
    Observation::Health(Health { input: input.into(), outcome: outcome.map_err(failure), at: at(1) })
}

fn log(upstream: &[(UpstreamClass, u64)], series: Vec<SeriesDelta>) -> Observation {
    let mut delta = LogDelta {
        file: LOG.into(),
        read: FileDelta { bytes: 4096, lines: 20, unrecognised: 2, rotations: 1, lost_bytes: 7 },
        levels: [0; Level::COUNT],
        upstream: [0; UpstreamClass::COUNT],
        local: [0; LocalClass::COUNT],
        series,
        lag: Duration::from_micros(1500),
        at: at(2),
    };
    delta.levels[Level::Error.index()] = 17;
    delta.local[LocalClass::WorkerCrashed.index()] = 1;
    for (class, n) in upstream {
        delta.upstream[class.index()] = *n;
    }
    Observation::Log(Box::new(delta))
}

fn peer(upstream: &str, peer: &str) -> PeerLabels {
    PeerLabels { upstream: upstream.into(), peer: peer.into() }
}

/// One local peer with a certificate and a name, one that is down, and a busy pool, with all that is said of them.
fn targets() -> [Observation; 7] {
    let app = ListenerKey::Tcp("127.0.0.1:9000".parse().unwrap());
    let fpm = ListenerKey::Unix(Path::new("/run/php/php8.2-fpm.sock").into());
    let known_peer = |labels, host: Option<&str>, listener| KnownPeer { labels, host: host.map(Arc::from), listener };
    let known = Known {
        peers: vec![
            known_peer(peer("app", "127.0.0.1:9000"), Some("app.internal"), Some(app.clone())),
            known_peer(peer(HOSTILE, "127.0.0.1:9001"), None, None),
        ],
        pools: vec![KnownPool { pool: "www".into(), listener: Some(fpm.clone()), max_children: Some(4) }],
        nginx_loaded_at: Some(at(1)),
    };
    let listener = |waiting, accepted, own| ListenerState {
        source: QueueSource::Netlink,
        listening: Listening::Yes,
        queue: Some(Queue { waiting, limit: Some(511), full: Some(false), sockets: 1, inode: 1 }),
        accepted,
        abandoned: Some(0),
        own: Some(own),
        owner: None,
    };
    let sockets = SocketReading {
        at: at(2),
        took: Duration::from_micros(300),
        listeners: vec![(app, Ok(listener(2, 7, 1))), (fpm, Ok(listener(0, 3, 0)))],
        fallbacks: vec![],
        overflows: Ok(Overflows { overflows: 11, drops: 12 }),
        owners: OwnerScan::default(),
    };
    let mut states = [0; WorkerState::COUNT];
    states[WorkerState::Running.index()] = 3;
    states[WorkerState::Idle.index()] = 1;
    let page = FpmStatus {
        start_time: Some(1_794_990_000),
        accepted: Some(1234),
        max_children_reached: Some(2),
        slow_requests: Some(1),
        max_listen_queue: Some(0),
        idle: Some(1),
        active: Some(3),
        total: Some(4),
        max_active: Some(4),
        processes: Some(ProcessCounts { states, longest_request: Some(Duration::from_millis(2500)) }),
        ..FpmStatus::default()
    };
    let took = Duration::from_millis(1);
    let pool = PoolReading { pool: "www".into(), peer: FPM.into(), outcome: Ok(page), took, at: at(2) };
    let memory = WorkerMemory {
        pool: "www".into(),
        kind: MemoryKind::Pss,
        workers: 4,
        sum: 104_857_600,
        max: 52_428_800,
        at: at(2),
    };
    let mut phases = ProbePhases::default();
    phases.record(ProbePhase::Dns, Duration::from_micros(500));
    phases.record(ProbePhase::Connect, Duration::from_micros(250));
    let certificate = CertificateInfo {
        subject: "CN=app".into(),
        issuer: "CN=ca".into(),
        names: vec!["app".into()],
        not_before: at(1),
        not_after: at(1_800_000_000),
        is_self_signed: false,
    };
    let up = ProbeReading {
        target: peer("app", "127.0.0.1:9000"),
        up: Ok(()),
        phases,
        chain: vec![certificate],
        resolved: Some(vec!["127.0.0.1".parse().unwrap()]),
        at: at(2),
    };
    let failure = ProbeFailure { reason: ProbeReason::Refused, detail: "111".into() };
    let down = ProbeReading {
        target: peer(HOSTILE, "127.0.0.1:9001"),
        up: Err(failure),
        phases: ProbePhases::default(),
        chain: vec![],
        resolved: None,
        at: at(2),
    };
    [
        Observation::Known(known.into()),
        Observation::Sockets(sockets.into()),
        Observation::Pool(pool.into()),
        Observation::PoolMemory(vec![PoolMemory { memory, recommended: Some(40) }]),
        Observation::Probe(up.clone().into()),
        Observation::Probe(down.into()),
        Observation::Probe(ProbeReading { resolved: Some(vec!["127.0.0.2".parse().unwrap()]), ..up }.into()),
    ]
}

/// A state in which every family has a sample.
fn scripted() -> Arc<Snapshot> {
    let mut state = State::new(Limits { label_sets_per_family: 3 });
    for observation in [
        health("process", Ok(())),
        health("nginx_error_log:/var/log/nginx/error.log", Ok(())),
        health("nginx_error_log:/var/log/nginx/other.log", Err(FailureReason::Permission)),
        log(
            &[(UpstreamClass::ConnectRefused, 9), (UpstreamClass::ReadHeaderTimeout, 4)],
            vec![
                SeriesDelta::Upstream(peer("app", "127.0.0.1:9000"), UpstreamClass::ConnectRefused, 5),
                SeriesDelta::Upstream(peer("app", "127.0.0.1:9000"), UpstreamClass::ReadHeaderTimeout, 4),
                SeriesDelta::Upstream(peer("app", "127.0.0.1:9001"), UpstreamClass::ConnectRefused, 1),
                SeriesDelta::Upstream(peer(HOSTILE, &"x".repeat(10_000)), UpstreamClass::ConnectRefused, 1),
                SeriesDelta::Upstream(peer("late", "127.0.0.1:9002"), UpstreamClass::ConnectRefused, 2),
                SeriesDelta::Server("shop.example".into(), UpstreamClass::ConnectRefused, 9),
                SeriesDelta::Php(PhpKind::MemoryExhausted, FPM.into(), 3),
                SeriesDelta::PeerDisabled(peer("app", "127.0.0.1:9000"), 2),
            ],
        ),
        Observation::Reload(Reload { successful: true, at: at(1_795_000_000) }),
        Observation::Reload(Reload { successful: false, at: at(1_795_000_060) }),
        Observation::Process(ProcessUsage {
            cpu_seconds: 1.25,
            resident_bytes: 9_437_184,
            virtual_bytes: 80_000_000,
            open_fds: 12,
            max_fds: 1024,
            start_time_seconds: 1_794_999_999.5,
            threads: 5,
        }),
    ] {
        state.apply(observation);
    }
    targets().into_iter().for_each(|observation| state.apply(observation));
    state.snapshot(at(3))
}

fn fresh() -> Arc<Snapshot> {
    State::new(Limits::default()).snapshot(at(0))
}

fn render(snapshot: Arc<Snapshot>, format: Format) -> String {
    Renderer::default().render(snapshot, format).unwrap()
}

/// Lines of samples, by name of the series.
fn samples(exposition: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut by_name = BTreeMap::<_, Vec<_>>::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        by_name.entry(line.split(['{', ' ']).next().unwrap()).or_default().push(line);
    }
    by_name
}

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares with a file of the project; `UPDATE_GOLDEN=1` writes it instead.
fn assert_golden(path: &str, actual: &str) {
    let file = in_project(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return fs::write(file, actual).unwrap();
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    let different = expected.lines().zip(actual.lines()).enumerate().find(|(_, (expected, actual))| expected != actual);
    assert!(
        expected == actual,
        "{path} is not what is made now; `UPDATE_GOLDEN=1 cargo test` writes it anew\nfirst difference: {different:#?}"
    );
}

#[test]
fn the_exposition_is_the_golden_one_in_both_formats() {
    for (format, path) in [(Format::OpenMetrics, "openmetrics.txt"), (Format::Text, "text.txt")] {
        let exposition = render(scripted(), format)
            .replace(concat!("version=\"", env!("CARGO_PKG_VERSION")), "version=\"VERSION")
            .replace(&format!("arch=\"{}", std::env::consts::ARCH), "arch=\"ARCH");
        assert_golden(&format!("tests/fixtures/exposition/{path}"), &exposition);
    }
}

#[test]
fn both_formats_have_the_same_samples() {
    let [openmetrics, text] = [Format::OpenMetrics, Format::Text].map(|format| render(scripted(), format));
    assert_eq!(samples(&openmetrics), samples(&text));
    assert!(openmetrics.ends_with("\n# EOF\n"));
    assert!(!text.contains("# EOF\n") && !text.contains("# UNIT"));
}

#[test]
fn every_family_is_exposed_and_nothing_else() {
    let exposition = render(scripted(), Format::Text);
    let exposed: BTreeSet<_> = samples(&exposition).into_keys().collect();
    assert_eq!(exposed, FAMILIES.iter().map(|family| family.name).collect());
    for Family { name, kind, help, .. } in FAMILIES {
        assert!(exposition.contains(&format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name())), "{name}");
    }
}

#[test]
fn names_and_help_follow_the_rules_of_prometheus() {
    let mut seen = BTreeSet::new();
    for Family { name, kind, help, labels, .. } in FAMILIES {
        assert!(seen.insert(name), "{name} stands twice");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        for reserved in ["_info", "_bucket", "_sum", "_count", "_created"] {
            assert!(!name.ends_with(reserved) || *name == "nginx_502_exporter_build_info", "{name}");
        }
        assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}: {help}");
        for word in labels.iter().map(|label| label.name).chain([*name]) {
            assert!(word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}: {word}");
        }
    }
}

#[test]
fn families_with_closed_labels_only_are_complete_and_zero_from_the_start() {
    let exposition = render(fresh(), Format::Text);
    let exposed = samples(&exposition);
    let mut checked = 0;
    for Family { name, kind, labels, .. } in FAMILIES {
        let closed = labels.iter().map(|label| match label.values {
            Values::Closed(values) => Some((label.name, values())),
            Values::Open => None,
        });
        if let (Kind::Counter, Some(closed)) = (kind, closed.collect::<Option<Vec<_>>>())
            && let [(label, values)] = &closed[..]
        {
            let zeros: Vec<_> = values.iter().map(|value| format!("{name}{{{label}=\"{value}\"}} 0")).collect();
            assert_eq!(exposed[name], zeros);
            checked += 1;
        }
    }
    assert_eq!(checked, 4, "failures, local errors, entries, overflows");
}

#[test]
fn a_reading_that_was_not_taken_is_absent() {
    let exposition = render(fresh(), Format::Text);
    for name in samples(&exposition).into_keys() {
        let is_reading =
            ["process_", "phpfpm_", "host_", "nginx_upstream_up"].iter().any(|start| name.starts_with(start));
        assert!(!is_reading && !name.contains("reload") && !name.contains("input_"), "{name}");
    }
}

#[test]
fn hostile_label_values_stay_values() {
    let exposition = render(scripted(), Format::Text);
    let line =
        samples(&exposition)["nginx_upstream_errors_total"].iter().copied().find(|line| line.contains("🦀")).unwrap();
    let upstream = "a\\\"b\\\\c\u{fffd}d\u{fffd}[31m {x=\\\"1\\\"} 1 # EOF 🦀 ä,";
    let peer = format!("{}…", "x".repeat(253));
    assert_eq!(
        line,
        format!("nginx_upstream_errors_total{{upstream=\"{upstream}\",peer=\"{peer}\",class=\"connect_refused\"}} 1")
    );
}

#[test]
fn promtool_has_nothing_to_say_about_text() {
    for snapshot in [fresh(), scripted()] {
        assert_eq!(promtool_check(&render(snapshot, Format::Text)), Ok(String::new()));
    }
}

/// promtool 2.42 takes OpenMetrics for text 0.0.4, where the help of a counter stands under the name of its series.
#[test]
fn promtool_misses_nothing_in_openmetrics_but_the_help_of_counters() {
    for snapshot in [fresh(), scripted()] {
        let said = promtool_check(&render(snapshot, Format::OpenMetrics)).unwrap_err();
        for complaint in said.lines() {
            let counter = complaint.strip_suffix(" no help text").unwrap_or_else(|| panic!("{complaint}"));
            assert!(
                FAMILIES.iter().any(|family| family.name == counter && family.kind == Kind::Counter),
                "{complaint}"
            );
        }
    }
}

#[test]
fn the_metrics_reference_is_the_catalogue() {
    const BEGIN: &str = "<!-- families: written by `UPDATE_GOLDEN=1 cargo test` -->\n";
    const END: &str = "<!-- end of families -->\n";
    let path = "docs/metrics.md";
    let document = fs::read_to_string(in_project(path)).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    assert_golden(path, &format!("{before}{BEGIN}{}{END}{after}", reference()));
}

/// The catalogue as Markdown.
fn reference() -> String {
    let mut table = String::from("\n| family | type | labels | meaning |\n|---|---|---|---|\n");
    let mut closed = BTreeMap::new();
    for family in FAMILIES {
        let Family { name, kind, help, labels, .. } = family;
        let labels: Vec<_> = labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let labels = if labels.is_empty() { "–".into() } else { labels.join(", ") };
        writeln!(table, "| `{name}` | {} | {labels} | {help} |", kind.name()).unwrap();
        for label in family.labels {
            if let Values::Closed(values) = label.values {
                closed.entry((label.name, values())).or_insert_with(Vec::new).push(*name);
            }
        }
    }
    table.push_str("\nLabels with a closed set of values:\n\n");
    for ((label, values), families) in closed {
        let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        writeln!(table, "- `{label}` of {}: {}", quoted(&families), quoted(&values)).unwrap();
    }
    table.push('\n');
    table
}

#[test]
fn a_real_prometheus_scrapes_both_formats_and_answers_queries() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_hub, snapshots) = watch::channel(scripted());
    let state = || WebState { snapshots: snapshots.clone(), telemetry_path: "/metrics".into(), reload: None };
    let sent: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let recorder = Arc::clone(&sent);
    let record = move |response: Response| {
        let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        recorder.lock().unwrap().insert(content_type);
        std::future::ready(response)
    };
    // Prometheus asks for OpenMetrics; in front of one of the two its wish is changed to the other format.
    let as_it_asks = web::router(state()).layer(map_response(record.clone()));
    let wants_text = |mut request: Request| {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/plain"));
        std::future::ready(request)
    };
    let text_only = web::router(state()).layer(map_response(record)).layer(map_request(wants_text));
    let stop = CancellationToken::new();
    let targets = [("openmetrics", as_it_asks), ("text", text_only)].map(|(job, router)| {
        let listener = runtime.block_on(web::bind("127.0.0.1", 0)).unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        runtime.spawn(web::serve(vec![listener], router, stop.clone()));
        (job, address)
    });

    let lab = Lab::new();
    let prometheus = Prometheus::start(&lab, &targets.each_ref().map(|(job, address)| (*job, address)));
    for (job, _) in &targets {
        let query = |selector: &str| {
            let query = selector.replace("JOB", &format!("job=\"{job}\""));
            lab.wait_for_some(&query, Duration::from_secs(60), || prometheus.value(&query))
        };
        assert_eq!(query("up{JOB} == 1"), 1.0);
        assert_eq!(query("nginx_upstream_failures_total{JOB,class=\"connect_refused\"}"), 9.0);
        assert_eq!(query("count(nginx_upstream_failures_total{JOB})"), UpstreamClass::COUNT as f64);
        assert_eq!(query("sum(nginx_upstream_errors_total{JOB})"), 13.0);
        assert_eq!(query("nginx_upstream_errors_total{JOB,upstream=\"other\",peer=\"other\"}"), 2.0);
        assert_eq!(query("nginx_upstream_errors_total{JOB,upstream=~\"a.b.c.*🦀 ä,\"}"), 1.0);
        assert_eq!(query("nginx_502_exporter_input_failure{JOB} == 1"), 1.0);
        assert_eq!(query("nginx_upstream_up{JOB,upstream=\"app\"}"), 1.0);
        assert_eq!(query("nginx_upstream_up{JOB,upstream!=\"app\"}"), 0.0);
        assert_eq!(query("sum(nginx_upstream_probe_failures_total{JOB})"), 1.0);
        assert_eq!(query("nginx_upstream_dns_stale{JOB,host=\"app.internal\"}"), 1.0);
        assert_eq!(query("phpfpm_saturation_ratio{JOB,pool=\"www\"}"), 0.75);
        assert_eq!(query("phpfpm_worker_memory_bytes{JOB,stat=\"mean\",kind=\"pss\"}"), 26_214_400.0);
        assert_eq!(query("process_cpu_seconds_total{JOB}"), 1.25);
        assert_eq!(
            query("scrape_samples_scraped{JOB}"),
            samples(&render(scripted(), Format::Text)).values().flatten().count() as f64
        );
    }
    assert_eq!(
        *sent.lock().unwrap(),
        BTreeSet::from([Format::OpenMetrics, Format::Text].map(|format| format.content_type().to_owned()))
    );
    stop.cancel();
}
