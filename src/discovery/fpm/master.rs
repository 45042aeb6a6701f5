//! Running masters and their workers, from procfs.
//!
//! FPM writes what it is over its command line (`fpm_env.c`): `php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)`
//! and `php-fpm: pool www`. Anybody can call a process so: a worker counts only as the child of its master, and a master
//! brings a configuration to our attention only where its owner could have changed the known ones anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::files::outside;
use super::ini::Variable;
use super::layout::{LAYOUTS, Paths, version};
use super::{Discovery, ProblemKind, Sources, Version};

/// What is read of one file of procfs.
const MAX_BYTES: u64 = 256 * 1024;
/// Installations that are looked at.
const MAX_INSTALLATIONS: usize = 200;

/// A running master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// Its process.
    pub pid: u32,
    /// When it was started. A reload (SIGUSR2) keeps the process: the status page tells when the pools were started.
    pub started: Option<SystemTime>,
    /// Its workers by pool, ascending. A pool that answers for another by `pm.status_listen` is called `NAME_status`.
    pub workers: BTreeMap<String, Vec<u32>>,
}

/// What FPM runs on this host.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    masters: Vec<Found>,
}

#[derive(Debug, Clone)]
struct Found {
    master: Master,
    conf: PathBuf,
    version: Option<Version>,
    uid: u32,
    root: Option<PathBuf>,
}

impl Processes {
    /// One pass over procfs. Processes that end meanwhile, or may not be looked at, are left out.
    #[must_use]
    pub fn read(procfs: &Path) -> Self {
        let mut masters = Vec::new();
        let mut workers = Vec::new();
        let pids = fs::read_dir(procfs).into_iter().flatten().flatten();
        for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            let folder = procfs.join(pid.to_string());
            let Some(command) = read(&folder.join("cmdline")) else { continue };
            match understand(&command) {
                Some(Title::Master(conf)) => masters.extend(found(procfs, &folder, pid, conf)),
                Some(Title::Worker(pool)) => workers.extend(parent(&folder).map(|parent| (parent, pool, pid))),
                None => {}
            }
        }
        masters.sort_by_key(|found| found.master.pid);
        for (parent, pool, pid) in workers {
            if let Some(found) = masters.iter_mut().find(|found| found.master.pid == parent) {
                found.master.workers.entry(pool).or_default().push(pid);
            }
        }
        masters.iter_mut().flat_map(|found| found.master.workers.values_mut()).for_each(|pids| pids.sort_unstable());
        Self { masters }
    }

    /// What changes when other masters run, and not when workers come and go.
    pub(super) fn identities(&self) -> Vec<(u32, PathBuf)> {
        self.masters.iter().map(|found| (found.master.pid, found.conf.clone())).collect()
    }

    /// The running masters, oldest process id first.
    pub fn masters(&self) -> impl Iterator<Item = &Master> {
        self.masters.iter().map(|found| &found.master)
    }

    /// The workers of one pool of one master, as they are now.
    #[must_use]
    pub fn workers(&self, master: u32, pool: &str) -> &[u32] {
        let master = self.masters().find(|found| found.pid == master);
        master.and_then(|master| master.workers.get(pool)).map_or(&[], Vec::as_slice)
    }
}

enum Title {
    Master(PathBuf),
    Worker(String),
}

/// What a command line says.
fn understand(command: &[u8]) -> Option<Title> {
    let text = String::from_utf8_lossy(command);
    if let Some(title) = text.strip_prefix("php-fpm: ") {
        let title = title.trim_end_matches(['\0', ' ']);
        if let Some(pool) = title.strip_prefix("pool ") {
            return Some(Title::Worker(pool.to_owned()));
        }
        let conf = title.strip_prefix("master process (")?.strip_suffix(')')?;
        return Some(Title::Master(conf.into()));
    }
    // A master that could not change its title still has its options.
    let mut arguments = text.split('\0').filter(|argument| !argument.is_empty());
    let program = Path::new(arguments.next()?).file_name()?.to_str()?;
    if !program.starts_with("php-fpm") {
        return None;
    }
    while let Some(argument) = arguments.next() {
        if let Some(conf) = argument.strip_prefix("--fpm-config=") {
            return Some(Title::Master(conf.into()));
        }
        if ["-y", "--fpm-config"].contains(&argument) {
            return arguments.next().map(|conf| Title::Master(conf.into()));
        }
    }
    None
}

fn found(procfs: &Path, folder: &Path, pid: u32, conf: PathBuf) -> Option<Found> {
    let uid = folder.metadata().ok()?.uid();
    // Relative to where it was started; that needs the same rights as its memory.
    let conf = if conf.is_absolute() { conf } else { folder.join("cwd").read_link().ok()?.join(conf) };
    let program = folder.join("exe").read_link().ok();
    let version = program.as_deref().and_then(Path::file_name).and_then(|name| version(name.to_str()?));
    let root = is_elsewhere(procfs, folder).then(|| folder.join("root"));
    let started = started(procfs, folder);
    Some(Found { master: Master { pid, started, workers: BTreeMap::new() }, conf, version, uid, root })
}

/// Whether a process lives in a container: in a process namespace below ours, or with mounts of its own.
fn is_elsewhere(procfs: &Path, folder: &Path) -> bool {
    let status = read(&folder.join("status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    if pids.is_some_and(|pids| pids.split_whitespace().count() > 1) {
        return true;
    }
    // Readable by root only; a process whose namespace cannot be told is taken for one of the host.
    let mounts = |folder: &Path| folder.join("ns/mnt").read_link().ok();
    match (mounts(&procfs.join("1")), mounts(folder)) {
        (Some(host), Some(own)) => host != own,
        _ => false,
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    // One read is enough for nearly every file, and the next tells that it was.
    let mut content = Vec::with_capacity(1_024);
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Fields of `/proc/PID/stat` after the name, which may hold anything (proc_pid_stat(5)).
fn stat_field(folder: &Path, number: usize) -> Option<u64> {
    let stat = read(&folder.join("stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn parent(folder: &Path) -> Option<u32> {
    u32::try_from(stat_field(folder, 4)?).ok()
}

fn started(procfs: &Path, folder: &Path) -> Option<SystemTime> {
    let stat = read(&procfs.join("stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let ticks = stat_field(folder, 22)?;
    let after_boot = Duration::from_millis(ticks.saturating_mul(1_000) / procfs::ticks_per_second().max(1));
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(boot))?.checked_add(after_boot)
}

/// A main file to read, and what is known of it before.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) conf: Arc<Path>,
    pub(super) root: PathBuf,
    pub(super) paths: Paths,
    pub(super) master: Option<Master>,
}

impl Wanted {
    fn new(conf: &Path, root: &Path) -> Self {
        Self { conf: conf.into(), root: root.to_owned(), paths: Paths::of(conf).0, master: None }
    }

    /// The environment of the master, which only root and its own user may read.
    pub(super) fn variable(&self, procfs: &Path, name: &str) -> Variable {
        let environ = self.master.as_ref().and_then(|master| read(&procfs.join(format!("{}/environ", master.pid))));
        let Some(environ) = environ.filter(|environ| !environ.is_empty()) else { return Variable::Unknown };
        let mut variables = environ.split(|byte| *byte == 0);
        let content = variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        content.map_or(Variable::Unset, |content| Variable::Set(String::from_utf8_lossy(content).into_owned()))
    }
}

/// The main files to read: those the operator names, or the installed ones and those of running masters.
pub(super) fn wanted(sources: &Sources, processes: &Processes, found: &mut Discovery) -> Vec<Wanted> {
    let installed = if sources.conf.is_empty() { installed(&sources.rootfs) } else { sources.conf.clone() };
    let mut wanted: Vec<Wanted> = installed.iter().map(|conf| Wanted::new(conf, &sources.rootfs)).collect();
    let own_uid = rustix::process::geteuid().as_raw();
    for running in &processes.masters {
        let root = running.root.as_ref().unwrap_or(&sources.rootfs);
        let known = wanted.iter().position(|wanted| *wanted.conf == running.conf && wanted.root == *root);
        let trusted = running.uid == 0 || running.uid == own_uid || Paths::of(&running.conf).1;
        if known.is_none() {
            if !sources.conf.is_empty() || wanted.len() >= MAX_INSTALLATIONS {
                continue;
            }
            if !trusted {
                let what = format!(
                    "not read: only the master process {} of user {} names it; name it with --fpm.conf to have it read",
                    running.master.pid, running.uid
                );
                found.problem(ProblemKind::Ignored, &running.conf.as_path().into(), None, what);
                continue;
            }
            wanted.push(Wanted::new(&running.conf, root));
        }
        let last = wanted.len().saturating_sub(1);
        let Some(entry) = wanted.get_mut(known.unwrap_or(last)) else { continue };
        if entry.master.is_none() {
            entry.master = Some(running.master.clone());
            entry.paths.version = running.version.or(entry.paths.version);
        }
    }
    wanted
}

/// The main files that are there, of [`LAYOUTS`].
fn installed(rootfs: &Path) -> Vec<PathBuf> {
    let mut confs = BTreeSet::new();
    let prefix = glob::Pattern::escape(rootfs.to_string_lossy().trim_end_matches('/'));
    for layout in LAYOUTS {
        let paths = glob::glob(&format!("{prefix}{}", layout.conf)).into_iter().flatten().flatten();
        let inside = |path: PathBuf| Some(Path::new("/").join(path.strip_prefix(rootfs).ok()?));
        confs.extend(paths.take(MAX_INSTALLATIONS).filter_map(inside));
    }
    confs.into_iter().filter(|conf| !outside(rootfs, conf).is_dir()).take(MAX_INSTALLATIONS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(command: &[u8]) -> Option<String> {
        Some(match understand(command)? {
            Title::Master(conf) => format!("master {}", conf.display()),
            Title::Worker(pool) => format!("worker {pool}"),
        })
    }

    #[test]
    fn command_lines_tell_masters_and_workers() {
        for (command, expected) in [
            (
                &b"php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)\0\0\0"[..],
                Some("master /etc/php/8.2/fpm/php-fpm.conf"),
            ),
            (b"php-fpm: pool www        \0\0", Some("worker www")),
            (b"php-fpm: pool my pool\0", Some("worker my pool")),
            (b"/usr/sbin/php-fpm8.2\0--nodaemonize\0--fpm-config\0/etc/x.conf\0", Some("master /etc/x.conf")),
            (b"php-fpm\0-F\0-y\0c.conf\0", Some("master c.conf")),
            (b"/usr/sbin/php-fpm7.4\0--fpm-config=/x\0", Some("master /x")),
            (b"/usr/sbin/php-fpm8.2\0--version\0", None),
            (b"nginx: master process nginx\0", None),
            (b"vi\0/etc/php-fpm.conf\0", None),
            (b"php-fpm: master process\0", None),
            (b"", None),
            (b"\xff\xfe\0", None),
        ] {
            assert_eq!(title(command).as_deref(), expected, "{}", String::from_utf8_lossy(command));
        }
    }

    #[test]
    fn a_process_that_cannot_be_read_is_left_out() {
        let procfs = tempfile::tempdir().unwrap();
        for (pid, command) in
            [("7", "php-fpm: pool www"), ("8", "php-fpm: master process (/x)"), ("x9", "php-fpm: pool a")]
        {
            fs::create_dir(procfs.path().join(pid)).unwrap();
            fs::write(procfs.path().join(pid).join("cmdline"), command).unwrap();
        }
        fs::write(procfs.path().join("7/stat"), ") ) (").unwrap();
        let processes = Processes::read(procfs.path());
        assert_eq!(processes.masters().map(|master| (master.pid, master.workers.len())).collect::<Vec<_>>(), [(8, 0)]);
        assert!(Processes::read(Path::new("/nowhere")).masters.is_empty());
    }
}
