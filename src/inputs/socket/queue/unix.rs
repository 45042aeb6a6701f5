//! From rows of unix sockets to the state of each address.
//!
//! A connection reaches the socket whose *file* the path leads to (`unix_find_bsd` in `net/unix/af_unix.c` compares
//! inodes), so that is what decides here too. The path a socket was bound to is only text: it may be relative, seen from
//! another root, written by way of a symbolic link, or lead elsewhere by now. Where programs see another device number
//! than the kernel (btrfs, overlayfs over several file systems), name and inode together decide.

use std::path::Path;

use hashbrown::{HashMap, HashSet};

use super::file::{AtPath, Root};
use super::row::{FileId, Role, UnixRow};
use super::tally::{Own, Seen, Tally};
use super::wanted::{NameId, Wanted};
use crate::observation::socket::{ListenerState, Listening, QueueSource};

/// Everything that was bound to one file: a listener, and what it has accepted.
#[derive(Debug)]
struct Bound {
    file: Option<FileId>,
    tally: Tally,
    /// Another one of the same name.
    next: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Identity {
    File(FileId),
    /// Where there is no file, or the source does not show it.
    Name(NameId),
}

/// What a pass over the table has found so far.
#[derive(Debug)]
pub(super) struct UnixTally<'a> {
    wanted: &'a Wanted,
    root: &'a Root,
    own: &'a Own,
    /// Where the wanted paths led at the beginning.
    at_paths: HashMap<&'a Path, AtPath>,
    files: HashSet<FileId>,
    bound: Vec<Bound>,
    by_identity: HashMap<Identity, usize>,
    by_name: HashMap<NameId, usize>,
    seen: Seen,
}

impl<'a> UnixTally<'a> {
    /// Looks up the files first: rows are picked by them.
    pub(super) fn new(wanted: &'a Wanted, root: &'a Root, own: &'a Own) -> Self {
        let at_paths: HashMap<_, _> = wanted.paths().map(|path| (path, root.look(path))).collect();
        let files = at_paths.values().filter_map(|at_path| at_path.file()).collect();
        let (by_identity, by_name) = (HashMap::new(), HashMap::new());
        Self { wanted, root, own, at_paths, files, bound: Vec::new(), by_identity, by_name, seen: Seen::default() }
    }

    /// Counts a row if it is a wanted one.
    pub(super) fn add(&mut self, row: &UnixRow<'_>) {
        let own = self.own;
        let Some(tally) = self.tally_of(row) else { return };
        match row.role {
            Role::Listener { waiting, limit, .. } => tally.listener(row.inode, waiting, limit),
            Role::Queued => tally.queued(),
            Role::Accepted => {
                tally.accepted(row.peer == Some(0));
                if row.peer.is_some_and(|peer| own.has(peer)) {
                    tally.own();
                }
            }
        }
    }

    fn tally_of(&mut self, row: &UnixRow<'_>) -> Option<&mut Tally> {
        let name = self.wanted.name(row.name);
        let identity = match row.file {
            Some(file) if name.is_some() || self.files.contains(&file) => Identity::File(file),
            Some(_) => return None,
            None => Identity::Name(name?),
        };
        if self.seen.again(row.inode) {
            return None;
        }
        let next = self.bound.len();
        let at = *self.by_identity.entry(identity).or_insert(next);
        if at == next {
            let older = name.and_then(|name| self.by_name.insert(name, at));
            self.bound.push(Bound { file: row.file, tally: Tally::default(), next: older });
        }
        self.bound.get_mut(at).map(|bound| &mut bound.tally)
    }

    /// What was found for one target.
    pub(super) fn state(&self, source: QueueSource, path: Option<&Path>, names: &[NameId]) -> ListenerState {
        let state = |listening, tally: &Tally| tally.state(source, listening, source == QueueSource::Netlink, self.own);
        let of_file = |at_path: AtPath| self.by_identity.get(&Identity::File(at_path.file()?)).copied();
        let before = path.and_then(|path| self.at_paths.get(path)).copied();
        let at_beginning = before.and_then(of_file).and_then(|at| self.bound.get(at));
        if let Some(bound) = at_beginning.filter(|bound| bound.tally.listens()) {
            return state(Listening::Yes, &bound.tally);
        }
        // The file may have been replaced during the pass.
        let at_path = path.map(|path| self.root.look(path));
        let of_file = at_path.and_then(of_file);
        let named = names.iter().flat_map(|name| {
            let newest = self.by_name.get(name).copied();
            std::iter::successors(newest, |at| self.bound.get(*at)?.next)
        });
        let found: Vec<&Bound> = of_file
            .into_iter()
            .chain(named.filter(|at| Some(*at) != of_file))
            .filter_map(|at| self.bound.get(at))
            .collect();
        let mut listening = found.iter().filter(|bound| bound.tally.listens());
        if let Some(bound) = listening.clone().find(|bound| leads_to(at_path, bound.file)) {
            return state(Listening::Yes, &bound.tally);
        }
        if let Some(bound) = listening.next() {
            return state(Listening::Detached, &bound.tally);
        }
        // No listener, but perhaps connections that outlived it.
        let mut left = Tally::default();
        found.iter().for_each(|bound| left.adopt(&bound.tally));
        state(Listening::No, &left)
    }
}

/// Whether what is at the path now is the file a socket was bound to.
fn leads_to(at_path: Option<AtPath>, bound: Option<FileId>) -> bool {
    match (at_path, bound) {
        // btrfs and overlayfs give programs another device number than the kernel uses itself.
        (Some(AtPath::Socket(found)), Some(bound)) => found.inode == bound.inode,
        // The name is all there is to go by.
        (Some(AtPath::Socket(_)) | None, None) | (Some(AtPath::Hidden), _) => true,
        (Some(AtPath::NoSocket), _) | (None, Some(_)) => false,
    }
}
