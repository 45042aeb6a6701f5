use std::io::Read;
use std::time::SystemTime;

use axum::http::{Method, Request};
use proptest::prelude::*;
use tower::ServiceExt;

use super::*;
use crate::observation::fpm::{PoolReading, StatusFailure, StatusReason};
use crate::observation::probe::{ProbeFailure, ProbePhases, ProbeReading, ProbeReason};
use crate::observation::{
    Failure, FailureReason, Health, Known, KnownPeer, KnownPool, LogDelta, Observation, PeerLabels, SeriesDelta,
};
use crate::state::{FileDelta, Level, Limits, LocalClass, State as Truth, UpstreamClass};

const INPUT: &str = "nginx_error_log:/var/log/nginx/error.log";

fn web(observations: Vec<Observation>) -> WebState {
    let mut state = Truth::new(Limits::default());
    observations.into_iter().for_each(|observation| state.apply(observation));
    let (_, snapshots) = watch::channel(state.snapshot(SystemTime::now()));
    WebState { snapshots, telemetry_path: "/metrics".into(), reload: None }
}

fn health(outcome: Result<(), Failure>) -> Observation {
    Observation::Health(Health { input: INPUT.into(), outcome, at: SystemTime::now() })
}

fn refused(upstream: &str) -> Observation {
    let labels = PeerLabels { upstream: upstream.into(), peer: upstream.into() };
    Observation::Log(Box::new(LogDelta {
        file: "/var/log/nginx/error.log".into(),
        read: FileDelta::default(),
        levels: [0; Level::COUNT],
        upstream: [0; UpstreamClass::COUNT],
        local: [0; LocalClass::COUNT],
        series: vec![SeriesDelta::Upstream(labels, UpstreamClass::ConnectRefused, 1)],
        lag: Duration::ZERO,
        at: SystemTime::now(),
    }))
}

async fn send(state: WebState, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router(state).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn bytes(response: Response) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().into()
}

async fn text(response: Response) -> String {
    String::from_utf8(bytes(response).await).unwrap()
}

fn value<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn metrics_come_in_the_format_asked_for() {
    let text_format = send(web(vec![]), Method::GET, "/metrics", &[]).await;
    assert_eq!(value(&text_format, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(value(&text_format, "vary"), "Accept, Accept-Encoding");
    assert!(!text(text_format).await.contains("# EOF"));

    let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
    let openmetrics = send(web(vec![]), Method::GET, "/metrics", &accept).await;
    assert_eq!(value(&openmetrics, "content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(value(&openmetrics, "vary"), "Accept, Accept-Encoding");
    assert!(text(openmetrics).await.ends_with("# EOF\n"));
}

#[tokio::test]
async fn gzip_packs_the_same_bytes() {
    let packed = send(web(vec![]), Method::GET, "/metrics", &[("accept-encoding", "gzip")]).await;
    assert_eq!(value(&packed, "content-encoding"), "gzip");
    assert_eq!(value(&packed, "vary"), "Accept, Accept-Encoding");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&bytes(packed).await[..]).read_to_string(&mut unpacked).unwrap();
    let plain = send(web(vec![]), Method::GET, "/metrics", &[]).await;
    assert_eq!(value(&plain, "content-encoding"), "");
    assert_eq!(unpacked, text(plain).await);
}

#[tokio::test]
async fn head_has_the_headers_and_no_body() {
    for path in ["/metrics", "/", "/-/healthy"] {
        let response = send(web(vec![]), Method::HEAD, path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(value(&response, "content-length").parse::<u64>().unwrap() > 0, "{path}");
        assert!(bytes(response).await.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    for (method, path, status) in [
        (Method::GET, "/metrics/", StatusCode::NOT_FOUND),
        (Method::GET, "/nothing", StatusCode::NOT_FOUND),
        (Method::POST, "/nothing", StatusCode::NOT_FOUND),
        (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
        (Method::DELETE, "/", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/-/reload", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(send(web(vec![]), method.clone(), path, &[]).await.status(), status, "{method} {path}");
    }
}

#[tokio::test]
async fn ready_once_a_log_was_opened_and_healthy_from_the_start() {
    for path in ["/-/healthy", "/healthz"] {
        assert_eq!(send(web(vec![]), Method::GET, path, &[]).await.status(), StatusCode::OK);
    }
    let ready = send(web(vec![]), Method::GET, "/-/ready", &[]).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let ready = send(web(vec![health(Ok(()))]), Method::GET, "/-/ready", &[]).await;
    assert_eq!(ready.status(), StatusCode::OK);
}

#[tokio::test]
async fn reload_is_refused_unless_enabled_and_says_what_is_wrong() {
    assert_eq!(send(web(vec![]), Method::POST, "/-/reload", &[]).await.status(), StatusCode::FORBIDDEN);

    let (reload, mut requests) = mpsc::channel::<ReloadRequest>(1);
    let app = tokio::spawn(async move {
        requests.recv().await.unwrap().send(Ok(())).unwrap();
        requests.recv().await.unwrap().send(Err("exporter.yml:3:1: unknown key".into())).unwrap();
    });
    let enabled = || WebState { reload: Some(reload.clone()), ..web(vec![]) };
    assert_eq!(send(enabled(), Method::POST, "/-/reload", &[]).await.status(), StatusCode::OK);
    let failed = send(enabled(), Method::POST, "/-/reload", &[]).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text(failed).await.contains("exporter.yml:3:1: unknown key"));
    app.await.unwrap();
    assert_eq!(send(enabled(), Method::POST, "/-/reload", &[]).await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_page_shows_hostile_text_as_text() {
    let hostile = "<script>alert(1)</script>\"'&";
    let failure = Failure { reason: FailureReason::Io, what: hostile.into(), detail: hostile.into() };
    let state = WebState { telemetry_path: format!("/{hostile}"), ..web(vec![health(Err(failure)), refused(hostile)]) };
    let page = send(state, Method::GET, "/", &[]).await;
    assert!(value(&page, "content-security-policy").starts_with("default-src 'none'; style-src 'self'"));
    let page = text(page).await;
    assert!(!page.contains("<script") && !page.contains("(1)</"), "{page}");
    assert!(page.contains("down: io") && page.contains("connect_refused"), "{page}");
    assert_eq!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;").count(), 5, "{page}");
}

proptest! {
    #[test]
    fn any_telemetry_path_makes_a_router(telemetry_path in ".{0,20}|[/{}:*a-]{0,20}") {
        let _router = router(WebState { telemetry_path, ..web(vec![]) });
    }
}

#[tokio::test]
async fn a_telemetry_path_is_taken_literally() {
    for path in ["/{a}", "/:a", "/*a", "/a/b"] {
        let state = || WebState { telemetry_path: path.into(), ..web(vec![]) };
        assert_eq!(send(state(), Method::GET, path, &[]).await.status(), StatusCode::OK, "{path}");
        assert_eq!(send(state(), Method::GET, "/x", &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_page_shows_peers_and_pools_and_why_they_are_down() {
    let hostile = "<script>alert(1)</script>";
    let labels = |peer: &str| PeerLabels { upstream: "app".into(), peer: peer.into() };
    let peers = (100..160).map(|n| KnownPeer { labels: labels(&format!("10.0.0.{n}:80")), host: None, listener: None });
    let pool = KnownPool { pool: hostile.into(), listener: None, max_children: Some(4) };
    let known = Known { peers: peers.collect(), pools: vec![pool], nginx_loaded_at: None };
    let refused = ProbeFailure { reason: ProbeReason::Refused, detail: hostile.into() };
    let probe = ProbeReading {
        target: labels("10.0.0.159:80"),
        up: Err(refused),
        phases: ProbePhases::default(),
        chain: vec![],
        resolved: None,
        at: SystemTime::now(),
    };
    let not_asked = StatusFailure { reason: StatusReason::Saturated, detail: "".into(), hint: hostile.into() };
    let (peer, at) = ("127.0.0.1:9000".into(), SystemTime::now());
    let reading = PoolReading { pool: hostile.into(), peer, outcome: Err(not_asked), took: Duration::ZERO, at };
    let state = web(vec![
        Observation::Known(known.into()),
        Observation::Probe(probe.into()),
        Observation::Pool(reading.into()),
    ]);
    let page = text(send(state, Method::GET, "/", &[]).await).await;
    assert!(!page.contains("<script"), "{page}");
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;";
    assert!(page.contains(&format!("<span class=\"down\">down: refused</span><br>{escaped}</td>")), "{page}");
    assert!(page.contains("<td>10.0.0.148:80</td><td>–</td>") && !page.contains("10.0.0.149:80"), "{page}");
    assert!(page.contains("The first 50 of 60."), "{page}");
    let row = format!("<tr><td>{escaped}</td><td class=\"number\">– / 4</td><td class=\"number\">–</td>");
    assert!(page.contains(&format!("{row}<td>not asked: saturated<br>{escaped}</td></tr>")), "{page}");
}
