//! A TLS handshake as nginx would do it, and what the peer presented.
//!
//! nginx lets OpenSSL finish the handshake whatever the certificate, and judges it afterwards
//! (`ngx_http_upstream_ssl_handshake`). So do we: the certificates are known in any case, and what nginx accepts
//! ([`judge`]) is decided by nginx's rules, not by those of a browser. What differs from nginx with OpenSSL: TLS 1.0, 1.1
//! and cipher suites without forward secrecy are not spoken, revocation lists (`proxy_ssl_crl`) are not read, and keys
//! with a password are not opened.

mod certificate;
mod judge;
mod setup;

pub(super) use setup::{Cache, Setup, load};

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::WebPkiSupportedAlgorithms;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, DigitallySignedStruct, SignatureScheme};

use super::connect::Stream;
use super::round::failure;
use super::target::TlsOptions;
use crate::observation::probe::{CertificateInfo, ProbeFailure, ProbeReason};
use certificate::Presented;

/// More certificates of a chain are not looked at.
const MAX_CHAIN: usize = 10;

/// What came of a handshake. The certificates are there even if it failed after they were presented.
pub(super) struct Handshake {
    pub(super) chain: Vec<CertificateInfo>,
    pub(super) outcome: Result<TlsStream<Box<dyn Stream>>, ProbeFailure>,
}

/// Shakes hands and judges what was presented.
pub(super) async fn handshake(stream: Box<dyn Stream>, options: &TlsOptions, setup: &Setup) -> Handshake {
    let recorder = Arc::new(Recorder::new(setup));
    let mut config = setup.config.clone();
    config.dangerous().set_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>);
    let name = options.server_name().and_then(|name| ServerName::try_from(name.to_owned()).ok());
    config.enable_sni = name.is_some();
    // Without SNI the name is used for nothing: we judge names ourselves.
    let name = name.unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let presented = recorder.presented();
    let chain = presented.iter().map(|presented| presented.info.clone()).collect();
    let outcome = shaken.map_err(|error| refused(&error)).and_then(|stream| {
        setup.trust.as_ref().map_or(Ok(()), |trust| judge::judge(&presented, trust, options))?;
        Ok(stream)
    });
    Handshake { chain, outcome }
}

/// Whether the peer shakes hands at all, or at least refuses to in TLS.
pub(super) async fn is_spoken(stream: Box<dyn Stream>) -> Result<bool, ProbeFailure> {
    let setup = Setup::undemanding()?;
    let shaken = handshake(stream, &TlsOptions::new(""), &setup).await;
    Ok(match shaken.outcome {
        Ok(_) => true,
        Err(failure) => !shaken.chain.is_empty() || failure.reason == ProbeReason::TlsProtocol,
    })
}

fn refused(error: &io::Error) -> ProbeFailure {
    use rustls::Error;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let reason = match tls {
        Some(Error::InvalidMessage(_)) => ProbeReason::ProtocolMismatch,
        Some(
            Error::PeerIncompatible(_)
            | Error::NoApplicationProtocol
            | Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                | AlertDescription::NoApplicationProtocol,
            ),
        ) => ProbeReason::TlsProtocol,
        _ => ProbeReason::TlsHandshake,
    };
    let told = match tls {
        Some(Error::InvalidMessage(_)) => format!("the peer does not speak TLS: {error}"),
        _ => error.to_string(),
    };
    failure(reason, told)
}

/// Lets every certificate pass, and remembers them.
#[derive(Debug)]
struct Recorder {
    seen: Mutex<Vec<CertificateDer<'static>>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Whether it matters that the peer holds the key of its certificate: not if anybody's would do.
    proves_possession: bool,
}

impl Recorder {
    fn new(setup: &Setup) -> Self {
        let algorithms = setup.config.crypto_provider().signature_verification_algorithms;
        Self { seen: Mutex::default(), algorithms, proves_possession: setup.trust.is_some() }
    }

    fn presented(&self) -> Vec<Presented> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter_map(Presented::read).collect()
    }

    /// Whether the peer holds the key of its certificate. The usual function refuses certificates without extensions.
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let fitting = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        let fitting = fitting.flat_map(|(_, algorithms)| algorithms.iter().copied());
        let holds_key =
            || Presented::read(certificate).is_some_and(|own| own.verifies(fitting, message, signed.signature()));
        if !self.proves_possession || holds_key() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(CertificateError::BadSignature.into())
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(own).chain(others).take(MAX_CHAIN).map(|one| one.clone().into_owned());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = all.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
