//! Waiting: for inotify, for named pipes, for orders, and never longer than asked.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::place::Identity;

/// Changes of names in a directory. Not MODIFY: nginx's access log usually stands in the same directory.
const NAMES: WatchMask =
    WatchMask::CREATE.union(WatchMask::MOVED_FROM).union(WatchMask::MOVED_TO).union(WatchMask::DELETE);

/// How many reads of 4 KiB the event queue is given per wait; what remains is read at the next.
const EVENT_READS: usize = 64;

/// Wakes the thread from another one.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(super) fn wake(&self) {
        // Fails only when the counter is full: then it is readable as it is.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).ok();
    }

    fn reset(&self) {
        // Fails only when nobody has woken.
        rustix::io::read(&self.0, &mut [0_u8; 8]).ok();
    }
}

/// What a wait has brought.
#[derive(Debug)]
pub(super) struct Wakeup {
    /// Nothing that led to it can have happened before.
    pub(super) since: Instant,
    /// Files that have grown, shrunk, or can be read.
    pub(super) changed: Vec<Identity>,
    /// A watched directory has changed, or so much happened that anything may have.
    pub(super) look_everywhere: bool,
}

/// inotify on files and directories, where the system allows it.
#[derive(Debug)]
pub(super) struct Watcher {
    inotify: Option<Inotify>,
    files: HashMap<WatchDescriptor, Identity>,
    directories: HashMap<PathBuf, WatchDescriptor>,
    warned: bool,
    drained: Instant,
}

impl Watcher {
    pub(super) fn new() -> Self {
        let mut watcher = Self {
            inotify: None,
            files: HashMap::new(),
            directories: HashMap::new(),
            warned: false,
            drained: Instant::now(),
        };
        match Inotify::init() {
            Ok(inotify) => watcher.inotify = Some(inotify),
            Err(error) => watcher.warn(&error),
        }
        watcher
    }

    /// Watches an open file itself, whatever its name is or becomes.
    pub(super) fn watch_file(&mut self, id: Identity, file: &impl AsRawFd) -> Option<WatchDescriptor> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        match self.inotify.as_ref()?.watches().add(path, WatchMask::MODIFY) {
            Ok(watch) => {
                self.files.insert(watch.clone(), id);
                Some(watch)
            }
            Err(error) => {
                self.warn(&error);
                None
            }
        }
    }

    pub(super) fn unwatch_file(&mut self, watch: WatchDescriptor) {
        self.files.remove(&watch);
        self.remove(watch);
    }

    /// Watches these directories and no others. To be repeated: a directory may have been replaced by another of its
    /// name.
    pub(super) fn watch_directories<'a>(&mut self, wanted: impl Iterator<Item = &'a Path>) {
        let Some(inotify) = &self.inotify else { return };
        let mut before = std::mem::take(&mut self.directories);
        let mut failed = None;
        for directory in wanted {
            match inotify.watches().add(directory, NAMES | WatchMask::ONLYDIR) {
                Ok(watch) => {
                    before.retain(|_, old| *old != watch);
                    self.directories.insert(directory.to_owned(), watch);
                }
                // Absent or closed to us: the look at the files themselves says so better.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
                Err(error) => failed = Some(error),
            }
        }
        for watch in before.into_values() {
            self.remove(watch);
        }
        if let Some(error) = failed {
            self.warn(&error);
        }
    }

    /// Waits until something happens, for `timeout` at most; during the first `gap` only for orders, so that a busy log
    /// is read in batches.
    pub(super) fn wait(
        &mut self,
        waker: &Waker,
        pipes: &[(Identity, BorrowedFd<'_>)],
        gap: Duration,
        timeout: Duration,
    ) -> Wakeup {
        if !gap.is_zero() {
            wait_for(&mut [PollFd::new(&waker.0, PollFlags::IN)], gap);
        }
        let mut descriptors = vec![PollFd::new(&waker.0, PollFlags::IN)];
        descriptors.extend(pipes.iter().map(|(_, pipe)| PollFd::from_borrowed_fd(*pipe, PollFlags::IN)));
        if let Some(inotify) = &self.inotify {
            descriptors.push(PollFd::from_borrowed_fd(inotify.as_fd(), PollFlags::IN));
        }
        let asked = Instant::now();
        wait_for(&mut descriptors, timeout.saturating_sub(gap));
        let readable = descriptors.iter().skip(1).zip(pipes).filter(|(state, _)| !state.revents().is_empty());
        let changed = readable.map(|(_, (id, _))| *id).collect();
        let now = Instant::now();
        // Had anything happened before, there would have been nothing to wait for.
        let waited = now.duration_since(asked) > Duration::from_millis(1);
        let mut wakeup = Wakeup { since: if waited { now } else { self.drained }, changed, look_everywhere: false };
        self.drained = now;
        waker.reset();
        self.read_events(&mut wakeup);
        wakeup
    }

    fn read_events(&mut self, wakeup: &mut Wakeup) {
        let Some(inotify) = &mut self.inotify else { return };
        let mut buffer = [0_u8; 4096];
        for _ in 0..EVENT_READS {
            let Ok(events) = inotify.read_events(&mut buffer) else { break };
            for event in events {
                match self.files.get(&event.wd) {
                    Some(id) if event.mask.contains(EventMask::IGNORED) => {
                        tracing::trace!(?id, "the watch on a file has ended");
                        self.files.remove(&event.wd);
                    }
                    Some(id) => wakeup.changed.push(*id),
                    None => wakeup.look_everywhere = true,
                }
            }
        }
        wakeup.changed.sort_unstable();
        wakeup.changed.dedup();
    }

    fn remove(&self, watch: WatchDescriptor) {
        if let Some(inotify) = &self.inotify {
            // Fails when the kernel has removed it before: its file or directory is gone.
            inotify.watches().remove(watch).ok();
        }
    }

    fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(%error, "inotify is refused: what it does not cover is polled, and logs are seen later. \
                Raise fs.inotify.max_user_watches or max_user_instances.");
        }
    }
}

/// A wait that ends early, by a signal for example, is as good as one that found nothing.
fn wait_for(descriptors: &mut [PollFd<'_>], timeout: Duration) {
    if let Ok(timeout) = timeout.try_into() {
        poll(descriptors, Some(&timeout)).ok();
    }
}
