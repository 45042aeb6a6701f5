//! Whether nginx with `proxy_ssl_verify on` accepts a chain: OpenSSL's rules where they differ from the web's.
//!
//! * Only self-signed certificates of the trusted file end a chain; others in it are just more certificates to build it
//!   from (OpenSSL without `X509_V_FLAG_PARTIAL_CHAIN`).
//! * A self-signed certificate that is itself in the trusted file is trusted, whatever it says it is for.
//! * The name is compared with the DNS names, or with the common name where there are none; an IP address is compared
//!   like a name (`ngx_ssl_check_host`).

use std::time::SystemTime;

use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, crypto};

use super::certificate::Presented;
use crate::inputs::probe::round::failure;
use crate::inputs::probe::target::TlsOptions;
use crate::observation::probe::{CertificateInfo, ProbeFailure, ProbeReason};

/// What `proxy_ssl_trusted_certificate` holds.
#[derive(Debug)]
pub(in crate::inputs::probe) struct Trust {
    anchors: RootCertStore,
    self_signed: Vec<Presented>,
    others: Vec<Presented>,
    depth: usize,
}

impl Trust {
    pub(super) fn new(certificates: &[CertificateDer<'_>], depth: usize) -> Self {
        let all = certificates.iter().filter_map(Presented::read);
        let (self_signed, others): (Vec<_>, Vec<_>) = all.partition(|one| one.info.is_self_signed);
        let mut anchors = RootCertStore::empty();
        anchors.add_parsable_certificates(self_signed.iter().map(|one| one.der.clone()));
        Self { anchors, self_signed, others, depth }
    }
}

/// Judges a chain, the peer's own certificate first.
pub(super) fn judge(chain: &[Presented], trust: &Trust, options: &TlsOptions) -> Result<(), ProbeFailure> {
    let Some((own, sent)) = chain.split_first() else {
        return Err(failure(ProbeReason::TlsUntrusted, "no readable certificate"));
    };
    if trust.self_signed.iter().any(|trusted| trusted.der == own.der) {
        in_time(&own.info)?;
    } else {
        signed_by_trusted(own, sent, trust)?;
    }
    let name = options.host();
    if own.names.iter().any(|pattern| is_for(pattern, name)) {
        return Ok(());
    }
    let names = own.info.names.join(", ");
    Err(failure(ProbeReason::TlsNameMismatch, format_args!("the certificate is for {names}, not for {name}")))
}

fn in_time(certificate: &CertificateInfo) -> Result<(), ProbeFailure> {
    let now = SystemTime::now();
    let told = |what: &str| format!("{}: {what}", certificate.subject);
    if now > certificate.not_after {
        return Err(failure(ProbeReason::TlsExpired, told("expired")));
    }
    if now < certificate.not_before {
        return Err(failure(ProbeReason::TlsNotYetValid, told("not valid yet")));
    }
    Ok(())
}

fn signed_by_trusted(own: &Presented, sent: &[Presented], trust: &Trust) -> Result<(), ProbeFailure> {
    let parsed = ParsedCertificate::try_from(&own.der).map_err(|error| untrusted(own, &error))?;
    let between: Vec<_> = sent.iter().chain(&trust.others).map(|one| one.der.clone()).collect();
    let algorithms = crypto::ring::default_provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, &trust.anchors, &between, UnixTime::now(), algorithms)
        .map_err(|error| untrusted(own, &error))?;
    let between = certificates_between(own, sent, trust);
    if between > trust.depth {
        let told =
            format!("{between} certificates between the peer's own and the trusted one, allowed {}", trust.depth);
        return Err(failure(ProbeReason::TlsUntrusted, told));
    }
    Ok(())
}

fn untrusted(own: &Presented, error: &Error) -> ProbeFailure {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let reason = match error {
        Error::InvalidCertificate(Expired | ExpiredContext { .. }) => ProbeReason::TlsExpired,
        Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => ProbeReason::TlsNotYetValid,
        _ => ProbeReason::TlsUntrusted,
    };
    failure(reason, format_args!("{} signed by {}: {error}", own.info.subject, own.info.issuer))
}

/// Length of the chain as OpenSSL builds it: trusted certificates first.
fn certificates_between(own: &Presented, sent: &[Presented], trust: &Trust) -> usize {
    let (mut current, mut between) = (own, 0);
    let limit = sent.len() + trust.others.len();
    while between <= limit && !trust.self_signed.iter().any(|anchor| anchor.subject == current.issuer) {
        let Some(next) = trust.others.iter().chain(sent).find(|one| one.subject == current.issuer) else { break };
        (current, between) = (next, between + 1);
    }
    between
}

/// Whether a name of a certificate covers a host: `*` stands for one whole label, and two more must follow.
fn is_for(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return !host.is_empty();
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => {
            !label.is_empty() && parent.contains('.') && parent.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_openssl_does() {
        for (pattern, host, expected) in [
            ("app.test", "APP.test", true),
            ("app.test", "www.app.test", false),
            ("*.app.test", "www.app.test", true),
            ("*.app.test", "a.www.app.test", false),
            ("*.app.test", "app.test", false),
            ("*.test", "app.test", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("", "", false),
        ] {
            assert_eq!(is_for(pattern, host), expected, "{pattern} {host}");
        }
    }
}
