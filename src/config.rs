//! What to look at and how: file, flags and environment in, one validated [`Config`] out.
//!
//! ```text
//! command line ─┐
//! environment  ─┼─► given: text and where it was said ──► merge: parse all, strongest wins ──► Config
//! YAML file    ─┘         settings: the one list                    Problems: everything wrong, at once
//! ```
//!
//! [`settings`] lists every setting once; its name gives the flag, the environment variable and the key in the file.
//! All three hand over text, so that one parser per setting says what is right, wherever it was said.
//!
//! YAML stays behind the module `yaml`. It reads the file with `serde_yaml` into a tree of its own, because a derived
//! `Deserialize` stops at the first mistake, and an operator wants to hear of all of them.

mod expand;
mod file;
mod given;
mod listen;
mod merge;
mod parse;
mod problem;
pub mod settings;
mod source;
mod yaml;

use std::path::PathBuf;
use std::time::Duration;

pub use given::Given;
pub use listen::ListenAddress;
pub use merge::Effective;
pub use parse::LogFormat;
pub use problem::{Place, Position, Problem, Problems};
pub use source::Source;

/// A configuration without mistakes: only [`Source::load`] makes one.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; at least one, none twice.
    pub listen: Vec<ListenAddress>,
    /// The path of the metrics: begins with `/`, is none of the exporter's own.
    pub telemetry_path: String,
    /// Whether `POST /-/reload` is answered.
    pub lifecycle: bool,
    /// The least severe level of the exporter's own log that is written.
    pub log_level: tracing::Level,
    /// How the exporter's own log is written.
    pub log_format: LogFormat,
    /// Whether a log found at start is read from its beginning.
    pub from_start: bool,
    /// Where positions in logs are kept across restarts, if anywhere; absolute.
    pub position_file: Option<PathBuf>,
    /// How often logs are looked at where the kernel does not say that they changed; 10 ms to 1 h.
    pub poll_interval: Duration,
    /// nginx error logs: absolute paths or globs that compile; at least one, none twice.
    pub error_logs: Vec<String>,
    /// nginx's configuration, without rootfs; `None` for the one that is discovered.
    pub nginx_conf: Option<PathBuf>,
    /// Main configurations of PHP-FPM, without rootfs; empty for those that are discovered.
    pub fpm_confs: Vec<PathBuf>,
    /// How often a pool's status page is read; 10 ms to 1 min, as the next four.
    pub fpm_interval: Duration,
    /// How long one reading of a status page may take.
    pub fpm_timeout: Duration,
    /// How often the kernel is asked for accept queues.
    pub socket_interval: Duration,
    /// How often each peer is probed.
    pub probe_interval: Duration,
    /// How long one probe may take.
    pub probe_timeout: Duration,
    /// Kinds of probe that are not made; `all` for none.
    pub probe_disable: Vec<&'static str>,
    /// Peers that are not probed.
    pub probe_exclude: Vec<String>,
    /// Where the root filesystem of the host is seen; absolute.
    pub rootfs: PathBuf,
    /// Where procfs is mounted; absolute.
    pub procfs: PathBuf,
    /// How many label sets a metric family with open labels may have; 1 to 100,000.
    pub series_per_family: usize,
    effective: Vec<Effective>,
}

impl Config {
    /// What is in force, setting by setting in the order of [`settings::ALL`], and who said so.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The settings in which `new` differs and which only a restart applies, seen from the configuration the process
    /// started with.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        self.effective
            .iter()
            .zip(&new.effective)
            .filter(|(old, new)| !old.setting.on_reload && old.values != new.values)
            .map(|(old, _)| old.setting.name)
            .collect()
    }
}
