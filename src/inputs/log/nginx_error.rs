//! nginx's error log, understood: bytes in, [`Entry`] out. Pure.
//!
//! The way of an entry: `split` finds where it ends, `locate` where nginx's words begin behind a
//! transport's prefix, `fields` takes the tail apart, `action` and `errno` read what nginx was doing and what the system
//! answered, `classify` decides. Formats: `ngx_log.c`, `ngx_http_request.c`, `ngx_http_upstream.c` and the modules.

mod action;
mod classify;
mod errno;
mod fields;
mod head;
mod locate;
mod peer;
mod php;
mod prefix;
mod read;
mod scan;
mod split;
mod tally;
mod upstream;

pub use peer::address as peer_address;
pub use scan::{Piece, Scanner};
pub use tally::Tally;

use super::More;
use crate::observation::{Entry, Fields, PhpKinds, Source, Verdict};

/// Understands one whole entry: a line with its continuation lines, prefix of a log transport included.
#[must_use]
pub fn parse(entry: &[u8]) -> Entry<'_> {
    match split::next(entry, More::Never) {
        split::Step::Entry { located, .. } => read::read(entry, located),
        split::Step::Foreign { .. } | split::Step::Wait => foreign(entry),
    }
}

/// The entries and foreign lines of a whole text, in order, each with its bytes.
pub fn entries(text: &[u8]) -> Vec<(Entry<'_>, &[u8])> {
    let mut found = Vec::new();
    Scanner::default().scan(text, More::Never, |piece| match piece {
        Piece::Entry(entry, bytes, _) => found.push((entry, bytes)),
        Piece::Foreign(line) | Piece::Overlong(line) => found.push((foreign(line), line)),
        Piece::Skipped(_) => {}
    });
    found
}

/// A line that is not nginx's.
#[must_use]
pub fn foreign(line: &[u8]) -> Entry<'_> {
    Entry {
        source: Source::Unrecognised,
        time: None,
        level: None,
        verdict: Verdict::Other,
        phase: None,
        protocol: None,
        errno: None,
        php: PhpKinds::default(),
        message: line.trim_ascii_end(),
        fields: Fields::default(),
    }
}
