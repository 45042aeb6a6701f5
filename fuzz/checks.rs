//! What must hold for any bytes. Used by the fuzz targets, and by `tests/fuzz_corpus.rs` over the corpus and its mutations.
#![allow(dead_code, unreachable_pub, reason = "a target uses one of them")]

use std::path::Path;

use nginx_502_exporter::cli::explain::{Style, run};
use nginx_502_exporter::config::Source;
use nginx_502_exporter::inputs::log::More;
use nginx_502_exporter::inputs::log::nginx_error::{Piece, Scanner, parse};
use nginx_502_exporter::observation::{Entry, Verdict};

/// An entry, and a log of them: nothing is invented, nothing is lost, and it does not matter in which pieces it comes.
pub fn nginx_entry(bytes: &[u8]) {
    borrowed_from(bytes, &parse(bytes));

    let (whole, taken) = scan(&[(bytes, More::Never)]);
    assert_eq!(taken, bytes.len(), "every byte belongs to a piece");

    let middle = bytes.first().map_or(0, |&first| usize::from(first) * bytes.len() / 256);
    let (front, _) = bytes.split_at(middle);
    let (halves, _) = scan(&[(front, More::Expected), (bytes, More::Never)]);
    assert_eq!(halves, whole, "a log that comes in two pieces, cut at byte {middle}, says the same");
}

/// Where an entry begins, how long it is, and what it says.
type Found = (usize, usize, Verdict);

/// Scans a log of which more and more is there; each hand begins where the log begins.
fn scan(hands: &[(&[u8], More)]) -> (Vec<Found>, usize) {
    let mut scanner = Scanner::default();
    let mut found = Vec::new();
    let mut at = 0;
    for &(bytes, more) in hands {
        let from = at;
        let taken = scanner.scan(&bytes[from..], more, |piece| match piece {
            Piece::Entry(entry, own, lines) => {
                borrowed_from(own, &entry);
                let feeds = own.iter().filter(|&&byte| byte == b'\n').count();
                let open = usize::from(!own.ends_with(b"\n"));
                assert_eq!(lines as usize, feeds + open, "lines of {}", own.escape_ascii());
                found.push((at, own.len(), entry.verdict));
                at += own.len();
            }
            Piece::Foreign(own) => at += own.len(),
            // The same bytes come once more, as skipped ones.
            Piece::Overlong(_) => {}
            Piece::Skipped(length) => at += length,
        });
        assert_eq!(at, from + taken, "pieces are what was taken");
    }
    (found, at)
}

/// Every part of an entry is a part of the bytes it was read from.
fn borrowed_from(bytes: &[u8], entry: &Entry<'_>) {
    let fields = &entry.fields;
    let parts = [
        Some(entry.message),
        fields.client,
        fields.server,
        fields.request,
        fields.subrequest,
        fields.upstream,
        fields.host,
        fields.referrer,
    ];
    let all = bytes.as_ptr_range();
    for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
        let range = part.as_ptr_range();
        assert!(range.start >= all.start && range.end <= all.end, "{} was not in the entry", part.escape_ascii());
    }
}

const ENTRY: &[u8] = b"2026/11/21 09:54:37 [error] 5654#5654: *80 connect() failed (111: Connection refused) while connecting \
    to upstream, client: 127.0.0.1, server: example.com, request: \"GET /p HTTP/1.1\", upstream: \"http://127.0.0.1:1/p\", \
    host: \"example.com\"";

/// A transport's prefix, whatever is in it, changes nothing about the entry behind it.
pub fn prefix(bytes: &[u8]) {
    let line = [bytes, ENTRY].concat();
    let entry = parse(&line);
    borrowed_from(&line, &entry);

    // A prefix that nginx's own words cannot be mistaken for.
    let harmless = bytes.iter().all(|byte| !b"[\"\n,".contains(byte)) && bytes.len() <= 300;
    if harmless && (bytes.is_empty() || bytes.ends_with(b" ")) {
        assert_eq!(entry, parse(ENTRY), "behind {}", bytes.escape_ascii());
    }
}

/// Whatever is explained, nothing that a terminal would obey is printed.
pub fn explain(bytes: &[u8]) {
    let mut out = Vec::new();
    run(bytes, &mut out, Style::Plain).expect("memory can be read and written");
    let text = String::from_utf8(out).expect("text is UTF-8");
    let hidden =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.chars().any(hidden), "{text:?}");
}

/// A configuration file is accepted or refused with reasons, each on one line.
pub fn config(bytes: &[u8]) {
    if let Err(problems) = Source::default().load_bytes(Path::new("/fuzz.yml"), bytes) {
        let text = problems.to_string();
        assert!(!text.trim().is_empty(), "a refusal has a reason");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}
