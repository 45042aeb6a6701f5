//! `serve`: from arguments to a running exporter.

use super::args::ServeArgs;
use super::{Exit, NAME, assets, complain, logging};
use crate::app;
use crate::config::{Config, Place};
use crate::text::Safe;

/// Loads the configuration; checks it, or runs with it.
pub(super) fn run(args: ServeArgs) -> Exit {
    let source = args.source;
    let config = match source.load() {
        Ok(config) => config,
        Err(problems) => {
            complain(problems);
            return Exit::Usage;
        }
    };
    if source.check_only() {
        return assets::print(summary(&config).as_bytes());
    }
    let log = match logging::start(config.log_level, config.log_format) {
        Ok(log) => log,
        Err(error) => {
            complain(format_args!("{NAME}: {error}"));
            return Exit::Failure;
        }
    };
    match app::run(config, source, move |level| log.set_level(level)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            tracing::error!(%error, "the exporter ends");
            Exit::Failure
        }
    }
}

/// What `--config.check` prints: what is in force, and who said so.
fn summary(config: &Config) -> String {
    let mut summary = "configuration OK\n".to_owned();
    for effective in config.effective().iter().filter(|effective| !effective.values.is_empty()) {
        let said_by = match &effective.place {
            Place::Flag => effective.setting.flag(),
            Place::Environment => effective.setting.environment(),
            Place::File(path) => path.to_string_lossy().into_owned(),
            Place::Default => "default".to_owned(),
        };
        let line = format!("  {} = {} ({said_by})", effective.setting.name, effective.values.join(", "));
        summary.push_str(&format!("{}\n", Safe::new(&line)));
    }
    summary
}
