//! The exporter's own log, on standard error: logfmt or JSON, one line per event.
//!
//! Text from followed logs may end up in a field, so every value is escaped: no value ends a line, forges a key or
//! steers a terminal. Spans are not written.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

use crate::config::LogFormat;

/// A value longer than this is cut, and ends with `…`.
const MAX_CHARACTERS: usize = 2_000;

/// A running log, whose level can be changed.
#[derive(Debug, Clone)]
pub struct Logging {
    level: reload::Handle<LevelFilter, Registry>,
}

impl Logging {
    /// Writes events of that level and more severe ones from now on.
    pub fn set_level(&self, level: Level) {
        if let Err(error) = self.level.reload(LevelFilter::from_level(level)) {
            tracing::error!(%error, "the level of the log could not be changed");
        }
    }
}

/// Starts the log of this process.
///
/// # Errors
/// When it was started before.
pub fn start(level: Level, format: LogFormat) -> Result<Logging, SetGlobalDefaultError> {
    let (filter, level) = reload::Layer::new(LevelFilter::from_level(level));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line { format })
        .with_writer(std::io::stderr)
        // It would complain on standard error that standard error does not work, and panic.
        .log_internal_errors(false);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(filter).with(lines))?;
    Ok(Logging { level })
}

/// Writes an event as one line: `ts`, `level`, `msg`, then its fields in order.
struct Line {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = format!("{:.3}", jiff::Timestamp::now());
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let head = [("ts", Value::Text(now)), ("level", Value::Text(level)), ("msg", Value::Text(fields.message))];
        let pairs = head.into_iter().chain(fields.others);
        writer.write_str(&match self.format {
            LogFormat::Logfmt => logfmt(pairs),
            LogFormat::Json => json(pairs),
        })
    }
}

type Pair = (&'static str, Value);

enum Value {
    Text(String),
    /// A number or a boolean.
    Plain(String),
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<Pair>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Plain(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Plain(value.to_string()));
    }
}

fn logfmt(pairs: impl Iterator<Item = Pair>) -> String {
    let mut line = String::new();
    for (name, value) in pairs {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
        line.push('=');
        match value {
            Value::Plain(text) => line.push_str(&text),
            Value::Text(text) if is_bare(&text) => line.push_str(&text),
            Value::Text(text) => quote(&text, &mut line),
        }
    }
    line.push('\n');
    line
}

fn json(pairs: impl Iterator<Item = Pair>) -> String {
    let mut line = String::from("{");
    for (name, value) in pairs {
        if line.len() > 1 {
            line.push(',');
        }
        quote(name, &mut line);
        line.push(':');
        match value {
            Value::Plain(text) => line.push_str(&text),
            Value::Text(text) => quote(&text, &mut line),
        }
    }
    line.push_str("}\n");
    line
}

/// Whether logfmt needs no quotes around it.
fn is_bare(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
    !text.is_empty() && text.len() <= MAX_CHARACTERS && text.bytes().all(plain)
}

/// A string in JSON, which logfmt readers take too. Escapes what does not print, bidirectional controls included.
fn quote(text: &str, line: &mut String) {
    line.push('"');
    for (index, character) in text.chars().enumerate() {
        if index == MAX_CHARACTERS {
            line.push('…');
            break;
        }
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\'' => line.push('\''),
            other if other.escape_debug().len() == 1 => line.push(other),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    line.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Vec<Pair> {
        vec![
            ("msg", Value::Text("two words".into())),
            ("path", Value::Text("/var/log/error.log".into())),
            ("empty", Value::Text(String::new())),
            ("count", Value::Plain("3".into())),
            ("line", Value::Text("a\nlevel=error msg=\"forged\" \u{1b}[2J \u{202e} \u{10ffff} é' \\".into())),
        ]
    }

    #[test]
    fn logfmt_quotes_what_needs_it_and_escapes_what_could_forge() {
        assert_eq!(
            logfmt(hostile().into_iter()),
            concat!(
                r#"msg="two words" path=/var/log/error.log empty="" count=3 "#,
                r#"line="a\nlevel=error msg=\"forged\" \u001b[2J \u202e \udbff\udfff é' \\""#,
                "\n"
            )
        );
    }

    #[test]
    fn json_is_one_object_with_the_same_text() {
        let line = json(hostile().into_iter());
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(read["count"], 3);
        assert_eq!(read["line"], "a\nlevel=error msg=\"forged\" \u{1b}[2J \u{202e} \u{10ffff} é' \\");
    }

    #[test]
    fn a_value_is_cut_at_its_cap() {
        let line = logfmt(std::iter::once(("msg", Value::Text("x".repeat(1_000_000)))));
        assert_eq!(line.chars().count(), MAX_CHARACTERS + "msg=\"…\"\n".chars().count());
    }
}
