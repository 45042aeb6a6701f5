//! The real Prometheus and its promtool.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use super::http::{self, Address};
use super::lab::{Lab, free_port};
use super::process::{Process, program};

/// A running Prometheus that scrapes twice a second.
#[derive(Debug)]
pub struct Prometheus {
    /// The server.
    pub process: Process,
    address: Address,
}

/// One series of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels, `__name__` included.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// Starts it with a job of that name for every address, and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start(lab: &Lab, jobs: &[(&str, &Address)]) -> Self {
        let folder = lab.subfolder("prometheus");
        let jobs: String = jobs
            .iter()
            .map(|(job, address)| format!("- {{job_name: {job}, static_configs: [{{targets: ['{address}']}}]}}\n"))
            .collect();
        let config = format!("global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n{jobs}");
        let file = lab.write("prometheus/prometheus.yml", config);
        let address = Address::loopback(free_port());
        let mut process = Process::start(
            "prometheus",
            Command::new(program("prometheus", "prometheus"))
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
                .arg(format!("--web.listen-address={address}")),
            &folder.join("prometheus.log"),
        );
        process.wait_until_ready(lab, |_| http::get(&address, "/-/ready").is_ok_and(|answer| answer.status == 200));
        Self { process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The instant vector of an expression, now.
    ///
    /// # Panics
    /// When Prometheus does not answer with one: the expression is wrong.
    pub fn query(&self, expression: &str) -> Vec<Sample> {
        let target = format!("/api/v1/query?query={}", percent_encoded(expression));
        let answer = http::get(&self.address, &target).unwrap_or_else(|error| panic!("Prometheus: {error}"));
        let json: serde_json::Value = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{expression}: {error}: {}", answer.text()));
        let series = json["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {json}"));
        series.iter().map(sample).collect()
    }

    /// The value of an expression that gives at most one series.
    pub fn value(&self, expression: &str) -> Option<f64> {
        let samples = self.query(expression);
        assert!(samples.len() <= 1, "{expression} gives {} series", samples.len());
        samples.first().map(|sample| sample.value)
    }
}

fn sample(series: &serde_json::Value) -> Sample {
    let labels = series["metric"].as_object().into_iter().flatten();
    Sample {
        labels: labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        value: series["value"][1].as_str().and_then(|value| value.parse().ok()).unwrap_or(f64::NAN),
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What `promtool check metrics` says about an exposition; `Err` when it refuses it.
///
/// # Panics
/// When promtool is not installed.
pub fn promtool_check(exposition: &str) -> Result<String, String> {
    let mut promtool = Command::new(program("promtool", "prometheus"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    promtool.stdin.take().expect("piped").write_all(exposition.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}
