//! From nginx's write to what Prometheus would see.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::generate::Random;
use crate::options::Options;

const ENTRY: &[u8] = b"2026/11/21 09:54:37 [error] 5654#5654: *80 connect() failed (111: Connection refused) while connecting \
    to upstream, client: 127.0.0.1, server: example.com, request: \"GET /p HTTP/1.1\", upstream: \"http://127.0.0.1:1/p\", \
    host: \"example.com\"\n";

const SERIES: &str = "nginx_upstream_failures_total{class=\"connect_refused\"} ";

/// When to give up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends the exporter, whatever happens.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Appends entries to a followed log, one at a time, and takes the time until `/metrics` has each.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("nginx-502-bench.").tempdir()?;
    let path = folder.path().join("error.log");
    let mut log = File::create(&path)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new(&options.exporter)
        .args(["serve", "--web.listen-address", &address.to_string(), "--nginx.error-log"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut exporter = Exporter(child);

    let begun = Instant::now();
    let mut count = loop {
        match scrape(address) {
            Ok(count) => break count,
            Err(error) => ensure!(begun.elapsed() < PATIENCE, "no /metrics from the exporter: {error:#}"),
        }
        if let Some(status) = exporter.0.try_wait()? {
            bail!("the exporter ended with {status}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };

    let mut random = Random::new(504);
    let mut delays = Vec::with_capacity(options.events);
    for _ in 0..options.events {
        // Not in step with any clock of the exporter.
        std::thread::sleep(Duration::from_micros(random.below(60_000) as u64));
        let written = Instant::now();
        log.write_all(ENTRY)?;
        let now = loop {
            let now = scrape(address)?;
            if now > count {
                break now;
            }
            ensure!(written.elapsed() < PATIENCE, "an entry did not become visible");
        };
        delays.push(written.elapsed());
        ensure!(now == count + 1, "one entry was counted {} times", now - count);
        count = now;
    }
    let scrapes: Vec<Duration> = (0..50)
        .map(|_| {
            let begun = Instant::now();
            scrape(address).map(|_| begun.elapsed())
        })
        .collect::<Result<_>>()?;
    println!(
        "\nwrite -> visible in /metrics, {} entries: median {:.1} ms, p95 {:.1} ms, max {:.1} ms (a scrape alone {:.1} ms)",
        delays.len(),
        quantile(&mut delays, 0.5),
        quantile(&mut delays, 0.95),
        quantile(&mut delays, 1.0),
        quantile(&mut scrapes.clone(), 0.5)
    );
    Ok(())
}

/// In milliseconds.
fn quantile(sample: &mut [Duration], q: f64) -> f64 {
    sample.sort();
    let last = sample.len().saturating_sub(1);
    sample[(last as f64 * q).round() as usize].as_secs_f64() * 1e3
}

/// The counter's value now.
fn scrape(address: SocketAddr) -> Result<u64> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: text/plain\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let value = answer.lines().find_map(|line| line.strip_prefix(SERIES)).context("the series is not there")?;
    Ok(value.trim().parse::<f64>()? as u64)
}
