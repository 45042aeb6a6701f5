//! The logs that nginx writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, Origin};
use crate::observation::Level;

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// An absolute path.
    File(PathBuf),
    /// A path with variables, as written: a file per value.
    Variable(Arc<str>),
    /// `syslog:`, with what follows it.
    Syslog(Arc<str>),
    /// `stderr` of the master.
    Stderr,
    /// `memory:`, for debugging.
    Memory,
    /// `access_log off`: nothing is written.
    Off,
}

/// An `access_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// `http` or `stream`.
    pub context: Context,
    /// Where it goes.
    pub destination: Destination,
    /// Name of its [`LogFormat`]; `combined` where none is given.
    pub format: Arc<str>,
    /// `buffer=` or `gzip`: written only when so many bytes have come together…
    pub buffer: Option<u64>,
    /// `flush=`: …or after this time.
    pub flush: Option<Duration>,
    /// `gzip`: the file is no text.
    pub is_compressed: bool,
    /// `if=`: only some requests are logged.
    pub condition: Option<Arc<str>>,
    /// Where it stands.
    pub origin: Origin,
}

/// An `error_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorLog {
    /// Where it goes.
    pub destination: Destination,
    /// The least severe level that is written.
    pub level: Level,
    /// Where it stands.
    pub origin: Origin,
}

/// A `log_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    /// `http` or `stream`: each has formats of its own.
    pub context: Context,
    /// Its name.
    pub name: Arc<str>,
    /// `escape=`.
    pub escape: Escape,
    /// Its strings, joined as nginx joins them: without anything between them.
    pub text: Arc<str>,
    /// Where it stands; [`Origin::Default`] for `combined`.
    pub origin: Origin,
}

/// How variables are escaped in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// `"`, `\`, and bytes below 32 or above 126 as `\xXX`; an empty value as `-`.
    Default,
    /// As in JSON strings.
    Json,
    /// Not at all.
    None,
}
