//! `proxy_pass https://`: handshakes that fail. The TLS server is nginx itself, in a server block of its own; what it
//! logs about its half of the handshake looks alike and must not count.

use nginx_502_exporter::observation::Phase::Handshaking;
use nginx_502_exporter::observation::UpstreamClass::{
    TlsHandshakeFailed, TlsHandshakeTimeout, TlsNameMismatch, TlsVerifyFailed,
};

use crate::case::Case;
use crate::common::Lab;
use crate::common::faults::Step::{Close, Hang, ReadRequest, Reset, Write};
use crate::common::http::Address;
use crate::common::lab::free_port;
use crate::common::tls::Certificate;
use crate::pass::Pass;
use crate::run::run;

#[test]
fn failures_of_tls_upstreams_are_classified() {
    let lab = Lab::new();
    run(&lab, &cases(&lab));
}

pub fn cases(lab: &Lab) -> Vec<Case> {
    let ours = Certificate::self_signed(lab, "backend.test");
    let other = Certificate::self_signed(lab, "other.test");
    let trusting = |certificate: &Certificate, name: &str| {
        let trusted = certificate.certificate.display();
        format!("proxy_ssl_verify on; proxy_ssl_trusted_certificate {trusted}; proxy_ssl_name {name};")
    };
    let peer = |name: &str, script: Vec<_>| Case::peer(Pass::Https, name, script);
    vec![
        served(&ours, "untrusted", "")
            .with(&trusting(&other, "backend.test"))
            .fails("upstream SSL certificate verify error: (18:", TlsVerifyFailed, Handshaking)
            .answers(502),
        served(&ours, "misnamed", "")
            .with(&trusting(&ours, "somebody.test"))
            .fails("upstream SSL certificate does not match \"somebody.test\"", TlsNameMismatch, Handshaking)
            .answers(502),
        served(&ours, "old-version", "ssl_protocols TLSv1.2;")
            .with("proxy_ssl_protocols TLSv1.3;")
            .fails("SSL_do_handshake() failed (SSL:", TlsHandshakeFailed, Handshaking)
            .answers(502),
        peer("plain", vec![ReadRequest, Write(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())])
            .fails("SSL_do_handshake() failed (SSL:", TlsHandshakeFailed, Handshaking)
            .answers(502),
        peer("closes-handshake", vec![ReadRequest, Close])
            .fails("peer closed connection in SSL handshake", TlsHandshakeFailed, Handshaking)
            .answers(502),
        peer("resets-handshake", vec![ReadRequest, Reset])
            .fails("peer closed connection in SSL handshake (104:", TlsHandshakeFailed, Handshaking)
            .answers(502),
        // The connect timeout covers the handshake.
        peer("silent-handshake", vec![ReadRequest, Hang])
            .with("proxy_connect_timeout 200ms;")
            .fails("upstream timed out (110", TlsHandshakeTimeout, Handshaking)
            .answers(504),
    ]
}

/// A location in front of a TLS server with that certificate.
fn served(certificate: &Certificate, name: &str, directives: &str) -> Case {
    let address = Address::loopback(free_port());
    let server =
        format!("server {{ listen {address} ssl; {} {directives} return 200 fine; }}", certificate.directives());
    Case::location(Pass::Https, name, format!("proxy_pass https://{address};")).with_outside(server)
}
