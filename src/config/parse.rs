//! One parser per kind of value: text in; value, or what is wrong and what to do, out. None repeats the text.

use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

/// How the exporter's own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `ts=… level=… msg=… key=value`.
    Logfmt,
    /// One JSON object per line, with the same keys.
    Json,
}

pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn switch(text: &str) -> Parsed<bool> {
    text.parse().map_err(|_| "neither `true` nor `false`; write one of them".to_owned())
}

pub(super) fn log_level(text: &str) -> Parsed<Level> {
    match text {
        "debug" => Ok(Level::DEBUG),
        "info" => Ok(Level::INFO),
        "warn" => Ok(Level::WARN),
        "error" => Ok(Level::ERROR),
        _ => Err("not a level; write `debug`, `info`, `warn` or `error`".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "logfmt" => Ok(LogFormat::Logfmt),
        "json" => Ok(LogFormat::Json),
        _ => Err("not a format; write `logfmt` or `json`".to_owned()),
    }
}

/// Any path, for what the operator names from a shell.
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    match text {
        "" => Err("empty; write a path".to_owned()),
        path if path.contains('\0') => Err("has a NUL in it; write a path".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

pub(super) fn absolute_path(text: &str) -> Parsed<PathBuf> {
    path(text).and_then(|path| {
        if path.is_absolute() { Ok(path) } else { Err("not an absolute path; begin it with `/`".to_owned()) }
    })
}

/// A path to a file that is to be written.
pub(super) fn absolute_file(text: &str) -> Parsed<PathBuf> {
    absolute_path(text).and_then(|path| {
        if text.ends_with('/') { Err("names a directory; write the path of a file".to_owned()) } else { Ok(path) }
    })
}

pub(super) fn log_pattern(text: &str) -> Parsed<String> {
    absolute_file(text)?;
    match glob::Pattern::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("not a glob: {}; write [*] for the character itself", error.msg)),
    }
}

/// The path of the metrics. Only characters that need no escaping, neither in a URL nor for a router.
pub(super) fn telemetry_path(text: &str) -> Parsed<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    if !text.starts_with('/') {
        return Err("does not begin with `/`; write /metrics, for example".to_owned());
    }
    if text == "/" || text == "/healthz" || text.starts_with("/-/") || text.starts_with("/api/") {
        return Err("the exporter answers something else there; write /metrics, for example".to_owned());
    }
    if text.len() > 256 || text.contains("//") || !text.bytes().all(plain) {
        return Err("not a plain path; use letters, digits, `-`, `_`, `.`, `~` and single `/`, 256 at most".to_owned());
    }
    Ok(text.to_owned())
}

/// How often logs are looked at.
pub(super) fn poll_interval(text: &str) -> Parsed<Duration> {
    between(text, Duration::from_secs(3600), "out of range; write 10ms to 1h")
}

/// A clock of ours, or a deadline: readings that are minutes old are shown no more.
pub(super) fn interval(text: &str) -> Parsed<Duration> {
    between(text, Duration::from_secs(60), "out of range; write 10ms to 1m")
}

fn between(text: &str, longest: Duration, otherwise: &str) -> Parsed<Duration> {
    let duration = duration(text)?;
    if (Duration::from_millis(10)..=longest).contains(&duration) { Ok(duration) } else { Err(otherwise.to_owned()) }
}

/// A kind of probe, or all of them.
pub(super) fn probe_kind(text: &str) -> Parsed<&'static str> {
    let choices = super::settings::PROBE_DISABLE.choices;
    let kind = choices.iter().find(|choice| **choice == text);
    kind.copied().ok_or_else(|| format!("not a kind of probe; write one of {}", choices.join(", ")))
}

/// An upstream's address, as the label `peer` has it.
pub(super) fn peer(text: &str) -> Parsed<String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("not a peer; write it as the label has it: 127.0.0.1:9000, unix:/run/app.sock".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn series_per_family(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(number @ 1..=100_000) => Ok(number),
        _ => Err("not a whole number from 1 to 100000; 500 is the default".to_owned()),
    }
}

/// Whole numbers with units, larger units first, as in Prometheus: `500ms`, `10s`, `1h30m`.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    parts(text).ok_or_else(|| "not a duration; write it like 500ms, 10s or 1h30m".to_owned())
}

fn parts(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut milliseconds = 0_u64;
    loop {
        let (number, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let (unit, after) = after.split_at_checked(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()))?;
        // `find` on the iterator itself: a unit already used, or a larger one, is not found again.
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        milliseconds = milliseconds.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        if after.is_empty() {
            return Some(Duration::from_millis(milliseconds));
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_units_in_falling_order() {
        for (text, milliseconds) in
            [("500ms", 500), ("10s", 10_000), ("1m", 60_000), ("1h30m", 5_400_000), ("1h2m3s4ms", 3_723_004), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "10", "s", "1.5s", "-1s", "1 s", "1s1m", "1s1s", "1d", "1mss", "10s ", "99999999999999999999h", "1é"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_metrics_take_no_path_the_exporter_answers_itself() {
        for text in ["/metrics", "/a/b-c_d.e~f", "/metrics/"] {
            assert_eq!(telemetry_path(text), Ok(text.to_owned()));
        }
        for text in
            ["", "metrics", "/", "/healthz", "/-/ready", "/-/reload", "/api/v1", "/{x}", "/a b", "/a?b", "//a", "/é"]
        {
            assert!(telemetry_path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn logs_are_absolute_paths_or_globs_that_compile() {
        for text in ["/var/log/nginx/error.log", "/var/log/nginx/*error.log", "/srv/**/logs/[a-c]?.log"] {
            assert_eq!(log_pattern(text), Ok(text.to_owned()));
        }
        for text in ["", "error.log", "./error.log", "/var/log/", "/a[", "/a***", "/a\0b"] {
            assert!(log_pattern(text).is_err(), "{text}");
        }
    }
}
