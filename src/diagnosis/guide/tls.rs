//! Guides to failures of TLS towards the upstream.

use super::confirm::{configured, literal};
use super::subject::{Subject, Target};
use super::{Cause, Guide};

/// Our own handshake, by hand.
fn handshake(subject: &Subject<'_>, more: &str) -> String {
    let address = match subject.target {
        Target::Tcp(host, port) => format!("{}:{port}", literal(host, "HOST")),
        Target::Unix(_) | Target::Name(_) | Target::Unknown => "HOST:PORT".to_owned(),
    };
    format!("openssl s_client -connect '{address}' -servername NAME </dev/null{more}")
}

fn failure(subject: &Subject<'_>, meaning: String, fix: Vec<String>, confirm: Vec<String>) -> Guide {
    Guide {
        meaning,
        client: subject.error(502),
        caveat: subject.unless_retried(),
        first: Some(Cause::TlsFailure),
        fix,
        confirm,
    }
}

pub(super) fn handshake_failed(subject: &Subject<'_>) -> Guide {
    let target = subject.target;
    let names = subject.names;
    let plain = ["wrong version number", "packet length too long", "unknown protocol", "http request", "record layer"];
    if plain.into_iter().any(|words| subject.says(words)) {
        let off = if subject.is_stream() {
            "Switch proxy_ssl off for it".to_owned()
        } else {
            format!("Pass to it without TLS ({} with the scheme that has no s)", names.pass())
        };
        return failure(
            subject,
            format!(
                "{target} answered nginx's TLS greeting with something that is not TLS: that port speaks plain text."
            ),
            vec![format!("{off}, or name the port that speaks TLS.")],
            vec![handshake(subject, ""), configured(&names.pass())],
        );
    }
    failure(
        subject,
        format!("{target} and nginx did not agree on a TLS connection; the text in parentheses is OpenSSL's reason."),
        vec![
            format!(
                "Most servers want the name: {} on, and {} NAME.",
                names.tls("ssl_server_name"),
                names.tls("ssl_name")
            ),
            format!(
                "Protocols or ciphers without overlap: {}, {}.",
                names.tls("ssl_protocols"),
                names.tls("ssl_ciphers")
            ),
            format!("A server that asks for a client certificate: {}.", names.tls("ssl_certificate")),
        ],
        vec![handshake(subject, ""), configured(&names.tls("ssl_server_name"))],
    )
}

pub(super) fn handshake_timeout(subject: &Subject<'_>) -> Guide {
    let connect = subject.names.connect_timeout();
    Guide {
        client: subject.error(504),
        ..failure(
            subject,
            format!(
                "{} took the connection but did not finish the TLS handshake within {connect} (60s unless set): it is \
                 overloaded, or that port waits for something other than TLS.",
                subject.target
            ),
            vec![
                "See whether the port speaks TLS at all, and pass to it without if not.".to_owned(),
                "If it does, the backend is too busy to answer: look there.".to_owned(),
            ],
            vec![handshake(subject, ""), configured(&connect)],
        )
    }
}

pub(super) fn verify_failed(subject: &Subject<'_>) -> Guide {
    let (verify, trusted) = (subject.names.tls("ssl_verify"), subject.names.tls("ssl_trusted_certificate"));
    // The numbers of X509_STORE_CTX_get_error(3).
    let (why, fix) = if subject.says("(10:") {
        ("it has expired", "Renew the certificate on the upstream, and reload it there.".to_owned())
    } else if subject.says("(9:") {
        ("it is not valid yet (or a clock is wrong)", "Compare the clocks of both hosts.".to_owned())
    } else if subject.says("(18:") || subject.says("(19:") {
        ("it is self-signed", format!("Put that certificate, or better its authority's, into {trusted}."))
    } else if subject.says("(22:") {
        let depth = subject.names.tls("ssl_verify_depth");
        ("its chain is longer than allowed", format!("Raise {depth} (1 unless set)."))
    } else if subject.says("(23:") {
        ("it has been revoked", "Replace the certificate on the upstream.".to_owned())
    } else {
        (
            "its issuer is not among the trusted ones",
            format!("Put the authority into {trusted}, and let the upstream send its intermediate certificates."),
        )
    };
    failure(
        subject,
        format!("{verify} is on, and nginx does not accept the certificate of {}: {why}.", subject.target),
        vec![fix],
        vec![handshake(subject, " 2>/dev/null | openssl x509 -noout -subject -issuer -dates"), configured(&trusted)],
    )
}

pub(super) fn name_mismatch(subject: &Subject<'_>) -> Guide {
    let (name, sni) = (subject.names.tls("ssl_name"), subject.names.tls("ssl_server_name"));
    failure(
        subject,
        format!(
            "The certificate of {} is for another name than the one nginx expects: the host in {}, unless {name} says \
             otherwise.",
            subject.target,
            subject.names.pass()
        ),
        vec![
            format!("Set {name} to a name in the certificate."),
            format!("If the server has several certificates: {sni} on, so that it can choose the right one."),
        ],
        vec![handshake(subject, " 2>/dev/null | openssl x509 -noout -subject -ext subjectAltName"), configured(&name)],
    )
}
