//! The landing page: where to go from here, and whether the exporter sees anything.

mod targets;

use std::cmp::Reverse;
use std::fmt::{self, Write};
use std::time::SystemTime;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::state::{Snapshot, UpstreamClass};

/// Where the page's style is.
pub(super) const STYLE_PATH: &str = "/-/style.css";

const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.down { color: #b00020; font-weight: bold; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd; } a { color: #8ab4f8; } .down { color: #ff6b6b; } }
";

/// Nothing but our own style, no script, no frame, no form: whatever text a log smuggles in stays text.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Rows of the table of failures.
const TOP: usize = 20;

pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], STYLE)
        .into_response()
}

pub(super) fn landing(snapshot: &Snapshot, telemetry_path: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, html(snapshot, telemetry_path)).into_response()
}

fn html(snapshot: &Snapshot, telemetry_path: &str) -> String {
    let mut page = String::with_capacity(8 * 1024);
    // Writing to a String does not fail.
    match write_page(&mut page, snapshot, telemetry_path) {
        Ok(()) | Err(fmt::Error) => page,
    }
}

fn write_page(page: &mut String, snapshot: &Snapshot, telemetry_path: &str) -> fmt::Result {
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>nginx-502-exporter</title>\n\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n</head>\n<body>\n<h1>nginx-502-exporter</h1>\n\
         <p>Version {}. <a href=\"{}\">Metrics</a> · <a href=\"/-/healthy\">healthy</a> · \
         <a href=\"/-/ready\">ready</a></p>",
        env!("CARGO_PKG_VERSION"),
        Escaped(telemetry_path),
    )?;
    write_inputs(page, snapshot)?;
    targets::write_peers(page, snapshot)?;
    targets::write_pools(page, snapshot)?;
    write_failures(page, snapshot)?;
    writeln!(page, "<p>State of {}.</p>\n</body>\n</html>", Moment(snapshot.taken_at))
}

fn write_inputs(page: &mut String, snapshot: &Snapshot) -> fmt::Result {
    writeln!(page, "<h2>Inputs</h2>")?;
    if snapshot.inputs.is_empty() {
        return writeln!(page, "<p>No input has reported yet.</p>");
    }
    writeln!(page, "<table>\n<tr><th>Input</th><th>State</th><th>Since</th></tr>")?;
    for (name, input) in &snapshot.inputs {
        write!(page, "<tr><td>{}</td><td>", Escaped(name))?;
        match &input.outcome {
            Ok(()) => write!(page, "up")?,
            Err(failure) => write!(
                page,
                "<span class=\"down\">down: {}</span><br>{}: {}",
                failure.reason,
                Escaped(&failure.what),
                Escaped(&failure.detail)
            )?,
        }
        writeln!(page, "</td><td>{}</td></tr>", Moment(input.at))?;
    }
    writeln!(page, "</table>")
}

fn write_failures(page: &mut String, snapshot: &Snapshot) -> fmt::Result {
    writeln!(page, "<h2>Failed upstream attempts since the exporter started</h2>")?;
    let mut failures: Vec<_> = snapshot
        .upstream_errors
        .rows()
        .flat_map(|(labels, row)| {
            UpstreamClass::ALL.iter().zip(row).map(move |(class, n)| (Reverse(*n), labels, class))
        })
        .filter(|(Reverse(n), ..)| *n > 0)
        .collect();
    if failures.is_empty() {
        return writeln!(page, "<p>None was seen.</p>");
    }
    failures.sort_unstable();
    writeln!(page, "<table>\n<tr><th>Upstream</th><th>Peer</th><th>Class</th><th>Attempts</th></tr>")?;
    for (Reverse(n), labels, class) in failures.iter().take(TOP) {
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{class}</td><td class=\"number\">{n}</td></tr>",
            Escaped(&labels.upstream),
            Escaped(&labels.peer)
        )?;
    }
    writeln!(page, "</table>")?;
    if failures.len() > TOP {
        writeln!(page, "<p>The {TOP} most frequent of {}.</p>", failures.len())?;
    }
    Ok(())
}

/// Text as HTML shows it, in content and in quoted attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A moment in UTC, to the second.
struct Moment(SystemTime);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::try_from(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.0}"),
            Err(_) => f.write_str("an unknown time"),
        }
    }
}
