//! The real Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

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
    /// Starts it with one job, `exporter`, and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start(lab: &Lab, targets: &[&Address]) -> Self {
        let folder = lab.subfolder("prometheus");
        let targets = targets.iter().map(|target| format!("'{target}'")).collect::<Vec<_>>().join(", ");
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- job_name: exporter\n  \
             static_configs: [{{targets: [{targets}]}}]\n"
        );
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
        process.wait_until_ready(lab, || http::get(&address, "/-/ready").is_ok_and(|answer| answer.status == 200));
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
        let json: serde_json::Value = serde_json::from_str(dechunked(&answer.text()).as_str())
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
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _never_fails = write!(encoded, "%{byte:02X}");
        encoded
    })
}

/// Prometheus answers long results in chunks; JSON has no line that is only a hexadecimal number.
fn dechunked(body: &str) -> String {
    if body.starts_with('{') {
        return body.to_owned();
    }
    body.split("\r\n").skip(1).step_by(2).collect()
}
