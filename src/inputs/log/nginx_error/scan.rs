//! A log as it comes, piece by piece: the entries of the bytes at hand, and memory for what spans several hands.

use memchr::memchr;

use super::{Entry, read, split};
use crate::inputs::log::{MAX_HELD_BACK, More};

/// What stands at the front of a log.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// An entry, its bytes, and how many lines it takes.
    Entry(Entry<'a>, &'a [u8], u32),
    /// A line that belongs to no entry. May be blank.
    Foreign(&'a [u8]),
    /// The beginning of a line longer than anything nginx writes.
    Overlong(&'a [u8]),
    /// So many bytes of an overlong line, not looked at.
    Skipped(usize),
}

/// Reads a log in pieces. The only thing it remembers is that it is inside an overlong line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scanner {
    skipping: bool,
}

impl Scanner {
    /// Hands every piece at the front of `bytes` to `each`, and returns how many bytes those were. The rest has to be
    /// shown again, with what follows it.
    #[inline]
    pub fn scan<'a>(&mut self, bytes: &'a [u8], more: More, mut each: impl FnMut(Piece<'a>)) -> usize {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.skipping {
                let length = self.skip(rest);
                each(Piece::Skipped(length));
                taken += length;
                continue;
            }
            match split::next(rest, more) {
                split::Step::Entry { length, lines, located } => {
                    let entry = rest.get(..length).unwrap_or_default();
                    each(Piece::Entry(read::read(entry, located), entry, lines));
                    taken += length;
                }
                split::Step::Foreign { length } => {
                    each(Piece::Foreign(rest.get(..length).unwrap_or_default()));
                    taken += length;
                }
                split::Step::Wait if rest.len() >= MAX_HELD_BACK => {
                    self.skipping = true;
                    each(Piece::Overlong(rest));
                }
                split::Step::Wait => break,
            }
        }
        taken
    }

    /// Forgets what came before: another log begins.
    pub fn reset(&mut self) {
        self.skipping = false;
    }

    /// The bytes of `bytes` up to the end of the overlong line.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        memchr(b'\n', bytes).map_or(bytes.len(), |end| {
            self.skipping = false;
            end + 1
        })
    }
}
