//! What a probe of an upstream peer found out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::PeerLabels;
use super::closed_set::closed_set;

/// The outcome of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReading {
    /// Who was probed, from configuration or discovery.
    pub target: PeerLabels,
    /// Whether the peer did all that was asked of it.
    pub up: Result<(), ProbeFailure>,
    /// How long each phase took; of several addresses, the slowest.
    pub phases: ProbePhases,
    /// The certificates the peer presented, its own first; also when they were not accepted. Empty without TLS.
    pub chain: Vec<CertificateInfo>,
    /// What the peer's name resolves to, sorted; `None` where it has no name or the lookup failed.
    pub resolved: Option<Vec<IpAddr>>,
    /// When the probe ended.
    pub at: SystemTime,
}

impl ProbeReading {
    /// When the first of the certificates presented runs out.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.chain.iter().map(|certificate| certificate.not_after).min()
    }
}

/// Why a probe did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// The closed reason.
    pub reason: ProbeReason,
    /// What exactly happened, for the log and the page; never a label.
    pub detail: Arc<str>,
}

closed_set! {
    /// Reason of a [`ProbeFailure`]: label `reason` of `nginx_upstream_probe_failures_total`. What nginx logs too means
    /// here what it means there.
    pub enum ProbeReason {
        /// Nobody accepts on the address (a stale socket file too).
        Refused = "refused",
        /// The unix socket's file does not exist.
        SocketMissing = "socket_missing",
        /// This process may not connect to the socket, which says nothing about nginx's worker.
        Permission = "permission",
        /// The unix socket's queue is full.
        BacklogFull = "backlog_full",
        /// No connection in time.
        ConnectTimeout = "connect_timeout",
        /// No route, host or network down.
        Unreachable = "unreachable",
        /// No local address or port left to connect from.
        NoLocalPort = "no_local_port",
        /// The peer reset the connection.
        Reset = "reset",
        /// The name does not exist, or has no address.
        DnsNotFound = "dns_not_found",
        /// The lookup failed: nobody knows whether the name exists.
        DnsFailed = "dns_failed",
        /// No answer to the lookup in time.
        DnsTimeout = "dns_timeout",
        /// The TLS handshake failed.
        TlsHandshake = "tls_handshake",
        /// The TLS handshake took too long.
        TlsTimeout = "tls_timeout",
        /// A certificate has run out.
        TlsExpired = "tls_expired",
        /// A certificate is not valid yet, or the clock of this host is wrong.
        TlsNotYetValid = "tls_not_yet_valid",
        /// No path from the certificate to one that is trusted.
        TlsUntrusted = "tls_untrusted",
        /// The certificate is for another name.
        TlsNameMismatch = "tls_name_mismatch",
        /// No common TLS version or cipher.
        TlsProtocol = "tls_protocol",
        /// The peer speaks, but another protocol.
        ProtocolMismatch = "protocol_mismatch",
        /// Connected, but no answer in time.
        ResponseTimeout = "response_timeout",
        /// The answer's status says no.
        BadStatus = "bad_status",
        /// The answer is none.
        BadReply = "bad_reply",
        /// The peer closed before it answered.
        Closed = "closed",
        /// Not probed: its pool has no worker to spare.
        SkippedSaturated = "skipped_saturated",
        /// Not probed: this process may not read a file that the handshake needs.
        SkippedUnreadable = "skipped_unreadable",
        /// Not probed: this process has no file descriptor or memory left.
        SkippedExhausted = "skipped_exhausted",
        /// None of these.
        Other = "other",
    }
}

impl ProbeReason {
    /// Whether the peer was not probed at all: then nothing is known about it, neither good nor bad.
    #[must_use]
    pub const fn is_skip(self) -> bool {
        matches!(self, Self::SkippedSaturated | Self::SkippedUnreadable | Self::SkippedExhausted)
    }
}

closed_set! {
    /// Phase of a probe: label `phase` of `nginx_upstream_probe_seconds`.
    pub enum ProbePhase {
        /// Looking up the name.
        Dns = "dns",
        /// Until the connection is established.
        Connect = "connect",
        /// The TLS handshake.
        Tls = "tls",
        /// From the request to the beginning of the answer.
        Response = "response",
    }
}

/// How long each completed phase took. What was not done, or failed, has no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProbePhases([Option<Duration>; ProbePhase::COUNT]);

impl ProbePhases {
    /// The time of one phase.
    #[must_use]
    pub fn get(&self, phase: ProbePhase) -> Option<Duration> {
        self.0.get(phase.index()).copied().flatten()
    }

    /// Takes note of a phase; the longest time counts.
    pub fn record(&mut self, phase: ProbePhase, took: Duration) {
        if let Some(slot) = self.0.get_mut(phase.index()) {
            *slot = (*slot).max(Some(took));
        }
    }
}

closed_set! {
    /// What a probe of some peer consists of; each kind has an off switch.
    pub enum ProbeKind {
        /// Over a unix socket.
        Unix = "unix",
        /// Over TCP.
        Tcp = "tcp",
        /// A name is looked up.
        Dns = "dns",
        /// A TLS handshake.
        Tls = "tls",
        /// An HTTP request.
        Http = "http",
        /// A FastCGI management record or ping.
        FastCgi = "fastcgi",
    }
}

closed_set! {
    /// What a peer turns out to speak.
    pub enum Spoken {
        /// HTTP/1.x.
        Http = "http",
        /// HTTP/2, gRPC for example.
        Http2 = "http2",
        /// TLS.
        Tls = "tls",
        /// FastCGI.
        FastCgi = "fastcgi",
    }
}

/// One certificate as presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Distinguished name of its owner (RFC 4514).
    pub subject: Arc<str>,
    /// Distinguished name of who signed it.
    pub issuer: Arc<str>,
    /// The DNS names it is for; the common name where it names none.
    pub names: Vec<Arc<str>>,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until.
    pub not_after: SystemTime,
    /// Whether owner and signer have the same name.
    pub is_self_signed: bool,
}

/// How the addresses of a name differ from those that nginx took when it loaded its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressChange {
    /// nginx goes on using these, and the name no longer has them.
    pub gone: Vec<IpAddr>,
    /// The name has these now, and nginx does not know them.
    pub added: Vec<IpAddr>,
}

impl AddressChange {
    /// Compares what nginx loaded with what the name resolves to now. Order and repetition do not count.
    #[must_use]
    pub fn between(loaded: &[IpAddr], now: &[IpAddr]) -> Self {
        let only_in = |these: &[IpAddr], others: &[IpAddr]| {
            let mut only: Vec<IpAddr> = these.iter().copied().filter(|address| !others.contains(address)).collect();
            only.sort_unstable();
            only.dedup();
            only
        };
        Self { gone: only_in(loaded, now), added: only_in(now, loaded) }
    }

    /// Whether nginx works with other addresses than the name has: `nginx_upstream_dns_stale`.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        !self.gone.is_empty() || !self.added.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_are_compared_as_sets() {
        let change = |loaded: &[&str], now: &[&str]| AddressChange::between(&addresses(loaded), &addresses(now));
        assert!(!change(&["10.0.0.2", "10.0.0.1"], &["10.0.0.1", "10.0.0.2", "10.0.0.1"]).is_stale());
        assert_eq!(
            change(&["10.0.0.1", "::1"], &["::1", "10.0.0.9"]),
            AddressChange { gone: addresses(&["10.0.0.1"]), added: addresses(&["10.0.0.9"]) }
        );
        assert!(change(&["10.0.0.1"], &["10.0.0.1", "10.0.0.2"]).is_stale());
        assert!(!change(&[], &[]).is_stale());
    }

    #[test]
    fn the_slowest_of_several_addresses_counts() {
        let mut phases = ProbePhases::default();
        for millis in [2, 5, 3] {
            phases.record(ProbePhase::Connect, Duration::from_millis(millis));
        }
        assert_eq!(phases.get(ProbePhase::Connect), Some(Duration::from_millis(5)));
        assert_eq!(phases.get(ProbePhase::Tls), None);
    }
}
