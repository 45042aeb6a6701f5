//! Connections of the exporter itself, and the owners of listeners.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::SystemTime;

use nginx_502_exporter::observation::socket::{ListenerKey, QueueSource};

use crate::common::Lab;
use crate::common::lab::poll;
use crate::common::process::{Process, program};
use crate::support::{
    DEADLINE, only, read, read_with, reader, tcp_listener, text_reader, unix_key, unix_listener, wanted,
};

/// Connects to an address and waits.
const CLIENT: &str = "import socket, sys, time\n\
    s = socket.socket(socket.AF_UNIX) if sys.argv[1] == 'unix' else socket.socket()\n\
    s.connect(sys.argv[2] if sys.argv[1] == 'unix' else ('127.0.0.1', int(sys.argv[2])))\ntime.sleep(600)";

fn client(lab: &Lab, kind: &str, address: &str) -> Process {
    let mut command = Command::new(program("python3", "python3"));
    Process::start("client", command.args(["-c", CLIENT, kind, address]), &lab.path(&format!("{kind}.log")))
}

#[test]
fn our_own_connections_are_told_from_those_of_others() {
    let lab = Lab::new();
    let path = lab.path("a.sock");
    let unix = unix_listener(&path, 4);
    let (tcp, address) = tcp_listener("127.0.0.1:0", 4);
    let _others = (client(&lab, "unix", &path.display().to_string()), client(&lab, "tcp", &address.port().to_string()));
    let _theirs = (unix.accept().unwrap(), tcp.accept().unwrap());
    let _ours = (UnixStream::connect(&path).unwrap(), TcpStream::connect(address).unwrap());
    // Ours still wait: they are in the queue like everybody's, and nobody is busy with them.
    for key in [unix_key(&path), ListenerKey::Tcp(address)] {
        let state = read(&key);
        assert_eq!(
            (state.queue.unwrap().waiting, state.accepted, state.own, state.busy()),
            (1, 1, Some(0), 1),
            "{key}"
        );
    }
    let _ours_served = (unix.accept().unwrap(), tcp.accept().unwrap());
    for key in [unix_key(&path), ListenerKey::Tcp(address)] {
        let state = read(&key);
        assert_eq!((state.accepted, state.own, state.busy()), (2, Some(1), 1), "{key}");
    }
    let in_text = read_with(&mut text_reader(), &ListenerKey::Tcp(address));
    assert_eq!((in_text.source, in_text.own), (QueueSource::Procfs, Some(1)));
}

#[test]
fn the_oldest_holder_owns_the_socket() {
    let lab = Lab::new();
    let script = "import os, socket, sys, time\nl = socket.socket(socket.AF_UNIX)\nl.bind(sys.argv[1])\nl.listen(4)\n\
                  [os.fork() or time.sleep(600) for _ in range(3)]\ntime.sleep(600)";
    let path = lab.path("forked.sock");
    let mut command = Command::new(program("python3", "python3"));
    let process = Process::start("server", command.args(["-c", script]).arg(&path), &lab.path("server.log"));
    lab.wait_for("the workers", DEADLINE, || process.children().len() == 3);
    let owner = read(&unix_key(&path)).owner.expect("root, or the same user");
    assert_eq!(owner.pid, process.pid().as_raw_nonzero().get().unsigned_abs());
}

#[test]
fn owners_are_looked_for_when_a_listener_is_new() {
    let lab = Lab::new();
    let first = unix_listener(&lab.path("a.sock"), 4);
    let keys = [unix_key(&lab.path("a.sock")), unix_key(&lab.path("b.sock"))];
    let mut reader = reader();
    let me = std::process::id();
    let owners = |reading: nginx_502_exporter::observation::socket::SocketReading| {
        let states = reading.listeners.into_iter();
        states.map(|(_, state)| state.unwrap().owner.map(|owner| owner.pid)).collect::<Vec<_>>()
    };
    assert_eq!(owners(reader.read(&wanted(keys.clone()), SystemTime::now())), [Some(me), None]);
    let _second = unix_listener(&lab.path("b.sock"), 4);
    let found = poll(DEADLINE, || {
        let found = owners(reader.read(&wanted(keys.clone()), SystemTime::now()));
        (found == [Some(me), Some(me)]).then_some(())
    });
    assert_eq!(found, Some(()));
    drop(first);
    assert_eq!(only(reader.read(&wanted([keys[0].clone()]), SystemTime::now())).owner, None);
}
