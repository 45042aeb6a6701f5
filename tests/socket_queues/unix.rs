//! Unix sockets: the truth table of the documentation, row by row.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::SystemTime;

use nginx_502_exporter::inputs::socket::queue::{QueueReader, Target, Wanted};
use nginx_502_exporter::observation::socket::{ListenerKey, ListenerState, Listening, QueueSource};

use crate::common::Lab;
use crate::support::{
    figures, in_text, only, read, read_with, reader, settled, text_reader, text_says, unix_key, unix_listener,
    wait_for, wanted,
};

/// Asserts that the text tables say the same, as far as they can.
fn text_agrees(key: &ListenerKey, state: &ListenerState) {
    let expected = ListenerState { abandoned: None, own: None, ..in_text(state) };
    text_says(key, &expected);
}

#[test]
fn waiting_and_accepted_connections_are_told_apart() {
    let lab = Lab::new();
    let key = unix_key(&lab.path("a.sock"));
    let listener = unix_listener(&lab.path("a.sock"), 4);
    let connect = || UnixStream::connect(lab.path("a.sock")).unwrap();
    settled(&key, (0, Some(4), 0, Some(0)));

    let mut clients = vec![connect(), connect(), connect()];
    settled(&key, (3, Some(4), 0, Some(0)));
    let mut served = vec![listener.accept().unwrap(), listener.accept().unwrap()];
    settled(&key, (1, Some(4), 2, Some(0)));
    text_agrees(&key, &read(&key));

    // Bytes under way, in either direction, change nothing; nor does an idle connection.
    clients[0].write_all(b"request").unwrap();
    served[0].0.write_all(b"response").unwrap();
    settled(&key, (1, Some(4), 2, Some(0)));
    // Half-closed by the client, then by the server: the server holds it.
    clients[0].shutdown(Shutdown::Write).unwrap();
    served[0].0.shutdown(Shutdown::Write).unwrap();
    settled(&key, (1, Some(4), 2, Some(0)));
    // The client is gone: the server works for nobody.
    drop(clients.remove(0));
    settled(&key, (1, Some(4), 2, Some(1)));
    // The waiting client is gone: it keeps waiting.
    drop(clients.pop());
    settled(&key, (1, Some(4), 2, Some(1)));
    text_agrees(&key, &read(&key));
    // A process inherits a connection: it is still one.
    let _inherited = served[1].0.try_clone().unwrap();
    served.push(listener.accept().unwrap());
    settled(&key, (0, Some(4), 3, Some(2)));
    drop(served.remove(0));
    settled(&key, (0, Some(4), 2, Some(1)));
    text_agrees(&key, &read(&key));
}

#[test]
fn a_full_queue_holds_one_more_than_the_backlog() {
    let lab = Lab::new();
    let path = lab.path("full.sock");
    let _listener = unix_listener(&path, 2);
    let connect = || {
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        );
        let socket = socket.unwrap();
        rustix::net::connect(&socket, &rustix::net::SocketAddrUnix::new(&path).unwrap()).map(|()| socket)
    };
    let clients: Vec<_> = (0..3).map(|_| connect().unwrap()).collect();
    assert_eq!(connect().unwrap_err(), rustix::io::Errno::AGAIN);
    let state = settled(&unix_key(&path), (3, Some(2), 0, Some(0)));
    assert_eq!(state.queue.unwrap().full, Some(true));
    drop(clients);
    assert_eq!(read(&unix_key(&path)).queue.unwrap().waiting, 3, "clients that went away are still in the queue");
}

#[test]
fn the_path_counts_as_connect_resolves_it() {
    let lab = Lab::new();
    fs::create_dir(lab.path("run")).unwrap();
    symlink(lab.path("run"), lab.path("var-run")).unwrap();
    symlink("run/a.sock", lab.path("link.sock")).unwrap();
    let _listener = unix_listener(&lab.path("run/a.sock"), 4);
    let _client = UnixStream::connect(lab.path("link.sock")).unwrap();
    for name in ["run/a.sock", "var-run/a.sock", "link.sock", "run/../var-run/a.sock"] {
        let state = read(&unix_key(&lab.path(name)));
        assert_eq!((state.listening, state.queue.unwrap().waiting), (Listening::Yes, 1), "{name}");
    }
    // Text tables have only the name that was bound.
    let mut text = text_reader();
    assert_eq!(read_with(&mut text, &unix_key(&lab.path("var-run/a.sock"))).listening, Listening::No);
    let target = Target { key: unix_key(&lab.path("var-run/a.sock")), aliases: vec![lab.path("run/a.sock")] };
    assert_eq!(only(text.read(&Wanted::new([target]), SystemTime::now())).listening, Listening::Yes);
}

#[test]
fn a_foreign_root_is_resolved_inside() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("host/run")).unwrap();
    fs::create_dir_all(lab.path("host/var")).unwrap();
    symlink("/run", lab.path("host/var/run")).unwrap();
    let _listener = unix_listener(&lab.path("host/run/a.sock"), 4);
    let mut reader = QueueReader::new(Path::new("/proc"), &lab.path("host"));
    for path in ["/run/a.sock", "/var/run/a.sock"] {
        assert_eq!(read_with(&mut reader, &unix_key(Path::new(path))).listening, Listening::Yes, "{path}");
    }
    assert_eq!(read_with(&mut reader, &unix_key(&lab.path("host/run/a.sock"))).listening, Listening::Detached);
}

#[test]
fn a_listener_whose_file_is_gone_or_replaced_is_detached() {
    let lab = Lab::new();
    let path = lab.path("a.sock");
    let key = unix_key(&path);
    assert_eq!((read(&key).listening, read(&key).queue), (Listening::No, None));
    let first = unix_listener(&path, 4);
    let _client = UnixStream::connect(&path).unwrap();
    let accepted = first.accept().unwrap();
    fs::remove_file(&path).unwrap();
    let state = read(&key);
    assert_eq!((state.listening, figures(&state)), (Listening::Detached, (0, Some(4), 1, Some(0))));
    text_agrees(&key, &state);
    fs::write(&path, "no socket").unwrap();
    assert_eq!(read(&key).listening, Listening::Detached);
    fs::remove_file(&path).unwrap();

    // A new listener under the same name has its own queue and its own connections.
    let second = unix_listener(&path, 7);
    let _waiting = UnixStream::connect(&path).unwrap();
    let state = read(&key);
    assert_eq!((state.listening, figures(&state)), (Listening::Yes, (1, Some(7), 0, Some(0))));
    drop(second);
    let state = wait_for(&key, |state| state.listening == Listening::Detached);
    assert_eq!(state.queue.unwrap().limit, Some(4));
    // A stale file, and a connection that outlives its listener.
    drop(first);
    let state = wait_for(&key, |state| state.listening == Listening::No);
    assert_eq!((state.queue, state.accepted), (None, 1));
    drop(accepted);
    wait_for(&key, |state| state.accepted == 0);
}

#[test]
fn names_may_hold_any_byte() {
    let lab = Lab::new();
    let path = lab.root().join(OsStr::from_bytes(b"a b\t\xff\n:@, \xe2\x82.sock"));
    let _listener = unix_listener(&path, 3);
    let _client = UnixStream::connect(&path).unwrap();
    assert_eq!(figures(&read(&unix_key(&path))), (1, Some(3), 0, Some(0)));
    let longest = lab.root().join("x".repeat(107 - lab.root().as_os_str().len() - 1));
    let _longest = unix_listener(&longest, 3);
    settled(&unix_key(&longest), (0, Some(3), 0, Some(0)));
}

#[test]
fn a_relative_path_is_found_by_its_file() {
    let lab = Lab::new();
    let script = "import os, socket, sys\nos.chdir(sys.argv[1])\nl = socket.socket(socket.AF_UNIX)\n\
                  l.bind('./relative.sock')\nl.listen(9)\nsys.stdin.read()";
    let mut child = std::process::Command::new(crate::common::process::program("python3", "python3"))
        .args(["-c", script])
        .arg(lab.root())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let key = unix_key(&lab.path("relative.sock"));
    let state = wait_for(&key, |state| state.listening == Listening::Yes);
    assert_eq!(figures(&state), (0, Some(9), 0, Some(0)));
    let owner = state.owner.expect("root, or the same user");
    assert_eq!(owner.pid, child.id());
    assert!(owner.name.starts_with("python"), "{owner:?}");
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn abstract_names_are_found() {
    let name = format!("nginx-502-\0-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let _client = UnixStream::connect_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let key = ListenerKey::Abstract(name.as_bytes().into());
    let state = read(&key);
    assert_eq!((state.listening, state.queue.unwrap().waiting, state.accepted), (Listening::Yes, 1, 0));
    text_agrees(&key, &state);
    let _served = listener.accept().unwrap();
    let state = read(&key);
    assert_eq!((state.queue.unwrap().waiting, state.accepted), (0, 1));
    text_agrees(&key, &state);
}

#[test]
fn datagram_sockets_listen_to_no_connection() {
    let lab = Lab::new();
    let _datagram = std::os::unix::net::UnixDatagram::bind(lab.path("log.sock")).unwrap();
    assert_eq!(read(&unix_key(&lab.path("log.sock"))).listening, Listening::No);
    assert_eq!(read_with(&mut text_reader(), &unix_key(&lab.path("log.sock"))).listening, Listening::No);
}

#[test]
fn one_reading_serves_every_listener() {
    let lab = Lab::new();
    let listeners: Vec<_> = (0..50).map(|n| unix_listener(&lab.path(&n.to_string()), n)).collect();
    let clients: Vec<_> = (0..50).map(|n| UnixStream::connect(lab.path(&n.to_string())).unwrap()).collect();
    let reading = reader().read(&wanted((0..50).map(|n| unix_key(&lab.path(&n.to_string())))), SystemTime::now());
    for (n, (_, state)) in (0..).zip(reading.listeners) {
        let state = state.unwrap();
        assert_eq!((state.source, figures(&state)), (QueueSource::Netlink, (1, Some(n), 0, Some(0))));
    }
    assert_eq!(reading.fallbacks, []);
    drop((listeners, clients));
}
