//! What this process uses, read from procfs on a clock of its own, so that a scrape does no I/O.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use procfs::process::{LimitValue, Limits, Stat};
use procfs::{FromRead, FromReadSI, KernelStats, ProcError};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Closed, Sink};
use crate::observation::{Failure, FailureReason, Health, Observation, PROCESS, ProcessUsage};

/// How often a reading is taken.
const INTERVAL: Duration = Duration::from_secs(5);

/// Reads usage until `stop`, or until the hub has gone.
pub async fn run(procfs: PathBuf, sink: Sink, stop: CancellationToken) {
    // An error means that the hub has gone: then there is nobody left to tell.
    if let Some(Err(Closed)) = stop.run_until_cancelled(observe(procfs.into(), sink)).await {
        tracing::debug!("no one reads the process usage any more");
    }
}

async fn observe(procfs: Arc<Path>, sink: Sink) -> Result<(), Closed> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        ticks.tick().await;
        let root = Arc::clone(&procfs);
        // In a task of its own, because the crate's parser may panic on a strange file.
        let reading = tokio::task::spawn_blocking(move || read(&root)).await;
        let reading = reading.unwrap_or_else(|panic| Err(ProcError::Other(panic.to_string())));
        let (usage, outcome) = match reading {
            Ok(usage) => (Some(usage), Ok(())),
            Err(error) => (None, Err(failure(&procfs, &error))),
        };
        if said.as_ref() != Some(&outcome) {
            let health = Health { input: PROCESS.into(), outcome: outcome.clone(), at: SystemTime::now() };
            sink.send(Observation::Health(health)).await?;
            said = Some(outcome);
        }
        if let Some(usage) = usage {
            sink.send(Observation::Process(usage)).await?;
        }
    }
}

/// One reading below a mount of procfs: `self/stat`, `self/limits`, `self/fd`, and `stat` for the time of the boot
/// (proc(5)).
fn read(procfs: &Path) -> Result<ProcessUsage, ProcError> {
    let own = procfs.join("self");
    let system = procfs::current_system_info();
    let stat = Stat::from_file(own.join("stat"))?;
    let boot = <KernelStats as FromReadSI>::from_file(procfs.join("stat"), system)?.btime;
    let max_fds = match Limits::from_file(own.join("limits"))?.max_open_files.soft_limit {
        LimitValue::Value(limit) => limit,
        LimitValue::Unlimited => u64::MAX,
    };
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    Ok(ProcessUsage {
        cpu_seconds: seconds(stat.utime.saturating_add(stat.stime)),
        resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
        virtual_bytes: stat.vsize,
        open_fds: count(&own.join("fd"))?,
        max_fds,
        start_time_seconds: boot as f64 + seconds(stat.starttime),
        threads: u64::try_from(stat.num_threads).unwrap_or(0),
    })
}

fn count(directory: &Path) -> Result<u64, ProcError> {
    let entries = fs::read_dir(directory).map_err(|error| ProcError::Io(error, Some(directory.into())))?;
    // The descriptor that reads the directory is one of them.
    Ok((entries.count() as u64).saturating_sub(1))
}

fn failure(procfs: &Path, error: &ProcError) -> Failure {
    let (reason, what) = match error {
        ProcError::PermissionDenied(path) => (FailureReason::Permission, path.as_deref()),
        ProcError::NotFound(path) => (FailureReason::NotFound, path.as_deref()),
        ProcError::Io(error, path) => (reason(error), path.as_deref()),
        ProcError::Incomplete(path) => (FailureReason::Io, path.as_deref()),
        ProcError::Other(_) | ProcError::InternalError(_) => (FailureReason::Io, None),
    };
    let what = what.unwrap_or(procfs).to_string_lossy();
    Failure { reason, what: what.into(), detail: error.to_string().into() }
}

fn reason(error: &io::Error) -> FailureReason {
    match error.kind() {
        io::ErrorKind::NotFound => FailureReason::NotFound,
        io::ErrorKind::PermissionDenied => FailureReason::Permission,
        _ => FailureReason::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(observations: &mut tokio::sync::mpsc::Receiver<Observation>) -> Observation {
        tokio::time::timeout(Duration::from_secs(10), observations.recv()).await.unwrap().unwrap()
    }

    async fn first(procfs: &Path) -> (Health, tokio::sync::mpsc::Receiver<Observation>) {
        let (sink, mut observations) = Sink::channel();
        tokio::spawn(run(procfs.into(), sink, CancellationToken::new()));
        match next(&mut observations).await {
            Observation::Health(health) => (health, observations),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn this_process_is_measured() {
        let (health, mut observations) = first(Path::new("/proc")).await;
        assert_eq!((&*health.input, health.outcome), ("process", Ok(())));
        let Observation::Process(usage) = next(&mut observations).await else { panic!("no usage") };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(usage.resident_bytes > 1 << 20 && usage.virtual_bytes > usage.resident_bytes, "{usage:?}");
        assert!(usage.open_fds >= 3 && usage.open_fds < usage.max_fds && usage.threads >= 2, "{usage:?}");
        assert!((now - 86_400.0..=now + 2.0).contains(&usage.start_time_seconds), "{usage:?} at {now}");
    }

    #[tokio::test]
    async fn a_missing_procfs_is_said() {
        let root = tempfile::tempdir().unwrap();
        let (health, _) = first(root.path()).await;
        let failure = health.outcome.unwrap_err();
        assert_eq!(failure.reason, FailureReason::NotFound);
        assert_eq!(*failure.what, *root.path().join("self/stat").to_string_lossy());
    }

    #[tokio::test]
    async fn a_strange_procfs_is_said() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("self")).unwrap();
        for strange in ["", "(", ") (", "1 (x) R", "\u{0}\u{ff}"] {
            fs::write(root.path().join("self/stat"), strange).unwrap();
            let (health, _) = first(root.path()).await;
            assert_eq!(health.outcome.unwrap_err().reason, FailureReason::Io, "{strange:?}");
        }
    }

    #[tokio::test]
    async fn stopping_ends_it() {
        let (sink, _observations) = Sink::channel();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run("/proc".into(), sink, stop.clone()));
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
    }
}
