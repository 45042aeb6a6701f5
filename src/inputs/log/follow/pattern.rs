//! Configured patterns to names.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern as Glob};

use super::place::{Root, failure};
use crate::observation::{Failure, FailureReason};

/// More names than this are not followed.
pub(super) const MAX_NAMES: usize = 512;

/// `*` stays within a directory. A leading dot is left to [`is_log`]: the crate's own check panics on names that are no
/// UTF-8.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A path, or a glob.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    glob: Option<Glob>,
    /// It has not been looked at yet: what it shows then is old.
    pub(super) fresh: bool,
    /// Why it shows nothing.
    pub(super) failure: Option<Failure>,
}

impl Pattern {
    pub(super) fn new(text: String) -> Self {
        let is_glob = text.contains(['*', '?', '[']);
        // What is no valid glob can still be a name.
        let glob = if is_glob { Glob::new(&text).ok() } else { None };
        Self { text, glob, fresh: true, failure: None }
    }

    pub(super) fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    pub(super) fn matches(&self, name: &Path) -> bool {
        match &self.glob {
            Some(glob) => glob.matches_path_with(name, OPTIONS) && is_log(name),
            None => Path::new(&self.text) == name,
        }
    }

    /// The directory in which new names may appear, where there is exactly one.
    pub(super) fn directory(&self) -> Option<&Path> {
        Path::new(&self.text).parent().filter(|parent| !parent.to_string_lossy().contains(['*', '?', '[']))
    }

    /// The names there are now. A path is its own name, whether it exists or not.
    pub(super) fn look(&mut self, root: &Root) -> Vec<PathBuf> {
        let (names, failure) = match self.names(root) {
            Ok(names) if names.is_empty() => (names, Some(self.failed(FailureReason::NotFound, "no file matches"))),
            Ok(names) => (names, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        self.failure = failure;
        names
    }

    fn names(&self, root: &Root) -> Result<Vec<PathBuf>, Failure> {
        let Some(glob) = &self.glob else { return Ok(vec![PathBuf::from(&self.text)]) };
        let outside = root.outside(Path::new(""));
        let text = match outside.to_str() {
            Some("") | None => glob.as_str().to_owned(),
            Some(outside) => format!("{}{}", Glob::escape(outside.trim_end_matches('/')), glob.as_str()),
        };
        let paths =
            glob::glob_with(&text, OPTIONS).map_err(|error| self.failed(FailureReason::Io, &error.to_string()))?;
        let (mut names, mut refused) = (Vec::new(), None);
        for path in paths {
            match path {
                Ok(path) if !is_log(&path) => {}
                // One too many, for it to be noticed.
                Ok(_) if names.len() > MAX_NAMES => return Ok(names),
                Ok(path) => names.push(root.inside(&path)),
                Err(error) => refused = Some(failure(Path::new(&self.text), error.error())),
            }
        }
        match refused {
            Some(failure) if names.is_empty() => Err(failure),
            _ => Ok(names),
        }
    }

    fn failed(&self, reason: FailureReason, detail: &str) -> Failure {
        Failure { reason, what: self.text.as_str().into(), detail: detail.into() }
    }
}

/// The failure to say when there are more than [`MAX_NAMES`]; `name` is the first that is left out.
pub(super) fn too_many(name: &Path) -> Failure {
    let detail = format!("more than {MAX_NAMES} logs: this one and others are not followed").into();
    Failure { reason: FailureReason::Io, what: name.to_string_lossy().into(), detail }
}

/// Whether a name a glob found can be a log: not hidden, not compressed by rotation.
pub(super) fn is_log(name: &Path) -> bool {
    let hidden = name.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let compressed = name.extension().is_some_and(|end| ["gz", "xz", "zst", "bz2"].iter().any(|known| end == *known));
    !hidden && !compressed
}
