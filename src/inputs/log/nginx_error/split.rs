//! Bytes to entries: a line and the lines that continue it.
//!
//! Most entries are one line, and the next line's head says so at once. An entry goes on when PHP messages in it hold line
//! feeds, when a module logged a stack trace, or when a transport wrapped it. What PHP wrote can look like an entry of its
//! own; it is taken for one only when the record it stands in is not closed behind it.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;

use super::locate::{self, Located, Shape};
use super::{fields, head, php, read};
use crate::inputs::log::More;

/// nginx cuts an entry at this length (`NGX_MAX_ERROR_STR`); one that is as long may lack its end.
const NGINX_CUTS_AT: usize = 2_040;

/// No entry is longer than this: nginx's 2,048 bytes, with the prefixes of several lines and room for modules.
const LONGEST_ENTRY: usize = 8 * 1024;

/// What stands at the front of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// An entry of `length` bytes in `lines` lines.
    Entry { length: usize, lines: u32, located: Located },
    /// A line that belongs to no entry.
    Foreign { length: usize },
    /// It cannot be told yet.
    Wait,
}

/// Looks at the front of `bytes`.
#[inline]
pub(super) fn next(bytes: &[u8], more: More) -> Step {
    let Some(line_end) = line_end(bytes, more) else { return Step::Wait };
    let line = bytes.get(..line_end).unwrap_or_default();
    let length = (line_end + 1).min(bytes.len());
    if let Some(located) = locate::at_start(line) {
        let alone = bytes.get(length..).is_some_and(head::is_head) && !opens_record(line, located);
        if alone {
            return Step::Entry { length, lines: 1, located };
        }
        return grow(bytes, length, located, more);
    }
    slow(bytes, line, length, more)
}

#[cold]
fn slow(bytes: &[u8], line: &[u8], length: usize, more: More) -> Step {
    match locate::anywhere(line).or_else(|| headless(line)) {
        Some(located) => grow(bytes, length, located, more),
        None => Step::Foreign { length },
    }
}

/// Where the first line ends, or `None` when its end has not come yet.
fn line_end(bytes: &[u8], more: More) -> Option<usize> {
    memchr(b'\n', bytes).or_else(|| (more == More::Never && !bytes.is_empty()).then_some(bytes.len()))
}

/// A message that lost its head, known by its own words.
fn headless(line: &[u8]) -> Option<Located> {
    let located = Located { message: 0, head: 0, shape: Shape::Headless, time: None, level: None, connection: true };
    read::is_telling(line).then_some(located)
}

/// Adds the lines that continue the entry whose first line is `length` bytes long.
fn grow(bytes: &[u8], mut length: usize, located: Located, more: More) -> Step {
    let mut lines = 1;
    if opens_record(bytes.get(..length).unwrap_or_default(), located) {
        match record_end(bytes, length, more) {
            RecordEnd::At(end) => {
                let inside = bytes.get(length..end).unwrap_or_default();
                lines += u32::try_from(memchr::memchr_iter(b'\n', inside).count()).unwrap_or(u32::MAX);
                if !inside.ends_with(b"\n") {
                    lines += 1;
                }
                return Step::Entry { length: end, lines, located };
            }
            RecordEnd::NotYet => return Step::Wait,
            RecordEnd::Nowhere => {}
        }
    }
    // What follows an entry that is complete is never its own: else it would depend on whether it had come already.
    while is_open(bytes.get(..length).unwrap_or_default(), located) {
        let rest = bytes.get(length..).unwrap_or_default();
        let Some(end) = line_end(rest, more) else {
            if more == More::Expected && length < LONGEST_ENTRY {
                return Step::Wait;
            }
            break;
        };
        let line = rest.get(..end).unwrap_or_default();
        // What a module logged into an open entry is its own text, however telling: only a head begins another.
        if locate::anywhere(line).is_some() || length + end >= LONGEST_ENTRY {
            break;
        }
        length += (end + 1).min(rest.len());
        lines += 1;
    }
    Step::Entry { length, lines, located }
}

/// Whether the entry so far lacks its end.
fn is_open(entry: &[u8], located: Located) -> bool {
    if !located.connection || entry.len() >= located.head + NGINX_CUTS_AT {
        return false;
    }
    let text = entry.get(located.message..).unwrap_or_default().trim_ascii_end();
    match read::find_tail(text) {
        Some(found) => found.tail.agreement != fields::Agreement::Whole,
        None => true,
    }
}

/// Whether `line` begins a FastCGI stderr record without closing it.
fn opens_record(line: &[u8], located: Located) -> bool {
    let Some(record) = line.get(located.message..).and_then(|text| text.strip_prefix(php::OPENER)) else {
        return false;
    };
    line.len() < located.head + NGINX_CUTS_AT && !closes_record(record)
}

/// Whether a line holds `" while …, client: `: the end of a record and the beginning of the fields.
fn closes_record(line: &[u8]) -> bool {
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\" while "));
    static FIELDS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(", client: "));
    END.find_iter(line).any(|at| {
        let behind = line.get(at..line.len().min(at + 160)).unwrap_or_default();
        FIELDS.find(behind).is_some()
    })
}

/// Whether a line is an entry of its own that begins a record.
fn begins_record(line: &[u8]) -> bool {
    static OPENER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(php::OPENER));
    let Some(opener) = OPENER.find(line) else { return false };
    locate::anywhere(line).is_some_and(|located| located.message == opener)
}

enum RecordEnd {
    /// The record's last line ends here.
    At(usize),
    /// Not in the bytes at hand.
    NotYet,
    /// It was never closed: the lines between were taken out of the log.
    Nowhere,
}

/// Looks for the line that closes the record which began before `from`.
fn record_end(bytes: &[u8], from: usize, more: More) -> RecordEnd {
    let mut at = from;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(end) = line_end(rest, more) else {
            let in_reach = at + rest.len() < LONGEST_ENTRY;
            return if more == More::Expected && in_reach { RecordEnd::NotYet } else { RecordEnd::Nowhere };
        };
        if at + end > LONGEST_ENTRY {
            return RecordEnd::Nowhere;
        }
        let line = rest.get(..end).unwrap_or_default();
        if begins_record(line) {
            return RecordEnd::Nowhere;
        }
        at += (end + 1).min(rest.len());
        if closes_record(line) {
            return RecordEnd::At(at);
        }
        // nginx would have cut the entry here.
        if at > from.saturating_add(NGINX_CUTS_AT) {
            return RecordEnd::Nowhere;
        }
    }
}

#[cfg(test)]
mod tests;
