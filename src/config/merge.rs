//! From what was said to one configuration: everything is parsed, also what something stronger overrules, so that no
//! mistake waits for the day the flag is removed.

use std::path::Path;

use super::Config;
use super::given::{At, Given, Mistake, Said};
use super::parse::{self, Parsed};
use super::settings::{self, Setting};
use super::{ListenAddress, problem::Place};

/// What is in force for one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The setting.
    pub setting: &'static Setting,
    /// Its values as text; none for a setting that is off.
    pub values: Vec<String>,
    /// Who said so.
    pub place: Place,
}

/// Parses `layers`, the strongest first.
///
/// # Errors
/// Every mistake in any of them.
pub(super) fn merge(layers: &[&Given], file: &Path) -> Result<Config, Vec<Mistake>> {
    let mistakes = layers.iter().flat_map(|layer| layer.mistakes.iter().cloned()).collect();
    let mut merge = Merge { layers, file, mistakes, effective: Vec::new() };
    merge.check(&settings::CONFIG_FILE, parse::path);
    merge.check(&settings::CONFIG_CHECK, parse::switch);
    // In the order of `settings::ALL`.
    let error_logs = merge.many(&settings::NGINX_ERROR_LOG, parse::log_pattern);
    let nginx_conf = merge.one(&settings::NGINX_CONF, parse::absolute_file);
    let fpm_confs = merge.many(&settings::FPM_CONF, parse::absolute_file);
    let fpm_interval = merge.one(&settings::FPM_INTERVAL, parse::interval);
    let fpm_timeout = merge.one(&settings::FPM_TIMEOUT, parse::interval);
    let socket_interval = merge.one(&settings::SOCKET_INTERVAL, parse::interval);
    let probe_interval = merge.one(&settings::PROBE_INTERVAL, parse::interval);
    let probe_timeout = merge.one(&settings::PROBE_TIMEOUT, parse::interval);
    let probe_disable = merge.many(&settings::PROBE_DISABLE, parse::probe_kind);
    let probe_exclude = merge.many(&settings::PROBE_EXCLUDE, parse::peer);
    let from_start = merge.one(&settings::LOG_FROM_START, parse::switch);
    let position_file = merge.one(&settings::LOG_POSITION_FILE, parse::absolute_file);
    let poll_interval = merge.one(&settings::LOG_POLL_INTERVAL, parse::poll_interval);
    let log_level = merge.one(&settings::LOG_LEVEL, parse::log_level);
    let log_format = merge.one(&settings::LOG_FORMAT, parse::log_format);
    let listen = merge.many(&settings::WEB_LISTEN_ADDRESS, ListenAddress::parse);
    let telemetry_path = merge.one(&settings::WEB_TELEMETRY_PATH, parse::telemetry_path);
    let lifecycle = merge.one(&settings::WEB_ENABLE_LIFECYCLE, parse::switch);
    let rootfs = merge.one(&settings::PATH_ROOTFS, parse::absolute_path);
    let procfs = merge.one(&settings::PATH_PROCFS, parse::absolute_path);
    let series_per_family = merge.one(&settings::LIMITS_SERIES_PER_FAMILY, parse::series_per_family);
    let Merge { mistakes, effective, .. } = merge;
    let config = || {
        Some(Config {
            listen,
            telemetry_path: telemetry_path?,
            lifecycle: lifecycle?,
            log_level: log_level?,
            log_format: log_format?,
            from_start: from_start?,
            position_file,
            poll_interval: poll_interval?,
            error_logs,
            nginx_conf,
            fpm_confs,
            fpm_interval: fpm_interval?,
            fpm_timeout: fpm_timeout?,
            socket_interval: socket_interval?,
            probe_interval: probe_interval?,
            probe_timeout: probe_timeout?,
            probe_disable,
            probe_exclude,
            rootfs: rootfs?,
            procfs: procfs?,
            series_per_family: series_per_family?,
            effective,
        })
    };
    if mistakes.is_empty() { config().ok_or(mistakes) } else { Err(mistakes) }
}

struct Merge<'g> {
    layers: &'g [&'g Given],
    file: &'g Path,
    mistakes: Vec<Mistake>,
    effective: Vec<Effective>,
}

impl<'g> Merge<'g> {
    fn said(&self, setting: &Setting) -> impl Iterator<Item = &'g [Said]> + use<'g> {
        let name = setting.name;
        self.layers.iter().filter_map(move |layer| layer.said.get(name)).map(Vec::as_slice)
    }

    /// Looks for mistakes in a setting that is used elsewhere.
    fn check<T: PartialEq>(&mut self, setting: &'static Setting, parse: fn(&str) -> Parsed<T>) {
        for said in self.said(setting) {
            self.parse(said, parse);
        }
    }

    /// The value of a setting that takes one; `None` without value or default, or after a mistake.
    fn one<T: PartialEq>(&mut self, setting: &'static Setting, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        self.many(setting, parse).pop()
    }

    fn many<T: PartialEq>(&mut self, setting: &'static Setting, parse: fn(&str) -> Parsed<T>) -> Vec<T> {
        let default: Vec<_> = setting
            .default
            .iter()
            .map(|&text| Said { text: text.to_owned(), at: At::Default, subject: setting.name.to_owned() })
            .collect();
        let default = default.as_slice();
        let mut in_force = None;
        for said in self.said(setting).chain([default]) {
            let values = self.parse(said, parse);
            in_force.get_or_insert((values, said));
        }
        let (values, said) = in_force.unwrap_or((Vec::new(), default));
        self.effective.push(Effective {
            setting,
            values: said.iter().map(|said| said.text.clone()).collect(),
            place: said.first().map_or(At::Default, |said| said.at).place(self.file),
        });
        values
    }

    fn parse<T: PartialEq>(&mut self, said: &[Said], parse: fn(&str) -> Parsed<T>) -> Vec<T> {
        let mut values = Vec::with_capacity(said.len());
        for Said { text, at, subject } in said {
            let what = match parse(text) {
                Ok(value) if values.contains(&value) => "said twice; remove one".to_owned(),
                Ok(value) => {
                    values.push(value);
                    continue;
                }
                Err(what) => what,
            };
            self.mistakes.push(Mistake { at: *at, subject: subject.clone(), what });
        }
        values
    }
}
