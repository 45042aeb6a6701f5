//! Which file a path leads to, as `connect(2)` would resolve it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, major, minor, open, openat2, stat};
use rustix::io::Errno;

use super::row::FileId;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtPath {
    /// A socket file.
    Socket(FileId),
    /// Nothing, or something else than a socket: connecting is refused.
    NoSocket,
    /// We may not look.
    Hidden,
}

impl AtPath {
    pub(super) const fn file(self) -> Option<FileId> {
        match self {
            Self::Socket(file) => Some(file),
            Self::NoSocket | Self::Hidden => None,
        }
    }
}

/// The root that paths are resolved in: `/`, or where the host's is mounted in a container.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Unless it is our own root.
    handle: Option<OwnedFd>,
}

impl Root {
    pub(super) fn new(path: &Path) -> Self {
        let foreign = path != Path::new("/");
        let handle = foreign.then(|| open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()));
        Self { path: path.into(), handle: handle.and_then(Result::ok) }
    }

    /// Follows symbolic links, those of a foreign root inside it.
    pub(super) fn look(&self, path: &Path) -> AtPath {
        match self.stat(path) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Socket => AtPath::Socket(file_id(&found)),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => AtPath::NoSocket,
            Err(_) => AtPath::Hidden,
        }
    }

    fn stat(&self, path: &Path) -> Result<Stat, Errno> {
        let Some(root) = &self.handle else { return stat(path) };
        match openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(file) => fstat(file),
            // Linux before 5.6, or a filter that does not know the call: absolute links lead out of the root.
            Err(Errno::NOSYS | Errno::PERM) => {
                let inside = path.strip_prefix("/").unwrap_or(path);
                rustix::fs::statat(CWD, self.path.join(inside), rustix::fs::AtFlags::empty())
            }
            Err(errno) => Err(errno),
        }
    }
}

fn file_id(found: &Stat) -> FileId {
    let device = major(found.st_dev) << 20 | minor(found.st_dev) & 0xf_ffff;
    // The kernel's answer has no room for more.
    let inode = (found.st_ino & u64::from(u32::MAX)) as u32;
    FileId { device, inode }
}
