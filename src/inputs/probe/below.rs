//! Opening what lies below a root of the file system that is not ours: `--path.rootfs`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

/// Opens a path. Symbolic links mean what they mean to a process that has this root: `/var/run` is usually one that
/// leads to `/run`.
pub(super) fn open_below(rootfs: &Path, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    if rootfs == Path::new("/") {
        return Ok(open(path, flags, Mode::empty())?);
    }
    let root = open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let inside = path.strip_prefix("/").unwrap_or(path);
    match openat2(&root, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        // Linux before 5.6.
        Err(Errno::NOSYS) => Ok(open(rootfs.join(inside), flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/php")).unwrap();
        fs::create_dir_all(root.path().join("var")).unwrap();
        fs::write(root.path().join("run/php/file"), "inside").unwrap();
        symlink("/run", root.path().join("var/run")).unwrap();
        symlink("../../../run", root.path().join("var/up")).unwrap();
        for path in ["/run/php/file", "/var/run/php/file", "/var/up/php/file"] {
            let opened = open_below(root.path(), Path::new(path), OFlags::RDONLY).unwrap();
            let mut text = String::new();
            File::from(opened).read_to_string(&mut text).unwrap();
            assert_eq!(text, "inside", "{path}");
        }
        let missing = open_below(root.path(), Path::new("/etc/passwd"), OFlags::RDONLY).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
