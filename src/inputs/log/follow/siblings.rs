//! Files that have had a followed name and lost it while nobody looked: found again beside the file that has it now.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::DirEntry;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::pattern::is_log;
use super::place::Identity;

/// Directory entries that are looked at.
const MAX_ENTRIES: usize = 4096;

/// How far the clock file systems use may be behind the one we read.
const CLOCK_SLACK: Duration = Duration::from_millis(10);

/// What to look for.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    /// Where the name leads.
    pub(super) now_at: &'a Path,
    /// Files that were followed under the name, not open now.
    pub(super) known: BTreeSet<Identity>,
    /// When the name was last seen to show another file, and when the file it shows now was created. What was created
    /// between and is called like a rotated file has had the name for a moment.
    pub(super) between: Option<(SystemTime, SystemTime)>,
}

impl Lost<'_> {
    /// The paths of such files, oldest first.
    pub(super) fn find(&self) -> Vec<PathBuf> {
        let (Some(directory), Some(name)) = (self.now_at.parent(), self.now_at.file_name()) else { return Vec::new() };
        if self.known.is_empty() && self.between.is_none() {
            return Vec::new();
        }
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .take(MAX_ENTRIES)
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name() != name && is_log(Path::new(&entry.file_name())))
            .filter(|entry| self.is_known(entry) || self.is_missed(entry, name))
            .map(|entry| (entry.metadata().and_then(|metadata| metadata.created()).ok(), entry.path()))
            .collect();
        found.sort();
        found.into_iter().map(|(_, path)| path).collect()
    }

    fn is_known(&self, entry: &DirEntry) -> bool {
        self.known.iter().any(|id| id.ino == entry.ino())
    }

    fn is_missed(&self, entry: &DirEntry, name: &OsStr) -> bool {
        let rotated = entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes());
        let Some((after, until)) = self.between.filter(|_| rotated) else { return false };
        let born = entry.metadata().and_then(|metadata| metadata.created());
        born.is_ok_and(|born| born + CLOCK_SLACK > after && born <= until)
    }
}
