//! Arguments to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    nginx_502_exporter::cli::main(std::env::args_os()).into()
}
