//! Bytes per second, in turns on one core.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::generate::{Log, Written};
use crate::measure::{self, Usage};
use crate::options::Options;

/// The piece of the log on which counts are compared.
const CHECKED_BYTES: u64 = 5_000_000;

/// One measured program.
struct Program<'a> {
    name: &'static str,
    program: &'a OsStr,
    arguments: Vec<&'a OsStr>,
    bytes: u64,
    runs: Vec<Usage>,
}

impl Program<'_> {
    /// Bytes per second of each run, slowest first.
    fn rates(&self, time: impl Fn(&Usage) -> f64) -> Vec<f64> {
        let mut rates: Vec<f64> = self.runs.iter().map(|run| self.bytes as f64 / time(run).max(1e-9)).collect();
        rates.sort_by(f64::total_cmp);
        rates
    }

    fn median(&self) -> f64 {
        let rates = self.rates(|run| run.wall.as_secs_f64());
        rates[rates.len() / 2]
    }

    fn row(&self) -> String {
        let wall = self.rates(|run| run.wall.as_secs_f64());
        let cpu = self.rates(|run| run.cpu.as_secs_f64());
        let mega = |rate: f64| format!("{:.1}", rate / 1e6);
        let peak = self.runs.iter().map(|run| run.peak_memory).max().unwrap_or(0);
        format!(
            "{:<10} {:>5} {:>8.0} {:>9} {:>9} {:>9} {:>10} {:>9.1}",
            self.name,
            self.runs.len(),
            self.bytes as f64 / 1e6,
            mega(wall[0]),
            mega(wall[wall.len() / 2]),
            mega(wall[wall.len() - 1]),
            mega(cpu[cpu.len() / 2]),
            peak as f64 / 1e6
        )
    }
}

/// Generates the log, compares counts, measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("nginx-502-bench.").tempdir_in(&options.directory)?;
    let written = |name: &str, bytes| -> Result<_> {
        let path = folder.path().join(name);
        let file = File::create(&path)?;
        let written = Log::new().write(file.try_clone()?, bytes)?;
        // Else the kernel would write it back while the programs run.
        file.sync_all()?;
        Ok((path, written))
    };
    let programs = folder.path().join("mtail");
    std::fs::create_dir(&programs)?;
    std::fs::write(programs.join("nginx_error.mtail"), include_str!("../mtail/nginx_error.mtail"))?;

    let (checked, truth) = written("checked.log", CHECKED_BYTES.min(options.bytes))?;
    same_counts("replay", &replay_counts(options, &checked)?, &truth.upstream, &truth.local)?;
    same_counts("mtail", &mtail_counts(options, &programs, &checked)?, &truth.upstream, &truth.local)?;
    println!("replay, mtail and the generator agree on {} entries.", truth.entries);

    let (log, all) = written("error.log", options.bytes)?;
    let (piece, part) = written("piece.log", options.mtail_bytes.min(options.bytes))?;
    describe(&all, options);

    let mtail = mtail_arguments(&programs, &piece);
    let mut measured = [
        Program {
            name: "replay",
            program: options.exporter.as_os_str(),
            arguments: vec![OsStr::new("replay"), log.as_os_str()],
            bytes: all.bytes,
            runs: Vec::new(),
        },
        Program {
            name: "mtail",
            program: OsStr::new("mtail"),
            arguments: mtail.iter().map(AsRef::as_ref).collect(),
            bytes: part.bytes,
            runs: Vec::new(),
        },
        Program {
            name: "grep -c",
            program: OsStr::new("grep"),
            arguments: vec![OsStr::new("-c"), OsStr::new("Connection refused"), log.as_os_str()],
            bytes: all.bytes,
            runs: Vec::new(),
        },
        Program {
            name: "wc -l",
            program: OsStr::new("wc"),
            arguments: vec![OsStr::new("-l"), log.as_os_str()],
            bytes: all.bytes,
            runs: Vec::new(),
        },
    ];
    for _ in 0..options.runs {
        for program in &mut measured {
            let usage = measure::run(options.core, program.program, &program.arguments)?;
            program.runs.push(usage);
        }
    }
    println!("\n                          MB   ------- MB/s by the clock -------   MB/s by    peak MB");
    println!("program     runs     read       min    median       max   CPU time  resident");
    for program in &measured {
        println!("{}", program.row());
    }
    let [replay, others @ ..] = &measured;
    println!();
    for other in others {
        println!("replay / {:<8} {:>8.2}  (medians)", other.name, replay.median() / other.median());
    }
    Ok(())
}

fn describe(all: &Written, options: &Options) {
    let upstream: u64 = all.upstream.values().sum();
    println!(
        "{:.2} GB, {} entries of {} bytes on average, {upstream} of them failed upstream attempts; core {}, {} runs in turns.",
        all.bytes as f64 / 1e9,
        all.entries,
        all.bytes / all.entries.max(1),
        options.core,
        options.runs
    );
}

type Counts = BTreeMap<String, u64>;

/// Classes as `replay` sees them, entry by entry.
fn replay_counts(options: &Options, log: &Path) -> Result<Counts> {
    let arguments = ["replay", "--format", "ndjson"].map(OsStr::new);
    let arguments = [&arguments[..], &[log.as_os_str()]].concat();
    let output = measure::output(options.core, options.exporter.as_os_str(), &arguments)?;
    let mut counts = Counts::new();
    for line in output.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let entry: serde_json::Value = serde_json::from_slice(line)?;
        if let (Some("upstream" | "local"), Some(class)) = (entry["kind"].as_str(), entry["class"].as_str()) {
            *counts.entry(class.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

fn mtail_arguments(programs: &Path, log: &Path) -> [String; 12] {
    [
        // It listens, even for a single pass: then at least on no one else's port.
        "--address".to_owned(),
        "127.0.0.1".to_owned(),
        "--port".to_owned(),
        "0".to_owned(),
        "--one_shot".to_owned(),
        "--one_shot_format".to_owned(),
        "json".to_owned(),
        "--logtostderr".to_owned(),
        "--progs".to_owned(),
        programs.display().to_string(),
        "--logs".to_owned(),
        log.display().to_string(),
    ]
}

/// Classes as mtail's counters have them in the end.
fn mtail_counts(options: &Options, programs: &Path, log: &Path) -> Result<Counts> {
    let arguments = mtail_arguments(programs, log);
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    let output = measure::output(options.core, OsStr::new("mtail"), &arguments)?;
    let begin = output.iter().position(|&byte| byte == b'{').context("mtail printed no metrics")?;
    let store: serde_json::Value = serde_json::from_slice(&output[begin..])?;
    let mut counts = Counts::new();
    for name in ["upstream_failures", "local_failures"] {
        for value in store[name][0]["LabelValues"].as_array().into_iter().flatten() {
            let class = value["Labels"][0].as_str().unwrap_or_default().to_owned();
            *counts.entry(class).or_default() += value["Value"]["Value"].as_u64().unwrap_or(0);
        }
    }
    Ok(counts)
}

fn same_counts(
    program: &str,
    counted: &Counts,
    upstream: &BTreeMap<&'static str, u64>,
    local: &BTreeMap<&'static str, u64>,
) -> Result<()> {
    let truth: Counts = upstream.iter().chain(local).map(|(&class, &count)| (class.to_owned(), count)).collect();
    ensure!(*counted == truth, "{program} counted {counted:#?}\nbut the generator wrote {truth:#?}");
    Ok(())
}
