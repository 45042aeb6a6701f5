//! TCP: the truth table of the documentation, row by row.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nginx_502_exporter::observation::socket::{ListenerKey, ListenerState, Listening};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_linger, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};

use crate::common::lab::{free_port, poll};
use crate::support::{self, DEADLINE, figures, in_text, read, reader, tcp_listener, text_says, wait_for, wanted};

fn text_agrees(key: &ListenerKey) {
    text_says(key, &in_text(&read(key)));
}

/// Waits for these figures in netlink, `ss` and the text tables.
fn settled(key: &ListenerKey, expected: (u64, Option<u64>, u64, Option<u64>)) -> ListenerState {
    let state = support::settled(key, expected);
    text_agrees(key);
    state
}

/// A listening socket with options that the standard library does not set.
fn listening(address: SocketAddr, reuse: bool, only_v6: Option<bool>, backlog: i32) -> TcpListener {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    set_socket_reuseport(&socket, reuse).unwrap();
    only_v6.into_iter().for_each(|only| set_ipv6_v6only(&socket, only).unwrap());
    bind(&socket, &address).unwrap();
    listen(&socket, backlog).unwrap();
    socket.into()
}

#[test]
fn waiting_and_accepted_connections_are_told_apart() {
    let (listener, address) = tcp_listener("127.0.0.1:0", 4);
    let key = ListenerKey::Tcp(address);
    settled(&key, (0, Some(4), 0, Some(0)));
    let connect = || TcpStream::connect(address).unwrap();
    let mut clients = vec![connect(), connect(), connect(), connect()];
    settled(&key, (4, Some(4), 0, Some(0)));
    let accept = || listener.accept().unwrap().0;
    let mut served = vec![accept(), accept(), accept()];
    settled(&key, (1, Some(4), 3, Some(0)));

    // Half-closed by the client: to the kernel it looks like one that has gone. nginx does not do this to upstreams.
    clients[0].shutdown(Shutdown::Write).unwrap();
    settled(&key, (1, Some(4), 3, Some(1)));
    // The client has closed.
    drop(clients.remove(0));
    settled(&key, (1, Some(4), 3, Some(1)));
    // The server has said that it is done and waits for the client's end: it holds the connection.
    served[1].shutdown(Shutdown::Write).unwrap();
    settled(&key, (1, Some(4), 3, Some(1)));
    // The server has closed; the kernel alone waits for the client.
    drop(served.remove(1));
    settled(&key, (1, Some(4), 2, Some(1)));
    // A waiting client has gone: it keeps waiting.
    drop(clients.pop());
    settled(&key, (1, Some(4), 2, Some(1)));
    served.push(accept());
    settled(&key, (0, Some(4), 3, Some(2)));
}

#[test]
fn a_connection_that_the_client_has_reset_is_in_no_table() {
    let (listener, address) = tcp_listener("127.0.0.1:0", 4);
    let client = TcpStream::connect(address).unwrap();
    let (mut served, _) = listener.accept().unwrap();
    settled(&ListenerKey::Tcp(address), (0, Some(4), 1, Some(0)));
    set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    // The process still holds it and may work for it; the kernel has unhashed it: the one blind spot.
    settled(&ListenerKey::Tcp(address), (0, Some(4), 0, Some(0)));
    assert!(served.read(&mut [0]).is_err());
}

#[test]
fn a_full_queue_holds_one_more_than_the_backlog() {
    let (_listener, address) = tcp_listener("127.0.0.1:0", 2);
    let mut clients = Vec::new();
    for _ in 0..6 {
        let flags = rustix::net::SocketFlags::NONBLOCK;
        let client = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        assert_eq!(connect(&client, &address), Err(rustix::io::Errno::INPROGRESS));
        clients.push(client);
    }
    let overflows = || reader().read(&wanted([]), std::time::SystemTime::now()).overflows.unwrap();
    let state = settled(&ListenerKey::Tcp(address), (3, Some(2), 0, Some(0)));
    assert_eq!(state.queue.unwrap().full, Some(true));
    assert!(overflows().overflows > 0 && overflows().drops >= overflows().overflows, "{:?}", overflows());
}

#[test]
fn a_listener_on_every_address_serves_each_of_them() {
    let port = free_port();
    let listener = listening(SocketAddr::new([0, 0, 0, 0].into(), port), false, None, 5);
    let _clients = [
        TcpStream::connect(("127.0.0.1", port)).unwrap(),
        TcpStream::connect(("127.9.8.7", port)).unwrap(),
        TcpStream::connect(("127.0.0.1", port)).unwrap(),
    ];
    let _served = listener.accept().unwrap();
    for ip in ["0.0.0.0", "127.0.0.1", "127.9.8.7", "::ffff:127.0.0.1"] {
        let key = ListenerKey::Tcp(SocketAddr::new(ip.parse().unwrap(), port));
        wait_for(&key, |state| state.queue.is_some() && figures(state) == (2, Some(5), 1, Some(0)));
        text_agrees(&key);
    }
    for ip in ["::1", "::"] {
        let state = read(&ListenerKey::Tcp(SocketAddr::new(ip.parse().unwrap(), port)));
        assert_eq!((state.listening, state.queue), (Listening::No, None), "{ip}");
    }
}

#[test]
fn an_ipv6_listener_serves_ipv4_unless_it_says_otherwise() {
    for only_v6 in [false, true] {
        let port = free_port();
        let listener = listening(SocketAddr::new("::".parse().unwrap(), port), false, Some(only_v6), 5);
        let mut clients = vec![TcpStream::connect(("::1", port)).unwrap()];
        let v4 = TcpStream::connect(("127.0.0.1", port));
        assert_eq!(v4.is_err(), only_v6);
        clients.extend(v4);
        let _served: Vec<_> = clients.iter().map(|_| listener.accept().unwrap()).collect();
        let key = |ip: &str| ListenerKey::Tcp(SocketAddr::new(ip.parse().unwrap(), port));
        let accepted = clients.len() as u64;
        wait_for(&key("::1"), |state| state.queue.is_some() && figures(state) == (0, Some(5), accepted, Some(0)));
        for ip in ["127.0.0.1", "0.0.0.0"] {
            assert_eq!(read(&key(ip)).queue.is_none(), only_v6, "{ip}");
        }
    }
}

#[test]
fn the_nearer_listener_is_the_one_that_counts() {
    let port = free_port();
    let far = listening(SocketAddr::new([0, 0, 0, 0].into(), port), true, None, 50);
    let near = listening(SocketAddr::new([127, 0, 0, 1].into(), port), true, None, 5);
    let _clients = [("127.0.0.1", port), ("127.0.0.2", port), ("127.0.0.2", port)]
        .map(|address| TcpStream::connect(address).unwrap());
    let _served = (near.accept().unwrap(), far.accept().unwrap());
    let key = |ip: &str| ListenerKey::Tcp(SocketAddr::new(ip.parse().unwrap(), port));
    settled(&key("127.0.0.1"), (0, Some(5), 1, Some(0)));
    wait_for(&key("127.0.0.2"), |state| figures(state) == (1, Some(50), 1, Some(0)));
    settled(&key("0.0.0.0"), (1, Some(50), 1, Some(0)));
}

#[test]
fn sockets_that_share_an_address_are_added_up() {
    let port = free_port();
    let address = SocketAddr::new([127, 0, 0, 1].into(), port);
    // The kernel deals connections out by a hash: each of the sockets has to hold all of them.
    let _group: Vec<_> = (3..=5).map(|backlog| listening(address, true, None, backlog)).collect();
    let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let state = wait_for(&ListenerKey::Tcp(address), |state| state.queue.is_some_and(|queue| queue.waiting == 3));
    let queue = state.queue.unwrap();
    assert_eq!((queue.sockets, queue.limit), (3, Some(12)));
    text_agrees(&ListenerKey::Tcp(address));
}

#[test]
fn other_hosts_and_closed_ports_have_no_listener() {
    let closed = SocketAddr::new([127, 0, 0, 1].into(), free_port());
    assert_eq!(read(&ListenerKey::Tcp(closed)).listening, Listening::No);
    // Documentation addresses (RFC 5737, RFC 3849) are nobody's.
    for ip in ["192.0.2.1", "2001:db8::1"] {
        let _everywhere = tcp_listener("0.0.0.0:0", 1);
        let port = _everywhere.1.port();
        let state = read(&ListenerKey::Tcp(SocketAddr::new(ip.parse().unwrap(), port)));
        assert_eq!((state.listening, state.queue), (Listening::Remote, None), "{ip}");
    }
}

#[test]
fn connections_outlive_their_listener() {
    let (listener, address) = tcp_listener("127.0.0.1:0", 4);
    let mut client = TcpStream::connect(address).unwrap();
    let (mut served, _) = listener.accept().unwrap();
    drop(listener);
    let state = wait_for(&ListenerKey::Tcp(address), |state| state.queue.is_none());
    assert_eq!((state.listening, state.accepted), (Listening::No, 1));
    client.write_all(b"x").unwrap();
    served.read_exact(&mut [0]).unwrap();
}

#[test]
fn one_reading_serves_every_listener() {
    // Few ports are picked by the kernel, many by us; `[::]` first, so that both families are in one table.
    for count in [1, 3, 64, 65, 300] {
        let listeners: Vec<_> = (0..count)
            .map(|n| tcp_listener(if n % 2 == 0 { "[::]:0" } else { "127.0.0.1:0" }, n + 1))
            .map(|(listener, address)| (listener, SocketAddr::new([127, 0, 0, 1].into(), address.port())))
            .collect();
        let clients: Vec<_> = listeners.iter().map(|(_, address)| TcpStream::connect(address).unwrap()).collect();
        let served: Vec<_> = listeners.iter().step_by(3).map(|(listener, _)| listener.accept().unwrap()).collect();
        let keys: Vec<_> = listeners.iter().map(|(_, address)| ListenerKey::Tcp(*address)).collect();
        let (mut reader, wanted) = (reader(), wanted(keys));
        let expected = (0..).zip(&listeners).map(|(n, _)| {
            let accepted = u64::from(n % 3 == 0);
            (1 - accepted, Some(n + 1), accepted, Some(0))
        });
        let expected: Vec<_> = expected.collect();
        let reading = poll(DEADLINE, || {
            let reading = reader.read(&wanted, std::time::SystemTime::now());
            let states = reading.listeners.iter().map(|(_, state)| state.as_ref().unwrap());
            states.map(figures).eq(expected.iter().copied()).then_some(reading)
        });
        let reading = reading.unwrap_or_else(|| panic!("of {count}"));
        assert_eq!(reading.fallbacks, []);
        drop((clients, served));
    }
}
