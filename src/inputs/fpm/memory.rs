//! What the workers of a pool weigh, and how many of that weight fit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::discovery::fpm::Processes;
use crate::observation::fpm::{MemoryKind, WorkerMemory};

/// What is read of one file of procfs.
const MAX_BYTES: u64 = 16 * 1024;

/// A pool whose workers are to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// The pool's label.
    pub pool: Arc<str>,
    /// The pool's name, as its workers call themselves.
    pub name: Arc<str>,
    /// The process of its master.
    pub master: u32,
}

/// Measures every pool that has workers. Blocks for about 0.25 ms per worker as root, who sees more, and a twentieth of
/// that otherwise: for a thread of its own, and not every few seconds.
///
/// The proportional set size is what a worker costs: its opcache is shared. Of workers that FPM has given another user
/// only root, or whoever holds `CAP_SYS_PTRACE`, may read it; then the resident set size is taken, of all workers of a
/// pool alike.
#[must_use]
pub fn read(procfs: &Path, processes: &Processes, pools: &[Workers]) -> Vec<WorkerMemory> {
    let measured = pools.iter().filter_map(|pool| {
        let pids = processes.workers(pool.master, &pool.name);
        let (kind, sizes) = sizes(procfs, pids)?;
        Some(WorkerMemory {
            pool: Arc::clone(&pool.pool),
            kind,
            workers: sizes.len() as u64,
            sum: sizes.iter().fold(0, |sum, size| sum.saturating_add(*size)),
            max: sizes.iter().copied().max()?,
            at: SystemTime::now(),
        })
    });
    measured.collect()
}

/// One kind for all of them; a worker that has ended is left out. `None` without any.
fn sizes(procfs: &Path, pids: &[u32]) -> Option<(MemoryKind, Vec<u64>)> {
    let all = |size: fn(&Path) -> io::Result<u64>| {
        let sizes = pids.iter().map(|pid| size(&procfs.join(pid.to_string())));
        // A worker that ended leaves no file, or one without content.
        sizes.filter(|size| !matches!(size, Err(error) if is_gone(error))).collect::<io::Result<Vec<u64>>>()
    };
    let (kind, sizes) = match all(proportional) {
        Ok(sizes) => (MemoryKind::Pss, sizes),
        Err(_) => (MemoryKind::Rss, all(resident).ok()?),
    };
    (!sizes.is_empty()).then_some((kind, sizes))
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// `Pss` of `smaps_rollup`, in kB (proc_pid_smaps(5)).
fn proportional(process: &Path) -> io::Result<u64> {
    let text = text(&process.join("smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes.saturating_mul(1_024)).ok_or_else(|| unknown(&text))
}

/// Second field of `statm`, in pages (proc_pid_statm(5)).
fn resident(process: &Path) -> io::Result<u64> {
    let text = text(&process.join("statm"))?;
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map(|pages| pages.saturating_mul(procfs::page_size())).ok_or_else(|| unknown(&text))
}

fn text(path: &Path) -> io::Result<String> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// A zombie has files, but nothing in them.
fn unknown(text: &str) -> io::Error {
    let kind = if text.is_empty() { io::ErrorKind::NotFound } else { io::ErrorKind::InvalidData };
    io::Error::from(kind)
}

/// A pool, for [`recommended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Workers there are now.
    pub workers: u64,
    /// Bytes they hold together.
    pub bytes: u64,
    /// How many there may be, if known; otherwise the present number is taken for it.
    pub max_children: Option<u64>,
}

/// How many workers fit, pool by pool; `None` for a pool without workers, which cannot be judged.
///
/// The memory that workers can have is what is available and what they hold already. With one pool, as many fit as their
/// mean size goes into that. Several pools share it so that each grows or shrinks by **the same factor** from its present
/// `pm.max_children`: who set 50 for the shop and 5 for the blog meant that proportion, and together the pools at their
/// new limits take what there is. At least one worker is left to each.
///
/// It is an estimate from the workers as they are now: it believes that a further worker weighs as much as the present
/// ones on average, and that nothing else on the host grows. With resident instead of proportional sizes shared memory
/// counts many times, so the number is too small rather than too large.
#[must_use]
pub fn recommended(available: u64, pools: &[Held]) -> Vec<Option<u64>> {
    // In f64: 2^53 bytes are enough, and nothing can overflow.
    let mean = |pool: &Held| (pool.workers > 0 && pool.bytes > 0).then(|| pool.bytes as f64 / pool.workers as f64);
    let limit = |pool: &Held| pool.max_children.unwrap_or(pool.workers).max(1) as f64;
    let held: f64 = pools.iter().filter(|pool| mean(pool).is_some()).map(|pool| pool.bytes as f64).sum();
    let at_limit: f64 = pools.iter().filter_map(|pool| Some(mean(pool)? * limit(pool))).sum();
    let factor = (available as f64 + held) / at_limit;
    // The product is a whole number but for rounding, more often than chance has it.
    let fit = |pool: &Held| ((limit(pool) * factor + 1e-6).floor() as u64).max(1);
    pools.iter().map(|pool| mean(pool).map(|_| fit(pool))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn held(workers: u64, mebibytes_each: u64, max_children: u64) -> Held {
        Held { workers, bytes: workers * mebibytes_each * MIB, max_children: Some(max_children) }
    }

    #[test]
    fn one_pool_may_have_what_is_available_and_what_it_holds() {
        assert_eq!(recommended(1_000 * MIB, &[held(10, 50, 10)]), [Some(30)]);
        assert_eq!(recommended(1_000 * MIB, &[held(10, 50, 500)]), [Some(30)]);
        assert_eq!(recommended(0, &[held(10, 50, 40)]), [Some(10)]);
        let unknown = Held { max_children: None, ..held(10, 50, 0) };
        assert_eq!(recommended(1_000 * MIB, &[unknown]), [Some(30)]);
    }

    #[test]
    fn pools_grow_and_shrink_by_the_same_factor() {
        // 1,500 MiB at their limits, 500 + 100 held, 2,400 free: twice as much as the limits take.
        assert_eq!(recommended(2_400 * MIB, &[held(10, 50, 20), held(5, 20, 25)]), [Some(40), Some(50)]);
        assert_eq!(recommended(150 * MIB, &[held(10, 50, 20), held(5, 20, 25)]), [Some(10), Some(12)]);
    }

    #[test]
    fn a_pool_without_workers_is_not_judged_and_takes_no_share() {
        let idle = Held { workers: 0, bytes: 0, max_children: Some(50) };
        assert_eq!(recommended(1_000 * MIB, &[held(10, 50, 10), idle]), [Some(30), None]);
        assert_eq!(recommended(1_000 * MIB, &[]), []);
    }

    #[test]
    fn at_least_one_worker_is_left_to_each_pool() {
        assert_eq!(recommended(0, &[held(1, 50, 50), held(1, 50, 1)]), [Some(1), Some(1)]);
    }

    proptest! {
        #[test]
        fn pools_at_their_new_limits_take_no_more_than_there_is(
            available in 0u64..1 << 45,
            pools in prop::collection::vec((1u64..1_000, 1u64..4_096, 1u64..5_000), 1..8),
        ) {
            let pools: Vec<Held> = pools.into_iter().map(|(workers, size, max)| held(workers, size, max)).collect();
            let fits = recommended(available, &pools);
            let budget = available as f64 + pools.iter().map(|pool| pool.bytes as f64).sum::<f64>();
            let taken: f64 = fits
                .iter()
                .zip(&pools)
                .map(|(fit, pool)| fit.unwrap().saturating_sub(1) as f64 * pool.bytes as f64 / pool.workers as f64)
                .sum();
            prop_assert!(taken <= budget * 1.000_001);
        }

        #[test]
        fn any_numbers_are_taken(available in any::<u64>(), pools in prop::collection::vec(any::<(u64, u64, Option<u64>)>(), 0..4)) {
            let pools: Vec<Held> =
                pools.into_iter().map(|(workers, bytes, max_children)| Held { workers, bytes, max_children }).collect();
            prop_assert_eq!(recommended(available, &pools).len(), pools.len());
        }
    }

    #[test]
    fn one_kind_is_measured_for_all_workers_of_a_pool() {
        let procfs = tempfile::tempdir().unwrap();
        let write = |pid: u32, name: &str, content: &str| {
            let folder = procfs.path().join(pid.to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), content).unwrap();
        };
        write(9, "cmdline", "php-fpm: master process (/x)\0");
        for pid in [10, 11, 12] {
            write(pid, "cmdline", "php-fpm: pool www\0");
            write(pid, "stat", &format!("{pid} (php-fpm) S 9 0"));
            write(pid, "statm", &format!("1000 {pid} 3 4 5 6 7\n"));
        }
        write(10, "smaps_rollup", "0-1 ---p 0 0 0 [rollup]\nRss: 9 kB\nPss:   100 kB\nPss_Dirty: 1 kB\n");
        write(11, "smaps_rollup", "Pss: 300 kB\n");
        // A zombie.
        write(12, "smaps_rollup", "");
        let pool = Workers { pool: "www".into(), name: "www".into(), master: 9 };
        let gone = Workers { pool: "gone".into(), name: "www".into(), master: 8 };
        let pools = [pool, gone];
        let [memory] = read(procfs.path(), &Processes::read(procfs.path()), &pools).try_into().unwrap();
        assert_eq!((memory.kind, memory.workers, memory.sum, memory.max), (MemoryKind::Pss, 2, 400 << 10, 300 << 10));
        assert_eq!(memory.mean(), Some(200 << 10));
        write(11, "smaps_rollup", "not allowed");
        let [memory] = read(procfs.path(), &Processes::read(procfs.path()), &pools).try_into().unwrap();
        let page = procfs::page_size();
        assert_eq!((memory.kind, memory.workers, memory.sum, memory.max), (MemoryKind::Rss, 3, 33 * page, 12 * page));
    }
}
