//! PHP-FPM: which pools are configured, and which masters run.
//!
//! ```text
//! layout: where distributions put php-fpm.conf ─┐
//! --fpm.conf ───────────────────────────────────┼─► read: files, includes ──► pool: typed values ──► Installation
//! master: running masters and workers in /proc ─┘         (ini: one line)       each with file and line
//! ```
//!
//! Files are read as FPM reads them (`fpm_conf.c` of PHP 5.6 to 8.4; tests compare with `php-fpm -tt`), but what FPM
//! would refuse is kept as far as it is understood, and reported once with file and line. Reading is bounded in files,
//! bytes and depth.
//!
//! The content of a file can be anything, and a problem is shown to people: so a [`Problem`] names a key at most, never a
//! value, and a configuration outside of the known places is read only when a master of root or of our own user names
//! it.

mod files;
mod ini;
mod layout;
mod master;
mod pool;
mod read;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use layout::{LAYOUTS, Layout};
pub use master::{Master, Processes};
pub use pool::{LogLevel, Pool, ProcessManager};
pub use value::{Listen, NoAddress};

use read::Reader;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as FPM names it.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A value and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// What is in force.
    pub value: T,
    /// Where it stands; `None` for what FPM does when nobody says anything.
    pub at: Option<Place>,
}

impl<T> Stated<T> {
    /// What FPM does by itself.
    const fn default(value: T) -> Self {
        Self { value, at: None }
    }
}

/// What could not be understood or read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What sort of problem it is.
    pub kind: ProblemKind,
    /// The file, and the line where there is one.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// What is wrong, in one line. Holds no value of the file.
    pub what: String,
}

/// Sorts of [`Problem`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// This process may not read it: a grant would change that.
    Permission,
    /// It cannot be read for another reason; it is not there, for example.
    Unreadable,
    /// FPM refuses it: a reload ends in an error, and the next start fails.
    Refused,
    /// FPM takes it, but it is probably not what was meant: an include of nothing.
    Empty,
    /// We do not look at it, by a limit or by caution.
    Ignored,
}

/// A version of PHP, as a path or a program's name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The 8 of 8.2.
    pub major: u8,
    /// The 2 of 8.2; `None` where only the 8 is known.
    pub minor: Option<u8>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            Some(minor) => write!(f, "{}.{minor}", self.major),
            None => write!(f, "{}", self.major),
        }
    }
}

/// One `php-fpm.conf` with its pools, and its master where one runs.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The main file, as FPM names it.
    pub conf: Arc<Path>,
    /// Where the paths of this FPM are seen from here: the host's root, or that of a container's process.
    pub root: PathBuf,
    /// The version of PHP, where it can be told.
    pub version: Option<Version>,
    /// The running master, if there is one.
    pub master: Option<Master>,
    /// FPM's own log: a path, or `syslog`.
    pub error_log: Stated<PathBuf>,
    /// The least severe level FPM logs.
    pub log_level: Stated<LogLevel>,
    /// FPM's limit on open files, which its pools inherit; 0 where nobody set one.
    pub rlimit_files: Stated<u32>,
    /// The pools, in the order of the files.
    pub pools: Vec<Pool>,
}

/// Everything found.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// By main file; one per file and root.
    pub installations: Vec<Installation>,
    /// What could not be understood, at most [`MAX_PROBLEMS`], in the order of the files.
    pub problems: Vec<Problem>,
    /// How many more problems there were.
    pub problems_dropped: u64,
    files: BTreeMap<PathBuf, Option<(SystemTime, u64)>>,
    masters: Vec<(u32, PathBuf)>,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// Where the root filesystem of the host is seen.
    pub rootfs: PathBuf,
    /// Main files given by the operator, without rootfs. Empty: every installed version, see [`LAYOUTS`].
    pub conf: Vec<PathBuf>,
}

/// Problems that are kept.
pub const MAX_PROBLEMS: usize = 100;

/// Pools that are kept: of one installation, and so of one hostile file.
pub const MAX_POOLS: usize = 2_000;

/// Reads every file. Blocks on file access: 15 to 30 µs per pool with a file of its own.
#[must_use]
pub fn discover(sources: &Sources, processes: &Processes) -> Discovery {
    let mut found = Discovery { masters: processes.identities(), ..Discovery::default() };
    for wanted in master::wanted(sources, processes, &mut found) {
        let environment = |name: &str| wanted.variable(&sources.procfs, name);
        let reader = Reader::new(&wanted.root, &wanted.paths, &environment, &mut found);
        let raw = reader.read(&wanted.conf);
        let installation = pool::understand(wanted, raw, &mut found);
        found.installations.push(installation);
    }
    found
}

impl Discovery {
    /// Every pool with its installation.
    pub fn pools(&self) -> impl Iterator<Item = (&Installation, &Pool)> {
        self.installations
            .iter()
            .flat_map(|installation| installation.pools.iter().map(move |pool| (installation, pool)))
    }

    /// Whether it is time to look again: other masters run, or a file that was read, or a folder that was searched for
    /// files, is no longer what it was. About 1 µs per file. A version that was installed and not started is not noticed.
    #[must_use]
    pub fn changed(&self, processes: &Processes) -> bool {
        self.masters != processes.identities() || self.files.iter().any(|(path, then)| stamp(path) != *then)
    }

    /// Remembers a file or folder for [`Self::changed`].
    fn saw(&mut self, path: &Path) {
        self.files.insert(path.to_owned(), stamp(path));
    }

    fn unreadable(&mut self, file: &Arc<Path>, line: Option<u32>, error: &std::io::Error) {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let kind = if denied { ProblemKind::Permission } else { ProblemKind::Unreadable };
        self.problem(kind, file, line, format!("cannot be read: {error}"));
    }

    fn problem(&mut self, kind: ProblemKind, file: &Arc<Path>, line: Option<u32>, what: impl Into<String>) {
        let problem = Problem { kind, file: Arc::clone(file), line, what: what.into() };
        if self.problems.contains(&problem) {
            return;
        }
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.problems_dropped = self.problems_dropped.saturating_add(1);
        }
    }
}

/// What tells two states of a file apart.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// A pool's label: its name where only one pool has it, otherwise with the version or the file in front, so that no two
/// pools share series.
#[must_use]
pub fn labels(discovery: &Discovery) -> Vec<Arc<str>> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    let named: Vec<[String; 3]> = discovery
        .pools()
        .map(|(installation, pool)| {
            let name = &pool.name;
            let version = installation.version.map_or_else(|| name.to_string(), |version| format!("{version}/{name}"));
            let place = format!("{}{}/{name}", installation.root.display(), installation.conf.display());
            [name.to_string(), version, place]
        })
        .collect();
    for names in &named {
        for name in names.iter().collect::<std::collections::BTreeSet<_>>() {
            *count.entry(name.clone()).or_default() += 1;
        }
    }
    named
        .into_iter()
        .map(|names| {
            let unique = names.iter().find(|name| count.get(*name) == Some(&1));
            unique.or(names.last()).map_or_else(|| Arc::from(""), |name| Arc::from(name.as_str()))
        })
        .collect()
}

/// FPM's default of `listen.backlog`: 65,535 up to PHP 5.6, 511 up to 8.1, and -1 (`net.core.somaxconn`) since 8.2.0.
/// Where the version is not known, the newest default.
#[must_use]
fn default_backlog(version: Option<Version>) -> i32 {
    match version {
        Some(Version { major: ..=6, .. }) => 65_535,
        Some(Version { major: 7, .. } | Version { major: 8, minor: Some(..=1) }) => 511,
        _ => -1,
    }
}

/// FPM's default of `pm.process_idle_timeout`.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
