//! Reading a certificate (RFC 5280).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use crate::observation::probe::CertificateInfo;

/// Names of one certificate that are kept for showing.
const MAX_NAMES: usize = 20;
/// Longer names are cut for showing.
const MAX_NAME: usize = 255;

/// A certificate with what its judgement needs.
#[derive(Debug, Clone)]
pub(super) struct Presented {
    pub(super) der: CertificateDer<'static>,
    pub(super) info: CertificateInfo,
    /// Owner and signer, as encoded.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// Every DNS name it is for; the common names where it has none.
    pub(super) names: Vec<String>,
}

impl Presented {
    /// Takes it apart; `None` if it is none.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let (subject, issuer) = (certificate.subject().to_der().ok()?, certificate.issuer().to_der().ok()?);
        let names = names(certificate.subject(), alternatives(&certificate_extension(certificate)));
        let moment = |since_epoch: Duration| SystemTime::UNIX_EPOCH.checked_add(since_epoch);
        let info = CertificateInfo {
            subject: shown(&certificate.subject().to_string()),
            issuer: shown(&certificate.issuer().to_string()),
            names: names.iter().take(MAX_NAMES).map(|name| shown(name)).collect(),
            not_before: moment(certificate.validity().not_before.to_unix_duration())?,
            not_after: moment(certificate.validity().not_after.to_unix_duration())?,
            is_self_signed: subject == issuer,
        };
        Some(Self { der: der.clone().into_owned(), info, subject, issuer, names })
    }
}

fn certificate_extension(certificate: &x509_cert::TbsCertificate) -> Option<SubjectAltName> {
    let extension = certificate.extensions()?.iter().find(|extension| extension.extn_id == SubjectAltName::OID)?;
    SubjectAltName::from_der(extension.extn_value.as_bytes()).ok()
}

fn alternatives(extension: &Option<SubjectAltName>) -> Vec<String> {
    let all = extension.iter().flat_map(|names| &names.0);
    all.filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _ => None,
    })
    .collect()
}

/// The common name counts only where there is no DNS name (`X509_check_host` of OpenSSL).
fn names(subject: &Name, alternatives: Vec<String>) -> Vec<String> {
    if !alternatives.is_empty() {
        return alternatives;
    }
    let attributes = subject.iter_rdn().flat_map(|rdn| rdn.iter());
    attributes
        .filter(|attribute| attribute.oid == CN)
        .map(|attribute| String::from_utf8_lossy(attribute.value.value()).into_owned())
        .collect()
}

fn shown(name: &str) -> Arc<str> {
    let end = name.char_indices().nth(MAX_NAME).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Presented::read(&CertificateDer::from(bytes)).is_none());
        }
    }
}
