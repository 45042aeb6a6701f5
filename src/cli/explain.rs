//! `explain`: log entries in, plain words out.
//!
//! Reads a log of any size in constant memory, and explains each entry as soon as its end is known: the end of an entry
//! that may go on in further lines is known when the next one begins.

mod page;

use std::io::{self, IsTerminal, Read, Write};

use self::page::Page;
use super::pump::{Stopped, Visitor, pump};
use crate::inputs::log::nginx_error::Piece;

/// Whether anything was understood: what the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one entry.
    Understood,
    /// Not one.
    NothingUnderstood,
}

/// How the output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With the terminal's colours.
    Colour,
}

impl Style {
    /// Colour, if standard output is a terminal and the user has not asked for none (`NO_COLOR`, see no-color.org).
    #[must_use]
    pub fn detect() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if io::stdout().is_terminal() && !unwanted { Self::Colour } else { Self::Plain }
    }
}

/// Explains every entry of `input`.
///
/// # Errors
/// What reading `input` or writing `out` failed with; [`io::ErrorKind::BrokenPipe`] when the reader of `out` has had enough.
pub fn run(mut input: impl Read, out: &mut impl Write, style: Style) -> io::Result<Outcome> {
    let mut report = Report { page: Page::new(out, style), understood: 0, foreign: None };
    match pump(&mut input, &mut report) {
        Ok(()) => report.finish(),
        Err(Stopped::Reading(error) | Stopped::Visiting(error)) => Err(error),
    }
}

/// Lines in a row that are no entry.
struct Foreign {
    first: Vec<u8>,
    lines: u64,
}

struct Report<'w, W> {
    page: Page<'w, W>,
    understood: u64,
    foreign: Option<Foreign>,
}

impl<W: Write> Visitor for Report<'_, W> {
    fn piece(&mut self, piece: &Piece<'_>) -> io::Result<()> {
        match piece {
            Piece::Entry(entry, ..) => {
                self.understood = self.understood.saturating_add(1);
                self.foreign_ends()?;
                self.page.entry(entry)?;
            }
            Piece::Foreign(line) | Piece::Overlong(line) if !line.trim_ascii().is_empty() => {
                let first = || page::excerpt(line.trim_ascii_end()).to_vec();
                let foreign = self.foreign.get_or_insert_with(|| Foreign { first: first(), lines: 0 });
                foreign.lines = foreign.lines.saturating_add(1);
            }
            Piece::Foreign(_) | Piece::Overlong(_) | Piece::Skipped(_) => {}
        }
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        self.page.flush()
    }
}

impl<W: Write> Report<'_, W> {
    fn foreign_ends(&mut self) -> io::Result<()> {
        match self.foreign.take() {
            Some(foreign) => self.page.foreign(&foreign.first, foreign.lines),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<Outcome> {
        self.foreign_ends()?;
        self.page.flush()?;
        Ok(if self.understood > 0 { Outcome::Understood } else { Outcome::NothingUnderstood })
    }
}

#[cfg(test)]
mod tests;
