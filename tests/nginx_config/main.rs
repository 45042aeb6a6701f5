//! What discovery makes of nginx's configuration, beside what the real nginx makes of it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    unreachable_pub
)]

#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod effective;
mod fixtures;
mod layouts;
mod render;
mod running;
mod size;

use std::path::{Path, PathBuf};
use std::process::Command;

use nginx_502_exporter::discovery::nginx::{Discovery, Disk, Options, discover};

/// Reads the configuration `nginx.conf` in a folder, which is nginx's prefix as well.
pub fn discover_in(folder: &Path) -> Discovery {
    discover(&options(folder), &Disk::new(Path::new("/")).expect("no root to open"))
}

/// nginx's options for a folder.
pub fn options(folder: &Path) -> Options {
    Options {
        conf: Some(folder.join("nginx.conf")),
        prefix: Some(folder.to_owned()),
        error_log: Some(folder.join("start.log")),
        ..Options::default()
    }
}

/// What nginx says to a configuration: whether it accepts it, its words, and with `-T` the files.
pub fn nginx(folder: &Path, test: &str) -> (bool, String) {
    let mut command = Command::new(common::process::program("nginx", "nginx"));
    command
        .current_dir(folder)
        .arg(test)
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .arg("-e")
        .arg(folder.join("start.log"));
    let conf = std::fs::read(folder.join("nginx.conf")).unwrap_or_default();
    if memchr::memmem::find(&conf, b"\npid ").is_none() {
        command.arg("-g").arg(format!("pid {};", folder.join("nginx.pid").display()));
    }
    let output = command.output().expect("nginx runs");
    let said = [output.stderr, output.stdout].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The files nginx read, from the output of `nginx -T`.
pub fn files_of_dump(dump: &str) -> Vec<PathBuf> {
    let names = dump.lines().filter_map(|line| line.strip_prefix("# configuration file ")?.strip_suffix(':'));
    names.map(PathBuf::from).collect()
}
