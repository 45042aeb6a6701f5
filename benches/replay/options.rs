//! The benchmark's options.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What to measure, and on what.
#[derive(Debug)]
pub(crate) struct Options {
    /// Size of the generated log.
    pub(crate) bytes: u64,
    /// Size of the piece of it that mtail gets.
    pub(crate) mtail_bytes: u64,
    /// Runs of each program.
    pub(crate) runs: usize,
    /// The core the measured programs run on.
    pub(crate) core: usize,
    /// Entries whose way to `/metrics` is measured.
    pub(crate) events: usize,
    /// Where the log is written.
    pub(crate) directory: PathBuf,
    /// The binary under test.
    pub(crate) exporter: PathBuf,
    /// Measure the throughput.
    pub(crate) throughput: bool,
    /// Measure the delay.
    pub(crate) delay: bool,
    /// Only write the log here.
    pub(crate) generate: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments behind the program's name.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self {
            bytes: 1_000_000_000,
            mtail_bytes: 40_000_000,
            runs: 5,
            core: cores - 1,
            events: 200,
            // On disk, as logs are; warm in the page cache, as a log that is being written is.
            directory: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            exporter: PathBuf::from(env!("CARGO_BIN_EXE_nginx-502-exporter")),
            throughput: true,
            delay: true,
            generate: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--bytes" => options.bytes = number(&value()?)?,
                "--mtail-bytes" => options.mtail_bytes = number(&value()?)?,
                "--runs" => options.runs = number(&value()?)?.max(1) as usize,
                "--core" => options.core = number(&value()?)? as usize,
                "--events" => options.events = number(&value()?)?.max(1) as usize,
                "--directory" => options.directory = PathBuf::from(value()?),
                "--exporter" => options.exporter = PathBuf::from(value()?),
                "--generate" => options.generate = Some(PathBuf::from(value()?)),
                "--skip-throughput" => options.throughput = false,
                "--skip-delay" => options.delay = false,
                other => bail!("unknown option {other}; the head of benches/replay/main.rs lists them"),
            }
        }
        Ok(options)
    }
}

/// A whole number, also as `1e9`.
fn number(text: &str) -> Result<u64> {
    let value: f64 = text.parse().with_context(|| format!("{text} is no number"))?;
    Ok(value as u64)
}
