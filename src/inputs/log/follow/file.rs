//! One followed file: reading on, noticing that it was cut, and where reading stands.
//!
//! Every read begins a little before the place reached, and what was there must be there again: a file that became
//! shorter, or was cut and filled again, gives itself away without a further system call.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use inotify::WatchDescriptor;

use super::place::{Identity, Kind, Seen, failure};
use super::position::{CONTEXT, Position, State, hash};
use crate::inputs::log::{Consumer, MAX_HELD_BACK, More};
use crate::observation::{Failure, FileDelta, Level, LocalClass, LogDelta, UpstreamClass};

/// The size of the buffer all files are read into: small enough for a processor's cache, large enough for what one file
/// may hold back.
pub(super) const BUFFER: usize = 256 * 1024;
const _: () = assert!(BUFFER > 2 * (MAX_HELD_BACK + CONTEXT));

/// How many bytes one file may read before it is the next one's turn.
const TURN: u64 = 16 * 1024 * 1024;

/// Entries held back because they may go on are complete after this silence. nginx writes an entry of several lines in
/// one piece.
const SILENCE: Duration = Duration::from_millis(5);

/// Where to begin in a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    Beginning,
    /// After the last whole line of the first so many bytes.
    After(u64),
    /// Where reading had stopped, if this is still that file.
    At(&'a Position),
}

/// An open file and its consumer.
pub(super) struct LogFile {
    /// The name under which it was first followed.
    pub(super) name: PathBuf,
    pub(super) id: Identity,
    pub(super) watch: Option<WatchDescriptor>,
    /// Since when no followed name shows it.
    pub(super) nameless: Option<Instant>,
    /// More may be there than has been read: its turn had ended, or something happened to it.
    pub(super) pending: bool,
    /// Why it could not be read the last time.
    pub(super) failure: Option<Failure>,
    file: File,
    kind: Kind,
    consumer: Box<dyn Consumer + Send>,
    /// What stands before `offset`: up to [`CONTEXT`] consumed bytes, then what is held back.
    recent: Vec<u8>,
    held: usize,
    offset: u64,
    /// The file is known to be at least this long.
    len: u64,
    lost: u64,
    last_bytes: Instant,
    caught_up: Instant,
    behind: bool,
    /// When what is held back is to be taken for complete.
    settle_at: Option<Instant>,
    /// A pipe from which nobody writes is always readable: not to be waited for.
    pub(super) writers_gone: bool,
}

/// What one read has found.
enum Found {
    More,
    End,
    Cut,
}

impl LogFile {
    pub(super) fn new(
        name: PathBuf,
        (file, seen): (File, Seen),
        start: Start<'_>,
        consumer: Box<dyn Consumer + Send>,
    ) -> Self {
        let offset = match (seen.kind, start) {
            (Kind::Pipe, _) | (_, Start::Beginning) => 0,
            (_, Start::After(len)) => line_start(&file, len),
            (_, Start::At(position)) => position.offset,
        };
        let recent = if offset == 0 { Some(Vec::new()) } else { before(&file, offset).ok() };
        let (offset, recent) = recent.map_or((0, Vec::new()), |recent| (offset, recent));
        let now = Instant::now();
        Self {
            name,
            id: seen.id,
            watch: None,
            nameless: None,
            pending: true,
            failure: None,
            file,
            kind: seen.kind,
            consumer,
            recent,
            held: 0,
            offset,
            len: offset,
            lost: 0,
            last_bytes: now,
            caught_up: now,
            behind: false,
            settle_at: None,
            writers_gone: false,
        }
    }

    /// Reads on, for one turn. `woken` is the earliest time at which new bytes can have come if this file's watch is
    /// what led here.
    pub(super) fn turn(&mut self, buffer: &mut [u8], woken: Instant) -> Option<Box<LogDelta>> {
        let waited_since =
            if self.watch.is_some() && !self.behind { woken.max(self.caught_up) } else { self.caught_up };
        let until = self.offset.saturating_add(TURN);
        let mut cuts = 0;
        self.pending = false;
        self.failure = None;
        self.behind = loop {
            let started = Instant::now();
            match self.read_once(buffer) {
                Ok(Found::More) if self.offset < until => {}
                Ok(Found::More) => {
                    self.pending = true;
                    self.len = self.file.metadata().map_or(self.offset, |metadata| metadata.len());
                    break true;
                }
                Ok(Found::End) => {
                    self.caught_up = started;
                    break false;
                }
                // Cut again and again while being read: the next look will do.
                Ok(Found::Cut) if cuts == 3 => break true,
                Ok(Found::Cut) => {
                    cuts += 1;
                    self.restart();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(failure(&self.name, &error));
                    break self.behind;
                }
            }
        };
        self.delta(waited_since)
    }

    fn read_once(&mut self, buffer: &mut [u8]) -> io::Result<Found> {
        let seen = self.recent.len();
        let read = match self.kind {
            Kind::Regular => self.file.read_at(buffer, self.offset.saturating_sub(seen as u64))?,
            Kind::Pipe => {
                let (known, free) = buffer.split_at_mut(seen.min(buffer.len()));
                known.copy_from_slice(&self.recent);
                match (&self.file).read(free) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.writers_gone = false;
                        return Ok(Found::End);
                    }
                    read => {
                        let read = read?;
                        self.writers_gone = read == 0;
                        seen + read
                    }
                }
            }
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        let Some(new) = bytes.strip_prefix(self.recent.as_slice()) else { return Ok(Found::Cut) };
        if new.is_empty() {
            return Ok(Found::End);
        }
        self.offset += new.len() as u64;
        self.len = self.len.max(self.offset);
        let start = seen - self.held;
        let taken = start + self.hand_over(bytes.get(start..).unwrap_or_default(), More::Expected);
        self.held = read - taken;
        self.recent.clear();
        self.recent.extend_from_slice(bytes.get(taken.saturating_sub(CONTEXT)..).unwrap_or_default());
        self.recent.shrink_to(8 * CONTEXT);
        self.last_bytes = Instant::now();
        self.settle_at = (self.held > 0).then(|| self.last_bytes + SILENCE);
        // Little to read is the end for now: not to run after a writer line by line. Some file systems never fill a
        // large buffer. A pipe is empty when it says so.
        Ok(if new.len() >= BUFFER / 4 || self.kind == Kind::Pipe { Found::More } else { Found::End })
    }

    /// How many of `bytes` the consumer has taken.
    fn hand_over(&mut self, bytes: &[u8], more: More) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.consumer.consume(rest, more);
            if taken == 0 {
                break;
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        if rest.len() > MAX_HELD_BACK {
            // Against its contract; but memory stays bounded.
            self.lost += rest.len() as u64;
            rest = &[];
        }
        bytes.len() - rest.len()
    }

    /// When [`Self::settle`] is due.
    pub(super) fn settle_at(&self) -> Option<Instant> {
        self.settle_at
    }

    /// Nothing came for a while: what is held back may be complete.
    pub(super) fn settle(&mut self) -> Option<Box<LogDelta>> {
        self.settle_at = None;
        self.take_held(More::NotForNow);
        self.delta(self.last_bytes)
    }

    /// The last words of a file that is closed. What it still holds unread is lost.
    pub(super) fn finish(&mut self) -> Option<Box<LogDelta>> {
        if self.kind == Kind::Regular {
            let len = self.file.metadata().map_or(self.len, |metadata| metadata.len());
            self.lost += len.saturating_sub(self.offset);
        }
        self.take_held(More::Never);
        self.delta(self.last_bytes)
    }

    /// A new file has come under the name this one has now.
    pub(super) fn rotated(&mut self) {
        self.consumer.rotated(0);
        self.pending = true;
    }

    fn restart(&mut self) {
        self.take_held(More::Never);
        self.consumer.rotated(self.len.saturating_sub(self.offset));
        self.recent.clear();
        (self.held, self.offset, self.len, self.settle_at) = (0, 0, 0, None);
    }

    fn take_held(&mut self, more: More) {
        let recent = std::mem::take(&mut self.recent);
        let context = recent.len() - self.held;
        let taken = context + self.hand_over(recent.get(context..).unwrap_or_default(), more);
        self.held = recent.len() - taken;
        self.recent = recent;
        self.recent.drain(..taken.saturating_sub(CONTEXT));
    }

    fn delta(&mut self, waited_since: Instant) -> Option<Box<LogDelta>> {
        let lost_bytes = std::mem::take(&mut self.lost);
        let delta = self.consumer.take_delta();
        let mut delta = if lost_bytes > 0 { Some(delta.unwrap_or_else(|| nothing(&self.name))) } else { delta }?;
        delta.read.lost_bytes += lost_bytes;
        delta.lag = waited_since.elapsed();
        delta.at = SystemTime::now();
        Some(delta)
    }

    /// Whether everything was read and nothing came for `time`, since it lost its name at the earliest.
    pub(super) fn quiet_for(&self, time: Duration) -> bool {
        let since = self.nameless.map_or(self.last_bytes, |nameless| nameless.max(self.last_bytes));
        !self.pending && !self.behind && since.elapsed() >= time
    }

    /// When bytes came last, or the file was opened.
    pub(super) fn last_bytes(&self) -> Instant {
        self.last_bytes
    }

    pub(super) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        (self.kind == Kind::Pipe && !self.writers_gone).then(|| self.file.as_fd())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What is to be remembered of it. A pipe has no place.
    pub(super) fn position(&self) -> Option<Position> {
        let consumed = self.recent.get(..self.recent.len() - self.held)?;
        (self.kind == Kind::Regular).then(|| Position {
            path: self.name.clone(),
            id: self.id,
            offset: self.offset - self.held as u64,
            hash: hash(consumed),
            state: if self.nameless.is_none() { State::Named } else { State::Nameless },
        })
    }
}

/// Whether `file` is the one the position was taken of.
pub(super) fn is_at(file: &File, position: &Position) -> bool {
    before(file, position.offset).is_ok_and(|context| hash(&context) == position.hash)
}

/// The bytes before a place, [`CONTEXT`] at most.
fn before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let len = offset.min(CONTEXT as u64);
    let mut bytes = vec![0; CONTEXT.min(usize::try_from(len).unwrap_or(CONTEXT))];
    file.read_exact_at(&mut bytes, offset - len)?;
    Ok(bytes)
}

/// Where the line begins that is not finished at `len`; a line that long is none.
fn line_start(file: &File, len: u64) -> u64 {
    before(file, len)
        .ok()
        .and_then(|bytes| memchr::memrchr(b'\n', &bytes).map(|end| len - (bytes.len() - end - 1) as u64))
        .unwrap_or(len)
}

fn nothing(name: &Path) -> Box<LogDelta> {
    Box::new(LogDelta {
        file: Arc::from(name.to_string_lossy()),
        read: FileDelta::default(),
        levels: [0; Level::COUNT],
        upstream: [0; UpstreamClass::COUNT],
        local: [0; LocalClass::COUNT],
        series: Vec::new(),
        lag: Duration::ZERO,
        at: SystemTime::now(),
    })
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFile").field("name", &self.name).field("offset", &self.offset).finish_non_exhaustive()
    }
}
