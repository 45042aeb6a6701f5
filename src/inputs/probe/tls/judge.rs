//! Whether nginx with `proxy_ssl_verify on` accepts a chain: OpenSSL's rules, which are not the web's.
//!
//! * A chain ends at a self-signed certificate of the trusted file; others in the file are just more certificates to
//!   build it from (no `X509_V_FLAG_PARTIAL_CHAIN`). That may be the peer's own certificate, whatever it says it is for.
//! * Certificates of the first version, without extensions, are accepted: `openssl x509 -req` makes such.
//! * The trusted certificate's dates count too.
//! * The name is compared with the DNS names, or with the common name where there are none; an IP address is compared
//!   like a name (`ngx_ssl_check_host`).
//!
//! The usual crate for this decides by the web's rules, and would call peers broken that nginx is happy with. Not
//! checked: name constraints and revocation.

use std::time::SystemTime;

use tokio_rustls::rustls::crypto;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::MAX_CHAIN;
use super::certificate::Presented;
use crate::inputs::probe::round::failure;
use crate::inputs::probe::target::TlsOptions;
use crate::observation::probe::{ProbeFailure, ProbeReason};

/// What `proxy_ssl_trusted_certificate` holds.
#[derive(Debug)]
pub(in crate::inputs::probe) struct Trust {
    anchors: Vec<Presented>,
    others: Vec<Presented>,
    depth: usize,
}

impl Trust {
    /// `None` where none of them can be read.
    pub(super) fn new(certificates: &[CertificateDer<'_>], depth: usize) -> Option<Self> {
        let all = certificates.iter().filter_map(Presented::read);
        let (anchors, others): (Vec<_>, Vec<_>) = all.partition(|one| one.info.is_self_signed);
        let depth = depth.min(MAX_CHAIN);
        (!anchors.is_empty() || !others.is_empty()).then_some(Self { anchors, others, depth })
    }
}

/// Judges a chain, the peer's own certificate first.
pub(super) fn judge(chain: &[Presented], trust: &Trust, options: &TlsOptions) -> Result<(), ProbeFailure> {
    let Some((own, sent)) = chain.split_first() else {
        return Err(failure(ProbeReason::TlsUntrusted, "no readable certificate"));
    };
    let path = path(own, sent, trust)?;
    if !own.may_serve {
        return Err(untrusted(own, "not meant for a TLS server"));
    }
    // The trusted one first, as OpenSSL does.
    for certificate in path.iter().rev() {
        in_time(certificate)?;
    }
    let host = options.host();
    if own.names.iter().any(|pattern| is_for(pattern, host)) {
        return Ok(());
    }
    let names = own.info.names.join(", ");
    Err(failure(ProbeReason::TlsNameMismatch, format_args!("the certificate is for {names}, not for {host}")))
}

/// The way from the peer's own certificate to a trusted one, both included.
fn path<'a>(own: &'a Presented, sent: &'a [Presented], trust: &'a Trust) -> Result<Vec<&'a Presented>, ProbeFailure> {
    let algorithms = crypto::ring::default_provider().signature_verification_algorithms.all;
    let mut path = vec![own];
    let mut current = own;
    if trust.anchors.iter().any(|anchor| anchor.der == own.der) {
        return Ok(path);
    }
    loop {
        let between = path.len() - 1;
        let signs = |one: &&Presented| {
            one.subject == current.issuer
                && one.is_authority
                && one.path_length.is_none_or(|most| between <= usize::from(most))
                && one.has_signed(current, algorithms)
        };
        if let Some(anchor) = trust.anchors.iter().find(signs) {
            path.push(anchor);
            return Ok(path);
        }
        if between >= trust.depth {
            return Err(untrusted(own, &format!("no trusted certificate within a depth of {}", trust.depth)));
        }
        // Trusted ones first (`X509_V_FLAG_TRUSTED_FIRST`). One that signed itself leads nowhere.
        let mut others = trust.others.iter().chain(sent).filter(|one| !one.info.is_self_signed);
        let Some(next) = others.find(signs) else {
            return Err(untrusted(own, &format!("no trusted certificate of {}", current.info.issuer)));
        };
        path.push(next);
        current = next;
    }
}

fn untrusted(own: &Presented, why: &str) -> ProbeFailure {
    failure(ProbeReason::TlsUntrusted, format_args!("{}: {why}", own.info.subject))
}

fn in_time(Presented { info, .. }: &Presented) -> Result<(), ProbeFailure> {
    let now = SystemTime::now();
    if now > info.not_after {
        return Err(failure(ProbeReason::TlsExpired, format_args!("{}: expired", info.subject)));
    }
    if now < info.not_before {
        return Err(failure(ProbeReason::TlsNotYetValid, format_args!("{}: not valid yet", info.subject)));
    }
    Ok(())
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
