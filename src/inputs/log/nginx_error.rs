//! nginx's error log, understood: bytes in, [`Entry`] out. Pure.

use crate::observation::{Entry, Fields, Source, Verdict};

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
