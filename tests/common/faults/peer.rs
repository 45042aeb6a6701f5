//! A server that plays a script on every connection.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, accept, recv, send, shutdown, sockopt};

use super::request::Wire;
use crate::common::http::Address;
use crate::common::lab::{Lab, give_to_worker};

/// No step waits longer than this.
const DEADLINE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// One step of a script. After the last one the connection is closed as by [`Step::Close`].
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads until the request is complete in the peer's protocol.
    ReadRequest,
    /// Waits until the request begins to arrive, and reads nothing of it.
    AwaitRequest,
    /// Sends these bytes.
    Write(Vec<u8>),
    /// Says no more and reads no more, as long as there is a peer at all.
    Hang,
    /// Says it will read no more while it keeps the connection: writing to it fails from then on.
    RefuseData,
    /// Ends the connection in good order: nginx reads its end.
    Close,
    /// Ends it at once with a reset. Over TCP the reset overtakes whatever nginx has not read yet. A unix socket keeps
    /// the order, but resets only if some of the request was not read.
    Reset,
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    address: Address,
    listener: Arc<OwnedFd>,
    connections: Arc<Mutex<Vec<Weak<OwnedFd>>>>,
    accepted: Arc<AtomicUsize>,
    acceptor: Option<JoinHandle<()>>,
}

impl Peer {
    /// On a free port of 127.0.0.1.
    pub fn tcp(wire: Wire, script: impl Into<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on the loopback");
        let address = Address::Tcp(listener.local_addr().expect("bound"));
        Self::serve(address, listener.into(), wire, script.into())
    }

    /// On a unix socket in the lab that nginx' workers may connect to.
    pub fn unix(lab: &Lab, name: &str, wire: Wire, script: impl Into<Vec<Step>>) -> Self {
        let path: PathBuf = lab.path(name);
        let listener = UnixListener::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        give_to_worker(&path);
        Self::serve(Address::Unix(path), listener.into(), wire, script.into())
    }

    fn serve(address: Address, listener: OwnedFd, wire: Wire, script: Vec<Step>) -> Self {
        let (listener, script) = (Arc::new(listener), Arc::new(script));
        let (connections, accepted) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let acceptor = std::thread::spawn({
            let (listener, connections, accepted) = (listener.clone(), connections.clone(), accepted.clone());
            move || {
                while let Ok(connection) = rustix::io::retry_on_intr(|| accept(&listener)) {
                    let (connection, script) = (Arc::new(connection), script.clone());
                    let held: &mut Vec<Weak<OwnedFd>> = &mut connections.lock().expect("no panic while locked");
                    held.retain(|connection| connection.strong_count() > 0);
                    held.push(Arc::downgrade(&connection));
                    accepted.fetch_add(1, Ordering::SeqCst);
                    std::thread::spawn(move || play(&connection, wire, &script));
                }
            }
        });
        Self { address, listener, connections, accepted, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its TCP address.
    ///
    /// # Panics
    /// When it listens on a unix socket.
    pub fn tcp_address(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{} is no TCP address", path.display()),
        }
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _woken = shutdown(&self.listener, Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
        for connection in self.connections.lock().expect("no panic while locked").drain(..) {
            let _woken = connection.upgrade().map(|connection| shutdown(connection.as_fd(), Shutdown::Both));
        }
    }
}

/// Plays the script. Errors end it: nginx has gone, as it may.
fn play(connection: &OwnedFd, wire: Wire, script: &[Step]) {
    for step in script {
        let done = match step {
            Step::ReadRequest => read_request(connection, wire),
            Step::AwaitRequest => wait(connection, PollFlags::IN),
            Step::Write(bytes) => write_all(connection, bytes),
            Step::RefuseData => shutdown(connection, Shutdown::Read).and_then(|()| drain(connection)),
            Step::Hang => wait(connection, PollFlags::empty()),
            Step::Close => break,
            Step::Reset => {
                let _tcp_only = sockopt::set_socket_linger(connection, Some(Duration::ZERO));
                return;
            }
        };
        if done.is_err() {
            return;
        }
    }
    // First our end, then whatever was still on the way: closing with unread data would reset the connection.
    let _ended = shutdown(connection, Shutdown::Write).and_then(|()| drain(connection));
}

fn read_request(connection: &OwnedFd, wire: Wire) -> Result<(), Errno> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !wire.is_complete(&request) {
        wait(connection, PollFlags::IN)?;
        match recv(connection, &mut piece[..], RecvFlags::empty())?.0 {
            0 => return Err(Errno::CONNRESET),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    Ok(())
}

fn write_all(connection: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        wait(connection, PollFlags::OUT)?;
        let sent = send(connection, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        bytes = &bytes[if sent == Err(Errno::AGAIN) { 0 } else { sent? }..];
    }
    Ok(())
}

fn drain(connection: &OwnedFd) -> Result<(), Errno> {
    let mut piece = [0; 65536];
    loop {
        wait(connection, PollFlags::IN)?;
        if recv(connection, &mut piece[..], RecvFlags::empty())?.0 == 0 {
            return Ok(());
        }
    }
}

fn wait(connection: &OwnedFd, events: PollFlags) -> Result<(), Errno> {
    let mut polled = [PollFd::from_borrowed_fd(connection.as_fd(), events)];
    match rustix::io::retry_on_intr(|| poll(&mut polled, Some(&DEADLINE)))? {
        0 => Err(Errno::TIMEDOUT),
        _ => Ok(()),
    }
}
