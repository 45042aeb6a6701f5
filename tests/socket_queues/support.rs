//! Listeners that accept only when told to, and what `ss` says about them.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nginx_502_exporter::inputs::socket::queue::{QueueReader, Target, Wanted};
use nginx_502_exporter::observation::socket::{ListenerKey, ListenerState, QueueSource, SocketReading};

use crate::common::lab::poll;
use crate::common::process::program;

pub const DEADLINE: Duration = Duration::from_secs(20);

/// A reader of this host.
pub fn reader() -> QueueReader {
    QueueReader::new(Path::new("/proc"), Path::new("/"))
}

/// A reader of the text tables of this host.
pub fn text_reader() -> QueueReader {
    reader().in_namespace_of(std::process::id())
}

pub fn wanted(keys: impl IntoIterator<Item = ListenerKey>) -> Wanted {
    Wanted::new(keys.into_iter().map(Target::from))
}

pub fn unix_key(path: &Path) -> ListenerKey {
    ListenerKey::Unix(path.into())
}

pub fn read(key: &ListenerKey) -> ListenerState {
    read_with(&mut reader(), key)
}

pub fn read_with(reader: &mut QueueReader, key: &ListenerKey) -> ListenerState {
    only(reader.read(&wanted([key.clone()]), SystemTime::now()))
}

/// Waits until the text tables say this. They may skip a row when sockets come and go meanwhile, those of other tests.
pub fn text_says(key: &ListenerKey, expected: &ListenerState) {
    let read = || ListenerState { owner: None, ..read_with(&mut text_reader(), key) };
    if poll(DEADLINE, || (read() == *expected).then_some(())).is_none() {
        assert_eq!(read(), *expected);
    }
}

/// The one listener of a reading that was asked for one.
pub fn only(reading: SocketReading) -> ListenerState {
    let [(_, state)]: [_; 1] = reading.listeners.try_into().expect("one listener");
    state.expect("a readable table")
}

/// Waits until the state of a listener is as it should be: connections arrive when the kernel is ready.
pub fn wait_for(key: &ListenerKey, mut expected: impl FnMut(&ListenerState) -> bool) -> ListenerState {
    let mut reader = reader();
    poll(DEADLINE, || Some(read_with(&mut reader, key)).filter(|state| expected(state)))
        .unwrap_or_else(|| panic!("waited in vain; the state of {key} is {:#?}", read(key)))
}

/// Waiting, backlog, accepted and abandoned connections.
pub fn figures(state: &ListenerState) -> (u64, Option<u64>, u64, Option<u64>) {
    let queue = state.queue.expect("a listener");
    (queue.waiting, queue.limit, state.accepted, state.abandoned)
}

/// What the text tables show of the same: no backlog. The owner is left out: a program that is just being started by
/// another test holds what we hold.
pub fn in_text(state: &ListenerState) -> ListenerState {
    let mut state = state.clone();
    (state.source, state.owner) = (QueueSource::Procfs, None);
    state.queue.iter_mut().for_each(|queue| (queue.limit, queue.full) = (None, None));
    state
}

/// A unix listener with this backlog.
pub fn unix_listener(path: &Path, backlog: i32) -> UnixListener {
    let listener = UnixListener::bind(path).expect("a unix socket");
    rustix::net::listen(listener.as_fd(), backlog).expect("listening again sets the backlog");
    listener
}

/// A TCP listener on this address with this backlog.
pub fn tcp_listener(address: &str, backlog: i32) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).expect("a TCP socket");
    rustix::net::listen(listener.as_fd(), backlog).expect("listening again sets the backlog");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// Queue and backlog of a listener as `ss` shows them: the columns `Recv-Q` and `Send-Q`.
pub fn ss(key: &ListenerKey) -> Option<(u64, u64)> {
    let mut command = Command::new(program("ss", "iproute2"));
    let needle = match key {
        ListenerKey::Unix(path) => {
            command.arg("-xlH");
            path.display().to_string()
        }
        ListenerKey::Abstract(name) => {
            command.arg("-xlH");
            format!("@{}", String::from_utf8_lossy(name))
        }
        ListenerKey::Tcp(address) => {
            command.arg("-tlnH");
            address.to_string()
        }
    };
    let output = command.output().expect("ss runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = line.into_iter().find(|fields| fields.contains(&&*needle))?;
    let at = line.iter().position(|field| *field == "LISTEN")?;
    Some((line[at + 1].parse().ok()?, line[at + 2].parse().ok()?))
}

/// Waits until the kernel has come to these figures, and checks that `ss` sees them too. It takes its time: TCP answers
/// later, and a program that another test just starts holds what we hold until it runs.
pub fn settled(key: &ListenerKey, expected: (u64, Option<u64>, u64, Option<u64>)) -> ListenerState {
    wait_for(key, |state| state.queue.is_some() && figures(state) == expected);
    read_as_ss(key)
}

/// Reads a listener that `ss` sees the same way before and after, and checks that we do too.
fn read_as_ss(key: &ListenerKey) -> ListenerState {
    let (state, seen) = poll(DEADLINE, || {
        let before = ss(key);
        let state = read(key);
        (before == ss(key)).then_some((state, before))
    })
    .expect("a quiet moment");
    let ours = state.queue.map(|queue| (queue.waiting, queue.limit.expect("netlink knows the backlog")));
    assert_eq!(ours, seen, "what ss shows of {key}");
    state
}
