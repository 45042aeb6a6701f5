//! A program that ends with the value that stands for it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::lab::{Lab, poll};

/// How long a program may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);
/// How long a program may take to be ready.
pub const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running program, leader of its own process group. Dropping it ends it and its workers.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program whose output goes to `log`.
    ///
    /// # Panics
    /// When it cannot be executed.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let output = File::create(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Self { name: name.to_owned(), child }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its living child processes, from `/proc`.
    pub fn children(&self) -> Vec<Pid> {
        let pid = self.child.id();
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap_or_else(|error| panic!("signal to {}: {error}", self.name));
    }

    /// Its exit status, once it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    /// When the program ends before, or the deadline passes; with the logs.
    pub fn wait_until_ready(&mut self, lab: &Lab, mut ready: impl FnMut(&Self) -> bool) {
        let name = self.name.clone();
        lab.wait_for(&format!("{name} to be ready"), START_DEADLINE, || {
            if let Some(status) = self.exit_status() {
                panic!("{name} ended at its start: {status}{}", lab.log_tails());
            }
            ready(self)
        });
    }

    /// Ends it politely and returns its exit status; `None` if it had to be killed.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        if self.exit_status().is_none() {
            self.signal(Signal::TERM);
        }
        poll(GRACE, || self.exit_status())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = self.pid();
        // A stopped program hears nothing but this.
        let _gone = kill_process_group(group, Signal::CONT);
        if !std::thread::panicking() {
            self.stop();
        }
        // Whatever is left of the group: workers of a master that died, or a program that did not listen.
        let _gone = kill_process_group(group, Signal::KILL);
        let _reaped = self.child.wait();
    }
}

/// Stops processes of ours with SIGSTOP and waits until none of them runs: until the signal is taken, one may go on.
///
/// # Panics
/// When one of them is gone, or does not stop.
pub fn pause(lab: &Lab, processes: &[Pid]) {
    for process in processes {
        kill_process(*process, Signal::STOP).unwrap_or_else(|error| panic!("SIGSTOP: {error}"));
    }
    // State `T` in the third field, behind the name in parentheses.
    let is_stopped = |process: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('T'))
    };
    lab.wait_for("processes to stop", GRACE, || processes.iter().all(is_stopped));
}

/// Lets them go on.
///
/// # Panics
/// When one of them is gone.
pub fn resume(processes: &[Pid]) {
    for process in processes {
        kill_process(*process, Signal::CONT).unwrap_or_else(|error| panic!("SIGCONT: {error}"));
    }
}

/// Finds an installed program.
///
/// # Panics
/// When it is not there, naming the Debian package.
pub fn program(name: &str, package: &str) -> PathBuf {
    find(|file| file == name).unwrap_or_else(|| panic!("{name} is not installed: apt-get install {package}"))
}

/// Finds the first program whose file name satisfies `wanted`, in `PATH` and the system folders.
pub fn find(wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.iter().find_map(|folder| {
        let mut files: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.into_iter().find(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(&wanted))
    })
}
