//! The nginx that runs: what its process titles and start times tell, which anyone may read below `/proc` (proc(5)).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::observation::nginx::Loaded;

/// More bytes than this are not read of a file of procfs.
const MAX_FILE: u64 = 64 << 10;
const MASTER: &str = "nginx: master process ";
const WORKER: &str = "nginx: worker process";
const LEAVING: &str = "nginx: worker process is shutting down";
const CACHE: &str = "nginx: cache manager process";
/// Workers that started so soon after the master are its first ones.
const FIRST_WORKERS: Duration = Duration::from_secs(2);

/// Every master of nginx, oldest first.
///
/// # Errors
/// `procfs` cannot be read.
pub fn masters(procfs: &Path) -> io::Result<Vec<Loaded>> {
    let booted = boot_time(procfs)?;
    let mut processes = Vec::new();
    for entry in fs::read_dir(procfs)? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(process) = read(&procfs.join(&name), pid, booted)
        {
            processes.push(process);
        }
    }
    let mut masters: Vec<_> = processes.iter().filter_map(|master| loaded(master, &processes)).collect();
    masters.sort_by_key(|master| (master.started_at, master.pid));
    Ok(masters)
}

/// A process of nginx.
#[derive(Debug)]
struct Process {
    pid: u32,
    parent: u32,
    started_at: SystemTime,
    title: String,
    in_container: bool,
    /// Its working directory, where we may know it.
    directory: Option<PathBuf>,
}

/// `None`: it is not nginx, or has gone meanwhile.
fn read(folder: &Path, pid: u32, booted: SystemTime) -> Option<Process> {
    let stat = text(&folder.join("stat")).ok()?;
    // The name stands in parentheses and may hold anything, parentheses too.
    let (start, rest) = stat.rsplit_once(')')?;
    if start.split_once('(')?.1 != "nginx" {
        return None;
    }
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let ticks: u64 = fields.nth(17)?.parse().ok()?;
    let since_boot = Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second().max(1) as f64);
    let title = text(&folder.join("cmdline")).ok()?.replace('\0', " ").trim_end().to_owned();
    // Another namespace of processes is another container, with files of its own.
    let status = text(&folder.join("status")).unwrap_or_default();
    let ids =
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).map(|ids| ids.split_ascii_whitespace().count());
    let started_at = booted.checked_add(since_boot)?;
    let directory = fs::read_link(folder.join("cwd")).ok();
    Some(Process { pid, parent, started_at, title, in_container: ids > Some(1), directory })
}

fn loaded(master: &Process, processes: &[Process]) -> Option<Loaded> {
    let arguments = Arguments::parse(master.title.strip_prefix(MASTER)?);
    let children = || processes.iter().filter(|process| process.parent == master.pid);
    let is_leaving = |process: &&Process| process.title.starts_with(LEAVING);
    let is_current = |process: &&Process| {
        (process.title.starts_with(WORKER) && !is_leaving(process)) || process.title.starts_with(CACHE)
    };
    // One worker may have crashed and come back since; the oldest of them tells when they were started together.
    let generation = children().filter(is_current).map(|worker| worker.started_at).min();
    let reloaded_at =
        generation.filter(|start| start.duration_since(master.started_at).is_ok_and(|later| later > FIRST_WORKERS));
    let pids = |wanted: &dyn Fn(&&Process) -> bool| {
        let mut pids: Vec<_> = children().filter(wanted).map(|process| process.pid).collect();
        pids.sort_unstable();
        pids
    };
    Some(Loaded {
        pid: master.pid,
        started_at: master.started_at,
        reloaded_at,
        workers: pids(&|process| process.title.starts_with(WORKER) && !is_leaving(process)),
        leaving: pids(&is_leaving),
        program: arguments.program.into(),
        conf_path: arguments.conf,
        prefix: arguments
            .prefix
            .map(|prefix| master.directory.as_ref().map_or(prefix.clone(), |from| from.join(&prefix))),
        error_log: arguments.error_log,
        directives: arguments.directives,
        in_container: master.in_container,
    })
}

/// nginx's own arguments, which its title repeats with blanks between them (`ngx_master_process_cycle`).
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    program: PathBuf,
    conf: Option<PathBuf>,
    prefix: Option<PathBuf>,
    error_log: Option<PathBuf>,
    directives: Option<Box<str>>,
}

impl Arguments {
    fn parse(title: &str) -> Self {
        let mut words = title.split(' ').peekable();
        let mut arguments = Self { program: words.next().unwrap_or_default().into(), ..Self::default() };
        while let Some(word) = words.next() {
            let Some((option, attached)) = option(word) else { continue };
            let mut value = if attached.is_empty() { words.next().unwrap_or_default() } else { attached }.to_owned();
            // The value of -g has blanks, and so may a path: up to the next option.
            while let Some(more) = words.next_if(|word| self::option(word).is_none()) {
                value.push(' ');
                value.push_str(more);
            }
            match option {
                'c' => arguments.conf = Some(value.into()),
                'p' => arguments.prefix = Some(value.into()),
                'e' => arguments.error_log = Some(value.into()),
                _ => arguments.directives = Some(value.into()),
            }
        }
        arguments
    }
}

/// An option with a value, and what is attached to it.
fn option(word: &str) -> Option<(char, &str)> {
    let rest = word.strip_prefix('-')?;
    let option = rest.chars().next().filter(|option| matches!(option, 'c' | 'p' | 'e' | 'g'))?;
    Some((option, rest.strip_prefix(option)?))
}

fn boot_time(procfs: &Path) -> io::Result<SystemTime> {
    let stat = text(&procfs.join("stat"))?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    let seconds = seconds.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no btime in stat"))?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A procfs with these processes: pid, parent, seconds since boot, title.
    fn procfs(processes: &[(u32, u32, u64, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("stat"), "cpu 1 2\nbtime 1000000\nprocesses 9\n").unwrap();
        fs::create_dir(root.path().join("self")).unwrap();
        for (pid, parent, start, title) in processes {
            let folder = root.path().join(pid.to_string());
            fs::create_dir(&folder).unwrap();
            let name = if title.starts_with("nginx") { "nginx" } else { "a) (b" };
            let ticks = start * procfs::ticks_per_second();
            let fields = format!("{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0\n");
            fs::write(folder.join("stat"), fields).unwrap();
            fs::write(folder.join("cmdline"), format!("{title}\0")).unwrap();
            fs::write(folder.join("status"), format!("Name:\tnginx\nNSpid:\t{pid}\n")).unwrap();
        }
        root
    }

    fn at(since_boot: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + since_boot)
    }

    #[test]
    fn start_and_reload_are_told_apart() {
        let root = procfs(&[
            (9, 1, 1, "sshd: nginx: master process x"),
            (10, 1, 100, "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;"),
            (11, 10, 100, "nginx: worker process is shutting down"),
            (12, 10, 500, "nginx: worker process"),
            (13, 10, 900, "nginx: worker process"),
            (20, 1, 200, "nginx: master process nginx -c /srv/n.conf -p /srv -e stderr"),
            (21, 20, 200, "nginx: worker process"),
            (30, 1, 300, "nginx: worker process"),
        ]);
        let masters = masters(root.path()).unwrap();
        assert_eq!(masters.len(), 2, "{masters:?}");
        let first = &masters[0];
        assert_eq!((first.pid, first.started_at, first.reloaded_at), (10, at(100), Some(at(500))));
        assert_eq!((&first.workers[..], &first.leaving[..]), (&[12, 13][..], &[11][..]));
        assert_eq!(first.directives.as_deref(), Some("daemon on; master_process on;"));
        let second = &masters[1];
        assert_eq!((second.pid, second.reloaded_at), (20, None));
        assert_eq!(second.conf_path.as_deref(), Some(Path::new("/srv/n.conf")));
        assert_eq!(second.prefix.as_deref(), Some(Path::new("/srv")));
        assert_eq!(second.error_log.as_deref(), Some(Path::new("stderr")));
    }

    #[test]
    fn options_may_be_attached_and_paths_may_have_blanks() {
        let arguments = Arguments::parse("/x/nginx -c/a b/n.conf -q -p ./ -g worker_processes 1; daemon off;");
        assert_eq!(arguments.program, Path::new("/x/nginx"));
        assert_eq!(
            arguments.conf.as_deref(),
            Some(Path::new("/a b/n.conf -q")),
            "an option without value is not told apart"
        );
        assert_eq!(arguments.prefix.as_deref(), Some(Path::new("./")));
        assert_eq!(arguments.directives.as_deref(), Some("worker_processes 1; daemon off;"));
        assert_eq!(Arguments::parse(""), Arguments::default());
    }

    #[test]
    fn a_strange_procfs_is_no_panic() {
        let root = procfs(&[]);
        for (pid, stat) in ["", "(", ") (", "1 (nginx) S", "1 (nginx) S x 1", "\u{0}\u{ff}"].iter().enumerate() {
            let folder = root.path().join(pid.to_string());
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("stat"), stat).unwrap();
        }
        assert_eq!(masters(root.path()).unwrap(), []);
        assert!(masters(&root.path().join("missing")).is_err());
    }
}
