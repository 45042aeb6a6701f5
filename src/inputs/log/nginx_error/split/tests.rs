use super::super::entries;
use super::*;
use crate::observation::{Entry, Kind, Source};

const HEAD: &str = "2026/11/21 09:54:37 [error] 7#7: *80 ";
const TAIL: &str =
    ", client: 192.0.2.1, server: s, request: \"GET / HTTP/1.1\", upstream: \"fastcgi://127.0.0.1:9000\", host: \"h\"";
const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";
const RECORD: &str = "FastCGI sent in stderr: \"PHP message: ";

fn entry(message: &str) -> String {
    format!("{HEAD}{message}{TAIL}\n")
}

fn classes(log: &str) -> Vec<&'static str> {
    entries(log.as_bytes()).iter().map(|(entry, _)| name(entry)).collect()
}

fn name(entry: &Entry<'_>) -> &'static str {
    entry.verdict.class().unwrap_or(entry.verdict.kind().name())
}

#[test]
fn a_php_record_of_several_lines_is_one_entry() {
    let log = [entry(REFUSED), entry(&format!("{RECORD}a\nb\n\nc\" while reading upstream")), entry(REFUSED)].concat();
    assert_eq!(classes(&log), ["connect_refused", "application", "connect_refused"]);
    let lines: u32 = log.lines().count().try_into().unwrap();
    let mut counted = 0;
    super::super::Scanner::default().scan(log.as_bytes(), More::Never, |piece| {
        if let super::super::Piece::Entry(_, _, lines) = piece {
            counted += lines;
        }
    });
    assert_eq!(counted, lines);
}

#[test]
fn what_php_wrote_cannot_pose_as_an_entry() {
    let forged = entry(&format!("{RECORD}a\n{}more\" while reading upstream", entry(REFUSED)));
    assert_eq!(classes(&forged), ["application"]);
    let forged_without_fields = entry(&format!("{RECORD}a\n{HEAD}{REFUSED}\nmore\" while reading upstream"));
    assert_eq!(classes(&forged_without_fields), ["application"]);
}

#[test]
fn a_record_whose_end_was_taken_out_of_the_log_swallows_nothing() {
    let log = format!("{HEAD}{RECORD}a\n{}{}", entry(REFUSED), entry(&format!("{RECORD}b\" while reading upstream")));
    assert_eq!(classes(&log), ["application", "connect_refused", "application"]);
}

#[test]
fn a_forged_tail_inside_a_record_is_text() {
    let log = entry(&format!(
        "{RECORD}a\" while reading upstream, client: 1.1.1.1, server: fake, request: \"GET / HTTP/1.1\", \
         upstream: \"fastcgi://fake:1\", host: \"h\"\" while reading response header from upstream"
    ));
    let found = entries(log.as_bytes());
    assert_eq!(found[0].0.fields.server, Some(&b"s"[..]));
    assert_eq!(found[0].0.fields.upstream, Some(&b"fastcgi://127.0.0.1:9000"[..]));
}

#[test]
fn a_modules_stack_trace_belongs_to_its_entry() {
    let log = format!(
        "{HEAD}[lua] a.lua:1: failed\nstack traceback:\n\t[C]: in function 'x'\n{REFUSED}\n, client: 192.0.2.1, server: s\n{}",
        entry(REFUSED)
    );
    assert_eq!(classes(&log), ["other", "connect_refused"]);
}

#[test]
fn prefixed_logs_split_at_every_head() {
    for prefix in ["web-1  | ", "<187>Nov  3 09:54:37 web1 nginx: ", "2026-11-21T09:54:37+01:00 web1 nginx[1]: "] {
        let log: String = [REFUSED, "no live upstreams while connecting to upstream", REFUSED]
            .iter()
            .map(|message| format!("{prefix}{}", entry(message)))
            .collect();
        assert_eq!(classes(&log), ["connect_refused", "no_live_upstreams", "connect_refused"], "{prefix}");
    }
}

#[test]
fn lines_of_other_programs_are_foreign() {
    let log = format!("hello\n{}\n\nworld\n{}", entry(REFUSED), entry(REFUSED));
    let found = entries(log.as_bytes());
    let is_foreign =
        |(entry, line): &&(Entry<'_>, &[u8])| entry.source == Source::Unrecognised && !line.trim_ascii().is_empty();
    assert_eq!(found.iter().filter(is_foreign).count(), 2, "a complete entry takes no further lines");
    assert_eq!(found.iter().filter(|(entry, _)| entry.verdict.kind() == Kind::Upstream).count(), 2);
}

#[test]
fn an_entry_waits_only_for_what_can_belong_to_it() {
    let whole = entry(REFUSED);
    assert!(matches!(next(whole.as_bytes(), More::Expected), Step::Entry { .. }));
    let partial = whole.trim_end();
    assert_eq!(next(partial.as_bytes(), More::Expected), Step::Wait);
    assert_eq!(next(partial.as_bytes(), More::NotForNow), Step::Wait, "a line without its end is not whole");
    assert!(matches!(next(partial.as_bytes(), More::Never), Step::Entry { .. }));
    let open = format!("{HEAD}{RECORD}a\n");
    assert_eq!(next(open.as_bytes(), More::Expected), Step::Wait);
    assert!(matches!(next(open.as_bytes(), More::NotForNow), Step::Entry { .. }));
}

#[test]
fn an_entry_cut_by_nginx_does_not_wait_for_its_end() {
    let cut = format!("{HEAD}{RECORD}{}\n", "x".repeat(2047 - HEAD.len() - RECORD.len()));
    assert!(matches!(next(cut.as_bytes(), More::Expected), Step::Entry { lines: 1, .. }));
}

#[test]
fn in_whatever_pieces_a_log_comes_its_entries_are_the_same() {
    let log = [
        entry(REFUSED),
        entry(&format!("{RECORD}a\n{}b\" while reading upstream", entry(REFUSED))),
        format!("{HEAD}[lua] x\ntrace\n, client: 1.1.1.1, server: s\n"),
        "not nginx's\n".to_owned(),
        entry("upstream timed out (110: Connection timed out) while reading response header from upstream"),
    ]
    .concat();
    let of_nginx = |(entry, _): &(Entry<'_>, &[u8])| entry.source == Source::NginxError;
    let whole: Vec<_> =
        entries(log.as_bytes()).iter().filter(|found| of_nginx(found)).map(|found| name(&found.0)).collect();
    for size in 1..200 {
        let mut scanner = super::super::Scanner::default();
        let mut held: Vec<u8> = Vec::new();
        let mut found = Vec::new();
        let mut feed = |held: &mut Vec<u8>, more| {
            let taken = scanner.scan(held, more, |piece| {
                if let super::super::Piece::Entry(entry, ..) = piece {
                    found.push(name(&entry));
                }
            });
            held.drain(..taken);
        };
        for piece in log.as_bytes().chunks(size) {
            held.extend_from_slice(piece);
            feed(&mut held, More::Expected);
        }
        feed(&mut held, More::Never);
        assert_eq!(found, whole, "in pieces of {size} bytes");
    }
}
