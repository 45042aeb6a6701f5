//! How far files were read, beyond their being open, and with a position file beyond this process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::place::{Identity, open_regular};

/// So many bytes before a place must be the same for it to be the same place. More than an nginx entry can have, less
/// than which equal lines of equal length would look alike after a truncation.
pub(super) const CONTEXT: usize = 1024;

/// Closed files that are remembered; beyond that the one closed first is forgotten.
const REMEMBERED: usize = 1024;

/// The shortest time between two writes of the position file.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// The largest position file that is read.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// How far a file was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The name under which it was followed.
    pub(super) path: PathBuf,
    #[serde(flatten)]
    pub(super) id: Identity,
    /// The first byte that is not consumed.
    pub(super) offset: u64,
    /// [`hash`] of the bytes before it, [`CONTEXT`] at most.
    pub(super) hash: u64,
    pub(super) state: State,
}

/// What a file was to its name when its position was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It had the name.
    Named,
    /// It had lost the name, and was still read.
    Nameless,
    /// It was no longer read.
    Closed,
}

/// The position file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// When, in milliseconds since the epoch.
    at: u64,
    files: Vec<Position>,
}

/// The places of all files that are, or were, followed.
#[derive(Debug)]
pub(super) struct Positions {
    file: Option<PathBuf>,
    closed: BTreeMap<Identity, (u64, Position)>,
    sequence: u64,
    saved: Vec<Position>,
    saved_at: Instant,
    failed: bool,
    /// When the process before this one had last saved.
    pub(super) inherited_at: Option<SystemTime>,
}

impl Positions {
    /// With what an earlier process left in `file`. A file that cannot be understood is as good as none, and said once.
    pub(super) fn load(file: Option<PathBuf>) -> Self {
        let mut positions = Self {
            file,
            closed: BTreeMap::new(),
            sequence: 0,
            saved: Vec::new(),
            saved_at: Instant::now(),
            failed: false,
            inherited_at: None,
        };
        match positions.file.as_deref().map(read) {
            None => {}
            Some(Ok(saved)) => {
                positions.inherited_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(saved.at));
                for position in saved.files {
                    positions.remember(position);
                }
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Some(Err(error)) => tracing::warn!(
                file = ?positions.file, %error,
                "the position file cannot be read: logs are followed as if there were none"
            ),
        }
        positions
    }

    pub(super) fn get(&self, id: Identity) -> Option<&Position> {
        self.closed.get(&id).map(|(_, position)| position)
    }

    /// The names under which the process before this one was reading when it ended.
    pub(super) fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.left_over().map(|position| &position.path)
    }

    fn left_over(&self) -> impl Iterator<Item = &Position> {
        self.closed.values().map(|(_, position)| position).filter(|position| position.state != State::Closed)
    }

    /// The file that had that name when the process before this one ended; in the middle of a rotation, one that had
    /// had it.
    pub(super) fn last_under(&self, name: &Path) -> Option<Identity> {
        let of_name = self.left_over().filter(|position| position.path == name);
        of_name.min_by_key(|position| position.state != State::Named).map(|position| position.id)
    }

    /// The files that were being read under that name when the process before this one ended.
    pub(super) fn inherited(&self, name: &Path) -> BTreeSet<Identity> {
        self.left_over().filter(|position| position.path == name).map(|position| position.id).collect()
    }

    /// What is left of [`Self::inherited`] could not be found.
    pub(super) fn disinherit(&mut self, name: &Path) {
        for (_, position) in self.closed.values_mut().filter(|(_, position)| position.path == name) {
            position.state = State::Closed;
        }
    }

    pub(super) fn remember(&mut self, position: Position) {
        self.sequence += 1;
        self.closed.insert(position.id, (self.sequence, position));
        if self.closed.len() > REMEMBERED
            && let Some(oldest) = self.closed.iter().min_by_key(|(_, (sequence, _))| *sequence).map(|(id, _)| *id)
        {
            self.closed.remove(&oldest);
        }
    }

    /// The file is open again: its place is now the reader's.
    pub(super) fn forget(&mut self, id: Identity) {
        self.closed.remove(&id);
    }

    /// When the next save is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.file.is_some().then(|| self.saved_at + SAVE_INTERVAL)
    }

    /// Writes the position file if `open` and what is remembered differ from what stands in it. A reader never sees
    /// half of it: it is written beside and renamed.
    pub(super) fn save(&mut self, open: impl Iterator<Item = Position>) {
        let Some(file) = &self.file else { return };
        self.saved_at = Instant::now();
        let mut files: Vec<_> = self.closed.values().map(|(_, position)| position.clone()).collect();
        files.extend(open);
        if files == self.saved {
            return;
        }
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let saved = Saved { at: at.as_millis().try_into().unwrap_or(u64::MAX), files };
        match write(file, &saved) {
            Ok(()) => {
                self.failed = false;
                self.saved = saved.files;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(?file, %error, "the position file cannot be written: a restart will lose the place");
                }
            }
        }
    }
}

fn read(file: &Path) -> io::Result<Saved> {
    let (opened, _) = open_regular(file)?;
    let saved = serde_json::from_reader(io::Read::take(io::BufReader::new(opened), MAX_FILE))?;
    Ok(saved)
}

fn write(file: &Path, saved: &Saved) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".tmp");
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
    let mut written = options.open(&beside)?;
    written.write_all(&serde_json::to_vec(saved)?)?;
    std::fs::rename(&beside, file)
}

/// FNV-1a, 64 bits: the same in every build, which the standard library's hashers do not promise.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
