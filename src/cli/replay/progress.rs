//! The progress bar of a replay. Shown on a terminal only.

use std::io::{self, IsTerminal, Read};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::input::Input;

/// How far the replay is, in bytes as they lie on disk.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(inputs: &[Input]) -> Self {
        let total: Option<u64> = inputs.iter().map(Input::size).sum();
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let shown = io::stderr().is_terminal();
        bar.set_draw_target(if shown { ProgressDrawTarget::stderr_with_hz(4) } else { ProgressDrawTarget::hidden() });
        let template = if total.is_some() {
            "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        } else {
            "{spinner} {bytes} {bytes_per_sec}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Reads `input` and moves the bar by what was taken from its file.
    pub(super) fn watch<'a>(&'a self, input: &'a mut Input) -> impl Read + 'a {
        Watched { bar: &self.0, input }
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

struct Watched<'a> {
    bar: &'a ProgressBar,
    input: &'a mut Input,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = self.input.consumed();
        let length = self.input.read(buffer)?;
        self.bar.inc(self.input.consumed() - before);
        Ok(length)
    }
}
