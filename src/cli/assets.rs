//! What packages ship besides the program, made from the same definitions as `--help`.

use std::io::{self, Write as _};

use super::{Exit, NAME, complain};

/// Prints a completion script.
pub(super) fn completions(shell: clap_complete::Shell, command: &mut clap::Command) -> Exit {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    print(&script)
}

/// Prints the manual page of the program, or of one of its commands.
pub(super) fn man(page: Option<&str>, mut command: clap::Command) -> Exit {
    // Gives the commands their full names.
    command.build();
    let command = match page {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                let known: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
                let known = known.join(", ");
                complain(format_args!("{NAME}: man: no such command; name one of: {known}"));
                return Exit::Usage;
            }
        },
    };
    let mut roff = Vec::new();
    match clap_mangen::Man::new(command).render(&mut roff) {
        Ok(()) => print(&roff),
        Err(_) => Exit::Failure,
    }
}

/// Prints to standard output.
pub(super) fn print(bytes: &[u8]) -> Exit {
    match io::stdout().lock().write_all(bytes) {
        Ok(()) => Exit::Success,
        // A reader that closed early has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            complain(format_args!("{NAME}: standard output: {error}"));
            Exit::Failure
        }
    }
}
