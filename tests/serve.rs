//! The running exporter, from outside: reload, restart, bad luck.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::exporter::binary;
use common::{Exporter, Lab, Nginx, NginxConfig, http};
use rustix::process::Signal;

const DEADLINE: Duration = Duration::from_secs(15);
const REFUSED: &str = "nginx_upstream_failures_total{class=\"connect_refused\"}";
const RELOADED: &str = "nginx_502_exporter_config_last_reload_successful";

fn append_refused(log: &Path, count: usize) {
    let line = "2026/11/21 09:54:37 [error] 7#7: *80 connect() failed (111: Connection refused) while connecting to \
                upstream, client: 192.0.2.1, server: s, request: \"GET / HTTP/1.1\", upstream: \"http://127.0.0.1:1/\", \
                host: \"h\"\n";
    let mut file = OpenOptions::new().append(true).create(true).open(log).expect("our log");
    file.write_all(line.repeat(count).as_bytes()).expect("written");
}

fn wait_for_value(lab: &Lab, exporter: &Exporter, series: &str, value: f64) {
    lab.wait_for(&format!("{series} to be {value}"), DEADLINE, || exporter.value(series) == Some(value));
}

#[test]
fn a_reload_follows_new_logs_and_keeps_the_counters() {
    let lab = Lab::new();
    let (first, second) = (lab.path("first-error.log"), lab.path("second-error.log"));
    append_refused(&first, 2);
    append_refused(&second, 3);
    let settings = |logs: &[&Path]| {
        let list: Vec<_> = logs.iter().map(|log| log.display().to_string()).collect();
        format!("nginx:\n  error_log: [{}]\nlog:\n  from_start: true\n", list.join(", "))
    };
    let config = lab.write("config.yml", settings(&[&first]));
    let exporter = Exporter::start(&lab, ["--config.file".as_ref(), config.as_os_str()]);
    wait_for_value(&lab, &exporter, REFUSED, 2.0);
    wait_for_value(&lab, &exporter, RELOADED, 1.0);

    lab.write("config.yml", "nginx:\n  error_lag: [/x]\n");
    exporter.process.signal(Signal::HUP);
    wait_for_value(&lab, &exporter, RELOADED, 0.0);
    append_refused(&first, 1);
    wait_for_value(&lab, &exporter, REFUSED, 3.0);
    let said = fs::read_to_string(lab.path("exporter.log")).expect("its log");
    assert!(said.contains("config.yml:2:3") && said.contains("error_lag"), "{said}");

    lab.write("config.yml", settings(&[&first, &second]));
    exporter.process.signal(Signal::HUP);
    wait_for_value(&lab, &exporter, RELOADED, 1.0);
    // What exists when a log is named for the first time is old, unless asked for from the start.
    wait_for_value(&lab, &exporter, REFUSED, 6.0);
}

#[test]
fn a_reload_goes_on_following_the_logs_that_were_discovered() {
    let lab = Lab::new();
    let dead = common::lab::free_port();
    let nginx =
        Nginx::start(&lab, &NginxConfig::server(format!("location / {{ proxy_pass http://127.0.0.1:{dead}; }}")));
    let exporter = Exporter::looking_at(&lab, &nginx.config_file(), Path::new("/dev/null"));
    let input = format!("nginx_502_exporter_input_up{{input=\"nginx_error_log:{}\"}}", nginx.error_log().display());
    wait_for_value(&lab, &exporter, &input, 1.0);
    exporter.process.signal(Signal::HUP);
    lab.wait_for("the reload", DEADLINE, || lab.log_tails().contains("configuration reloaded"));
    assert_eq!(nginx.get("/").status, 502);
    wait_for_value(&lab, &exporter, REFUSED, 1.0);
    assert_eq!(exporter.value(&input), Some(1.0));
}

#[test]
fn a_reload_over_http_answers_with_what_is_wrong() {
    let lab = Lab::new();
    let config = lab.write("config.yml", "web:\n  enable_lifecycle: true\n");
    let exporter = Exporter::start(&lab, ["--config.file".as_ref(), config.as_os_str()]);
    let reload = || http::Request::post("/-/reload", 0).send(exporter.address()).expect("an answer");
    assert_eq!(reload().status, 200);
    lab.write("config.yml", "log:\n  poll_interval: soon\n");
    let refused = reload();
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("config.yml:2:18: log.poll_interval"), "{}", refused.text());
}

#[test]
fn a_restart_with_a_position_file_neither_loses_nor_repeats() {
    let lab = Lab::new();
    let log = lab.path("error.log");
    let positions = lab.path("positions");
    let arguments =
        ["--nginx.error-log".as_ref(), log.as_os_str(), "--log.position-file".as_ref(), positions.as_os_str()];
    append_refused(&log, 5);
    let mut first = Exporter::start(&lab, arguments);
    lab.wait_for("the log to be opened", DEADLINE, || {
        http::get(first.address(), "/-/ready").is_ok_and(|answer| answer.status == 200)
    });
    append_refused(&log, 2);
    wait_for_value(&lab, &first, REFUSED, 2.0);
    assert!(first.process.stop().is_some_and(|status| status.success()), "ends by itself on SIGTERM");
    append_refused(&log, 4);
    let second = Exporter::start(&lab, arguments);
    wait_for_value(&lab, &second, REFUSED, 4.0);
}

#[test]
fn an_address_in_use_ends_the_start_with_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = Command::new(binary()).args(["--web.listen-address", &address]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    let complaints: Vec<_> = said.lines().filter(|line| line.contains("level=error")).collect();
    assert_eq!(complaints.len(), 1, "{said}");
    assert!(complaints[0].contains(&address) && complaints[0].contains("choose another"), "{said}");
}

#[test]
fn a_log_that_is_no_file_is_named_and_does_not_end_the_exporter() {
    let lab = Lab::new();
    let directory = lab.subfolder("logs");
    let log = lab.path("error.log");
    append_refused(&log, 1);
    let exporter = Exporter::start(
        &lab,
        [
            "--log.from-start",
            "--nginx.error-log",
            directory.to_str().unwrap(),
            "--nginx.error-log",
            log.to_str().unwrap(),
        ],
    );
    wait_for_value(&lab, &exporter, REFUSED, 1.0);
    let input = format!("input=\"nginx_error_log:{}\"", directory.display());
    wait_for_value(&lab, &exporter, &format!("nginx_502_exporter_input_up{{{input}}}"), 0.0);
    let failure = format!("nginx_502_exporter_input_failure{{{input},reason=\"wrong_type\"}}");
    assert_eq!(exporter.value(&failure), Some(1.0));
}

#[test]
fn what_this_process_may_open_is_raised_to_what_it_is_allowed() {
    let lab = Lab::new();
    let folder = lab.subfolder("many");
    for n in 0..200 {
        append_refused(&folder.join(format!("{n}-error.log")), 1);
    }
    let wrapper = lab.write("few.sh", format!("#!/bin/sh\nulimit -S -n 128\nexec {} \"$@\"\n", binary().display()));
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("ours");
    let pattern = format!("{}/*error.log", folder.display());
    let exporter = Exporter::start_as(&lab, &wrapper, ["--log.from-start", "--nginx.error-log", &pattern]);
    wait_for_value(&lab, &exporter, REFUSED, 200.0);
}
