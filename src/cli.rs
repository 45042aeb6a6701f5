//! The command line: what can be asked, and who answers it.

mod args;
mod assets;
pub mod explain;
pub mod logging;
mod pump;
mod replay;
mod serve;
mod usage;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use clap::{CommandFactory, Parser as _};

pub use args::{Cli, Command, ExplainArgs, ReplayArgs, ReplayFormat, ServeArgs};

/// The name of the program, before what it complains about.
const NAME: &str = "nginx-502-exporter";

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success,
    /// Something failed while running, or the answer is "no".
    Failure,
    /// The command line or the configuration is wrong: trying again will not help.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::from(1),
            Exit::Usage => Self::from(2),
        }
    }
}

/// Runs what the arguments ask for; the first one is the name of the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => run(cli),
        Err(error) => usage::answer(&error),
    }
}

fn run(cli: Cli) -> Exit {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(args),
        Command::Explain(args) => explain(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Completions { shell } => assets::completions(shell, &mut Cli::command()),
        Command::Man { command } => assets::man(command.as_deref(), Cli::command()),
    }
}

/// Writes a line to standard error; where that is not possible, there is nobody left to tell.
fn complain(what: impl fmt::Display) {
    writeln!(io::stderr(), "{what}").ok();
}

/// Lines given as arguments, else standard input.
fn explain(args: &ExplainArgs) -> Exit {
    let out = &mut io::stdout().lock();
    let style = explain::Style::detect();
    let outcome = if args.lines.is_empty() {
        explain::run(io::stdin().lock(), out, style)
    } else {
        let lines = args.lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).collect::<Vec<_>>().concat();
        explain::run(lines.as_slice(), out, style)
    };
    match outcome {
        Ok(explain::Outcome::Understood) => Exit::Success,
        Ok(explain::Outcome::NothingUnderstood) => Exit::Failure,
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            complain(format_args!("{NAME}: cannot explain: {error}"));
            Exit::Failure
        }
    }
}
