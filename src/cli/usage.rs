//! What clap has to say: help and version as it writes them, a mistake in one line.

use clap::error::ErrorKind;

use super::{Exit, NAME, complain};
use crate::text::Safe;

/// Prints a request for help, or a mistake.
pub(super) fn answer(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => Exit::Success,
            Err(_) => Exit::Failure,
        },
        _ => {
            complain(format_args!("{NAME}: {}; see --help", summary(&error.to_string())));
            Exit::Usage
        }
    }
}

/// The message and the tips, without the usage that follows them.
fn summary(rendered: &str) -> String {
    let lines = rendered.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let mut summary = String::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("For more information")) {
        let line = line.strip_prefix("error: ").or_else(|| line.strip_prefix("tip: ")).unwrap_or(line);
        if !summary.is_empty() {
            summary.push_str(if summary.ends_with(':') { " " } else { "; " });
        }
        summary.push_str(line);
    }
    Safe::new(&summary).to_string()
}
