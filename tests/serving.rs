//! The server as its peers see it: over real sockets, slow, greedy, gone or talking nonsense.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nginx_502_exporter::state::{Limits, Snapshot, State};
use nginx_502_exporter::web::{self, WebState};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    runtime: Runtime,
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    _hub: watch::Sender<Arc<Snapshot>>,
}

impl Server {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (hub, snapshots) = watch::channel(State::new(Limits::default()).snapshot(SystemTime::now()));
        let router = web::router(WebState { snapshots, telemetry_path: "/metrics".into(), reload: None });
        let listeners: Vec<_> = (0..2).map(|_| runtime.block_on(web::bind("127.0.0.1", 0)).unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let stop = CancellationToken::new();
        let task = Some(runtime.spawn(web::serve(listeners, router, stop.clone())));
        Self { runtime, addresses, stop, task, _hub: hub }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[0]).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn stopped_in_time(mut self) -> bool {
        self.stop.cancel();
        let task = self.task.take().unwrap();
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, task).await }).is_ok()
    }
}

/// Sends a request and reads one whole response from a connection that stays open.
fn exchange(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: exporter\r\n\r\n").unwrap();
    let mut response = Vec::new();
    let mut byte = [0];
    while !response.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        response.push(byte[0]);
    }
    let head = String::from_utf8(response).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    // A reset ends it as well: the server closed with our bytes unread.
    let _ended = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

#[test]
fn every_listener_answers_and_connections_are_kept() {
    let server = Server::start();
    for address in &server.addresses {
        let mut stream = TcpStream::connect(address).unwrap();
        for _ in 0..3 {
            let response = exchange(&mut stream, "/metrics");
            assert!(response.starts_with("http/1.1 200"), "{response}");
            assert!(response.contains("nginx_502_exporter_build_info"), "{response}");
        }
    }
}

#[test]
fn nonsense_is_refused_and_the_server_goes_on() {
    let server = Server::start();
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    for nonsense in [&b"\0\xff\x16\x03\x01\r\n\r\n"[..], b"GET\r\n\r\n", long_header.as_bytes()] {
        let mut stream = server.connect();
        let _sent = stream.write_all(nonsense);
        let response = read_to_end(&mut stream);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{response}");
    }
    assert!(exchange(&mut server.connect(), "/-/healthy").contains("is healthy"));
}

#[test]
fn connections_past_the_cap_are_closed_and_room_is_made_again() {
    let server = Server::start();
    let mut open: Vec<_> = (0..256).map(|_| server.connect()).collect();
    // Each of them was accepted once the last one answers: accepting is in order.
    assert!(exchange(open.last_mut().unwrap(), "/-/healthy").contains("200 ok"));
    assert_eq!(read_to_end(&mut server.connect()), "");
    drop(open);
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let mut stream = server.connect();
        let _sent = write!(stream, "GET /-/healthy HTTP/1.1\r\nHost: exporter\r\nConnection: close\r\n\r\n");
        if read_to_end(&mut stream).starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no connection was served any more");
    }
}

#[test]
fn stopping_closes_idle_connections_and_the_port() {
    let server = Server::start();
    let mut idle = server.connect();
    exchange(&mut idle, "/-/healthy");
    let mut half_a_request = server.connect();
    half_a_request.write_all(b"GET / HT").unwrap();
    let address = server.addresses[0];
    assert!(server.stopped_in_time());
    assert_eq!(read_to_end(&mut idle), "");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_in_use_is_told_with_what_to_do() {
    let server = Server::start();
    let port = server.addresses[0].port();
    let error = server.runtime.block_on(web::bind("127.0.0.1", port)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "cannot listen on 127.0.0.1:{port}: Address already in use (os error 98); another program holds it \
             (`ss -ltnp` tells which): stop that one or choose another --web.listen-address"
        )
    );
    let error = server.runtime.block_on(web::bind("", port)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on :{port}: Address already in use")), "{error}");
}

#[test]
fn the_wildcard_takes_both_families() {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(web::bind("", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect(("127.0.0.1", port)).unwrap();
}
