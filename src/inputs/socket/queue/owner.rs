//! Which process holds a listening socket: `/proc/PID/fd` names the inodes. This costs a system call per descriptor of
//! the host, so it is done only when a socket appears whose owner is not known, and every now and then.

use std::fs::{read_dir, read_link};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hashbrown::HashMap;

use super::procfs;
use crate::observation::socket::{Owner, OwnerScan};

/// The owner of a socket seldom changes as long as the socket lives: a socket unit starts its service, a worker dies.
const MAX_AGE: Duration = Duration::from_secs(60);
/// The time a scan may take.
const DEADLINE: Duration = Duration::from_millis(500);
/// No scan within this many times the duration of the one before: the share of the time spent is bounded.
const REST: u32 = 20;

/// The owners found by the latest scan.
#[derive(Debug)]
pub(super) struct Owners {
    procfs: PathBuf,
    /// By inode; none for a socket whose owner was looked for in vain.
    known: HashMap<u64, Option<Candidate>>,
    scan: OwnerScan,
    scanned: Option<(SystemTime, Duration)>,
}

/// Holders are compared by this: the smallest is the owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// A service manager holds the sockets of the services it activates.
    is_manager: bool,
    /// Clock ticks since the boot: a master is older than its workers.
    started: u64,
    pid: u32,
}

#[derive(Debug, Clone)]
struct Candidate {
    rank: Rank,
    owner: Owner,
}

impl Owners {
    pub(super) fn new(procfs: &Path) -> Self {
        Self { procfs: procfs.into(), known: HashMap::new(), scan: OwnerScan::default(), scanned: None }
    }

    /// Makes sure that the owners of these sockets are known, as well as they can be.
    pub(super) fn update(&mut self, inodes: &[u64], now: SystemTime) -> OwnerScan {
        let all_known = inodes.iter().all(|inode| self.known.contains_key(inode));
        let due = self.scanned.is_none_or(|(at, took)| {
            // A clock that was set back counts as a long time.
            let age = now.duration_since(at).unwrap_or(MAX_AGE);
            age >= MAX_AGE || (!all_known && age >= took * REST)
        });
        if due && !inodes.is_empty() {
            let began = Instant::now();
            self.known = inodes.iter().map(|inode| (*inode, None)).collect();
            self.scan = self.look_around(began + DEADLINE);
            self.scanned = Some((now, began.elapsed()));
        }
        self.scan
    }

    pub(super) fn of(&self, inode: u64) -> Option<Owner> {
        self.known.get(&inode)?.as_ref().map(|candidate| candidate.owner.clone())
    }

    fn look_around(&mut self, deadline: Instant) -> OwnerScan {
        let mut scan = OwnerScan::default();
        let processes = read_dir(&self.procfs).into_iter().flatten().flatten();
        for process in processes {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if Instant::now() > deadline {
                scan.cut_short = true;
                break;
            }
            match held_sockets(&process.path()) {
                Ok(held) => self.add(pid, &process.path(), held),
                Err(ErrorKind::PermissionDenied) => scan.unreadable += 1,
                // It has ended.
                Err(_) => {}
            }
        }
        scan
    }

    fn add(&mut self, pid: u32, process: &Path, held: impl Iterator<Item = u64>) {
        let mut held: Vec<u64> = held.filter(|inode| self.known.contains_key(inode)).collect();
        held.sort_unstable();
        held.dedup();
        if held.is_empty() {
            return;
        }
        let Some((name, started)) = name_and_start(process) else { return };
        let rank = Rank { is_manager: pid == 1, started, pid };
        for inode in held {
            let Some(known) = self.known.get_mut(&inode) else { continue };
            if known.as_ref().is_none_or(|candidate| rank < candidate.rank) {
                *known = Some(Candidate { rank: rank.clone(), owner: Owner { pid, name: Arc::clone(&name) } });
            }
        }
    }
}

fn held_sockets(process: &Path) -> Result<impl Iterator<Item = u64> + use<>, ErrorKind> {
    let descriptors = read_dir(process.join("fd")).map_err(|error| error.kind())?;
    Ok(descriptors.flatten().filter_map(|descriptor| socket(&descriptor.path())))
}

/// The inode of the socket that a descriptor is: the link reads `socket:[4711]`.
pub(super) fn socket(descriptor: &Path) -> Option<u64> {
    let target = read_link(descriptor).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Name and start of a process, from `stat`: `PID (NAME) S …`, where the name may hold anything (proc_pid_stat(5)).
fn name_and_start(process: &Path) -> Option<(Arc<str>, u64)> {
    let stat = procfs::table(&process.join("stat"), Instant::now() + DEADLINE).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (before, fields) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once(" (")?;
    // The start is the 22nd field of the line, the state the 3rd.
    Some((name.into(), fields.split(' ').nth(19)?.trim_end().parse().ok()?))
}
