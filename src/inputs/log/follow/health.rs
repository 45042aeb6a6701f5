//! Saying how the logs are, when that changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::inputs::{Closed, Sink};
use crate::observation::{Failure, FailureReason, Health, Observation};

/// What was last said of each name and pattern.
#[derive(Debug)]
pub(super) struct Reporter {
    kind: &'static str,
    sink: Sink,
    said: BTreeMap<Arc<str>, Result<(), Failure>>,
}

impl Reporter {
    pub(super) fn new(kind: &'static str, sink: Sink) -> Self {
        Self { kind, sink, said: BTreeMap::new() }
    }

    /// Says how `what`, a path or a pattern, is doing, unless it was the same before.
    pub(super) fn say(&mut self, what: &str, outcome: Result<(), Failure>) -> Result<(), Closed> {
        let input: Arc<str> = format!("{}:{what}", self.kind).into();
        if self.said.get(&input) == Some(&outcome) {
            return Ok(());
        }
        log(&input, &outcome);
        self.said.insert(Arc::clone(&input), outcome.clone());
        self.sink.send_blocking(Observation::Health(Health { input, outcome, at: SystemTime::now() }))
    }

    /// Says that `what` is no longer followed.
    pub(super) fn removed(&mut self, what: &str) -> Result<(), Closed> {
        let detail = "no configured pattern names it, or nothing of that name is left".into();
        self.say(what, Err(Failure { reason: FailureReason::Removed, what: what.into(), detail }))?;
        self.said.remove(format!("{}:{what}", self.kind).as_str());
        Ok(())
    }

    /// A name as labels have it.
    pub(super) fn label(name: &Path) -> String {
        name.to_string_lossy().into_owned()
    }
}

/// Says it to whoever reads the exporter's own log, too: once, since it is said when it changes.
fn log(input: &str, outcome: &Result<(), Failure>) {
    match outcome {
        Ok(()) => tracing::info!(input, "following"),
        Err(failure) if failure.reason == FailureReason::Removed => tracing::info!(input, "no longer followed"),
        Err(Failure { reason, detail, .. }) => {
            let what_to_do = match reason {
                FailureReason::NotFound => Some("it is followed as soon as it appears; check nginx's error_log"),
                FailureReason::Permission => Some(
                    "let the exporter's user read it and enter its folders: on Debian, membership in the group adm",
                ),
                // The detail of these says it.
                FailureReason::WrongType | FailureReason::Io | FailureReason::Removed => None,
            };
            tracing::warn!(input, reason = reason.name(), %detail, what_to_do, "cannot be followed");
        }
    }
}
