//! The process as a whole, its servers, and what they share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Context, Origin, Place, Setting};

/// Values of the main context and of `events {}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Main {
    /// `worker_processes`: a number or `auto`.
    pub worker_processes: Setting<Arc<str>>,
    /// `worker_connections`.
    pub worker_connections: Setting<u64>,
    /// `worker_rlimit_nofile`; without it the limit the master was started with holds.
    pub worker_rlimit_nofile: Option<Setting<u64>>,
    /// `user`: the account of the workers, which has to be able to open the sockets. Built in: `nobody`, packages differ.
    pub user: Option<Setting<Arc<str>>>,
    /// `pid`: the file with the master's process id.
    pub pid: Setting<PathBuf>,
}

/// A `server {}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `http` or `stream`.
    pub context: Context,
    /// `server_name`, as written; empty where there is none.
    pub names: Vec<Arc<str>>,
    /// The addresses of `listen`, as written; `*:80` where there is none (`*:8000` when nginx is not root).
    pub listen: Vec<Arc<str>>,
    /// Where it stands.
    pub place: Place,
}

/// A shared memory zone of `limit_req_zone` or `limit_conn_zone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// The zone's name, which the error log gives.
    pub name: Arc<str>,
    /// The key's expression.
    pub key: Arc<str>,
    /// `rate=`, as written; connections have none.
    pub rate: Option<Arc<str>>,
    /// Where it stands.
    pub place: Place,
}

/// A location with `stub_status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StubStatus {
    /// The addresses its server listens on, as written.
    pub listen: Vec<Arc<str>>,
    /// The names of its server.
    pub names: Vec<Arc<str>>,
    /// The location, as written.
    pub location: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

/// A directory nginx writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPath {
    /// The directive: `proxy_temp_path`, `client_body_temp_path`, `proxy_cache_path`…
    pub directive: Arc<str>,
    /// The absolute path.
    pub path: PathBuf,
    /// Where it stands.
    pub origin: Origin,
}

/// An nginx that runs, by its processes: what it loaded, and when, whatever the files say by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The master's process id.
    pub pid: u32,
    /// Start of the master.
    pub started_at: SystemTime,
    /// The last reload: when the oldest of the current workers started. `None` while the master's first ones live.
    pub reloaded_at: Option<SystemTime>,
    /// The workers.
    pub workers: Vec<u32>,
    /// Workers of before the reload that finish their connections.
    pub leaving: Vec<u32>,
    /// The program, as it was called.
    pub program: Arc<Path>,
    /// `-c`.
    pub conf_path: Option<PathBuf>,
    /// `-p`.
    pub prefix: Option<PathBuf>,
    /// `-e`.
    pub error_log: Option<PathBuf>,
    /// `-g`.
    pub directives: Option<Box<str>>,
    /// It runs in a process namespace of its own: its paths are most likely those of another root.
    pub in_container: bool,
}

impl Loaded {
    /// When nginx read the configuration it uses.
    #[must_use]
    pub fn configured_at(&self) -> SystemTime {
        self.reloaded_at.unwrap_or(self.started_at)
    }
}
