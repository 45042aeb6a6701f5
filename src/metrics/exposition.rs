//! From a snapshot to the bytes of a scrape.
//!
//! prometheus-client writes OpenMetrics 1.0; text 0.0.4 is derived from it line by line, so that the two cannot drift.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::collector::SnapshotCollector;
use crate::state::Snapshot;

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/).
    OpenMetrics,
    /// Prometheus' [text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/), which every scraper
    /// reads.
    Text,
}

impl Format {
    /// Value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Renders snapshots; remembers how large the last one became.
#[derive(Debug, Default)]
pub struct Renderer {
    last_size: AtomicUsize,
}

impl Renderer {
    /// The whole exposition of a snapshot.
    ///
    /// # Errors
    /// When the encoder fails; what it had written by then is of no use.
    pub fn render(&self, snapshot: Arc<Snapshot>, format: Format) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(SnapshotCollector(snapshot)));
        // A little more than last time: a few new series should not cost a copy of everything.
        let last_size = self.last_size.load(Ordering::Relaxed);
        let mut body = String::with_capacity(last_size + last_size / 8);
        encode(&mut body, &registry)?;
        self.last_size.store(body.len(), Ordering::Relaxed);
        Ok(match format {
            Format::OpenMetrics => body,
            Format::Text => to_text(&body),
        })
    }
}

/// Rewrites our own encoder's output to text 0.0.4: there a counter's HELP and TYPE bear the name of its series, and UNIT
/// and EOF do not exist. Samples are the same. (Newlines in label values are escaped, so a line is a line.)
fn to_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + openmetrics.len() / 16);
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                text.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}
