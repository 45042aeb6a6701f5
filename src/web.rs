//! HTTP: renderings of the last snapshot, nothing else. No handler does I/O.

mod negotiate;
mod page;
mod serve;
mod write_deadline;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot, watch};

pub use serve::{BindError, bind, serve};

use crate::metrics::{Format, Renderer};
use crate::state::Snapshot;

/// A request to read the configuration again; answered with what is wrong with it, if anything.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// How long a reload may take before its client is told that it did not end.
const RELOAD_DEADLINE: Duration = Duration::from_secs(10);

/// What the handlers look at.
#[derive(Debug)]
pub struct WebState {
    /// The hub's snapshots.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Where the metrics are. Begins with `/`; the other endpoints go first.
    pub telemetry_path: String,
    /// Who reloads the configuration; `None` while the lifecycle endpoints are not enabled.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
}

#[derive(Debug)]
struct Shared {
    state: WebState,
    renderer: Renderer,
}

impl Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.state.snapshots.borrow())
    }
}

/// Every endpoint.
pub fn router(state: WebState) -> Router {
    // axum panics on two routes of one path: in a router behind the others, whatever was configured collides with nothing.
    // In its paths braces mean parameters; doubled they are themselves.
    let telemetry_path =
        format!("/{}", state.telemetry_path.trim_start_matches('/').replace('{', "{{").replace('}', "}}"));
    let shared = Arc::new(Shared { state, renderer: Renderer::default() });
    let telemetry =
        Router::new().without_v07_checks().route(&telemetry_path, get(metrics)).with_state(Arc::clone(&shared));
    Router::new()
        .route("/", get(landing))
        .route(page::STYLE_PATH, get(page::style))
        .route("/-/healthy", get(healthy))
        .route("/healthz", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload))
        .with_state(shared)
        .fallback_service(telemetry)
}

async fn landing(State(shared): State<Arc<Shared>>) -> Response {
    page::landing(&shared.snapshot(), &shared.state.telemetry_path)
}

async fn healthy() -> &'static str {
    "nginx-502-exporter is healthy.\n"
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.snapshot().is_ready() {
        (StatusCode::OK, "nginx-502-exporter is ready.\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "nginx-502-exporter has not opened its logs yet.\n")
    }
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let format = negotiate::format(&headers);
    match shared.renderer.render(shared.snapshot(), format) {
        Ok(body) => exposition(body, format, negotiate::gzip(&headers)),
        Err(error) => {
            tracing::error!(%error, "metrics could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be rendered; see the exporter's log.\n")
                .into_response()
        }
    }
}

fn exposition(body: String, format: Format, gzip: bool) -> Response {
    let mut response = match gzip.then(|| negotiate::gzipped(body.as_bytes())).flatten() {
        Some(packed) => ([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], packed).into_response(),
        None => Body::from(body).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}

async fn reload(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    let Some(reload) = &shared.state.reload else {
        return (StatusCode::FORBIDDEN, "Reloading over HTTP is not enabled; see --web.enable-lifecycle.\n".into());
    };
    let (request, answer) = oneshot::channel();
    if reload.try_send(request).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "Another reload is under way, or the exporter is stopping.\n".into());
    }
    match tokio::time::timeout(RELOAD_DEADLINE, answer).await {
        Ok(Ok(Ok(()))) => (StatusCode::OK, String::new()),
        Ok(Ok(Err(problems))) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("The configuration was not reloaded:\n{problems}\n"))
        }
        Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, "The exporter is stopping.\n".into()),
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "The reload did not end in time; see the exporter's log.\n".into()),
    }
}

#[cfg(test)]
mod tests;
