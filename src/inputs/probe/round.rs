//! One round of a probe: its deadline, its phases, its way to fail.

use std::fmt::Display;
use std::future::Future;
use std::io;

use tokio::time::{Instant, timeout_at};

use crate::observation::probe::{ProbeFailure, ProbePhase, ProbePhases, ProbeReason};

/// A detail is cut here: it may hold what a peer sent.
const MAX_DETAIL: usize = 300;

/// The round in progress.
#[derive(Debug)]
pub(super) struct Round {
    deadline: Instant,
    pub(super) phases: ProbePhases,
}

impl Round {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, phases: ProbePhases::default() }
    }

    /// Does the work of one phase, until the deadline of all of them.
    pub(super) async fn phase<T>(
        &mut self,
        phase: ProbePhase,
        work: impl Future<Output = Result<T, ProbeFailure>>,
    ) -> Result<T, ProbeFailure> {
        let start = Instant::now();
        let done = timeout_at(self.deadline, work).await.unwrap_or_else(|_| Err(too_late(phase)))?;
        self.phases.record(phase, start.elapsed());
        Ok(done)
    }

    /// Ends a connection in good order, if the peer lets us.
    pub(super) async fn farewell(&self, goodbye: impl Future<Output = io::Result<()>>) {
        if !matches!(timeout_at(self.deadline, goodbye).await, Ok(Ok(()))) {
            tracing::trace!("the peer did not wait for the end of a probe");
        }
    }
}

fn too_late(phase: ProbePhase) -> ProbeFailure {
    let reason = match phase {
        ProbePhase::Dns => ProbeReason::DnsTimeout,
        ProbePhase::Connect => ProbeReason::ConnectTimeout,
        ProbePhase::Tls => ProbeReason::TlsTimeout,
        ProbePhase::Response => ProbeReason::ResponseTimeout,
    };
    failure(reason, format_args!("not within the deadline ({phase})"))
}

/// A failure with a detail of bounded length.
pub(super) fn failure(reason: ProbeReason, detail: impl Display) -> ProbeFailure {
    let detail = detail.to_string();
    let end = detail.char_indices().nth(MAX_DETAIL).map_or(detail.len(), |(at, _)| at);
    ProbeFailure { reason, detail: detail.get(..end).unwrap_or_default().into() }
}
