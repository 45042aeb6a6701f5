//! A row of a socket table, whichever source it was read from.

use std::net::SocketAddr;

/// What a socket is to the address it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It listens. What the source cannot tell is absent.
    Listener {
        /// Connections in its accept queue.
        waiting: Option<u32>,
        /// Its backlog.
        limit: Option<u32>,
        /// `IPV6_V6ONLY`: it takes no IPv4 connection.
        only_v6: bool,
    },
    /// A process has accepted it and holds it.
    Accepted,
    /// It waits in an accept queue. Only `/proc/net/unix` shows these under the name of the listener.
    Queued,
}

/// A unix socket with a name. The ones that a listener has made carry its name and its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnixRow<'a> {
    pub(super) role: Role,
    /// Inode of the socket, not of the file.
    pub(super) inode: u64,
    /// The path as it was bound, or a NUL and the abstract name.
    pub(super) name: &'a [u8],
    /// The socket's file. None for abstract names and where the source does not show it.
    pub(super) file: Option<FileId>,
    /// Inode of the socket at the other end, 0 when that was closed. None where the source does not show it.
    pub(super) peer: Option<u64>,
}

/// A TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpRow {
    pub(super) role: Role,
    /// The other end has closed.
    pub(super) client_closed: bool,
    /// IPv4 addresses as such, also where an IPv6 socket serves them.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// It is an IPv6 socket.
    pub(super) v6: bool,
    /// The device it is bound to, 0 for none.
    pub(super) device: u32,
    pub(super) inode: u64,
}

/// Identity of a file as `UNIX_DIAG_VFS` gives it: both numbers have 32 bits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    /// The kernel's own encoding: major number above 20 bits of minor number.
    pub(super) device: u32,
    /// The low half of the inode number.
    pub(super) inode: u32,
}
