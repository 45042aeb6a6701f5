//! nginx's error log, understood: bytes in, [`Entry`] out. Pure.
//!
//! The way of an entry: [`split`](self::Entries) finds where it ends, `locate` where nginx's words begin behind a
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
mod split;
mod tally;
mod upstream;

pub use peer::address as peer_address;
pub use tally::Tally;

use super::More;
use crate::observation::{Entry, Fields, PhpKind, Source, Verdict};

/// Understands one whole entry: a line with its continuation lines, prefix of a log transport included.
#[must_use]
pub fn parse(entry: &[u8]) -> Entry<'_> {
    match split::next(entry, More::Never) {
        split::Step::Entry { located, .. } => read::read(entry, located),
        split::Step::Foreign { .. } | split::Step::Wait => foreign(entry),
    }
}

/// Every PHP message of an entry that carries some, in order.
pub fn php_kinds<'a>(entry: &Entry<'a>) -> impl Iterator<Item = PhpKind> + use<'a> {
    entry.message.strip_prefix(php::OPENER).map(php::kinds).into_iter().flatten()
}

/// An entry found in a log, and where.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// What it says.
    pub entry: Entry<'a>,
    /// Its bytes, line feeds included.
    pub bytes: &'a [u8],
    /// How many lines it takes.
    pub lines: u32,
}

/// The entries at the front of a piece of a log. What is left of it, when nothing more is found, belongs to an entry whose
/// end has not come.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
    more: More,
}

impl<'a> Entries<'a> {
    /// Entries of `log`; `more` says whether the log goes on.
    #[must_use]
    pub const fn new(log: &'a [u8], more: More) -> Self {
        Self { rest: log, more }
    }

    /// What was not given out yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Found<'a>;

    #[inline]
    fn next(&mut self) -> Option<Found<'a>> {
        let step = split::next(self.rest, self.more);
        let (length, lines) = match step {
            split::Step::Entry { length, lines, .. } | split::Step::Foreign { length, lines } => (length, lines),
            split::Step::Wait => return None,
        };
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let entry = match step {
            split::Step::Entry { located, .. } => read::read(bytes, located),
            split::Step::Foreign { .. } | split::Step::Wait => foreign(bytes),
        };
        Some(Found { entry, bytes, lines })
    }
}

/// A line of something else.
fn foreign(line: &[u8]) -> Entry<'_> {
    Entry {
        source: Source::Unrecognised,
        time: None,
        level: None,
        verdict: Verdict::Other,
        phase: None,
        protocol: None,
        errno: None,
        message: line.trim_ascii_end(),
        fields: Fields::default(),
    }
}
