//! A decision for every format nginx can log.
//!
//! `fixtures/nginx/formats.tsv` lists the format strings of nginx 0.8 to 1.31, read in its source. Each of level warn and
//! above is filled in, read, and its decision compared with the table `decisions.tsv`, which is read and agreed to line by
//! line. `UPDATE_GOLDEN=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use nginx_502_exporter::inputs::log::nginx_error;
use nginx_502_exporter::observation::{Kind, Source};

const FORMATS: &str = include_str!("fixtures/nginx/formats.tsv");

/// A row of the list.
struct Format<'a> {
    level: &'a str,
    text: &'a str,
    errno: &'a str,
    context: &'a str,
}

fn formats() -> impl Iterator<Item = Format<'static>> {
    FORMATS.lines().skip(1).filter_map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        let [level, text, errno, context, ..] = columns[..] else { panic!("a row without columns: {row}") };
        ["emerg", "alert", "crit", "error", "warn", "stderr"].contains(&level).then_some(Format {
            level,
            text,
            errno,
            context,
        })
    })
}

/// What stands for a placeholder at the beginning of these, where the source has a few fixed words.
fn beginning(text: &str) -> Option<&'static str> {
    Some(match text {
        "%s %V" => "an upstream response is buffered to a temporary file",
        "%s \\\"%s\\\" failed" => "open()",
        "%s %P exited on signal %d" | "%s %P exited on signal %d%s" => "worker process",
        "%s %P exited with fatal code %d and can not be respawn"
        | "%s %P exited with fatal code %d and cannot be respawned" => "worker process",
        "%s in upstream \\\"%V\\\"" => "invalid port",
        "%s in pass \\\"%V\\\"" => "invalid port",
        _ => return None,
    })
}

/// The message nginx would write: placeholders replaced by something of their type.
fn message(format: &Format<'_>) -> String {
    let text = format.text.replace("\\\"", "\"");
    let mut out = String::new();
    let mut rest = text.as_str();
    if let (Some(words), Some(after)) = (beginning(format.text), text.strip_prefix("%s")) {
        out.push_str(words);
        rest = after;
    }
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let specifier: String = after.chars().take_while(|c| "0123456789*.uixX".contains(*c)).collect();
        let kind = after[specifier.len()..].chars().next().unwrap_or(' ');
        let (value, taken) = match kind {
            // "limiting requests%s": ", dry run" or nothing.
            's' if out.ends_with(|c: char| c.is_alphanumeric()) && specifier.is_empty() => ("", 1),
            'V' | 'v' | 's' => ("value", 1),
            'd' | 'O' | 'P' | 'z' | 'A' | 'D' | 'T' | 'M' | 'l' | 'L' => ("7", 1),
            'p' => ("00007f00", 1),
            'c' => ("x", 1),
            'r' => ("7", 1),
            _ => ("7", 0),
        };
        out.push_str(value);
        rest = &after[specifier.len() + taken..];
    }
    out.push_str(rest);
    out
}

/// The whole line as it stands in the log.
fn line(format: &Format<'_>) -> String {
    let mut line = message(format);
    if !format.errno.is_empty() {
        write!(line, " ({}: words of some libc)", format.errno).unwrap();
    }
    match format.context {
        "" => {}
        "resolving" => line.push_str(" while resolving, resolver: 127.0.0.1:53"),
        context => {
            write!(line, " while {context}, client: 192.0.2.1, server: example.com, request: \"GET /a HTTP/1.1\"")
                .unwrap();
            if context.contains("upstream") || context == "sending to client" || context.starts_with("proxying") {
                line.push_str(", upstream: \"http://127.0.0.1:8080/a\"");
            }
            line.push_str(", host: \"example.com\"");
        }
    }
    match format.level {
        "stderr" => format!("nginx: {line}"),
        level => format!("2026/11/21 09:54:32 [{level}] 7#7: *7 {line}"),
    }
}

#[test]
fn every_format_has_the_decision_agreed_to() {
    let mut table = String::from("level\tformat\terrno\tcontext\tkind\tclass\n");
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for format in formats() {
        let line = line(&format);
        let entry = nginx_error::parse(line.as_bytes());
        // Of what nginx prints on standard error, only lines with a level are entries.
        if format.level != "stderr" || format.text.starts_with('[') {
            assert_eq!(entry.source, Source::NginxError, "{line}");
        }
        let kind = entry.verdict.kind();
        *kinds.entry(kind.name()).or_default() += 1;
        let class = entry.verdict.class().unwrap_or("-");
        assert_eq!(class == "-", !matches!(kind, Kind::Upstream | Kind::Local | Kind::Php), "{line}");
        let Format { level, text, errno, context } = format;
        writeln!(table, "{level}\t{text}\t{errno}\t{context}\t{kind}\t{class}").unwrap();
    }
    println!("{kinds:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nginx/decisions.tsv");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let agreed = std::fs::read_to_string(&path).expect("the table is there");
    for (now, then) in table.lines().zip(agreed.lines()) {
        assert_eq!(now, then, "a decision differs from the agreed one");
    }
    assert_eq!(table.lines().count(), agreed.lines().count(), "rows were added or lost");
}
