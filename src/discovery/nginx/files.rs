//! Files by the names configuration gives them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A directory with more names than this is not searched.
const MAX_NAMES: usize = 100_000;

/// What tells whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When its content changed last.
    pub modified: SystemTime,
    /// Its length, in bytes.
    pub length: u64,
    /// Its inode.
    pub inode: u64,
}

/// What was read of a file.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its bytes, up to the limit.
    pub bytes: Vec<u8>,
    /// Whether there are more of them.
    pub is_cut: bool,
    /// Which file it was.
    pub stamp: Stamp,
}

/// How files are read: absolute paths, as configuration writes them.
pub trait Files {
    /// Reads a regular file, at most `limit` bytes of it.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::InvalidInput`] for what is no regular file.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Content>;

    /// The names in a directory, in any order, without `.` and `..`.
    ///
    /// # Errors
    /// What the operating system says.
    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// The stamp of a file or directory.
    ///
    /// # Errors
    /// What the operating system says.
    fn stamp(&self, path: &Path) -> io::Result<Stamp>;
}

/// The file system, or the part of it that is a host's root mounted into a container.
#[derive(Debug)]
pub struct Disk(Option<(PathBuf, OwnedFd)>);

impl Disk {
    /// Reads below `rootfs`: symlinks, absolute ones too, stay within it.
    ///
    /// # Errors
    /// It is no directory that can be opened.
    pub fn new(rootfs: &Path) -> io::Result<Self> {
        if rootfs == Path::new("/") {
            return Ok(Self(None));
        }
        let directory = rustix::fs::open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self(Some((rootfs.to_owned(), directory))))
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let Some((rootfs, root)) = &self.0 else { return Ok(rustix::fs::open(path, flags, Mode::empty())?) };
        Ok(match rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // Old kernels and some sandboxes have no openat2; there symlinks may lead outside.
            Err(Errno::NOSYS | Errno::PERM) => {
                let outside = rootfs.join(path.strip_prefix("/").unwrap_or(path));
                rustix::fs::openat(CWD, outside, flags, Mode::empty())?
            }
            opened => opened?,
        })
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Content> {
        // Without waiting for the other end of a pipe.
        let file = File::from(self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut bytes = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)? as u64;
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Content { bytes, is_cut: read > limit, stamp: stamp(&metadata)? })
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let directory = self.open(directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::new(directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if names.len() == MAX_NAMES {
                return Err(io::Error::other("too many names"));
            }
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    fn stamp(&self, path: &Path) -> io::Result<Stamp> {
        stamp(&File::from(self.open(path, OFlags::PATH)?).metadata()?)
    }
}

fn stamp(metadata: &std::fs::Metadata) -> io::Result<Stamp> {
    Ok(Stamp { modified: metadata.modified()?, length: metadata.len(), inode: metadata.ino() })
}

#[cfg(test)]
pub(super) mod memory {
    //! Files that exist only in a test.

    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default)]
    pub(in super::super) struct Memory(pub(in super::super) BTreeMap<PathBuf, Vec<u8>>);

    impl Memory {
        pub(in super::super) fn new<B: AsRef<[u8]>>(files: impl IntoIterator<Item = (&'static str, B)>) -> Self {
            Self(files.into_iter().map(|(path, bytes)| (path.into(), bytes.as_ref().to_vec())).collect())
        }
    }

    impl Files for Memory {
        fn read(&self, path: &Path, limit: u64) -> io::Result<Content> {
            let mut bytes = self.0.get(path).cloned().ok_or(Errno::NOENT)?;
            let is_cut = bytes.len() as u64 > limit;
            bytes.truncate(limit as usize);
            Ok(Content { bytes, is_cut, stamp: self.stamp(path)? })
        }

        fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
            let names = self.0.keys().filter_map(|path| path.strip_prefix(directory).ok()?.components().next());
            let mut names: Vec<_> = names.map(|name| name.as_os_str().to_owned()).collect();
            names.dedup();
            if names.is_empty() { Err(Errno::NOENT.into()) } else { Ok(names) }
        }

        fn stamp(&self, path: &Path) -> io::Result<Stamp> {
            let length = match self.0.get(path) {
                Some(bytes) => bytes.len() as u64,
                None => self.names(path)?.len() as u64,
            };
            Ok(Stamp { modified: SystemTime::UNIX_EPOCH, length, inode: 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_symlinks_stay_within_the_root() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(etc.join("real"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc/real", etc.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("folder")).unwrap();
        let disk = Disk::new(root.path()).unwrap();
        let content = disk.read(Path::new("/etc/link"), 100).unwrap();
        assert_eq!((&content.bytes[..], content.is_cut), (&b"inside"[..], false));
        assert_eq!(disk.stamp(Path::new("/etc/link")).unwrap(), content.stamp);
        let mut names = disk.names(Path::new("/folder")).unwrap();
        names.sort();
        assert_eq!(names, ["link", "real"]);
        assert!(disk.read(Path::new("/etc/passwd"), 100).is_err());
    }

    #[test]
    fn only_regular_files_are_read_and_only_so_much_of_them() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(root.path().join("long"), "0123456789").unwrap();
        let disk = Disk::new(Path::new("/")).unwrap();
        assert_eq!(disk.read(&pipe, 10).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(disk.read(root.path(), 10).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let content = disk.read(&root.path().join("long"), 4).unwrap();
        assert_eq!((&content.bytes[..], content.is_cut), (&b"0123"[..], true));
        assert!(!disk.read(&root.path().join("long"), 10).unwrap().is_cut);
    }
}
