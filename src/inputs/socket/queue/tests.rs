//! The pure parts on made-up input; the real kernel is in `tests/socket_queues`.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;

use super::file::Root;
use super::locality::Locality;
use super::owner::Owners;
use super::row::{FileId, Role, TcpRow, UnixRow};
use super::tally::Own;
use super::tcp::TcpTally;
use super::unix::UnixTally;
use super::wire::request::filter;
use super::wire::{Content, Message, Messages, tcp_row, unix_row};
use super::{QueueReader, Target, Wanted, procfs};
use crate::observation::socket::{ListenerKey, Overflows, QueueSource, SocketFailureReason};

const ROW: u16 = 20;
const DONE: u16 = 3;
const ERROR: u16 = 2;

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes()].concat();
    bytes.extend([&sequence.to_ne_bytes()[..], &[0; 4], body].concat());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A unix row as the kernel writes it: state, inode, attributes.
fn unix(state: u8, inode: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    [&[1, 1, state, 0][..], &words(&[inode, 1, 2]), &attributes.concat()].concat()
}

/// A TCP row as the kernel writes it.
fn tcp(state: u8, local: SocketAddr, remote: SocketAddr, queue: (u32, u32), inode: u32) -> Vec<u8> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => [&ip.octets()[..], &[0; 12]].concat(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let family = if local.is_ipv4() { 2 } else { 10 };
    let ports = [local.port().to_be_bytes(), remote.port().to_be_bytes()].concat();
    let rest = words(&[0, 1, 2, 0, queue.0, queue.1, 0, inode]);
    [&[family, state, 0, 0][..], &ports, &octets(local.ip()), &octets(remote.ip()), &rest].concat()
}

fn contents(datagram: &[u8]) -> Vec<Content<'_>> {
    Messages::new(datagram).map(|message| message.unwrap().content).collect()
}

#[test]
fn a_dump_ends_with_its_last_word() {
    let datagram = [message(ROW, 2, 1, b"a row"), message(DONE, 2, 1, &words(&[0]))].concat();
    assert_eq!(contents(&datagram), [Content::Row(b"a row"), Content::Done]);
    assert_eq!(contents(&message(DONE, 2, 1, b"")), [Content::Done]);
    assert_eq!(contents(&message(DONE, 2, 1, &(-105_i32).to_ne_bytes())), [Content::Error(105)]);
    assert_eq!(contents(&message(ERROR, 0, 1, &(-2_i32).to_ne_bytes())), [Content::Error(2)]);
    let interrupted = message(DONE, 0x10, 9, b"");
    let expected = Message { sequence: 9, interrupted: true, content: Content::Done };
    assert_eq!(Messages::new(&interrupted).next(), Some(Ok(expected)));
}

#[test]
fn a_message_longer_than_its_datagram_is_malformed() {
    let whole = message(ROW, 2, 1, &[7; 8]);
    for length in 1..whole.len() {
        let messages: Vec<_> = Messages::new(&whole[..length]).collect();
        assert!(messages.len() == 1 && messages[0].is_err(), "{length}: {messages:?}");
    }
    assert!(Messages::new(&words(&[3, 0, 0, 0])).next().unwrap().is_err(), "shorter than its own header");
}

#[test]
fn a_connection_without_file_or_in_another_state_is_not_accepted() {
    let (here, there) = ("127.0.0.1:9000".parse().unwrap(), "127.0.0.1:40000".parse().unwrap());
    let role = |state, inode| tcp_row(&tcp(state, here, there, (0, 0), inode)).unwrap().map(|row| row.role);
    for state in [1, 4, 5, 8, 9, 11] {
        assert_eq!((role(state, 1), role(state, 0)), (Some(Role::Accepted), None), "{state}");
    }
    for state in [0, 2, 3, 6, 7, 12, 13, 255] {
        assert_eq!(role(state, 1), None, "{state}");
    }
    assert!(tcp_row(&[1; 72]).is_err(), "neither IPv4 nor IPv6");
}

#[test]
fn text_rows_are_read() {
    let line = b"00000000993c67b8: 00000002 00000000 00010000 0001 01 420744 /run/a b.sock ";
    let listener = Role::Listener { waiting: None, limit: None, only_v6: false };
    let row = UnixRow { role: listener, inode: 420_744, name: b"/run/a b.sock ", file: None, peer: None };
    assert_eq!(procfs::unix_row(line), Some(row));
    let queued = b"0000000000000000: 00000003 00000000 00000000 0001 02     0 /run/a.sock";
    let row = UnixRow { role: Role::Queued, inode: 0, name: b"/run/a.sock", ..row };
    assert_eq!(procfs::unix_row(queued), Some(row));
    // Unnamed; connecting itself; a datagram socket.
    for line in [
        "0000000000000000: 00000003 00000000 00000000 0001 03 17",
        "0000000000000000: 00000003 00000000 00000000 0001 02 17 /run/a.sock",
        "0000000000000000: 00000003 00000000 00000000 0002 03 17 /run/a.sock",
    ] {
        assert_eq!(procfs::unix_row(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn counters_are_found_by_name() {
    let table = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 2 3\nIpExt: InOctets\nIpExt: 4\n";
    assert_eq!(procfs::overflows(table.as_bytes()), Some(Overflows { overflows: 2, drops: 3 }));
    for broken in ["", "TcpExt: ListenOverflows ListenDrops\n", "TcpExt: ListenOverflows ListenDrops\nTcpExt: 1\n"] {
        assert_eq!(procfs::overflows(broken.as_bytes()), None, "{broken:?}");
    }
}

#[test]
fn tables_that_are_not_there_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [ListenerKey::Unix(Path::new("/run/a.sock").into()), ListenerKey::Tcp("127.0.0.1:1".parse().unwrap())];
    let wanted = Wanted::new(keys.map(Target::from));
    let mut reader = QueueReader::new(folder.path(), Path::new("/")).in_namespace_of(7);
    let reading = reader.read(&wanted, SystemTime::now());
    let reasons = |reading: super::SocketReading| -> Vec<_> {
        reading.listeners.into_iter().map(|(_, state)| state.unwrap_err().reason).collect()
    };
    assert_eq!(reading.overflows.as_ref().unwrap_err().reason, SocketFailureReason::Unsupported);
    assert_eq!(reasons(reading), [SocketFailureReason::Unsupported; 2]);
    // Anything may be there instead.
    fs::create_dir_all(folder.path().join("7/net/unix")).unwrap();
    fs::write(folder.path().join("7/net/tcp"), b"\xff\n \n1: 2 3\n\n::::\0").unwrap();
    let reading = reader.read(&wanted, SystemTime::now());
    assert_eq!(reading.listeners[0].1.as_ref().unwrap_err().reason, SocketFailureReason::Io);
    assert!(reading.listeners[1].1.as_ref().unwrap().queue.is_none());
    let late = procfs::table(&folder.path().join("7/net/tcp"), Instant::now() - Duration::from_secs(1));
    assert_eq!(late.unwrap_err().reason, SocketFailureReason::Timeout);
}

#[test]
fn a_row_that_comes_again_counts_once() {
    let (key, address) = (ListenerKey::Abstract(b"a".as_slice().into()), "127.0.0.1:9".parse().unwrap());
    let wanted = Wanted::new([key, ListenerKey::Tcp(address)].map(Target::from));
    let (root, own) = (Root::new(Path::new("/")), Own::read(Path::new("/nowhere")));
    let listener = Role::Listener { waiting: Some(1), limit: Some(2), only_v6: false };
    let mut unix = UnixTally::new(&wanted, &root, &own);
    let mut tcp = TcpTally::new(&wanted, &own);
    for (role, inode) in [(listener, 1), (Role::Accepted, 2), (listener, 1), (Role::Accepted, 2), (Role::Accepted, 3)] {
        unix.add(&UnixRow { role, inode, name: b"\0a", file: None, peer: Some(0) });
        tcp.add(&TcpRow { role, client_closed: true, local: address, remote: address, v6: false, device: 0, inode });
    }
    tcp.settle();
    let name = wanted.name(b"\0a").unwrap();
    for state in [unix.state(QueueSource::Netlink, None, &[name]), tcp.state(QueueSource::Netlink, address, true)] {
        let queue = state.queue.unwrap();
        assert_eq!((queue.sockets, queue.waiting, queue.limit, queue.full), (1, 1, Some(2), Some(false)));
        assert_eq!((state.accepted, state.abandoned, state.own), (2, Some(2), None), "no descriptors of ours to see");
    }
}

/// A process that holds sockets.
fn process(procfs: &Path, pid: u32, stat: &str, sockets: &[u64]) {
    let folder = procfs.join(pid.to_string());
    fs::create_dir_all(folder.join("fd")).unwrap();
    fs::write(folder.join("stat"), format!("{pid} {stat}")).unwrap();
    symlink("/dev/null", folder.join("fd/0")).unwrap();
    for (fd, inode) in (3..).zip(sockets) {
        symlink(format!("socket:[{inode}]"), folder.join(format!("fd/{fd}"))).unwrap();
    }
}

/// The line's fields from the state on, for a start at this tick.
fn fields(started: u64) -> String {
    format!("S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 {started} 20 21\n")
}

#[test]
fn the_owner_is_the_oldest_holder_and_a_service_manager_only_when_alone() {
    let procfs = tempfile::tempdir().unwrap();
    process(procfs.path(), 1, &format!("(systemd) {}", fields(1)), &[77, 78]);
    process(procfs.path(), 400, &format!("(a) b (c) {}", fields(500)), &[77, 79, 77]);
    process(procfs.path(), 30, &format!("(worker) {}", fields(501)), &[77]);
    process(procfs.path(), 31, "(cut", &[78]);
    fs::write(procfs.path().join("version"), "no process").unwrap();
    let (mut owners, now) = (Owners::new(procfs.path()), SystemTime::now());
    owners.update(&[77, 78, 80], now);
    let of = |owners: &Owners, inode| owners.of(inode).map(|owner| (owner.pid, owner.name.to_string()));
    assert_eq!(of(&owners, 77), Some((400, "a) b (c".into())));
    assert_eq!(of(&owners, 78), Some((1, "systemd".into())));
    assert_eq!((of(&owners, 79), of(&owners, 80)), (None, None), "not asked for; held by nobody");
    // What is known is believed for a while.
    process(procfs.path(), 32, &format!("(late) {}", fields(502)), &[80]);
    owners.update(&[77, 78, 80], now + Duration::from_secs(1));
    assert_eq!(of(&owners, 80), None);
    owners.update(&[77, 78, 80], now + Duration::from_secs(61));
    assert_eq!(of(&owners, 80), Some((32, "late".into())));
}

#[test]
fn addresses_are_looked_at_again_after_a_minute() {
    let (elsewhere, now) = (IpAddr::from([192, 0, 2, 1]), SystemTime::now());
    let mut locality = Locality::default();
    assert!(locality.is_local(elsewhere), "not yet known");
    locality.update([elsewhere].into_iter(), now);
    assert!(!locality.is_local(elsewhere) && locality.is_local(IpAddr::from([127, 3, 2, 1])));
    locality.update([].into_iter(), now + Duration::from_secs(61));
    assert!(locality.is_local(elsewhere), "forgotten");
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address as `/proc/net/tcp` prints it.
fn hex(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let word = |word: &[u8]| format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap()));
    format!("{}:{:04X}", octets.chunks(4).map(word).collect::<String>(), address.port())
}

/// What the kernel makes of a filter: `inet_diag_bc_run`, after the checks of `inet_diag_bc_audit`.
fn keeps(filter: &[u8], source: u16, destination: u16) -> bool {
    let mut at = 0;
    while at < filter.len() {
        let op = |at: usize| {
            let [code, then, low, high] = filter[at..at + 4] else { unreachable!() };
            (code, usize::from(then), u16::from_ne_bytes([low, high]))
        };
        let (code, then, otherwise) = op(at);
        let otherwise = usize::from(otherwise);
        assert!(then.max(otherwise) <= filter.len() - at + 4 && then % 4 == 0 && otherwise % 4 == 0);
        let port = || op(at + 4).2;
        let holds = match code {
            1 => false,
            2 => source >= port(),
            3 => source <= port(),
            4 => destination >= port(),
            5 => destination <= port(),
            _ => panic!("no such operation"),
        };
        at += if holds { then } else { otherwise };
    }
    at == filter.len()
}

proptest! {
    #[test]
    fn a_filter_keeps_its_ports_and_no_other(ports in vec(0_u16..300, 1..64), source in 0_u16..300, destination in 0_u16..300) {
        let expected = ports.contains(&source) || ports.contains(&destination);
        prop_assert_eq!(keeps(&filter(&ports), source, destination), expected);
    }

    #[test]
    fn any_datagram_is_read_to_an_end(bytes in vec(any::<u8>(), 0..300)) {
        let messages: Vec<_> = Messages::new(&bytes).collect();
        prop_assert!(messages.len() <= bytes.len());
        prop_assert!(messages.iter().rev().skip(1).all(Result::is_ok), "nothing follows a malformed one");
    }

    #[test]
    fn any_row_is_read_or_refused(mut bytes in vec(any::<u8>(), 0..200), state in 0_u8..14) {
        let _any = (unix_row(&bytes), tcp_row(&bytes), procfs::unix_row(&bytes), procfs::tcp_row(&bytes));
        for family in [1, 2, 10] {
            bytes.splice(..bytes.len().min(3), [family, state, state]);
            let _likely = (unix_row(&bytes), tcp_row(&bytes));
        }
    }

    #[test]
    fn datagrams_are_read_as_written(rows in vec(vec(any::<u8>(), 0..50), 0..20), sequence: u32) {
        let datagram: Vec<u8> = rows.iter().flat_map(|row| message(ROW, 2, sequence, row)).collect();
        let read: Vec<_> = Messages::new(&datagram).map(Result::unwrap).collect();
        prop_assert!(read.iter().all(|message| message.sequence == sequence && !message.interrupted));
        let expected: Vec<_> = rows.iter().map(|row| Content::Row(row)).collect();
        prop_assert_eq!(read.into_iter().map(|message| message.content).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn unix_rows_are_read_as_written(
        listens: bool,
        inode: u32,
        name in vec(1_u8.., 1..108),
        is_abstract: bool,
        numbers: [u32; 5],
        cut in 0_usize..200,
    ) {
        let [device, file, waiting, limit, peer] = numbers;
        let name = if is_abstract { [b"\0", &*name].concat() } else { name };
        let printed = if is_abstract { name.clone() } else { [&*name, b"\0"].concat() };
        let mut attributes = vec![attribute(0, &printed), attribute(9, b"?"), attribute(4, &words(&[waiting, limit]))];
        attributes.extend([attribute(2, &words(&[peer])), attribute(1, &words(&[file, device]))]);
        let bytes = unix(if listens { 10 } else { 1 }, inode, &attributes);
        let listener = Role::Listener { waiting: Some(waiting), limit: Some(limit), only_v6: false };
        let expected = UnixRow {
            role: if listens { listener } else { Role::Accepted },
            inode: inode.into(),
            name: &name,
            file: Some(FileId { device, inode: file }),
            peer: Some(peer.into()),
        };
        prop_assert_eq!(unix_row(&bytes), Ok(Some(expected)));
        let _cut = unix_row(&bytes[..cut.min(bytes.len())]);
    }

    #[test]
    fn tcp_rows_are_read_as_written(local in address(), ports: (u16, u16), inode in 1_u32.., queue: (u32, u32), only: bool) {
        let local = SocketAddr::new(local.ip(), ports.0);
        let remote = SocketAddr::new(local.ip(), ports.1);
        let bytes = [tcp(10, local, remote, queue, inode), attribute(8, &[1]), attribute(11, &[u8::from(only)])].concat();
        let row = tcp_row(&bytes).unwrap().unwrap();
        let role = Role::Listener { waiting: Some(queue.0), limit: Some(queue.1), only_v6: only };
        let expected = TcpRow {
            role,
            client_closed: false,
            local: canonical(local),
            remote: canonical(remote),
            v6: local.is_ipv6(),
            device: 0,
            inode: inode.into(),
        };
        prop_assert_eq!(row, expected);

        let (here, there) = (hex(local), hex(remote));
        let line = format!("  17: {here} {there} 0A 00000000:{:08X} 00:00000000 00000000    33        0 {inode} 1", queue.0);
        let role = Role::Listener { waiting: Some(queue.0), limit: None, only_v6: false };
        prop_assert_eq!(procfs::tcp_row(line.as_bytes()), Some(TcpRow { role, ..expected }));
    }
}
