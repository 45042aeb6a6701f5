//! promtool and Prometheus as child processes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const MISSING: &str = "is needed for this test: install Debian's package `prometheus`";
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// What `promtool check metrics` says about an exposition: `Err` when it refuses it.
pub(crate) fn promtool_check(exposition: &str) -> Result<String, String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool ({error}) {MISSING}"));
    promtool.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// A Prometheus of our own, ended when dropped.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes each target every second as the job of that name.
    pub(crate) fn start(targets: &[(&str, SocketAddr)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = String::from("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n");
        for (job, address) in targets {
            config += &format!("- {{job_name: {job}, static_configs: [{{targets: ['{address}']}}]}}\n");
        }
        let path = directory.path().join("prometheus.yml");
        fs::write(&path, config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus ({error}) {MISSING}"));
        Self { process, address, directory }
    }

    /// The value of a query that selects one series, as soon as it does.
    pub(crate) fn value_once_there(&self, query: &str) -> f64 {
        let started = Instant::now();
        loop {
            let answer = self.get(&format!("/api/v1/query?query={}", percent_encoded(query)));
            if let Some([series]) =
                answer.as_ref().and_then(|answer| answer["data"]["result"].as_array()).map(Vec::as_slice)
            {
                return series["value"][1].as_str().unwrap().parse().unwrap();
            }
            if started.elapsed() > DEADLINE {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                let targets = self.get("/api/v1/targets");
                panic!("{query} selects no single series: {answer:?}\n{targets:#?}\n{log}");
            }
            thread::sleep(POLL);
        }
    }

    fn get(&self, path: &str) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
