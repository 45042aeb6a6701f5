//! nginx's error log, understood: bytes in, [`Entry`] out. Pure.

use std::borrow::Cow;

use super::More;
use crate::observation::{Entry, Fields, PhpKind, Source, Verdict};

/// Understands one whole entry: a line with its continuation lines, prefix of a log transport included.
#[must_use]
pub fn parse(entry: &[u8]) -> Entry<'_> {
    Entry {
        source: Source::Unrecognised,
        time: None,
        level: None,
        verdict: Verdict::Other,
        phase: None,
        protocol: None,
        errno: None,
        message: entry,
        fields: Fields::default(),
    }
}

/// The address contacted.
#[must_use]
pub fn peer_address(upstream: &[u8]) -> Cow<'_, [u8]> {
    Cow::Borrowed(upstream)
}

/// Every PHP message of an entry that carries some, in order.
pub fn php_kinds<'a>(_: &Entry<'a>) -> impl Iterator<Item = PhpKind> + use<'a> {
    std::iter::empty()
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

/// The entries at the front of a piece of a log.
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

    fn next(&mut self) -> Option<Found<'a>> {
        let length = match memchr::memchr(b'\n', self.rest) {
            Some(end) => end + 1,
            None if self.more == More::Never && !self.rest.is_empty() => self.rest.len(),
            None => return None,
        };
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Found { entry: parse(bytes.trim_ascii_end()), bytes, lines: 1 })
    }
}
