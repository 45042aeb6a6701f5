//! What looking at PHP-FPM costs: `cargo run --release --example fpm_cost [POOLS]` starts a real PHP-FPM with that many
//! pools of one worker each, and prints the time and the CPU time of this process per look.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a measurement, not a program"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::lab::{WORKER_USER, is_root};
use common::process::Process;
use common::{Lab, php_fpm};
use nginx_502_exporter::discovery::fpm::{Processes, Sources, discover, labels};
use nginx_502_exporter::inputs::fpm::{Target, memory, read};
use rustix::time::{ClockId, clock_gettime};

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Prints the mean of some rounds.
fn measure<T>(what: &str, mut look: impl FnMut() -> T) -> T {
    const ROUNDS: u32 = 10;
    let mut seen = look();
    let (start, start_cpu) = (Instant::now(), cpu());
    for _ in 0..ROUNDS {
        seen = look();
    }
    let (time, used) = (start.elapsed() / ROUNDS, (cpu() - start_cpu) / ROUNDS);
    println!("{what:<42} {:>9.2} ms {:>9.2} ms of CPU", time.as_secs_f64() * 1e3, used.as_secs_f64() * 1e3);
    seen
}

fn main() {
    let pools: usize = std::env::args().nth(1).map_or(500, |argument| argument.parse().expect("a number of pools"));
    let lab = Lab::new();
    let user = if is_root() { format!("user = {WORKER_USER}\n") } else { String::new() };
    for pool in 0..pools {
        let socket = lab.path(&format!("{pool}.sock"));
        let directives = format!(
            "[pool{pool}]\n{user}listen = {}\npm = static\npm.max_children = 1\npm.status_path = /status\n",
            socket.display()
        );
        lab.write(&format!("pool.d/{pool}.conf"), directives);
    }
    let log = lab.path("fpm.log");
    let include = lab.path("pool.d/*.conf");
    let conf = lab.write("fpm.conf", format!("error_log = {}\ninclude = {}\n", log.display(), include.display()));
    let mut process = Process::start(
        "php-fpm",
        Command::new(php_fpm::executable()).arg("--nodaemonize").arg("--fpm-config").arg(&conf),
        &lab.path("output.log"),
    );
    let master = process.pid().as_raw_nonzero().get().unsigned_abs();
    let workers = || {
        Processes::read(Path::new("/proc")).masters().find(|found| found.pid == master).map(|found| found.workers.len())
    };
    process.wait_until_ready(&lab, |_| workers() == Some(pools));
    let sources = Sources { procfs: "/proc".into(), rootfs: "/".into(), conf: vec![conf] };
    let procfs = Path::new("/proc");
    let processes = measure("look for masters and workers", || Processes::read(procfs));
    let found = measure("read every file of the configuration", || discover(&sources, &processes));
    assert_eq!(found.pools().count(), pools);
    measure("notice that no file has changed", || found.changed(&processes));
    let labels = labels(&found);
    let targets: Vec<Target> = found
        .pools()
        .zip(&labels)
        .filter_map(|((installation, pool), label)| Target::of(installation, pool, label))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    measure("read every status page, one after another", || {
        for target in &targets {
            let reading = runtime.block_on(read(target, true, Duration::from_secs(10)));
            assert!(reading.outcome.is_ok(), "{reading:?}");
        }
    });
    let workers: Vec<memory::Workers> = found
        .pools()
        .zip(&labels)
        .map(|((_, pool), label)| memory::Workers { pool: label.clone(), name: pool.name.clone(), master })
        .collect();
    let weighed = measure("weigh every worker", || memory::read(procfs, &processes, &workers));
    assert_eq!(weighed.len(), pools);
    println!("{pools} pools; kind {}", weighed[0].kind);
}
