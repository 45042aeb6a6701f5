//! Listening and serving: HTTP/1.1, every wait with a deadline, every number with a cap.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::write_deadline::WriteDeadline;

/// Connections served at the same time; one more is closed at once.
const MAX_CONNECTIONS: usize = 256;
/// From the end of one request to the end of the next one's header. hyper counts idle time too: longer than the usual
/// scrape intervals, so that a scraper keeps its connection.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// How large a request's header may be.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// How long responses under way may go on after the stop.
const GRACE: Duration = Duration::from_secs(5);
/// Rest after a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; {}", advice(.source))]
pub struct BindError {
    /// The address as it was given.
    pub address: String,
    /// The operating system's reason.
    pub source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program holds it (`ss -ltnp` tells which): stop that one or choose another --web.listen-address"
        }
        io::ErrorKind::AddrNotAvailable => "this host has no such address: choose another --web.listen-address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose another --web.listen-address",
        _ => "check --web.listen-address",
    }
}

/// Listens on a host (an address or a name; empty for every address of this host) and a port.
///
/// # Errors
/// When the operating system refuses; the message says what to do.
pub async fn bind(host: &str, port: u16) -> Result<TcpListener, BindError> {
    let bound = match host {
        // The IPv6 wildcard takes IPv4 too; where there is no IPv6, IPv4 alone.
        "" => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            bound => bound,
        },
        host => TcpListener::bind((host, port)).await,
    };
    bound.map_err(|source| {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        BindError { address, source }
    })
}

/// Serves until `stop`, then lets responses under way end, for at most 5 s.
pub async fn serve(listeners: Vec<TcpListener>, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut refused = 0_u64;
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listeners) => accepted,
            () = stop.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(_) if connections.len() >= MAX_CONNECTIONS => {
                refused += 1;
                if refused.is_power_of_two() {
                    tracing::warn!(refused, limit = MAX_CONNECTIONS, "too many connections: closed the newest");
                }
            }
            Ok(stream) => {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_DEADLINE)
                    .max_buf_size(MAX_HEADER_BYTES)
                    .serve_connection(
                        TokioIo::new(WriteDeadline::new(stream)),
                        TowerToHyperService::new(router.clone()),
                    );
                let connection = graceful.watch(connection);
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                });
            }
            // The client's doing; the next one may be fine.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listeners);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "responses did not end in time: closed");
    }
}

/// The next connection on any of them.
async fn accept(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|context| {
        listeners
            .iter()
            .find_map(|listener| match listener.poll_accept(context) {
                Poll::Ready(accepted) => Some(Poll::Ready(accepted.map(|(stream, _)| stream))),
                Poll::Pending => None,
            })
            .unwrap_or(Poll::Pending)
    })
    .await
}
