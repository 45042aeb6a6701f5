//! `access_log`, `error_log` and `log_format`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::layout::Layout;
use super::scope::{Scope, text};
use super::tree::Directive;
use super::units;
use super::variables::is_expression;
use crate::observation::Level;
use crate::observation::nginx::{AccessLog, Context, Destination, ErrorLog, Escape, LogFormat, Origin};

/// More logs than this are not kept.
const MAX_LOGS: usize = 10_000;
/// `ngx_http_combined_fmt`.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// Logs while they are being found.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) access: Vec<AccessLog>,
    pub(super) error: Vec<ErrorLog>,
    pub(super) formats: Vec<LogFormat>,
    known_access: HashSet<(Context, Destination, Arc<str>)>,
    known_error: HashSet<(Destination, Level)>,
}

impl Logs {
    /// What nginx knows without any configuration.
    pub(super) fn new() -> Self {
        let combined = LogFormat {
            context: Context::Http,
            name: "combined".into(),
            escape: Escape::Default,
            text: COMBINED.into(),
            origin: Origin::Default,
        };
        Self { formats: vec![combined], ..Self::default() }
    }

    /// The error log that is opened where the main context names none.
    pub(super) fn add_default_error(&mut self, layout: &Layout) {
        let destination = layout.default_error_log().map_or(Destination::Stderr, Destination::File);
        self.add_error(ErrorLog { destination, level: Level::Error, origin: Origin::Default });
    }

    /// The access log of servers that have none.
    pub(super) fn add_default_access(&mut self, layout: &Layout) {
        let path: PathBuf = layout.full(layout.built.path("http-log-path", "logs/access.log"));
        self.add_access(AccessLog {
            context: Context::Http,
            destination: Destination::File(path),
            format: "combined".into(),
            buffer: None,
            flush: None,
            is_compressed: false,
            condition: None,
            origin: Origin::Default,
        });
    }

    /// Takes in the formats of `http {}` or `stream {}`.
    pub(super) fn add_formats(&mut self, context: Context, scope: &Scope<'_, '_>) {
        for directive in scope.own("log_format") {
            let Some(name) = directive.arg(0).filter(|_| directive.arg_count() > 1) else {
                scope.refuse(*directive, "invalid number of arguments in \"log_format\" directive");
                continue;
            };
            let name = text(name);
            if self.formats.iter().any(|format| format.context == context && format.name == name) {
                scope.refuse(*directive, format!("duplicate \"log_format\" name \"{name}\""));
                continue;
            }
            let escape = directive.arg(1).and_then(|argument| argument.strip_prefix(b"escape="));
            let strings = directive.args().skip(if escape.is_some() { 2 } else { 1 });
            let escape = match escape {
                None | Some(b"default") => Escape::Default,
                Some(b"json") => Escape::Json,
                Some(b"none") => Escape::None,
                Some(other) => {
                    scope.refuse(*directive, format!("unknown log format escaping \"{}\"", text(other)));
                    Escape::Default
                }
            };
            let joined = strings.collect::<Vec<_>>().concat();
            self.formats.push(LogFormat {
                context,
                name,
                escape,
                text: text(&joined),
                origin: Origin::At(directive.place()),
            });
        }
    }

    /// Takes in the logs of this very block.
    pub(super) fn add(&mut self, context: Context, scope: &Scope<'_, '_>, layout: &Layout) {
        for directive in scope.own("error_log") {
            match error_log(*directive, layout) {
                Ok(log) => self.add_error(log),
                Err(words) => scope.refuse(*directive, words),
            }
        }
        for directive in scope.own("access_log") {
            match access_log(context, *directive, layout) {
                Ok(log) => {
                    let is_known =
                        |format: &LogFormat| format.context == context && format.name.eq_ignore_ascii_case(&log.format);
                    if log.destination != Destination::Off && !self.formats.iter().any(is_known) {
                        scope.refuse(*directive, format!("unknown log format \"{}\"", log.format));
                    }
                    self.add_access(log);
                }
                Err(words) => scope.refuse(*directive, words),
            }
        }
    }

    fn add_error(&mut self, log: ErrorLog) {
        if self.error.len() < MAX_LOGS && self.known_error.insert((log.destination.clone(), log.level)) {
            self.error.push(log);
        }
    }

    fn add_access(&mut self, log: AccessLog) {
        let key = (log.context, log.destination.clone(), Arc::clone(&log.format));
        if self.access.len() < MAX_LOGS && self.known_access.insert(key) {
            self.access.push(log);
        }
    }
}

/// `ngx_log_set_log` (`src/core/ngx_log.c`).
fn error_log(directive: Directive<'_>, layout: &Layout) -> Result<ErrorLog, String> {
    let target = directive.arg(0).ok_or("invalid number of arguments in \"error_log\" directive")?;
    let destination = match target {
        b"stderr" => Destination::Stderr,
        _ if target.starts_with(b"memory:") => Destination::Memory,
        _ => file_or_syslog(target, layout),
    };
    let mut level = None;
    for word in directive.args().skip(1) {
        let word = text(word);
        // `debug_http` and the like are parts of `debug`.
        let known = if word.starts_with("debug_") { Some(Level::Debug) } else { Level::from_name(&word) };
        level = Some(known.ok_or_else(|| format!("invalid log level \"{word}\""))?);
    }
    Ok(ErrorLog { destination, level: level.unwrap_or(Level::Error), origin: Origin::At(directive.place()) })
}

fn file_or_syslog(target: &[u8], layout: &Layout) -> Destination {
    match target.strip_prefix(b"syslog:") {
        Some(server) => Destination::Syslog(text(server)),
        None => Destination::File(layout.full(target)),
    }
}

/// `ngx_http_log_set_log` (`src/http/modules/ngx_http_log_module.c`).
fn access_log(context: Context, directive: Directive<'_>, layout: &Layout) -> Result<AccessLog, String> {
    let target = directive.arg(0).ok_or("invalid number of arguments in \"access_log\" directive")?;
    let destination = match target {
        b"off" => Destination::Off,
        _ if is_expression(target) && !target.starts_with(b"syslog:") => Destination::Variable(text(target)),
        _ => file_or_syslog(target, layout),
    };
    let mut log = AccessLog {
        context,
        destination,
        format: directive.arg(1).map_or_else(|| "combined".into(), text),
        buffer: None,
        flush: None,
        is_compressed: false,
        condition: None,
        origin: Origin::At(directive.place()),
    };
    for parameter in directive.args().skip(2) {
        let value = |name: &str| parameter.strip_prefix(name.as_bytes());
        let invalid = || format!("invalid parameter \"{}\"", text(parameter));
        if let Some(size) = value("buffer=") {
            log.buffer = Some(units::size(size).ok_or_else(invalid)?);
        } else if let Some(time) = value("flush=") {
            log.flush = Some(units::time(time).ok_or_else(invalid)?);
        } else if let Some(condition) = value("if=") {
            log.condition = Some(text(condition));
        } else if parameter == b"gzip" || value("gzip=").is_some() {
            log.is_compressed = true;
        } else {
            return Err(invalid());
        }
    }
    if log.is_compressed {
        // `ngx_http_log_set_log`: compressed logs are always buffered.
        log.buffer = log.buffer.or(Some(64 << 10));
    }
    Ok(log)
}
