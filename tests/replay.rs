//! `replay`, as a user calls it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nginx_502_exporter::observation::{Kind, Level, Phase, Protocol, Source};
use serde_json::Value;

const REFUSED: &str = r#"2026/11/21 09:54:37 [error] 7#7: *80 connect() failed (111: Connection refused) while connecting to upstream, client: 192.0.2.1, server: s, request: "GET /a HTTP/1.1", upstream: "http://127.0.0.1:8080/a", host: "h""#;
const PHP: &str = "2026/11/21 09:54:38 [error] 7#7: *81 FastCGI sent in stderr: \"PHP message: PHP Warning:  a\nPHP message: PHP Notice:  b\" while reading upstream, client: 192.0.2.1, server: s, request: \"GET /a HTTP/1.1\", upstream: \"fastcgi://unix:/run/a.sock:\", host: \"h\"";
const GROUP: &str = r#"2026/11/21 09:54:36 [error] 7#7: *82 no live upstreams while connecting to upstream, client: 192.0.2.1, server: s, request: "GET /a HTTP/1.1", upstream: "http://backend/a", host: "h""#;

fn replay(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nginx-502-exporter"))
        .arg("replay")
        .args(arguments)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn records(log: &[u8]) -> Vec<Value> {
    let output = replay(&["--format", "ndjson", "-"], log);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn log() -> Vec<u8> {
    format!("{REFUSED}\n{PHP}\n\nnot nginx's\n{GROUP}\n").into_bytes()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_entry_is_a_record_with_the_number_of_its_first_line() {
    let records = records(&log());
    let short: Vec<_> = records
        .iter()
        .map(|record| (record["line"].as_u64().unwrap(), record["class"].as_str(), record["peer"].as_str()))
        .collect();
    assert_eq!(
        short,
        [
            (1, Some("connect_refused"), Some("127.0.0.1:8080")),
            (2, Some("warning"), Some("unix:/run/a.sock")),
            (5, None, None),
            (6, Some("no_live_upstreams"), None),
        ]
    );
    assert_eq!(records[0]["time"], "2026-11-21T09:54:37+00:00");
    assert_eq!(records[3]["upstream"], "http://backend/a");
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let records = records(b"\xff\xfe\0 garbage\n");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["source"], "unrecognised");
}

#[test]
fn records_are_what_the_schema_says() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/replay-entry.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let keys = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for record in records(&log()) {
        assert_eq!(keys(&record), keys(&schema["properties"]));
    }
    let listed = |key: &str| -> Vec<&str> {
        schema["properties"][key]["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    };
    assert_eq!(listed("source"), Source::ALL.iter().map(|member| member.name()).collect::<Vec<_>>());
    assert_eq!(listed("level"), Level::ALL.iter().map(|member| member.name()).collect::<Vec<_>>());
    assert_eq!(listed("kind"), Kind::ALL.iter().map(|member| member.name()).collect::<Vec<_>>());
    assert_eq!(listed("phase"), Phase::ALL.iter().map(|member| member.name()).collect::<Vec<_>>());
    assert_eq!(listed("protocol"), Protocol::ALL.iter().map(|member| member.name()).collect::<Vec<_>>());
}

#[test]
fn gzip_plain_and_standard_input_add_up() {
    let folder = Folder::new();
    let plain = folder.file("a.log", &log());
    // Two members in one file, as `cat a.gz b.gz` makes them; the name does not matter.
    let packed = folder.file("b.log", &[gzip(&log()), gzip(&log())].concat());
    let output = replay(&["--format", "json", plain.to_str().unwrap(), packed.to_str().unwrap(), "-"], &gzip(&log()));
    assert!(output.status.success(), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["entries"], 12);
    assert_eq!(result["unrecognised_lines"], 4);
    let refused = result["failures"].as_array().unwrap().iter().find(|row| row["class"] == "connect_refused").unwrap();
    assert_eq!((&refused["count"], &refused["upstream"]), (&4.into(), &"127.0.0.1:8080".into()));
    assert_eq!(result["first"], "2026-11-21T09:54:36+00:00");
    assert_eq!(result["last"], "2026-11-21T09:54:38+00:00");
}

#[test]
fn the_table_names_who_failed_how_and_when() {
    let output = replay(&["-"], &log());
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["3 entries in 6 lines", "connect_refused", "127.0.0.1:8080", "2026-11-21 09:54:37", "PHP messages"] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn hostile_names_reach_the_terminal_escaped() {
    let hostile = REFUSED.replace("127.0.0.1:8080", "\u{1b}]0;x\u{7}\u{202e}:1");
    let output = replay(&["-"], format!("{hostile}\n").as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{text:?}");
}

#[test]
fn wrong_arguments_are_named_in_one_line_each() {
    let folder = Folder::new();
    let directory = folder.0.path().to_str().unwrap();
    let output = replay(&[directory, "/does/not/exist.log"], b"");
    assert_eq!(output.status.code(), Some(2));
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaints.lines().count(), 2, "{complaints}");
    assert!(complaints.contains("is a directory") && complaints.contains("/does/not/exist.log"), "{complaints}");
}

#[test]
fn broken_gzip_counts_what_came_before_and_fails() {
    let folder = Folder::new();
    let big: Vec<u8> = (0..20_000u32).flat_map(|n| format!("{REFUSED}{n}\n").into_bytes()).collect();
    let mut packed = gzip(&big);
    packed.truncate(packed.len() / 2);
    let path = folder.file("cut.gz", &packed);
    let output = replay(&["--format", "json", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken gzip"), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["entries"].as_u64().unwrap() > 1000, "{result}");
}

#[test]
fn a_line_of_many_megabytes_is_passed_over_and_counted() {
    let mut log = vec![b'x'; 20_000_000];
    log.push(b'\n');
    log.extend_from_slice(REFUSED.as_bytes());
    let output = replay(&["--format", "json", "-"], &log);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["entries"], &result["unrecognised_lines"]), (&1.into(), &1.into()));
    assert!(result["skipped_bytes"].as_u64().unwrap() > 19_000_000, "{result}");
}
