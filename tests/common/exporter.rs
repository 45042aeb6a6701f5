//! The exporter itself: the built binary.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::http::{self, Address, Response};
use super::lab::{Lab, free_port};
use super::process::Process;

/// The running exporter.
#[derive(Debug)]
pub struct Exporter {
    /// The process.
    pub process: Process,
    address: Address,
}

impl Exporter {
    /// Starts `serve` on a free port and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start<A: AsRef<OsStr>>(lab: &Lab, arguments: impl IntoIterator<Item = A>) -> Self {
        Self::start_as(lab, &binary(), arguments)
    }

    /// The same through a program that becomes the exporter.
    pub fn start_as<A: AsRef<OsStr>>(lab: &Lab, program: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        // What other tests have running is none of this one's business: it would be found, and probed.
        let alone = ["--nginx.conf=/dev/null", "--fpm.conf=/dev/null", "--probe.disable=all"].map(OsString::from);
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        Self::launch(lab, program, alone.into_iter().chain(arguments))
    }

    fn launch(lab: &Lab, program: &Path, arguments: impl Iterator<Item = OsString>) -> Self {
        let address = Address::loopback(free_port());
        let mut process = Process::start(
            "nginx-502-exporter",
            Command::new(program).args(["--web.listen-address", &address.to_string()]).args(arguments),
            &lab.path("exporter.log"),
        );
        process.wait_until_ready(lab, |_| http::get(&address, "/metrics").is_ok_and(|answer| answer.status == 200));
        Self { process, address }
    }

    /// Follows one nginx error log from its start.
    pub fn following(lab: &Lab, error_log: &Path) -> Self {
        Self::start(lab, [OsStr::new("--nginx.error-log"), error_log.as_os_str(), OsStr::new("--log.from-start")])
    }

    /// Looks at one nginx and one PHP-FPM, by their configurations.
    pub fn looking_at(lab: &Lab, nginx: &Path, fpm: &Path) -> Self {
        let seen = [OsStr::new("--nginx.conf"), nginx.as_os_str(), OsStr::new("--fpm.conf"), fpm.as_os_str()];
        let clocks =
            ["--socket.interval=50ms", "--fpm.interval=200ms", "--fpm.timeout=150ms", "--probe.interval=200ms"];
        Self::launch(lab, &binary(), seen.into_iter().map(OsStr::to_owned).chain(clocks.map(OsString::from)))
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// `/metrics`, as Prometheus' text format.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn metrics(&self) -> Response {
        http::get(&self.address, "/metrics").unwrap_or_else(|error| panic!("/metrics: {error}"))
    }

    /// The value of one series, written as in the exposition: `name` or `name{label="value"}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.series().remove(series)
    }

    /// The series of one family.
    pub fn family(&self, name: &str) -> BTreeMap<String, f64> {
        let mut series = self.series();
        series.retain(|series, _| series.split('{').next() == Some(name));
        series
    }

    fn series(&self) -> BTreeMap<String, f64> {
        let metrics = self.metrics().text();
        let samples = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect()
    }
}

/// The built binary: cargo tells tests where it is; an example finds it one folder up.
pub fn binary() -> PathBuf {
    option_env!("CARGO_BIN_EXE_nginx-502-exporter").map_or_else(
        || {
            let example = std::env::current_exe().expect("our own path");
            example.ancestors().nth(2).expect("target/<profile>/examples/<name>").join("nginx-502-exporter")
        },
        PathBuf::from,
    )
}
