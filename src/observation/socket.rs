//! What the kernel says about the sockets that local upstreams listen on.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::closed_set::closed_set;

/// A local address that nginx passes requests to, or that a pool is configured to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenerKey {
    /// A unix socket, by the path that nginx's or the pool's configuration names.
    Unix(Arc<Path>),
    /// A unix socket in the abstract namespace, without the NUL or `@` that introduces its name (unix(7)).
    Abstract(Arc<[u8]>),
    /// A TCP address. An unspecified address stands for the listener on every address.
    Tcp(SocketAddr),
}

impl fmt::Display for ListenerKey {
    /// The address as a peer label has it: `unix:/run/php/php8.2-fpm.sock`, `127.0.0.1:9000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// One look at the kernel's socket tables.
#[derive(Debug, Clone)]
pub struct SocketReading {
    /// When it was taken.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Every wanted listener, in the order asked for.
    pub listeners: Vec<(ListenerKey, Result<ListenerState, SocketFailure>)>,
    /// Why netlink could not answer, once for each table that was read from procfs instead.
    pub fallbacks: Vec<SocketFailure>,
    /// Connections that this network namespace has turned away.
    pub overflows: Result<Overflows, SocketFailure>,
    /// How well the owners of the listening sockets could be seen.
    pub owners: OwnerScan,
}

/// What is known about one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerState {
    /// Where it was read.
    pub source: QueueSource,
    /// Whether a connection to the address reaches a listening socket.
    pub listening: Listening,
    /// The accept queue; absent when no socket listens.
    pub queue: Option<Queue>,
    /// Connections that a process has accepted and holds open.
    pub accepted: u64,
    /// Those of `accepted` whose client has closed its end: work for nobody. Absent where the source cannot tell.
    pub abandoned: Option<u64>,
    /// Those of `accepted` that this very process opened (status requests, probes). Absent where the source cannot tell.
    pub own: Option<u64>,
    /// The process that listens; absent when none does or when it cannot be seen.
    pub owner: Option<Owner>,
}

impl ListenerState {
    /// Connections accepted for others than this exporter. A PHP-FPM worker serves one at a time: these are the busy ones.
    #[must_use]
    pub fn busy(&self) -> u64 {
        self.accepted.saturating_sub(self.own.unwrap_or(0))
    }
}

/// The accept queue of an address: of all its sockets together, where several share it (`SO_REUSEPORT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Connections that wait to be accepted. Clients that have gone are among them until a process accepts them.
    pub waiting: u64,
    /// The backlog in force: the smaller of what the process asked for and `net.core.somaxconn`. One more than this can
    /// wait. Absent where the source cannot tell.
    pub limit: Option<u64>,
    /// Whether a socket takes no further connection. Absent with the limit.
    pub full: Option<bool>,
    /// Listening sockets.
    pub sockets: u64,
    /// Inode of one of them, the same each time: it changes when the listener is another one.
    pub inode: u64,
}

/// The process that holds a listening socket: the oldest one, so the master and not its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its id, in the process namespace of the procfs that was read.
    pub pid: u32,
    /// Its name as the kernel has it, at most 15 bytes.
    pub name: Arc<str>,
}

/// How well processes could be seen when the owners were last looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnerScan {
    /// Processes whose descriptors this process may not read: `CAP_SYS_PTRACE` or the same user would change that.
    pub unreadable: u64,
    /// The scan was given up because it took too long.
    pub cut_short: bool,
}

/// `TcpExt` counters of `/proc/net/netstat`, since the network namespace was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overflows {
    /// `ListenOverflows`: connections turned away because an accept queue was full.
    pub overflows: u64,
    /// `ListenDrops`: the same, and those turned away for other reasons.
    pub drops: u64,
}

/// Why a table could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFailure {
    /// The closed reason.
    pub reason: SocketFailureReason,
    /// What was being read: a path, or the name of a netlink request.
    pub what: Arc<str>,
    /// The operating system's words; never a label.
    pub detail: Arc<str>,
}

closed_set! {
    /// Where a reading comes from.
    pub enum QueueSource {
        /// `NETLINK_SOCK_DIAG` (sock_diag(7)).
        Netlink = "netlink",
        /// The text tables below `/proc/net` (proc_pid_net(5)): no backlog, and only the names of unix sockets.
        Procfs = "procfs",
    }
}

closed_set! {
    /// Whether a connection to an address reaches a listening socket.
    pub enum Listening {
        /// A socket listens there.
        Yes = "yes",
        /// None does.
        No = "no",
        /// A socket listens that was bound to this path, but the path no longer leads to it: the file was deleted or
        /// replaced, or the socket is the one of another mount namespace. Connecting to the path does not reach it.
        Detached = "detached",
        /// The address is not one of this host: its kernel has nothing to say.
        Remote = "remote",
    }
}

closed_set! {
    /// Reason of a [`SocketFailure`].
    pub enum SocketFailureReason {
        /// The kernel, seccomp or a restriction of address families forbids it.
        Refused = "refused",
        /// The kernel was built without it, or the file is not there.
        Unsupported = "unsupported",
        /// No complete answer before the deadline.
        Timeout = "timeout",
        /// The tables changed under the reading, twice in a row.
        Interrupted = "interrupted",
        /// The answer makes no sense.
        Malformed = "malformed",
        /// Any other error of the operating system.
        Io = "io",
    }
}
