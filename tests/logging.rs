//! The exporter's own log, in a process of its own: there is one log per process.
#![allow(clippy::unwrap_used)]

use nginx_502_exporter::cli::logging;
use nginx_502_exporter::config::LogFormat;
use tracing::{Level, enabled};

#[test]
fn the_level_changes_while_running() {
    let log = logging::start(Level::INFO, LogFormat::Logfmt).unwrap();
    assert!(enabled!(Level::INFO) && !enabled!(Level::DEBUG));
    log.set_level(Level::DEBUG);
    assert!(enabled!(Level::DEBUG));
    log.set_level(Level::ERROR);
    assert!(enabled!(Level::ERROR) && !enabled!(Level::WARN));
    assert!(logging::start(Level::INFO, LogFormat::Logfmt).is_err());
}
