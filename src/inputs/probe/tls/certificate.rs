//! Reading a certificate (RFC 5280), and checking signatures with its key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{AnyRef, Decode, Encode, Reader, SliceReader};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::{Certificate, TbsCertificate, Version};

use crate::observation::probe::CertificateInfo;

/// Names of one certificate that are kept for showing.
const MAX_NAMES: usize = 20;
/// Longer names are cut for showing.
const MAX_NAME: usize = 255;

/// `id-at-commonName` (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// `id-kp-serverAuth` (RFC 5280, section 4.2.1.12).
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

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
    /// Whether it may sign others, and over how many certificates in between.
    pub(super) is_authority: bool,
    pub(super) path_length: Option<u8>,
    /// Whether a TLS server may use it.
    pub(super) may_serve: bool,
    signed: Vec<u8>,
    signature: Vec<u8>,
    signature_algorithm: Vec<u8>,
    key: Vec<u8>,
    key_algorithm: Vec<u8>,
}

impl Presented {
    /// Takes it apart; `None` if it is none.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let content = certificate.tbs_certificate();
        let (subject, issuer) = (content.subject().to_der().ok()?, content.issuer().to_der().ok()?);
        let names = names(content);
        let moment = |since_epoch: Duration| SystemTime::UNIX_EPOCH.checked_add(since_epoch);
        let info = CertificateInfo {
            subject: shown(&content.subject().to_string()),
            issuer: shown(&content.issuer().to_string()),
            names: names.iter().take(MAX_NAMES).map(|name| shown(name)).collect(),
            not_before: moment(content.validity().not_before.to_unix_duration())?,
            not_after: moment(content.validity().not_after.to_unix_duration())?,
            is_self_signed: subject == issuer,
        };
        let constraints = extension::<BasicConstraints>(content)?;
        let usages = extension::<ExtendedKeyUsage>(content)?;
        let key = content.subject_public_key_info();
        Some(Self {
            der: der.clone().into_owned(),
            is_authority: is_authority(content, constraints.as_ref(), info.is_self_signed)?,
            path_length: constraints.and_then(|constraints| constraints.path_len_constraint),
            may_serve: usages.is_none_or(|usages| usages.0.contains(&SERVER_AUTH)),
            info,
            subject,
            issuer,
            names,
            signed: signed_part(der)?,
            signature: certificate.signature().as_bytes()?.to_vec(),
            signature_algorithm: encoded(certificate.signature_algorithm())?,
            key: key.subject_public_key.as_bytes()?.to_vec(),
            key_algorithm: encoded(&key.algorithm)?,
        })
    }

    /// Whether its owner's key has signed that other certificate.
    pub(super) fn has_signed(&self, other: &Self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        let named = algorithms.iter().filter(|one| *one.signature_alg_id() == *other.signature_algorithm);
        self.verifies(named.copied(), &other.signed, &other.signature)
    }

    /// Whether a signature is of its owner's key, by one of these algorithms.
    pub(super) fn verifies<'a>(
        &self,
        algorithms: impl IntoIterator<Item = &'a dyn SignatureVerificationAlgorithm>,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        algorithms
            .into_iter()
            .filter(|one| *one.public_key_alg_id() == *self.key_algorithm)
            .any(|one| one.verify_signature(&self.key, message, signature).is_ok())
    }
}

/// An extension, if there is one; the outer `None` where it cannot be read.
fn extension<'a, T>(content: &'a TbsCertificate) -> Option<Option<T>>
where
    T: Decode<'a> + x509_cert::der::oid::AssociatedOid,
{
    let found = content.get_extension::<T>().ok()?;
    Some(found.map(|(_critical, extension)| extension))
}

/// OpenSSL's `check_ca`: without constraints only a first-version certificate that signed itself, or one that names the
/// usage, is an authority.
fn is_authority(
    content: &TbsCertificate,
    constraints: Option<&BasicConstraints>,
    is_self_signed: bool,
) -> Option<bool> {
    let usage = extension::<KeyUsage>(content)?;
    let may_sign = usage.as_ref().is_none_or(KeyUsage::key_cert_sign);
    Some(match constraints {
        Some(constraints) => constraints.ca && may_sign,
        None => usage.is_some() && may_sign || content.version() == Version::V1 && is_self_signed,
    })
}

/// The common name counts only where there is no DNS name (`X509_check_host` of OpenSSL).
fn names(content: &TbsCertificate) -> Vec<String> {
    let alternatives = extension::<SubjectAltName>(content).flatten();
    let listed: Vec<String> = alternatives
        .iter()
        .flat_map(|names| &names.0)
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
            _ => None,
        })
        .collect();
    if listed.is_empty() { common_names(content.subject()) } else { listed }
}

fn common_names(subject: &Name) -> Vec<String> {
    let attributes = subject.iter_rdn().flat_map(|rdn| rdn.iter());
    attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .map(|attribute| String::from_utf8_lossy(attribute.value.value()).into_owned())
        .collect()
}

/// The first element of the outer sequence, as it was encoded: what the signature is over.
fn signed_part(der: &[u8]) -> Option<Vec<u8>> {
    let outer = AnyRef::from_der(der).ok()?;
    let mut elements = SliceReader::new(outer.value()).ok()?;
    Some(elements.tlv_bytes().ok()?.to_vec())
}

/// The content of an algorithm's sequence, which is how algorithms are told apart.
fn encoded(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let mut content = algorithm.oid.to_der().ok()?;
    if let Some(parameters) = &algorithm.parameters {
        content.extend(parameters.to_der().ok()?);
    }
    Some(content)
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
