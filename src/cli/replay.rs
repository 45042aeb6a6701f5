//! `replay`: whole logs through the same understanding the exporter has, in constant memory.

mod input;
mod ndjson;
mod progress;
mod summary;
mod table;

use std::io::{self, Write};

use super::args::{ReplayArgs, ReplayFormat};
use super::pump::{Stopped, Visitor, pump};
use super::{Exit, NAME, complain};
use crate::inputs::log::nginx_error::Piece;
use input::Input;
use progress::Progress;
use summary::Summary;

/// Answers the command line.
pub(super) fn run(args: &ReplayArgs) -> Exit {
    let mut inputs = Vec::with_capacity(args.files.len());
    let mut wrong = false;
    for path in &args.files {
        match Input::open(path) {
            Ok(input) => inputs.push(input),
            Err(error) => {
                complain(format_args!("{NAME}: {error}"));
                wrong = true;
            }
        }
    }
    if wrong {
        return Exit::Usage;
    }
    match replay(inputs, args.format, &mut io::stdout().lock()) {
        Ok(exit) => exit,
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            complain(format_args!("{NAME}: cannot write the result: {error}"));
            Exit::Failure
        }
    }
}

/// Replays `inputs` one after another. Errors are those of `out`; a log that cannot be read to its end is named on
/// standard error, and what was read of it counts.
fn replay(inputs: Vec<Input>, format: ReplayFormat, out: &mut dyn Write) -> io::Result<Exit> {
    let progress = Progress::new(&inputs);
    match format {
        ReplayFormat::Ndjson => {
            let mut records = ndjson::Writer::new(out);
            let exit = show(inputs, &progress, &mut records, |records| records.begin())?;
            progress.finish();
            records.flush()?;
            Ok(exit)
        }
        ReplayFormat::Text | ReplayFormat::Json => {
            let mut summary = Summary::new(&inputs);
            let exit = show(inputs, &progress, &mut summary, |_| {})?;
            progress.finish();
            if format == ReplayFormat::Json {
                summary.write_json(out)?
            } else {
                table::write(&summary, out)?
            }
            out.flush()?;
            Ok(exit)
        }
    }
}

/// Shows all of `inputs` to `visitor`, telling it where each begins.
fn show<V: Visitor>(
    inputs: Vec<Input>,
    progress: &Progress,
    visitor: &mut V,
    begin: impl Fn(&mut V),
) -> io::Result<Exit> {
    let mut exit = Exit::Success;
    for mut input in inputs {
        begin(visitor);
        let shown = pump(&mut progress.watch(&mut input), visitor);
        match shown {
            Ok(()) => {}
            Err(Stopped::Reading(error)) => {
                complain(format_args!("{NAME}: {}", input.failure(error)));
                exit = Exit::Failure;
            }
            Err(Stopped::Visiting(error)) => return Err(error),
        }
    }
    Ok(exit)
}

impl Visitor for Summary {
    #[inline]
    fn piece(&mut self, piece: &Piece<'_>) -> io::Result<()> {
        self.count(piece);
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        Ok(())
    }
}
