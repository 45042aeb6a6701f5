//! `replay`: whole logs through the same understanding the exporter has, in constant memory.

mod input;
mod ndjson;
mod progress;
mod summary;
mod table;

use std::io::{self, Read, Write};

use super::Exit;
use super::args::{ReplayArgs, ReplayFormat};
use crate::inputs::log::More;
use crate::inputs::log::nginx_error::{Piece, Scanner};
use input::{Input, InputError};
use progress::Progress;
use summary::Summary;

/// Bytes read at a time. Larger ones leave the processor's cache before they are looked at.
const BUFFER: usize = 256 * 1024;

/// Answers the command line.
pub(super) fn run(args: &ReplayArgs) -> Exit {
    let mut inputs = Vec::with_capacity(args.files.len());
    let mut wrong = false;
    for path in &args.files {
        match Input::open(path) {
            Ok(input) => inputs.push(input),
            Err(error) => {
                eprintln!("nginx-502-exporter: {error}");
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
            eprintln!("nginx-502-exporter: cannot write the result: {error}");
            Exit::Failure
        }
    }
}

/// Replays `inputs` one after another. Errors are those of `out`; a log that cannot be read to its end is named on
/// standard error, and what was read of it counts.
fn replay(inputs: Vec<Input>, format: ReplayFormat, out: &mut dyn Write) -> io::Result<Exit> {
    let mut progress = Progress::new(&inputs);
    let mut summary = Summary::default();
    let mut records = ndjson::Writer::new(out);
    let mut exit = Exit::Success;
    for input in inputs {
        summary.begin(input.path().to_path_buf());
        let mut line = 1;
        let read = match format {
            ReplayFormat::Text | ReplayFormat::Json => pump(input, &mut progress, |piece| {
                summary.count(piece);
                Ok(())
            }),
            ReplayFormat::Ndjson => pump(input, &mut progress, |piece| records.write(piece, &mut line)),
        };
        match read {
            Ok(()) => {}
            Err(PumpError::Input(error)) => {
                eprintln!("nginx-502-exporter: {error}");
                exit = Exit::Failure;
            }
            Err(PumpError::Output(error)) => return Err(error),
        }
    }
    progress.finish();
    records.flush()?;
    match format {
        ReplayFormat::Text => table::write(&summary, out)?,
        ReplayFormat::Json => summary.write_json(out)?,
        ReplayFormat::Ndjson => {}
    }
    out.flush()?;
    Ok(exit)
}

enum PumpError {
    Input(InputError),
    Output(io::Error),
}

/// Hands every piece of a log to `each`. What it holds at a time is one buffer, whatever the log holds.
fn pump(
    mut input: Input,
    progress: &mut Progress,
    mut each: impl FnMut(&Piece<'_>) -> io::Result<()>,
) -> Result<(), PumpError> {
    let mut buffer = vec![0; BUFFER];
    let mut scanner = Scanner::default();
    let mut held = 0;
    loop {
        let free = buffer.get_mut(held..).unwrap_or_default();
        let (more, failure) = match input.read(free) {
            Ok(0) => (More::Never, None),
            Ok(length) => {
                held += length;
                (More::Expected, None)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => (More::Never, Some(error)),
        };
        progress.update(input.consumed());
        let mut output = Ok(());
        let taken = scanner.scan(buffer.get(..held).unwrap_or_default(), more, |piece| {
            if output.is_ok() {
                output = each(&piece);
            }
        });
        output.map_err(PumpError::Output)?;
        buffer.copy_within(taken.min(held)..held, 0);
        held -= taken.min(held);
        if let Some(error) = failure {
            return Err(PumpError::Input(input.failure(error)));
        }
        if more == More::Never {
            return Ok(());
        }
    }
}
