//! The status page of the real PHP-FPM, in good days and bad, and of servers that are not FPM at all.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::http::{Address, Connection};
use common::lab::{free_port, is_root};
use common::process::{pause, resume};
use common::{Lab, PhpFpm, php_fpm};
use nginx_502_exporter::discovery::fpm::{Listen, Processes, Sources, discover, labels};
use nginx_502_exporter::inputs::fpm::{self, Target, fastcgi, memory};
use nginx_502_exporter::observation::fpm::{
    FpmStatus, MemoryKind, PoolReading, StatusFailure, StatusReason, WorkerMemory, WorkerState,
};
use rustix::process::Signal;

/// For what answers.
const PATIENT: Duration = Duration::from_secs(20);
/// For what does not.
const SHORT: Duration = Duration::from_millis(300);

/// The pool `www` as discovery finds it.
fn target(lab: &Lab) -> Target {
    let conf = vec![lab.path(php_fpm::CONF)];
    let sources = Sources { procfs: "/proc".into(), rootfs: "/".into(), conf };
    let found = discover(&sources, &Processes::read(Path::new("/proc")));
    assert_eq!(found.problems, []);
    let (installation, pool) = found.pools().next().expect("one pool");
    Target::of(installation, pool, &labels(&found)[0]).expect("it listens")
}

/// A target that says where it is by itself.
fn by_hand(address: &Address, path: &str) -> Target {
    let listen: Listen = address.to_string().parse().expect("an address");
    let (peer, address) = (listen.peer(), fpm::Address::of(Path::new("/"), &listen));
    let page = Some(fpm::Page { address, path: path.into(), separate: false });
    Target { pool: "www".into(), peer: peer.into(), page, max_children: None, place: None }
}

fn read(target: &Target, deadline: Duration) -> PoolReading {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fpm::read(target, true, deadline))
}

fn status(target: &Target) -> FpmStatus {
    read(target, PATIENT).outcome.unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn failure(target: &Target, deadline: Duration) -> StatusFailure {
    read(target, deadline).outcome.expect_err("it should fail")
}

/// A request that FPM works on while this lives.
struct Request(Connection);

impl Request {
    fn start(fpm: &PhpFpm, script: &Path, more: &[(&str, &str)]) -> Self {
        let mut parameters = vec![
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", "/slow.php"),
            ("SCRIPT_FILENAME", script.to_str().unwrap()),
        ];
        for (name, value) in more {
            parameters.retain(|(known, _)| known != name);
            parameters.push((name, value));
        }
        let mut connection = Connection::open(&fpm.address()).expect("FPM listens");
        connection.write_all(&fastcgi::request(&parameters)).expect("FPM reads");
        Self(connection)
    }

    /// Waits until FPM has answered.
    fn finish(mut self) {
        self.0.read_to_end(&mut Vec::new()).expect("an answer");
    }
}

/// Waits in a script until the file `go` appears next to it.
const SLOW: &str = "<?php while (!file_exists(__DIR__ . '/go')) { usleep(1000); clearstatcache(); }";

#[test]
fn the_page_is_read_over_a_unix_socket() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 2\npm.status_path = /status");
    let target = target(&lab);
    let Address::Unix(socket) = fpm.address() else { panic!("a unix socket") };
    assert_eq!((&*target.pool, &*target.peer), ("www", format!("unix:{}", socket.display()).as_str()));
    // A worker that has just been started, or has served the harness, is not idle at once.
    let status =
        lab.wait_for_some("an idle worker", PATIENT, || Some(status(&target)).filter(|status| status.idle == Some(1)));
    let processes = status.processes.expect("the list");
    assert_eq!((processes.total(), processes.idle(), processes.active()), (2, 1, 1));
    assert_eq!(processes.states[WorkerState::Running.index()], 1, "the one that answers");
    assert_eq!((status.total, status.idle, status.active, status.includes_us), (Some(2), Some(1), Some(1), true));
    assert_eq!((status.busy(), processes.longest_request), (Some(0), None), "nobody but us");
    assert_eq!((status.listen_queue, status.listen_queue_limit), (None, None), "FPM does not know");
    assert!(status.accepted.unwrap() >= 1 && status.start_time.unwrap() > 1_700_000_000, "{status:?}");
    assert_eq!((status.max_children_reached, status.slow_requests), (Some(0), Some(0)));
}

#[test]
fn a_socket_of_the_host_is_reached_from_a_container_by_the_links_of_the_host() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 1\npm.status_path = /status");
    let host = lab.subfolder("host");
    // As /var/run is a link to /run, and mounted somewhere that a socket's address has no room for.
    let deep = host.join("deep".repeat(30));
    std::fs::create_dir_all(&deep).unwrap();
    let Address::Unix(socket) = fpm.address() else { panic!("a unix socket") };
    std::fs::hard_link(socket, deep.join("www.sock")).expect("one file system");
    std::os::unix::fs::symlink(format!("/{}", "deep".repeat(30)), host.join("run")).unwrap();
    let mut target = target(&lab);
    let page = target.page.as_mut().unwrap();
    page.address = fpm::Address::Unix { root: host.clone(), path: "/run/www.sock".into() };
    assert_eq!(status(&target).total, Some(1));
    target.page.as_mut().unwrap().address = fpm::Address::Unix { root: host, path: "/run/none.sock".into() };
    assert_eq!(failure(&target, PATIENT).reason, StatusReason::SocketMissing);
}

#[test]
fn the_page_is_read_over_tcp() {
    let lab = Lab::new();
    let address = Address::loopback(free_port());
    let _fpm =
        PhpFpm::start_on(&lab, address.clone(), "pm.max_children = 1\npm.status_path = /status\nlisten.backlog = 17");
    let target = target(&lab);
    assert_eq!(*target.peer, *address.to_string());
    let status = status(&target);
    assert_eq!((status.total, status.processes.map(|processes| processes.total())), (Some(1), Some(1)));
    // FPM looks at its own queue once a second.
    lab.wait_for("FPM to know its backlog", PATIENT, || self::status(&target).listen_queue_limit == Some(17));
}

#[test]
fn what_requests_bring_does_not_break_the_page() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 3\npm.status_path = /status");
    let hostile = r#"/a"},{"pid":1,"state":"Running"#;
    let script = fpm.script("a\"},\\{\"b.php", SLOW);
    let user = "Basic Iix7Ilx9XQoBOng="; // `","\}]`, control characters, and a password
    let requests = [
        Request::start(&fpm, &script, &[("SCRIPT_NAME", hostile), ("QUERY_STRING", "q=\"}]}\\\u{1}\u{7}\n\"")]),
        Request::start(&fpm, &script, &[("HTTP_AUTHORIZATION", user), ("REQUEST_METHOD", "G\"},{")]),
    ];
    let target = target(&lab);
    lab.wait_for("both requests to run", PATIENT, || {
        status(&target).processes.is_some_and(|processes| processes.states[WorkerState::Running.index()] == 3)
    });
    let processes = status(&target).processes.expect("the list");
    assert_eq!((processes.total(), processes.active()), (3, 3));
    assert!(processes.longest_request.is_some());
    fpm.script("go", "");
    requests.into_iter().for_each(Request::finish);
    lab.wait_for("both workers to be idle", PATIENT, || status(&target).idle == Some(2));
}

#[test]
fn a_saturated_pool_does_not_answer_but_its_second_listener_does() {
    let lab = Lab::new();
    let second = lab.path("php-fpm/status.sock");
    let directives = format!("pm.max_children = 2\npm.status_path = /status\npm.status_listen = {}", second.display());
    let fpm = PhpFpm::start(&lab, &directives);
    let script = fpm.script("slow.php", SLOW);
    let separate = target(&lab);
    assert!(separate.page.as_ref().unwrap().separate);
    // FPM opens its listeners one after the other.
    lab.wait_for("the second listener", PATIENT, || read(&separate, PATIENT).outcome.is_ok());
    let requests = [(); 3].map(|()| Request::start(&fpm, &script, &[]));
    lab.wait_for("both workers to be busy", PATIENT, || status(&separate).active == Some(2));
    let told = status(&separate);
    assert_eq!((told.total, told.idle, told.includes_us), (Some(2), Some(0), false));
    assert!(told.processes.unwrap().longest_request.is_some());

    let own = by_hand(&fpm.address(), "/status");
    let waiting = failure(&own, SHORT);
    assert_eq!(waiting.reason, StatusReason::Timeout);
    assert!(waiting.hint.contains("pm.status_listen"), "{}", waiting.hint);
    fpm.script("go", "");
    requests.into_iter().for_each(Request::finish);
    lab.wait_for("both workers to be idle", PATIENT, || status(&separate).active == Some(0));
}

#[test]
fn a_stopped_fpm_times_out_and_a_killed_one_refuses() {
    let lab = Lab::new();
    for address in [Address::Unix(lab.path("php-fpm/www.sock")), Address::loopback(free_port())] {
        let mut fpm = PhpFpm::start_on(&lab, address.clone(), "pm.max_children = 1\npm.status_path = /status");
        let target = target(&lab);
        status(&target);
        // The master first: it would replace its workers.
        let processes = [vec![fpm.process.pid()], fpm.process.children()].concat();
        let signal = |signal| {
            processes.iter().for_each(|pid| rustix::process::kill_process(*pid, signal).expect("our own"));
        };
        pause(&lab, &processes);
        assert_eq!(failure(&target, SHORT).reason, StatusReason::Timeout);
        resume(&processes);
        status(&target);
        signal(Signal::KILL);
        lab.wait_for("FPM to be gone", PATIENT, || {
            fpm.process.exit_status().is_some() && Connection::open(&address).is_err()
        });
        let refused = failure(&target, PATIENT);
        assert_eq!(refused.reason, StatusReason::Refused, "{refused:?}");
        if let Address::Unix(socket) = &address {
            std::fs::remove_file(socket).expect("a stale file is left");
            let missing = failure(&target, PATIENT);
            assert_eq!(missing.reason, StatusReason::SocketMissing);
            assert!(missing.hint.contains(&lab.path(php_fpm::CONF).display().to_string()), "{}", missing.hint);
        }
    }
}

#[test]
fn a_pool_without_status_page_is_told_what_to_add() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 1");
    let target = target(&lab);
    let unasked = failure(&target, PATIENT);
    assert_eq!(unasked.reason, StatusReason::NotConfigured);
    let place = format!("{}:", lab.path(php_fpm::CONF).display());
    assert!(unasked.hint.contains("pm.status_path = /status") && unasked.hint.contains(&place), "{}", unasked.hint);

    // As it is after somebody wrote it into the file and did not reload.
    let unknown = failure(&by_hand(&fpm.address(), "/status"), PATIENT);
    assert_eq!(unknown.reason, StatusReason::FileNotFound, "{unknown:?}");
    assert!(unknown.hint.contains("Reload FPM"), "{}", unknown.hint);
    let text = fpm.script("notes.txt", "not a script");
    let denied = failure(&by_hand(&fpm.address(), text.to_str().unwrap()), PATIENT);
    assert_eq!(denied.reason, StatusReason::AccessDenied);
    let script = fpm.script("a.php", "<?php echo 'hello';");
    let other = failure(&by_hand(&fpm.address(), script.to_str().unwrap()), PATIENT);
    assert_eq!((other.reason, &*other.detail), (StatusReason::BadReply, "200: hello"));
}

#[test]
fn a_pool_that_allows_other_clients_only_closes_the_connection() {
    let lab = Lab::new();
    let directives = "pm.max_children = 1\npm.status_path = /status\nlisten.allowed_clients = 192.0.2.1";
    let _fpm = PhpFpm::start_on(&lab, Address::loopback(free_port()), directives);
    let closed = failure(&target(&lab), PATIENT);
    assert_eq!(closed.reason, StatusReason::Closed, "{closed:?}");
    assert!(closed.hint.contains("listen.allowed_clients"), "{}", closed.hint);
}

#[test]
fn a_socket_of_others_is_a_matter_of_permission() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 1\npm.status_path = /status");
    let target = target(&lab);
    let Address::Unix(socket) = fpm.address() else { panic!("a unix socket") };
    if !is_root() {
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).expect("our own");
    }
    // A thread of its own, because it does not become root again.
    let denied = std::thread::spawn(move || {
        if is_root() {
            let (uid, gid) = (rustix::process::Uid::from_raw(65_534), rustix::process::Gid::from_raw(65_534));
            rustix::thread::set_thread_groups(&[]).expect("as root");
            rustix::thread::set_thread_gid(gid).expect("as root");
            rustix::thread::set_thread_uid(uid).expect("as root");
        }
        failure(&target, PATIENT)
    });
    let denied = denied.join().expect("no panic");
    assert_eq!(denied.reason, StatusReason::Permission, "{denied:?}");
    assert!(denied.hint.contains("listen.group"), "{}", denied.hint);
}

/// A server that does this with every connection, until the client has gone.
fn server(serve: impl Fn(&mut std::net::TcpStream) -> std::io::Result<()> + Send + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = Address::Tcp(listener.local_addr().expect("bound"));
    // Ends with the test program.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _gone = connection.read(&mut [0; 4_096]).and_then(|_| serve(&mut connection));
        }
    });
    by_hand(&address, "/status")
}

#[test]
fn servers_that_are_no_fpm_cost_no_more_than_the_deadline() {
    let record = |kind: u8, content: &[u8]| {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
    };
    let page = record(6, b"Content-type: application/json\r\n\r\n{\"accepted conn\":3,\"idle proc");
    let (half, end) = (page.clone(), record(3, &[0; 8]));
    let endless = record(6, &[b'x'; 65_535]);
    let cases: Vec<(&str, Target, StatusReason)> = vec![
        (
            "one byte a second",
            server(move |stream| {
                for byte in &page {
                    stream.write_all(&[*byte])?;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Ok(())
            }),
            StatusReason::Timeout,
        ),
        ("silence", server(|stream| stream.read(&mut [0]).map(|_| ())), StatusReason::Timeout),
        (
            "a gigabyte",
            server(move |stream| (0..16_384).try_for_each(|_| stream.write_all(&endless))),
            StatusReason::TooLarge,
        ),
        ("half a record", server(move |stream| stream.write_all(&half[..30])), StatusReason::Closed),
        (
            "half a page",
            server(move |stream| stream.write_all(&[&record(6, b"\r\n{\"accepted conn\":3"), &end[..]].concat())),
            StatusReason::BadReply,
        ),
        ("HTTP", server(|stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")), StatusReason::BadReply),
        ("nothing", server(|_| Ok(())), StatusReason::Closed),
    ];
    for (name, target, reason) in cases {
        let failure = failure(&target, if reason == StatusReason::Timeout { SHORT } else { PATIENT });
        assert_eq!(failure.reason, reason, "{name}: {failure:?}");
        assert!(!failure.hint.is_empty(), "{name}");
    }
}

#[test]
fn a_locked_scoreboard_is_asked_once_more() {
    let record = |content: &[u8]| {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[1, 6, 0, 1, high, low, 0, 0], content, &[1, 3, 0, 1, 0, 8, 0, 0], &[0; 8]].concat()
    };
    let busy = record(b"Status: 503 Service Unavailable\r\n\r\nServer busy. Please try again later.");
    let page = record(b"Content-type: application/json\r\n\r\n{\"accepted conn\":3}");
    let always = busy.clone();
    let asked = AtomicUsize::new(0);
    let once = server(move |stream| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        stream.write_all(if first { &busy } else { &page })
    });
    assert_eq!(status(&once).accepted, Some(3));
    let locked = failure(&server(move |stream| stream.write_all(&always)), PATIENT);
    assert_eq!((locked.reason, locked.detail.starts_with("503: Server busy")), (StatusReason::Busy, true));
}

fn weigh(pools: &[memory::Workers]) -> Vec<WorkerMemory> {
    let procfs = Path::new("/proc");
    memory::read(procfs, &Processes::read(procfs), pools)
}

#[test]
fn workers_are_weighed() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 3\npm.status_path = /status");
    let pool = memory::Workers {
        pool: "label".into(),
        name: "www".into(),
        master: u32::try_from(fpm.process.pid().as_raw_nonzero().get()).unwrap(),
    };
    let measured = lab.wait_for_some("three workers", PATIENT, || {
        let measured = weigh(std::slice::from_ref(&pool)).pop()?;
        (measured.workers == 3).then_some(measured)
    });
    // Without root the workers are ours, and we may look as well.
    assert_eq!((&*measured.pool, measured.kind), ("label", MemoryKind::Pss));
    let mean = measured.mean().unwrap();
    assert!(mean > 1 << 18 && mean <= measured.max && measured.max <= measured.sum, "{measured:?}");
    if !is_root() {
        return;
    }
    // Of another user's, only root may know what they share.
    let unprivileged = std::thread::spawn(move || {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).expect("as root");
        weigh(&[pool]).pop()
    });
    let unprivileged = unprivileged.join().expect("no panic").expect("three workers");
    assert_eq!((unprivileged.kind, unprivileged.workers), (MemoryKind::Rss, 3));
    assert!(unprivileged.sum > measured.sum, "shared memory counts for each");
}
