//! Names to files: opening under a root, and telling what can be followed.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::observation::{Failure, FailureReason};

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino() }
    }
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By position.
    Regular,
    /// As a stream.
    Pipe,
}

/// A file as it stood when looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) id: Identity,
    pub(super) kind: Kind,
    pub(super) len: u64,
    /// When it was created, on file systems that know.
    pub(super) born: Option<SystemTime>,
}

impl Seen {
    fn new(kind: Kind, metadata: &Metadata) -> Self {
        Self { id: Identity::from(metadata), kind, len: metadata.len(), born: metadata.created().ok() }
    }
}

/// The directory that is `/` to configured names.
#[derive(Debug)]
pub(super) struct Root(Option<(PathBuf, OwnedFd)>);

impl Root {
    pub(super) fn new(path: Option<PathBuf>) -> io::Result<Self> {
        let Some(path) = path.filter(|path| path != Path::new("/")) else { return Ok(Self(None)) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self(Some((path, directory))))
    }

    /// The name as this process would write it.
    pub(super) fn outside(&self, name: &Path) -> PathBuf {
        match &self.0 {
            Some((root, _)) => root.join(name.strip_prefix("/").unwrap_or(name)),
            None => name.to_owned(),
        }
    }

    /// The name as configuration would write it.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        match &self.0 {
            Some((root, _)) => Path::new("/").join(path.strip_prefix(root).unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// Which file the name shows. Needs no permission on the file itself.
    pub(super) fn look(&self, name: &Path) -> Result<Seen, Failure> {
        let seen = self.open_with(name, OFlags::PATH).and_then(|file| file.metadata());
        let metadata = seen.map_err(|error| failure(name, &error))?;
        Ok(Seen::new(kind_of(name, &metadata)?, &metadata))
    }

    /// Opens what [`Self::look`] found fit. Never waits: not for a pipe's other end either.
    pub(super) fn open(&self, name: &Path, kind: Kind) -> Result<(File, Seen), Failure> {
        if self.is_standard_stream(name) {
            return Err(Failure {
                reason: FailureReason::WrongType,
                what: name.to_string_lossy().into(),
                detail: "it leads to the standard streams of whoever opens it, which nobody else can read: \
                    let nginx log to syslog, or to a file or named pipe on a shared volume"
                    .into(),
            });
        }
        let file = match kind {
            Kind::Regular => self.open_with(name, OFlags::RDONLY),
            // With a writer of our own there is no end of file when the others go.
            Kind::Pipe => self.open_with(name, OFlags::RDWR).or_else(|_| self.open_with(name, OFlags::RDONLY)),
        };
        let opened = file.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let (file, metadata) = opened.map_err(|error| failure(name, &error))?;
        Ok((file, Seen::new(kind_of(name, &metadata)?, &metadata)))
    }

    fn open_with(&self, name: &Path, access: OFlags) -> io::Result<File> {
        // openat2 refuses flags without a meaning.
        let waiting = if access == OFlags::PATH { OFlags::empty() } else { OFlags::NONBLOCK | OFlags::NOCTTY };
        let flags = access | waiting | OFlags::CLOEXEC;
        let opened = match &self.0 {
            None => rustix::fs::open(name, flags, Mode::empty()),
            // Symlinks, absolute ones too, stay within the root.
            Some((_, root)) => match rustix::fs::openat2(root, name, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(CWD, self.outside(name), flags, Mode::empty()),
                other => other,
            },
        };
        Ok(File::from(opened?))
    }

    /// Whether the name leads, by symlinks, to a descriptor: `/dev/stderr`, as the official container image has it.
    fn is_standard_stream(&self, name: &Path) -> bool {
        let streams = ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
        self.hops(name).any(|hop| streams.iter().any(|stream| hop.starts_with(stream)))
    }

    /// Where the name leads by symlinks, as this process would write it.
    pub(super) fn leads_to(&self, name: &Path) -> PathBuf {
        self.outside(&self.hops(name).last().unwrap_or_else(|| name.to_owned()))
    }

    /// The name, what it is a symlink to, and so on.
    fn hops(&self, name: &Path) -> impl Iterator<Item = PathBuf> {
        let next = |name: &PathBuf| {
            let target = self.outside(name).read_link().ok()?;
            Some(name.parent().map_or_else(|| target.clone(), |parent| parent.join(&target)))
        };
        std::iter::successors(Some(name.to_owned()), next).take(8)
    }
}

/// Opens a regular file, and nothing that only leads to one, by the name this process has for it.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, Seen)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((file, Seen::new(Kind::Regular, &metadata)))
}

fn kind_of(name: &Path, metadata: &Metadata) -> Result<Kind, Failure> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(Kind::Regular);
    }
    if kind.is_fifo() {
        return Ok(Kind::Pipe);
    }
    let detail = if kind.is_dir() {
        "it is a directory: name the log in it, or follow a pattern such as its name with /*.log"
    } else if kind.is_socket() {
        "it is a socket: name a file or a named pipe"
    } else {
        "it is a device: name a file or a named pipe"
    };
    Err(Failure { reason: FailureReason::WrongType, what: name.to_string_lossy().into(), detail: detail.into() })
}

/// The failure to say for an error of the operating system.
pub(super) fn failure(name: &Path, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FailureReason::NotFound,
        io::ErrorKind::PermissionDenied => FailureReason::Permission,
        io::ErrorKind::IsADirectory => FailureReason::WrongType,
        _ => FailureReason::Io,
    };
    Failure { reason, what: name.to_string_lossy().into(), detail: error.to_string().into() }
}
