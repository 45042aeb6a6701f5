//! The temporary folder of one test, and waiting.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How often a condition is looked at again.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How much of each log a failure shows.
const TAIL_BYTES: usize = 4096;
/// The account that nginx and PHP-FPM workers run as when the test runs as root.
pub const WORKER_USER: &str = "www-data";

/// A temporary folder with everything a test starts; removed at the end.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// An empty folder that unprivileged workers may enter.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("nginx-502-lab-").tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        Self { folder }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A subfolder, made if it is not there.
    pub fn subfolder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a subfolder");
        path
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside the lab")).expect("its folder");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Waits until `ready` gives something.
    ///
    /// # Panics
    /// When it does not before the deadline; the message says what was awaited and shows the end of every log.
    pub fn wait_for_some<T>(&self, what: &str, deadline: Duration, ready: impl FnMut() -> Option<T>) -> T {
        poll(deadline, ready).unwrap_or_else(|| panic!("waited {deadline:?} for {what}, in vain{}", self.log_tails()))
    }

    /// Waits until `ready` holds; panics as [`Self::wait_for_some`] does.
    pub fn wait_for(&self, what: &str, deadline: Duration, mut ready: impl FnMut() -> bool) {
        self.wait_for_some(what, deadline, || ready().then_some(()));
    }

    /// The end of every `*.log` in the folder, for messages.
    pub fn log_tails(&self) -> String {
        let mut logs = Vec::new();
        collect_logs(self.root(), &mut logs);
        logs.sort();
        logs.iter().map(|log| format!("\n--- {}\n{}", log.display(), tail(log))).collect()
    }
}

/// Looks at a condition again and again until it gives something or the deadline has passed.
pub fn poll<T>(deadline: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if start.elapsed() > deadline {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// A TCP port that is free now. It lies below the ephemeral range, so that no outgoing connection takes it before the
/// program it is for. It is looked up and not tried: a program that another test starts at that moment would hold the
/// socket of the trial until it runs.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 120).expect("below 120") * 100;
    let taken = taken_ports();
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|port| !taken.contains(port))
        .expect("a free port")
}

/// Local ports of all TCP sockets, from the second column of proc_pid_net(5)'s tables: `0100007F:1F90`.
fn taken_ports() -> HashSet<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let local = |row: &str| u16::from_str_radix(row.split_whitespace().nth(1)?.rsplit_once(':')?.1, 16).ok();
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(local)).collect()
}

/// Whether this process is root, and so has to say who the workers run as.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a path to the account the workers run as, where that is another than ours.
pub fn give_to_worker(path: &Path) {
    if is_root() {
        let (user, group) = worker_ids();
        chown(path, Some(user), Some(group)).unwrap_or_else(|error| panic!("chown {}: {error}", path.display()));
    }
}

fn worker_ids() -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let fields: Vec<&str> = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&WORKER_USER))
        .unwrap_or_else(|| panic!("no account {WORKER_USER}: Debian package base-passwd"));
    (fields[2].parse().expect("a uid"), fields[3].parse().expect("a gid"))
}

fn collect_logs(folder: &Path, logs: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_logs(&path, logs);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
}

fn tail(log: &Path) -> String {
    let content = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&content[content.len().saturating_sub(TAIL_BYTES)..]).into_owned()
}
