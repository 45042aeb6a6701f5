//! A child process on one core, and what it took.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How often the peak of resident memory is read while the child lives; the kernel keeps the peak, so only growth in the
/// last of these intervals can be missed.
const SAMPLING: Duration = Duration::from_millis(2);

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// From start to end.
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// `VmHWM`: the largest resident set, in bytes.
    pub(crate) peak_memory: u64,
}

/// Runs `program` on `core` to its end. Its standard output goes to a file: grep(1) stops at the
/// first match where it sees that it is thrown away.
pub(crate) fn run(core: usize, program: &OsStr, arguments: &[&OsStr]) -> Result<Usage> {
    let out = tempfile::tempfile()?;
    let begun = Instant::now();
    let mut child = pinned(core, program, arguments).stdout(out).stderr(Stdio::null()).spawn()?;
    let pid = Pid::from_child(&child);
    let ended = AtomicBool::new(false);
    let (wall, peak_memory) = std::thread::scope(|scope| -> Result<_> {
        let peak = scope.spawn(|| watch_memory(&child, &ended));
        // Waits without reaping: the dead process still has its times.
        let outcome = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let wall = begun.elapsed();
        ended.store(true, Ordering::Relaxed);
        let peak = peak.join().map_err(|_| anyhow::anyhow!("the memory watch has failed"))?;
        outcome?;
        Ok((wall, peak))
    })?;
    let cpu = cpu_time(child.id());
    let status = child.wait()?;
    if !status.success() {
        bail!("{} {arguments:?} ended with {status}", program.to_string_lossy());
    }
    Ok(Usage { wall, cpu: cpu?, peak_memory })
}

/// Runs `program` on `core` to its end and returns its standard output.
pub(crate) fn output(core: usize, program: &OsStr, arguments: &[&OsStr]) -> Result<Vec<u8>> {
    let output = pinned(core, program, arguments).stderr(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{} {arguments:?} ended with {}", program.to_string_lossy(), output.status);
    }
    Ok(output.stdout)
}

fn pinned(core: usize, program: &OsStr, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program).args(arguments).stdin(Stdio::null());
    // Byte-wise programs are not to be slowed down by a locale.
    command.env("LC_ALL", "C");
    command
}

fn watch_memory(child: &Child, ended: &AtomicBool) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while !ended.load(Ordering::Relaxed) {
        // A process that has ended has no such line any more.
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(kilobytes) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            let kilobytes: u64 = kilobytes.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            peak = peak.max(kilobytes * 1024);
        }
        std::thread::sleep(SAMPLING);
    }
    peak
}

/// User and system time of a process, fields 14 and 15 of proc_pid_stat(5).
fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}
