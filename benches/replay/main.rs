//! `cargo bench --bench replay`: how fast, how small, how soon.
//!
//! Three questions, each asked of the optimised binary from outside, as an operator could:
//! 1. How many bytes a second does `replay` classify on one core, against mtail with an equivalent program
//!    (`benches/mtail/nginx_error.mtail`), `grep -c` and `wc -l`? All of them run on the same core of the same machine, in
//!    turns, so that what disturbs one disturbs all.
//! 2. How much memory does it take (`VmHWM`)?
//! 3. How long after nginx's write does `/metrics` show the entry, in the running exporter?
//!
//! Before anything is timed, what the programs count is compared with what the generator wrote.
//!
//! Options, behind `--`: `--bytes N` (of the log, 1e9), `--mtail-bytes N` (of its piece for mtail, 40e6), `--runs N` (5),
//! `--core N` (the last), `--events N` (200), `--directory DIR` (below target/: needs room for the log),
//! `--exporter PATH` (another binary), `--skip-throughput`, `--skip-delay`, `--generate FILE` (only write the log).
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

mod delay;
mod generate;
mod measure;
mod options;
mod throughput;

use std::fs::File;

use anyhow::{Context, Result};
use options::Options;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks, too, and means no measurement by it.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("only measures under `cargo bench`");
        return Ok(());
    }
    let options = Options::from_arguments(std::env::args().skip(1))?;
    if let Some(path) = &options.generate {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let written = generate::Log::new().write(file, options.bytes)?;
        println!("{written:#?}");
        return Ok(());
    }
    if options.throughput {
        throughput::run(&options)?;
    }
    if options.delay {
        delay::run(&options)?;
    }
    Ok(())
}
