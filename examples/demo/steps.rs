//! What breaks, in order, and the line the demo prints for it.

use std::fmt::{self, Display};

use nginx_502_exporter::observation::UpstreamClass::{
    self, ConnectBacklogFull, ConnectPermissionDenied, ConnectRefused, ConnectSocketMissing, DnsNotResolved,
    HeaderTooBig, ReadHeaderTimeout, ResetBeforeHeader, TlsVerifyFailed,
};

use crate::stage::Stage;

/// One thing that breaks.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// In words.
    pub what: &'static str,
    /// Breaks it.
    pub breaks: fn(&mut Stage),
    /// What is asked of nginx then, and how often at once.
    pub uri: &'static str,
    pub requests: usize,
    /// The status of the requests that fail, and their class.
    pub status: u16,
    pub class: UpstreamClass,
    /// Puts it right again, where later steps need it.
    pub mends: fn(&mut Stage),
}

impl Step {
    /// The series that must count it, as query and as line of the exposition.
    pub fn series(&self) -> String {
        format!("nginx_upstream_failures_total{{class=\"{}\"}}", self.class)
    }
}

/// All steps.
pub fn all() -> Vec<Step> {
    let step = |what, uri, status, class| Step { what, breaks: |_| {}, uri, requests: 1, status, class, mends: |_| {} };
    vec![
        Step {
            breaks: Stage::stop_application,
            ..step("the application behind proxy_pass exits", "/app", 502, ConnectRefused)
        },
        Step {
            breaks: |stage| stage.set_socket_mode(0o000),
            mends: |stage| stage.set_socket_mode(0o600),
            ..step("PHP-FPM's socket has the wrong permissions", "/php/fine", 502, ConnectPermissionDenied)
        },
        Step { requests: 10, ..step("all PHP workers busy, the queue full", "/php/busy", 502, ConnectBacklogFull) },
        step("a script takes longer than nginx waits", "/php/slow", 504, ReadHeaderTimeout),
        step("a PHP worker crashes (SIGSEGV)", "/php/crash", 502, ResetBeforeHeader),
        step("a response header larger than its buffer", "/php/header", 502, HeaderTooBig),
        step("a TLS upstream whose certificate is not trusted", "/tls", 502, TlsVerifyFailed),
        step("the upstream's name is not in the DNS", "/dns", 502, DnsNotResolved),
        Step {
            breaks: Stage::stop_php_fpm,
            ..step("PHP-FPM exits, its socket is gone", "/php/fine", 502, ConnectSocketMissing)
        },
    ]
}

/// What came of a step.
#[derive(Debug)]
pub struct Outcome {
    pub step: Step,
    /// Statuses, sorted.
    pub answers: Vec<u16>,
    /// The counter before the step, and as it must be after it.
    pub before: f64,
    pub expected: f64,
    /// The counter in the exporter.
    pub counted: Option<f64>,
    /// The counter in Prometheus.
    pub returned: Option<f64>,
}

impl Outcome {
    /// The head of the table.
    pub fn heading() -> String {
        let columns = row("what breaks", "nginx answers", "the exporter counts", "Prometheus returns");
        format!("{columns}\n{}", "─".repeat(columns.chars().count()))
    }

    /// Whether the failure happened, and was counted right everywhere.
    pub fn is_seen(&self) -> bool {
        let happened = self.expected > self.before;
        happened && self.counted == Some(self.expected) && self.returned == Some(self.expected)
    }

    fn statuses(&self) -> String {
        let groups = self.answers.chunk_by(|one, next| one == next);
        groups.map(|group| format!("{}×{}", group.len(), group[0])).collect::<Vec<_>>().join(" ")
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = match self.counted {
            Some(value) => format!("{} +{}", self.step.class, value - self.before),
            None => format!("{}: no such series", self.step.class),
        };
        let returned = self.returned.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
        f.write_str(row(self.step.what, &self.statuses(), &counted, &returned).trim_end())?;
        if self.is_seen() { Ok(()) } else { write!(f, "  ← expected {} {}", self.step.series(), self.expected) }
    }
}

fn row(what: &str, answers: &str, counted: &str, returned: &str) -> String {
    format!("{what:<50}{answers:<16}{counted:<33}{returned:<18}")
}
