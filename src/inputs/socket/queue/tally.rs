//! What is counted for one address while rows go by.

use std::path::Path;

use hashbrown::HashSet;

use crate::observation::socket::{ListenerState, Listening, Queue, QueueSource};

/// The accept queue and the accepted connections of an address.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    sockets: u64,
    /// Said by the listeners themselves.
    waiting: Option<u64>,
    /// Counted row by row, where they don't say.
    queued: u64,
    limit: Option<u64>,
    full: bool,
    inode: u64,
    accepted: u64,
    abandoned: u64,
    own: u64,
}

impl Tally {
    pub(super) fn listener(&mut self, inode: u64, waiting: Option<u32>, limit: Option<u32>) {
        fn add(sum: &mut Option<u64>, more: Option<u32>) {
            *sum = more.map_or(*sum, |more| Some(sum.unwrap_or(0).saturating_add(more.into())));
        }
        add(&mut self.waiting, waiting);
        add(&mut self.limit, limit);
        // The kernel refuses when more wait than the limit says: `sk_acceptq_is_full`, `unix_recvq_full`.
        self.full |= waiting.zip(limit).is_some_and(|(waiting, limit)| waiting > limit);
        self.inode = if self.sockets == 0 { inode } else { self.inode.min(inode) };
        self.sockets += 1;
    }

    pub(super) fn queued(&mut self) {
        self.queued += 1;
    }

    pub(super) fn accepted(&mut self, abandoned: bool) {
        self.accepted += 1;
        self.abandoned += u64::from(abandoned);
    }

    /// One of the accepted connections is ours.
    pub(super) fn own(&mut self) {
        self.own += 1;
    }

    /// Takes over the accepted connections of another tally.
    pub(super) fn adopt(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.abandoned += other.abandoned;
        self.own += other.own;
    }

    pub(super) fn listens(&self) -> bool {
        self.sockets > 0
    }

    /// The state of the address. `peers`: the source shows who is at the other end.
    pub(super) fn state(&self, source: QueueSource, listening: Listening, peers: bool, own: &Own) -> ListenerState {
        let queue = self.listens().then_some(Queue {
            waiting: self.waiting.unwrap_or(self.queued),
            limit: self.limit,
            full: self.limit.map(|_| self.full),
            sockets: self.sockets,
            inode: self.inode,
        });
        ListenerState {
            source,
            listening,
            queue,
            accepted: self.accepted,
            abandoned: peers.then_some(self.abandoned),
            own: (peers && own.is_known()).then_some(self.own),
            owner: None,
        }
    }
}

/// The sockets of a pass. The kernel goes on where it left off by position: a socket that is added meanwhile moves the
/// ones behind it, and the same row comes again.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<u64>);

impl Seen {
    /// Whether the socket with this inode has come before. Sockets in a queue have none.
    pub(super) fn again(&mut self, inode: u64) -> bool {
        inode != 0 && !self.0.insert(inode)
    }
}

/// The sockets of this very process: its status requests and probes are not the load it is to measure.
#[derive(Debug)]
pub(super) struct Own(Option<HashSet<u64>>);

impl Own {
    /// Reads the descriptors of this process.
    pub(super) fn read(procfs: &Path) -> Self {
        let entries = std::fs::read_dir(procfs.join("self/fd"));
        Self(entries.ok().map(|entries| entries.flatten().filter_map(|fd| super::owner::socket(&fd.path())).collect()))
    }

    pub(super) fn has(&self, inode: u64) -> bool {
        self.0.as_ref().is_some_and(|inodes| inodes.contains(&inode))
    }

    fn is_known(&self) -> bool {
        self.0.is_some()
    }
}
