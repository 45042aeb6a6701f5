//! `explain`: log entries in, plain words out.
//!
//! Reads a log of any size in constant memory, and explains each entry as soon as its end is known: the end of an entry
//! that may go on in further lines is known when the next one begins.

mod page;

use std::io::{self, IsTerminal, Read, Write};

use self::page::Page;
use crate::inputs::log::nginx_error::{Entries, Found};
use crate::inputs::log::{MAX_HELD_BACK, More};
use crate::observation::Source;

/// How much is read at a time.
const CHUNK: usize = 16 * 1024;

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
    let mut held = Vec::new();
    let mut chunk = [0; CHUNK];
    loop {
        let length = match input.read(&mut chunk) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        held.extend_from_slice(chunk.get(..length).unwrap_or_default());
        if length == 0 {
            report.entries(&mut held, More::Never)?;
            return report.finish();
        }
        report.entries(&mut held, More::Expected)?;
        if held.len() >= MAX_HELD_BACK {
            report.entries(&mut held, More::Never)?;
        }
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

impl<W: Write> Report<'_, W> {
    /// Explains the entries at the front of `held` and takes them out of it.
    fn entries(&mut self, held: &mut Vec<u8>, more: More) -> io::Result<()> {
        let mut entries = Entries::new(held, more);
        for found in entries.by_ref() {
            self.found(&found)?;
        }
        let rest = entries.rest().len();
        held.drain(..held.len().saturating_sub(rest));
        self.page.flush()
    }

    fn found(&mut self, found: &Found<'_>) -> io::Result<()> {
        if found.entry.source != Source::Unrecognised {
            self.understood = self.understood.saturating_add(1);
            self.foreign_ends()?;
            return self.page.entry(&found.entry);
        }
        if !found.bytes.trim_ascii().is_empty() {
            let first = || page::excerpt(found.bytes.trim_ascii_end()).to_vec();
            let foreign = self.foreign.get_or_insert_with(|| Foreign { first: first(), lines: 0 });
            foreign.lines = foreign.lines.saturating_add(u64::from(found.lines));
        }
        Ok(())
    }

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
