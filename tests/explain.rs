//! `explain` over lines that real nginx wrote under fault injection, and a few that nobody should trust.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and runs the program"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nginx_502_exporter::cli::explain::{Outcome, Style, run};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/explain")
}

fn explain(log: &[u8]) -> (String, Outcome) {
    let mut out = Vec::new();
    let outcome = run(log, &mut out, Style::Plain).unwrap();
    (String::from_utf8(out).unwrap(), outcome)
}

/// What stands in the row `label` of an explanation, its continuation lines not included.
fn row<'a>(text: &'a str, label: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("  {label:<9}")));
    found.unwrap_or_else(|| panic!("no {label} in\n{text}"))
}

#[test]
fn explanations_read_as_agreed() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut logs: Vec<PathBuf> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    assert!(logs.len() > 10);
    for log in logs {
        let (text, _) = explain(&fs::read(&log).unwrap());
        let golden = log.with_extension("txt");
        if update {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, expected, "{}; UPDATE_GOLDEN=1 rewrites it", golden.display());
    }
}

#[test]
fn the_status_named_is_the_one_in_nginxs_own_access_log() {
    let table = fs::read_to_string(fixtures().join("status.tsv")).unwrap();
    let mut compared = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let (status, line) = line.split_once('\t').unwrap();
        let (text, outcome) = explain(line.replace("\\n", "\n").as_bytes());
        assert_eq!(outcome, Outcome::Understood, "{line}");
        let client = row(&text, "client");
        let agrees = match status {
            // The status had been sent when the entry was written, or nothing went wrong.
            "200" => client.contains("usually 200") || client.starts_with("its normal response"),
            status => client.starts_with(status),
        };
        assert!(agrees, "the access log says {status}\n{text}");
        compared += 1;
    }
    assert!(compared > 45, "{compared}");
}

#[test]
fn no_byte_of_a_hostile_line_reaches_the_terminal_as_it_is() {
    let (text, _) = explain(&fs::read(fixtures().join("hostile.log")).unwrap());
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    let commands = text.split("  confirm").nth(1).unwrap();
    assert!(!commands.contains("reboot"), "{commands}");
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_nginx-502-exporter"));
    program.arg("explain").stdin(Stdio::null());
    program
}

#[test]
fn lines_are_arguments_or_standard_input() {
    let log = fixtures().join("refused-tcp.log");
    let line = fs::read_to_string(&log).unwrap();
    let by_argument = program().arg(line.trim_end()).output().unwrap();
    let by_input = program().stdin(fs::File::open(&log).unwrap()).output().unwrap();
    assert!(by_argument.status.success());
    assert_eq!(by_argument.stdout, by_input.stdout);
    assert!(!by_input.stdout.contains(&0x1b), "no colour into a pipe");
}

#[test]
fn the_exit_code_is_1_when_nothing_was_understood() {
    let output = program().arg("hello").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("not understood"));
    assert_eq!(program().output().unwrap().status.code(), Some(1));
}
