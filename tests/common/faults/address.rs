//! Addresses at which nobody serves, each for its own reason.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname, listen};
use rustix::net::{socket, socket_with};

use crate::common::http::Address;
use crate::common::lab::{Lab, give_to_worker};

/// An address with whatever keeps it the way it is.
#[derive(Debug)]
pub struct Dead {
    address: Address,
    _sockets: Vec<OwnedFd>,
}

impl Dead {
    /// Where nobody serves.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A TCP port that is taken, but not listened on: connecting is refused.
    pub fn port() -> Self {
        let (socket, address) = bound_port();
        Self { address: Address::Tcp(address), _sockets: vec![socket] }
    }

    /// A TCP listener whose queue is full: the kernel drops the SYN, connecting takes for ever.
    pub fn full_port() -> Self {
        const PATIENCE: Duration = Duration::from_millis(200);
        let (listener, address) = bound_port();
        listen(&listener, 0).expect("listening");
        let mut sockets = vec![listener];
        while let Ok(queued) = TcpStream::connect_timeout(&address, PATIENCE) {
            assert!(sockets.len() < 64, "a queue of length 0 takes connection after connection");
            sockets.push(queued.into());
        }
        Self { address: Address::Tcp(address), _sockets: sockets }
    }

    /// A path at which there is nothing.
    pub fn missing_socket(lab: &Lab) -> Self {
        Self { address: Address::Unix(lab.path("missing.sock")), _sockets: Vec::new() }
    }

    /// A socket file whose listener has gone: connecting is refused.
    pub fn stale_socket(lab: &Lab) -> Self {
        let path = lab.path("stale.sock");
        drop(UnixListener::bind(&path).expect("a unix socket"));
        give_to_worker(&path);
        Self { address: Address::Unix(path), _sockets: Vec::new() }
    }

    /// A living socket that nobody but root may connect to.
    pub fn forbidden_socket(lab: &Lab) -> Self {
        let path = lab.path("forbidden.sock");
        let listener = UnixListener::bind(&path).expect("a unix socket");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("our own file");
        Self { address: Address::Unix(path), _sockets: vec![listener.into()] }
    }

    /// A listener whose queue is full, as of a pool whose workers are all busy.
    pub fn full_socket(lab: &Lab) -> Self {
        let path = lab.path("full.sock");
        let sockets = fill_queue(&path);
        give_to_worker(&path);
        Self { address: Address::Unix(path), _sockets: sockets }
    }

    /// A datagram socket: there, but of the wrong type.
    pub fn datagram_socket(lab: &Lab) -> Self {
        let path: PathBuf = lab.path("datagram.sock");
        let socket = UnixDatagram::bind(&path).expect("a unix socket");
        give_to_worker(&path);
        Self { address: Address::Unix(path), _sockets: vec![socket.into()] }
    }
}

fn bound_port() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port on the loopback");
    let address = getsockname(&socket).expect("bound").try_into().expect("IPv4");
    (socket, address)
}

fn fill_queue(path: &Path) -> Vec<OwnedFd> {
    let unix = |flags| socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket");
    let address = SocketAddrUnix::new(path).expect("a short path");
    let listener = unix(SocketFlags::CLOEXEC);
    bind(&listener, &address).expect("a unix socket");
    listen(&listener, 1).expect("listening");
    let mut sockets = vec![listener];
    loop {
        let client = unix(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        match connect(client.as_fd(), &address) {
            Ok(()) => sockets.push(client),
            Err(Errno::AGAIN) => return sockets,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}
