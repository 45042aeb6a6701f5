//! Files of the host or of a container, below the root where they are seen.
//!
//! Links, absolute ones too, are followed as they are there: `/var/run` of the host is not our own.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Where a path of the host is seen.
pub(super) fn outside(root: &Path, name: &Path) -> PathBuf {
    root.join(name.strip_prefix("/").unwrap_or(name))
}

/// Reads a regular file, `limit` bytes and one more to tell that there were more. Waits for no writer.
pub(super) fn read(root: &Path, name: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::from(open(root, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content)
}

fn open(root: &Path, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    if root == Path::new("/") {
        return Ok(rustix::fs::open(name, flags, Mode::empty())?);
    }
    let folder = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::fs::openat2(&folder, name, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Err(Errno::NOSYS | Errno::PERM) => Ok(rustix::fs::open(outside(root, name), flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// What matches an absolute pattern, as glob(3) has it: sorted, without folders and without hidden names that the pattern
/// does not spell out.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// The files, at most as many as were asked for.
    pub(super) files: Vec<Arc<Path>>,
    /// What could not be looked into.
    pub(super) errors: Vec<io::Error>,
    /// The folder above the first wildcard: a new file changes it, in the ordinary case.
    pub(super) folder: PathBuf,
}

/// Finds the matches below a root.
///
/// # Errors
/// The pattern is none; the words say why.
pub(super) fn matching(root: &Path, pattern: &Path, limit: usize) -> Result<Matches, &'static str> {
    let mut parts = pattern.components().peekable();
    let mut folder = PathBuf::new();
    while let Some(part) = parts.peek() {
        // The last part is a name, whether it has wildcards or not.
        if part.as_os_str().to_string_lossy().contains(['*', '?', '[']) || folder.join(part) == pattern {
            break;
        }
        folder.push(part);
        parts.next();
    }
    // glob(3) knows no `**`; the crate does, and would walk whole trees.
    let mut rest = parts.collect::<PathBuf>().to_string_lossy().into_owned();
    while rest.contains("**") {
        rest = rest.replace("**", "*");
    }
    let mut matches = Matches { folder, ..Matches::default() };
    let opened = match open(root, &matches.folder, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(matches),
        Err(error) => {
            matches.errors.push(error);
            return Ok(matches);
        }
    };
    let base = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    for path in glob::glob_with(&format!("{base}/{rest}"), options).map_err(|error| error.msg)?.take(limit) {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => {
                let name = path.strip_prefix(&base).unwrap_or(&path);
                matches.files.push(matches.folder.join(name).into());
            }
            Err(error) => matches.errors.push(error.into()),
        }
    }
    Ok(matches)
}
