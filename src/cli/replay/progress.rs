//! The progress bar of a replay. Shown on a terminal only.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::input::Input;

/// How far the replay is.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Bytes of the inputs that are done.
    done: u64,
    /// Bytes of the input at hand.
    current: u64,
}

impl Progress {
    pub(super) fn new(inputs: &[Input]) -> Self {
        let total: Option<u64> = inputs.iter().map(Input::size).sum();
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let shown = std::io::stderr().is_terminal();
        bar.set_draw_target(if shown { ProgressDrawTarget::stderr_with_hz(4) } else { ProgressDrawTarget::hidden() });
        let template = if total.is_some() {
            "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        } else {
            "{spinner} {bytes} {bytes_per_sec}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, done: 0, current: 0 }
    }

    /// `consumed` bytes of the input at hand were read. Less than before means that the next input began.
    pub(super) fn update(&mut self, consumed: u64) {
        if consumed < self.current {
            self.done += self.current;
        }
        self.current = consumed;
        if !self.bar.is_hidden() {
            self.bar.set_position(self.done + consumed);
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
