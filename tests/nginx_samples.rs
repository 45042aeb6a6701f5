//! Lines that real programs wrote: `sample-lines.jsonl` from public logs of many ages and systems, labelled by hand, and
//! `live-lines.tsv` from nginx under fault injection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use nginx_502_exporter::inputs::log::nginx_error;
use nginx_502_exporter::observation::{Kind, Source};
use serde_json::Value;

/// What a label says: one word, or any of several.
fn words(label: &Value) -> Vec<&str> {
    match label {
        Value::String(word) => vec![word],
        Value::Array(words) => words.iter().map(|word| word.as_str().unwrap()).collect(),
        _ => Vec::new(),
    }
}

fn text(field: Option<&[u8]>) -> Option<String> {
    field.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[test]
fn labelled_lines_are_read_as_labelled() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for sample in include_str!("fixtures/nginx/sample-lines.jsonl").lines() {
        let sample: Value = serde_json::from_str(sample).unwrap();
        if sample["source"] != "nginx" {
            continue;
        }
        seen += 1;
        let line = sample["line"].as_str().unwrap();
        let entry = nginx_error::parse(line.as_bytes());
        let kinds = words(&sample["kind"]);
        let kind = entry.verdict.kind();
        let kind_agrees =
            kinds.contains(&kind.name()) || (kinds == ["not an upstream failure"] && kind != Kind::Upstream);
        let classes = words(&sample["class"]);
        let class_agrees = classes.is_empty() || entry.verdict.class().is_some_and(|class| classes.contains(&class));
        let rest_agrees = entry.source == Source::NginxError
            && entry.phase.map(|phase| phase.name()) == sample["phase"].as_str()
            && text(entry.fields.upstream).as_deref() == sample["upstream"].as_str()
            && text(entry.fields.server).as_deref() == sample["server"].as_str();
        if !(kind_agrees && class_agrees && rest_agrees) {
            wrong.push(format!("{sample}\n  read as {entry:?}"));
        }
    }
    assert!(seen > 100, "only {seen} samples");
    assert!(wrong.is_empty(), "{} of {seen} samples:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn lines_of_a_real_nginx_under_faults_agree_with_its_answer() {
    let mut seen = 0;
    for row in include_str!("fixtures/nginx/live-lines.tsv").lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [_, level, _, line, rest @ ..] = &columns[..] else { panic!("{row}") };
        let status = rest.first().copied().unwrap_or_default();
        let entry = nginx_error::parse(line.replace("\\n", "\n").as_bytes()).source;
        assert_eq!(entry, Source::NginxError, "{line}");
        let line = line.replace("\\n", "\n");
        let entry = nginx_error::parse(line.as_bytes());
        assert_eq!(entry.level.unwrap().name(), *level, "{line}");
        seen += 1;
        if matches!(status, "502" | "504") && *level != "warn" {
            assert!(matches!(entry.verdict.kind(), Kind::Upstream | Kind::Local), "{status} but {entry:?}");
        }
        if matches!(status, "499" | "413") {
            assert_eq!(entry.verdict.kind(), Kind::Client, "{line}");
        }
    }
    assert!(seen > 80, "only {seen} lines");
}
