//! Failures of nginx as a process and of the host it runs on. Each has an nginx of its own.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nginx_502_exporter::observation::LocalClass::{
    self, BindFailed, ConfigInvalid, FileDescriptorLimitLow, FilesExhausted, MemoryExhausted, ResolverUnreachable,
    SharedMemoryExhausted, TempFileDenied, TempFileNoSpace, WorkerConnectionsExhausted, WorkerCrashed, WorkerKilled,
};
use nginx_502_exporter::observation::UpstreamClass::{
    ConnectPermissionDenied, ConnectReset, ConnectTimeout, ConnectUnreachable,
};
use nginx_502_exporter::observation::{UpstreamClass, Verdict};
use rustix::process::{Signal, kill_process};

use crate::common::faults::Step::{Hang, ReadRequest, Reset};
use crate::common::faults::{Peer, Wire};
use crate::common::http::{Connection, Request};
use crate::common::{Lab, Nginx, NginxConfig};
use crate::run::counted;

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until nginx has said so, and expects that we understand it as that.
fn expect(lab: &Lab, nginx: &Nginx, says: &str, verdict: Verdict) {
    lab.wait_for(&format!("nginx to log {says:?}"), DEADLINE, || {
        let log = nginx.errors();
        let understood = counted(&log);
        understood
            .iter()
            .any(|entry| entry.verdict == verdict && memchr::memmem::find(entry.message, says.as_bytes()).is_some())
    });
}

fn expect_local(lab: &Lab, nginx: &Nginx, says: &str, class: LocalClass) {
    expect(lab, nginx, says, Verdict::Local(class));
}

fn expect_upstream(lab: &Lab, nginx: &Nginx, says: &str, class: UpstreamClass) {
    expect(lab, nginx, says, Verdict::Upstream(class));
}

#[test]
fn dead_workers_are_told_apart() {
    let lab = Lab::new();
    let nginx = Nginx::start(&lab, &NginxConfig::default());
    let crashed = nginx.worker(&lab);
    kill_process(crashed, Signal::SEGV).expect("our worker");
    expect_local(&lab, &nginx, "exited on signal 11", WorkerCrashed);
    let another = lab.wait_for_some("a new worker", DEADLINE, || {
        nginx.process.children().into_iter().find(|worker| *worker != crashed)
    });
    kill_process(another, Signal::KILL).expect("our worker");
    expect_local(&lab, &nginx, "exited on signal 9", WorkerKilled);
}

#[test]
fn a_broken_configuration_is_told_from_a_taken_port() {
    let lab = Lab::new();
    let nginx = Nginx::start(&lab, &NginxConfig::default());
    let working = fs::read_to_string(nginx.config_file()).expect("written by us");

    fs::write(nginx.config_file(), format!("{working}\nno_such_directive on;\n")).expect("our file");
    nginx.reload();
    expect_local(&lab, &nginx, "unknown directive", ConfigInvalid);

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = format!("listen {};\n    server_name", taken.local_addr().expect("bound"));
    fs::write(nginx.config_file(), working.replacen("server_name", &listen, 1)).expect("our file");
    nginx.reload();
    expect_local(&lab, &nginx, "failed (98", BindFailed);
    assert_eq!(nginx.get("/").status, 404, "the old workers serve on");
}

#[test]
fn exhausted_connections_are_recognised() {
    let lab = Lab::new();
    let events = "worker_connections 8;".to_owned();
    let nginx = Nginx::start(&lab, &NginxConfig { events, ..NginxConfig::default() });
    let mut open = Vec::new();
    lab.wait_for("every connection to be taken", DEADLINE, || {
        open.extend(Connection::open(&nginx.address()));
        nginx.has_logged("worker_connections are not enough")
    });
    expect_local(&lab, &nginx, "8 worker_connections are not enough", WorkerConnectionsExhausted);
}

#[test]
fn exhausted_file_descriptors_are_recognised() {
    let lab = Lab::new();
    let config = NginxConfig { before: Some("ulimit -n 32".to_owned()), ..NginxConfig::default() };
    let nginx = Nginx::start(&lab, &config);
    expect_local(&lab, &nginx, "256 worker_connections exceed open file resource limit: 32", FileDescriptorLimitLow);
    let mut open = Vec::new();
    lab.wait_for("every descriptor to be taken", DEADLINE, || {
        open.extend(Connection::open(&nginx.address()));
        nginx.has_logged("Too many open files")
    });
    expect_local(&lab, &nginx, "failed (24", FilesExhausted);
}

#[test]
fn exhausted_memory_is_recognised() {
    let lab = Lab::new();
    let config = NginxConfig {
        before: Some("ulimit -v 400000".to_owned()),
        http: "client_header_buffer_size 1024m;".to_owned(),
        ..NginxConfig::default()
    };
    let nginx = Nginx::start(&lab, &config);
    Request::get("/").send(&nginx.address()).expect_err("nginx has no memory to read it");
    expect_local(&lab, &nginx, "malloc(1073741824) failed (12", MemoryExhausted);
}

#[test]
fn a_temporary_folder_that_may_not_be_written_is_recognised() {
    let lab = Lab::new();
    let config = NginxConfig::server("location / { client_body_in_file_only on; proxy_pass http://127.0.0.1:1; }");
    let nginx = Nginx::start(&lab, &config);
    nginx.worker(&lab);
    // nginx sets the permissions right at its start: take them away after it.
    let folder = nginx.temp_folder("body");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).expect("our folder");
    assert_eq!(nginx.send(&Request::post("/", 1000)).status, 500);
    expect_local(&lab, &nginx, "failed (13", TempFileDenied);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("our folder");
}

#[test]
fn a_dead_resolver_is_recognised() {
    let lab = Lab::new();
    let dead = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let location = format!(
        "location / {{ resolver {dead} ipv6=off; resolver_timeout 200ms; set $name backend.test; proxy_pass http://$name; }}"
    );
    let nginx = Nginx::start(&lab, &NginxConfig::server(location));
    assert_eq!(nginx.get("/").status, 502);
    expect_local(&lab, &nginx, "failed (111", ResolverUnreachable);
    expect_upstream(&lab, &nginx, "could not be resolved (110", UpstreamClass::DnsNotResolved);
}

#[test]
fn a_full_shared_memory_zone_is_recognised() {
    const ENOUGH: usize = 300;
    let lab = Lab::new();
    let silent = Peer::tcp(Wire::Http, [ReadRequest, Hang]);
    // Each of these holds a node of its own while the upstream is silent.
    let config = NginxConfig {
        events: "worker_connections 1000;".to_owned(),
        http: "limit_conn_zone $request_uri zone=tiny:32k;".to_owned(),
        server: format!("location / {{ limit_conn tiny 1; proxy_pass http://{}; }}", silent.address()),
        ..NginxConfig::default()
    };
    let nginx = Nginx::start(&lab, &config);
    // Long keys fill the zone soon.
    let long = "long".repeat(50);
    let mut open = Vec::new();
    while open.len() < ENOUGH && !nginx.has_logged("no memory") {
        let mut connection = Connection::open(&nginx.address()).expect("nginx listens");
        connection.write_all(&Request::get(format!("/{long}{}", open.len())).head()).expect("nginx reads");
        open.push(connection);
    }
    expect_local(&lab, &nginx, "no memory", SharedMemoryExhausted);
}

#[test]
fn a_connection_reset_before_nginx_looks_is_recognised() {
    const AT_ONCE: usize = 30;
    let lab = Lab::new();
    let resetting = Peer::tcp(Wire::Raw, [Reset]);
    let location = format!("location / {{ proxy_pass http://{}; }}", resetting.address());
    let nginx = Nginx::start(&lab, &NginxConfig::server(location));
    let worker = nginx.worker(&lab);
    lab.wait_for("a connection that is reset while nginx connects others", DEADLINE, || {
        // With the worker stopped the requests pile up; it then connects for all of them before it looks at any.
        kill_process(worker, Signal::STOP).expect("our worker");
        let connections: Vec<Connection> = (0..AT_ONCE)
            .map(|_| {
                let mut connection = Connection::open(&nginx.address()).expect("nginx listens");
                connection.write_all(&Request::get("/").head()).expect("the kernel takes it");
                connection
            })
            .collect();
        kill_process(worker, Signal::CONT).expect("our worker");
        for mut connection in connections {
            let _any = crate::common::http::Response::read(&mut connection);
        }
        nginx.has_logged("failed (104: Connection reset by peer) while connecting to upstream")
    });
    expect_upstream(&lab, &nginx, "failed (104", ConnectReset);
}

/// In a network of its own, nginx meets what a router or firewall would answer. It is reached through a unix socket.
#[test]
fn refusals_of_the_network_are_told_apart() {
    let lab = Lab::new();
    let routes = [
        ("unreachable", "192.0.2.1", "failed (113", ConnectUnreachable),
        ("prohibit", "192.0.2.2", "failed (13", ConnectPermissionDenied),
        ("throw", "192.0.2.3", "failed (101", ConnectUnreachable),
        ("dev lo", "192.0.2.4", "upstream timed out (110", ConnectTimeout),
    ];
    let Some(namespace) = namespace("--net") else { return };
    let mut before = "ip link set lo up\n".to_owned();
    let mut locations = String::new();
    for (route, address, ..) in &routes {
        let (kind, device) = if route.contains(' ') { ("", *route) } else { (*route, "") };
        before += &format!("ip route add {kind} {address} {device}\n");
        locations +=
            &format!("location = /{address} {{ proxy_connect_timeout 200ms; proxy_pass http://{address}:80; }}\n");
    }
    let config = NginxConfig { before: Some(before), unshare: Some(namespace), ..NginxConfig::server(locations) };
    let nginx = Nginx::start(&lab, &config);
    for (_, address, says, class) in routes {
        let answer = Request::get(format!("/{address}")).send(&nginx.socket()).expect("nginx answers");
        assert_eq!(answer.status, if class == ConnectTimeout { 504 } else { 502 }, "{address}");
        expect_upstream(&lab, &nginx, says, class);
    }
}

/// With file systems of its own, nginx writes to one that is full.
#[test]
fn a_full_temporary_folder_is_recognised() {
    let lab = Lab::new();
    let Some(namespace) = namespace("--mount") else { return };
    let full = lab.subfolder("full");
    let config = NginxConfig {
        before: Some(format!("mount -t tmpfs -o size=64k,mode=0777 none {}", full.display())),
        unshare: Some(namespace),
        ..NginxConfig::server(format!(
            "client_max_body_size 1m; client_body_in_file_only on; client_body_temp_path {};\n\
             location / {{ proxy_pass http://127.0.0.1:1; }}",
            full.display()
        ))
    };
    let nginx = Nginx::start(&lab, &config);
    assert_eq!(nginx.send(&Request::post("/", 500_000)).status, 500);
    expect_local(&lab, &nginx, "failed (28", TempFileNoSpace);
}

/// Options of unshare(1) for a namespace of that kind; `None`, and a word about it, where the kernel allows nobody one
/// (a container without privileges): what is tested in it cannot be had otherwise.
fn namespace(kind: &str) -> Option<String> {
    let unshare = crate::common::process::program("unshare", "util-linux");
    let options = if crate::common::lab::is_root() { kind.to_owned() } else { format!("--map-root-user {kind}") };
    let allowed = std::process::Command::new(unshare)
        .args(options.split(' '))
        .arg("true")
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        // Past the test runner, which keeps what passing tests print to itself.
        let _best_effort = writeln!(std::io::stderr(), "NOT TESTED: no namespaces here (unshare {options} is refused)");
    }
    allowed.then_some(options)
}
