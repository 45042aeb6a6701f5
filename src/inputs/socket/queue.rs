//! Accept queues and accepted connections of local listeners, from the kernel: saturation that stays visible while the
//! listener itself answers nobody.
//!
//! One look is one dump of the unix and one of the TCP sockets (`NETLINK_SOCK_DIAG`, sock_diag(7)), whatever the number
//! of listeners; it needs no privilege and shows the network namespace it is asked in. Where netlink is refused (seccomp,
//! `RestrictAddressFamilies=` without `AF_NETLINK`), the tables below `/proc/net` are read instead, and it is said.
//!
//! What the kernel shows of a connection, and what becomes of it here (Linux 6.18; every row is a test in
//! `tests/socket_queues`):
//!
//! | the connection | unix, netlink | unix, procfs | TCP, both | counted as |
//! |---|---|---|---|---|
//! | waits in the queue | no row; the listener's length | row of its own, inode 0 | row with inode 0; the listener's length | waiting |
//! | waits, client gone | no row; the listener's length | row with inode 0 | row with inode 0, or none after a reset; the listener's length | waiting |
//! | accepted, busy or idle (kept alive) | row with inode and peer | row with inode | `ESTABLISHED`, inode | accepted |
//! | accepted, client half-closed | the same | the same | `CLOSE_WAIT`, inode | accepted; on TCP also abandoned |
//! | accepted, client gone | row, peer 0 | the same | `CLOSE_WAIT`, inode | accepted, abandoned (unix in procfs: not told) |
//! | server has shut down, waits for the client | row with inode | the same | `FIN_WAIT1`, `FIN_WAIT2`, inode | accepted |
//! | closed by the server | no row | no row | inode 0 | – |
//! | accepted, client has reset | (as client gone) | (as client gone) | **no row** | on TCP invisible |
//! | our own, accepted | peer is a socket of ours | not told | both ends have rows | accepted, own |
//!
//! So *accepted* is counted, not computed: rows that carry the listener's file or local address and belong to a file of
//! some process. For PHP-FPM, whose workers serve one connection at a time, this is the number of busy workers, with
//! three things to know. A worker that is kept alive by nginx (`fastcgi_keep_conn on`) is busy: it serves nobody else. A
//! worker that has answered waits until its client closes. And on TCP a worker that goes on after its client has *reset*
//! the connection cannot be seen: nginx closes without unread data in the usual cases (timeout, client gone), which is
//! no reset; the reset comes when the worker then writes, and ends most scripts.
//!
//! The rows of one table are not read in one instant: a connection that is accepted meanwhile may count twice, as
//! waiting and as accepted, or not at all, once, for the microseconds between the rows. A full queue holds one connection
//! more than its limit.

mod file;
mod kernel;
mod locality;
mod owner;
mod procfs;
mod row;
mod tally;
mod tcp;
#[cfg(test)]
mod tests;
mod unix;
mod wanted;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

pub use wanted::{Target, Wanted};

use self::file::Root;
use self::kernel::Kernel;
use self::locality::Locality;
use self::owner::Owners;
use self::tally::Own;
use self::tcp::TcpTally;
use self::unix::UnixTally;
use self::wanted::Place;
use self::wire::{Malformed, Table};
use crate::observation::socket::{
    ListenerKey, ListenerState, Overflows, QueueSource, SocketFailure, SocketFailureReason, SocketReading,
};

/// The time that one look at the tables may take. It takes microseconds to milliseconds.
const DEADLINE: Duration = Duration::from_secs(1);
/// A table that changed while it was read is read again, this often in all.
const ATTEMPTS: u32 = 2;

/// Reads the queues of wanted listeners. One reading at a time: it blocks, so it belongs on a blocking thread.
#[derive(Debug)]
pub struct QueueReader {
    procfs: PathBuf,
    root: Root,
    /// A process whose network namespace is looked at instead of our own.
    namespace: Option<u32>,
    locality: Locality,
    owners: Owners,
}

impl QueueReader {
    /// A reader of this process' network namespace, with the mount of procfs and the root that paths are resolved in.
    #[must_use]
    pub fn new(procfs: &Path, rootfs: &Path) -> Self {
        let (locality, owners) = (Locality::default(), Owners::new(procfs));
        Self { procfs: procfs.into(), root: Root::new(rootfs), namespace: None, locality, owners }
    }

    /// Looks at the network namespace of another process of that procfs, a container's for example. Netlink shows only
    /// our own, so this reads the text tables; every TCP address is taken for one of that namespace.
    #[must_use]
    pub fn in_namespace_of(mut self, pid: u32) -> Self {
        self.namespace = Some(pid);
        self
    }

    /// Looks at the tables once. At most a second for the tables, and half a second where owners are looked for.
    pub fn read(&mut self, wanted: &Wanted, now: SystemTime) -> SocketReading {
        let began = Instant::now();
        let deadline = began + DEADLINE;
        let own = Own::read(&self.procfs);
        if self.namespace.is_none() {
            self.locality.update(wanted.ips(), now);
        }
        let mut tables = Tables { net: self.net(), kernel: None, fallbacks: Vec::new(), deadline };
        if self.namespace.is_none() && !wanted.targets.is_empty() {
            tables.open();
        }
        let unix = wanted.has_unix().then(|| tables.unix(|| UnixTally::new(wanted, &self.root, &own)));
        let tcp = (!wanted.ports().is_empty()).then(|| tables.tcp(wanted.ports(), || TcpTally::new(wanted, &own)));
        let state = |place: &Place| match place {
            Place::Unix { path, names } => match unix.as_ref()? {
                Ok((tally, source)) => Some(Ok(tally.state(*source, path.as_deref(), names))),
                Err(failure) => Some(Err(failure.clone())),
            },
            Place::Tcp(address) => match tcp.as_ref()? {
                Ok((tally, source)) => Some(Ok(tally.state(*source, *address, self.locality.is_local(address.ip())))),
                Err(failure) => Some(Err(failure.clone())),
            },
        };
        let targets = wanted.targets.iter();
        let mut listeners: Vec<(ListenerKey, Result<ListenerState, SocketFailure>)> =
            targets.filter_map(|(key, place)| Some((key.clone(), state(place)?))).collect();
        let overflows = read_overflows(&tables.net.join("netstat"), deadline);
        let fallbacks = tables.fallbacks;
        let states = || listeners.iter().filter_map(|(_, state)| state.as_ref().ok());
        let inodes: Vec<u64> = states().filter_map(|state| Some(state.queue?.inode)).collect();
        let owners = self.owners.update(&inodes, now);
        for (_, state) in &mut listeners {
            if let Ok(ListenerState { queue: Some(queue), owner, .. }) = state {
                *owner = self.owners.of(queue.inode);
            }
        }
        SocketReading { at: now, took: began.elapsed(), listeners, fallbacks, overflows, owners }
    }

    /// Where the tables of the network namespace are.
    fn net(&self) -> PathBuf {
        match self.namespace {
            Some(pid) => self.procfs.join(pid.to_string()).join("net"),
            None => self.procfs.join("net"),
        }
    }
}

/// The ways to the tables, during one reading.
struct Tables {
    net: PathBuf,
    kernel: Option<Kernel>,
    /// Why the kernel was not asked.
    fallbacks: Vec<SocketFailure>,
    deadline: Instant,
}

type Reading<T> = Result<(T, QueueSource), SocketFailure>;

impl Tables {
    fn open(&mut self) {
        match Kernel::open() {
            Ok(kernel) => self.kernel = Some(kernel),
            Err(failure) => self.fallbacks.push(failure),
        }
    }

    fn unix<'a>(&mut self, tally: impl Fn() -> UnixTally<'a>) -> Reading<UnixTally<'a>> {
        let row = |tally: &mut UnixTally<'_>, row: &[u8]| {
            wire::unix_row(row).map(|row| row.into_iter().for_each(|row| tally.add(&row)))
        };
        if let Some(tally) = self.dump(Table::Unix, &tally, row) {
            return Ok((tally, QueueSource::Netlink));
        }
        let table = procfs::table(&self.net.join("unix"), self.deadline)?;
        let mut tally = tally();
        procfs::lines(&table).filter_map(procfs::unix_row).for_each(|row| tally.add(&row));
        Ok((tally, QueueSource::Procfs))
    }

    fn tcp<'a>(&mut self, ports: &[u16], tally: impl Fn() -> TcpTally<'a>) -> Reading<TcpTally<'a>> {
        let row = |tally: &mut TcpTally<'_>, row: &[u8]| {
            wire::tcp_row(row).map(|row| row.into_iter().for_each(|row| tally.add(&row)))
        };
        if let Some(mut tally) = self.dump(Table::Tcp(ports), &tally, row) {
            tally.settle();
            return Ok((tally, QueueSource::Netlink));
        }
        let mut tally = tally();
        for name in ["tcp", "tcp6"] {
            match procfs::table(&self.net.join(name), self.deadline) {
                Ok(table) => procfs::lines(&table).filter_map(procfs::tcp_row).for_each(|row| tally.add(&row)),
                // A kernel without IPv6.
                Err(failure) if name == "tcp6" && failure.reason == SocketFailureReason::Unsupported => {}
                Err(failure) => return Err(failure),
            }
        }
        tally.settle();
        Ok((tally, QueueSource::Procfs))
    }

    /// Reads a table by netlink; when that fails, says why and gives nothing.
    fn dump<T>(
        &mut self,
        table: Table<'_>,
        tally: impl Fn() -> T,
        row: impl Fn(&mut T, &[u8]) -> Result<(), Malformed>,
    ) -> Option<T> {
        let (kernel, deadline) = (self.kernel.as_mut()?, self.deadline);
        for attempt in 1.. {
            let mut tally = tally();
            match kernel.dump(table, deadline, |bytes| row(&mut tally, bytes)) {
                Ok(()) => return Some(tally),
                Err(failure) if failure.reason == SocketFailureReason::Interrupted && attempt < ATTEMPTS => {}
                Err(failure) => {
                    self.fallbacks.push(failure);
                    break;
                }
            }
        }
        None
    }
}

fn read_overflows(path: &Path, deadline: Instant) -> Result<Overflows, SocketFailure> {
    let missing = || failure(SocketFailureReason::Malformed, &path.to_string_lossy(), "no TcpExt counters");
    procfs::overflows(&procfs::table(path, deadline)?).ok_or_else(missing)
}

fn failure(reason: SocketFailureReason, what: &str, detail: &str) -> SocketFailure {
    SocketFailure { reason, what: what.into(), detail: detail.into() }
}
