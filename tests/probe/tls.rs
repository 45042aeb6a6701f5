//! TLS as nginx would do it: a real nginx in front of the same TLS servers is the judge.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nginx_502_exporter::inputs::probe::{Ask, Identity, Target, TlsOptions, TlsVersions, Verify};
use nginx_502_exporter::observation::probe::{ProbePhase, ProbeReading, ProbeReason, Spoken};

use crate::common::faults::Step::{Close, ReadRequest, Write};
use crate::common::faults::address::Dead;
use crate::common::faults::{Peer, Wire};
use crate::common::http::Address;
use crate::common::lab::{free_port, give_to_worker};
use crate::common::tls::{Certificate, Issue};
use crate::common::{Lab, Nginx, NginxConfig};
use crate::{PATIENT, http, probe, prober, reason, runtime, target};

const AUTHORITY: &[&str] = &["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"];

/// A TLS server, and what is asked of it.
struct Case {
    name: &'static str,
    server: String,
    options: TlsOptions,
    expected: Option<ProbeReason>,
}

impl Case {
    /// nginx's directives for the same options.
    fn directives(&self) -> String {
        let TlsOptions { name, sni, verify, identity, versions, http2: _ } = &self.options;
        let mut directives = format!("proxy_ssl_name {name};");
        if *sni {
            directives += "proxy_ssl_server_name on;";
        }
        if let Some(Verify { trusted, depth }) = verify {
            let trusted = trusted.display();
            directives += &format!(
                "proxy_ssl_verify on; proxy_ssl_trusted_certificate {trusted}; proxy_ssl_verify_depth {depth};"
            );
        }
        if let Some(Identity { certificate, key }) = identity {
            let (certificate, key) = (certificate.display(), key.display());
            directives += &format!("proxy_ssl_certificate {certificate}; proxy_ssl_certificate_key {key};");
        }
        if !versions.v1_2 {
            directives += "proxy_ssl_protocols TLSv1.3;";
        }
        directives
    }
}

#[test]
fn peers_are_accepted_exactly_where_nginx_accepts_them() {
    let lab = Lab::new();
    let cases = cases(&lab);
    let ports: Vec<u16> = cases.iter().map(|_| free_port()).collect();
    let (mut backends, mut locations) = (String::new(), String::new());
    for (n, (case, port)) in cases.iter().zip(&ports).enumerate() {
        let server = case.server.replace("LISTEN", &format!("listen 127.0.0.1:{port} ssl;"));
        backends += &server;
        locations += &format!("location = /{n} {{ proxy_pass https://127.0.0.1:{port}/; {} }}\n", case.directives());
    }
    let nginx = Nginx::start(&lab, &NginxConfig { http: backends, ..NginxConfig::server(locations) });
    let mut wrong = Vec::new();
    for (n, (case, port)) in cases.iter().zip(&ports).enumerate() {
        let status = nginx.get(&format!("/{n}")).status;
        let tls = Some(Arc::new(case.options.clone()));
        let reading = probe(Target { tls, ..target(Address::loopback(*port), http()) }, PATIENT);
        if (status == 200) != reading.up.is_ok() || reason(&reading) != case.expected {
            wrong.push(format!("{}: nginx {status}, we {:?}, expected {:?}", case.name, reading.up, case.expected));
        }
        if reading.chain.is_empty() && reason(&reading) != Some(ProbeReason::TlsProtocol) {
            wrong.push(format!("{}: no certificate", case.name));
        }
    }
    let log = String::from_utf8_lossy(&nginx.errors())
        .lines()
        .filter(|line| line.contains("[error]"))
        .map(|l| format!("{l}\n"))
        .collect::<String>();
    assert!(wrong.is_empty(), "{wrong:#?}\n{log}");
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases(lab: &Lab) -> Vec<Case> {
    use ProbeReason::{BadStatus, TlsExpired, TlsNameMismatch, TlsNotYetValid, TlsProtocol, TlsUntrusted};
    let issue = |name: &str, how: Issue<'_>| Certificate::issue(lab, name, &how);
    let named = ["subjectAltName=DNS:app.test"];
    let root = issue("root", Issue { subject: "Root", extensions: AUTHORITY, ..Issue::default() });
    let by_root = |name: &str, extensions: &[&str]| {
        issue(name, Issue { subject: "app.test", signer: Some(&root), extensions, ..Issue::default() })
    };
    let first =
        issue("first", Issue { subject: "First", signer: Some(&root), extensions: AUTHORITY, ..Issue::default() });
    let second =
        issue("second", Issue { subject: "Second", signer: Some(&first), extensions: AUTHORITY, ..Issue::default() });
    let by_first = issue("by-first", Issue { signer: Some(&first), extensions: &named, ..Issue::default() });
    let by_second = issue("by-second", Issue { signer: Some(&second), extensions: &named, ..Issue::default() });
    let leaf = by_root("leaf", &named);
    let version_1 = by_root("version-1", &[]);
    let old_root = issue(
        "old-root",
        Issue { subject: "Old", extensions: AUTHORITY, until: "20210101000000Z", ..Issue::default() },
    );
    let root_v1 = issue("root-v1", Issue { subject: "Root of version 1", ..Issue::default() });
    let no_authority = by_root("no-authority", &["basicConstraints=CA:FALSE"]);
    let narrow = issue(
        "narrow",
        Issue {
            subject: "Narrow",
            signer: Some(&root),
            extensions: &["basicConstraints=CA:TRUE,pathlen:0"],
            ..Issue::default()
        },
    );
    let under_narrow = issue(
        "under-narrow",
        Issue { subject: "Under", signer: Some(&narrow), extensions: AUTHORITY, ..Issue::default() },
    );
    let too_deep = issue("too-deep", Issue { signer: Some(&under_narrow), extensions: &named, ..Issue::default() });
    let stranger = issue("stranger", Issue { subject: "Root", extensions: AUTHORITY, ..Issue::default() });
    let self_signed = Certificate::self_signed(lab, "app.test");
    let with_intermediate = by_first.followed_by(lab, "with-intermediate", &[&first]);
    let with_both = by_second.followed_by(lab, "with-both", &[&second, &first]);
    let both_trusted = root.followed_by(lab, "both-trusted", &[&first]);
    let other_name = by_root("other-name", &["subjectAltName=DNS:other.test"]);

    let plain = || TlsOptions::new("app.test");
    let verified = |trusted: &Certificate, depth: usize, name: &str| TlsOptions {
        verify: Some(Verify { trusted: trusted.certificate.clone(), depth }),
        ..TlsOptions::new(name)
    };
    let trusting = |trusted: &Certificate| verified(trusted, 1, "app.test");
    let presents =
        |certificate: &Certificate| format!("server {{ LISTEN {} return 200 fine; }}\n", certificate.directives());
    let case = |name, certificate: &Certificate, options, expected| Case {
        name,
        server: presents(certificate),
        options,
        expected,
    };
    let dated = |name: &str, from, until| {
        issue(
            name,
            Issue { subject: "app.test", signer: Some(&root), extensions: &named, from, until, ..Issue::default() },
        )
    };
    let expired = dated("expired", "20200101000000Z", "20210101000000Z");
    let future = dated("future", "20480101000000Z", "20490101000000Z");
    let old_intermediate = issue(
        "old-intermediate",
        Issue {
            subject: "Was",
            signer: Some(&root),
            extensions: AUTHORITY,
            until: "20210101000000Z",
            ..Issue::default()
        },
    );
    let by_old = issue("by-old", Issue { signer: Some(&old_intermediate), extensions: &named, ..Issue::default() })
        .followed_by(lab, "by-old-with", &[&old_intermediate]);
    let client = by_root("client", &named);
    give_to_worker(&client.key);
    let wants_client = format!(
        "server {{ LISTEN {} ssl_client_certificate {}; ssl_verify_client on; return 200 fine; }}\n",
        leaf.directives(),
        root.certificate.display()
    );
    let by_sni = format!(
        "{}{}",
        presents(&other_name).replace("server {", "server { server_name other.test;"),
        presents(&leaf).replace("server {", "server { server_name app.test;")
    );
    let old_tls = format!("server {{ LISTEN {} ssl_protocols TLSv1.2; return 200 fine; }}\n", leaf.directives());
    let identity = Identity { certificate: client.certificate.clone(), key: client.key.clone() };

    let rsa = &["-newkey", "rsa:2048"][..];
    let rsa_root = issue("rsa-root", Issue { subject: "RSA", new_key: rsa, extensions: AUTHORITY, ..Issue::default() });
    let by_rsa = |name: &str, new_key: &[&str]| {
        issue(name, Issue { signer: Some(&rsa_root), new_key, extensions: &named, ..Issue::default() })
    };
    let p384 = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"];

    vec![
        case("RSA", &by_rsa("rsa", rsa), trusting(&rsa_root), None),
        case("another curve, signed with RSA", &by_rsa("p384", p384), trusting(&rsa_root), None),
        case("not verified", &self_signed, plain(), None),
        case("expired, not verified", &expired, plain(), None),
        case("trusted", &leaf, trusting(&root), None),
        case("by a stranger of the same name", &leaf, trusting(&stranger), Some(TlsUntrusted)),
        case("with its intermediate", &with_intermediate, trusting(&root), None),
        case("without its intermediate", &by_first, trusting(&root), Some(TlsUntrusted)),
        case("intermediate in the trusted file", &by_first, trusting(&both_trusted), None),
        case("only the intermediate is trusted", &with_intermediate, trusting(&first), Some(TlsUntrusted)),
        case("depth 0, direct", &leaf, verified(&root, 0, "app.test"), None),
        case("depth 0, intermediate", &with_intermediate, verified(&root, 0, "app.test"), Some(TlsUntrusted)),
        case("depth 1, two intermediates", &with_both, trusting(&root), Some(TlsUntrusted)),
        case("depth 2, two intermediates", &with_both, verified(&root, 2, "app.test"), None),
        case(
            "deeper than an authority may sign",
            &too_deep.followed_by(lab, "too-deep-with", &[&under_narrow, &narrow]),
            verified(&root, 5, "app.test"),
            Some(TlsUntrusted),
        ),
        case(
            "signed by what is no authority",
            &issue("by-none", Issue { signer: Some(&no_authority), extensions: &named, ..Issue::default() })
                .followed_by(lab, "by-none-with", &[&no_authority]),
            trusting(&root),
            Some(TlsUntrusted),
        ),
        case("expired", &expired, trusting(&root), Some(TlsExpired)),
        case("not valid yet", &future, trusting(&root), Some(TlsNotYetValid)),
        case("expired intermediate", &by_old, trusting(&root), Some(TlsExpired)),
        case(
            "expired root",
            &issue("by-old-root", Issue { signer: Some(&old_root), extensions: &named, ..Issue::default() }),
            trusting(&old_root),
            Some(TlsExpired),
        ),
        case("self-signed and trusted", &self_signed, trusting(&self_signed), None),
        case("self-signed and not trusted", &self_signed, trusting(&root), Some(TlsUntrusted)),
        case("first version", &version_1, trusting(&root), None),
        case(
            "root of the first version",
            &issue("by-root-v1", Issue { signer: Some(&root_v1), extensions: &named, ..Issue::default() }),
            trusting(&root_v1),
            None,
        ),
        case(
            "an authority itself",
            &by_root("ca-leaf", &["basicConstraints=CA:TRUE", named[0]]),
            trusting(&root),
            None,
        ),
        case(
            "for clients only",
            &by_root("client-only", &["extendedKeyUsage=clientAuth", named[0]]),
            trusting(&root),
            Some(TlsUntrusted),
        ),
        case(
            "for servers",
            &by_root("server", &["extendedKeyUsage=serverAuth,clientAuth", named[0]]),
            trusting(&root),
            None,
        ),
        case("another name", &other_name, trusting(&root), Some(TlsNameMismatch)),
        case(
            "a wildcard",
            &by_root("wildcard", &["subjectAltName=DNS:*.app.test"]),
            verified(&root, 1, "www.app.test"),
            None,
        ),
        case(
            "a wildcard's parent",
            &by_root("wildcard-parent", &["subjectAltName=DNS:*.app.test"]),
            trusting(&root),
            Some(TlsNameMismatch),
        ),
        case(
            "too wide a wildcard",
            &by_root("wide", &["subjectAltName=DNS:*.test"]),
            trusting(&root),
            Some(TlsNameMismatch),
        ),
        case("a common name only", &version_1, verified(&root, 1, "APP.test"), None),
        case(
            "an address as subject",
            &by_root("ip", &["subjectAltName=IP:127.0.0.1"]),
            verified(&root, 1, "127.0.0.1"),
            Some(TlsNameMismatch),
        ),
        case("a name with a port", &leaf, verified(&root, 1, "app.test:8443"), None),
        Case {
            name: "chosen by name",
            server: by_sni.clone(),
            options: TlsOptions { sni: true, ..trusting(&root) },
            expected: None,
        },
        Case { name: "not told the name", server: by_sni, options: trusting(&root), expected: Some(TlsNameMismatch) },
        Case {
            name: "without our certificate",
            server: wants_client.clone(),
            options: plain(),
            expected: Some(BadStatus),
        },
        Case {
            name: "with our certificate",
            server: wants_client,
            options: TlsOptions { identity: Some(identity), ..trusting(&root) },
            expected: None,
        },
        Case { name: "TLS 1.2", server: old_tls.clone(), options: trusting(&root), expected: None },
        Case {
            name: "RSA with TLS 1.2",
            server: presents(&by_rsa("rsa-1.2", rsa)).replace("return", "ssl_protocols TLSv1.2; return"),
            options: trusting(&rsa_root),
            expected: None,
        },
        Case {
            name: "TLS 1.3 only",
            server: old_tls,
            options: TlsOptions { versions: TlsVersions { v1_2: false, v1_3: true }, ..plain() },
            expected: Some(TlsProtocol),
        },
    ]
}

#[test]
fn the_chain_and_its_end_are_told_even_if_it_is_not_accepted() {
    let lab = Lab::new();
    let root = Certificate::issue(&lab, "root", &Issue { subject: "Root", extensions: AUTHORITY, ..Issue::default() });
    let between = Issue {
        subject: "Between",
        signer: Some(&root),
        extensions: AUTHORITY,
        until: "20210301000000Z",
        ..Issue::default()
    };
    let between = Certificate::issue(&lab, "between", &between);
    let own = Issue {
        subject: "app",
        signer: Some(&between),
        extensions: &["subjectAltName=DNS:app.test,DNS:b.test"],
        ..Issue::default()
    };
    let served = Certificate::issue(&lab, "own", &own).followed_by(&lab, "served", &[&between]);
    let (nginx, address) = serving(&lab, &served);
    let options = TlsOptions {
        verify: Some(Verify { trusted: root.certificate.clone(), depth: 1 }),
        ..TlsOptions::new("app.test")
    };
    let reading = over_tls(&address, options);
    assert_eq!(reason(&reading), Some(ProbeReason::TlsExpired));
    let [own, between] = &reading.chain[..] else { panic!("{reading:?}") };
    assert_eq!((&*own.subject, &*own.issuer, own.is_self_signed), ("CN=app", "CN=Between", false));
    assert_eq!(own.names.iter().map(|name| &**name).collect::<Vec<_>>(), ["app.test", "b.test"]);
    // 2021-03-01 and 2049-01-01, as date(1) counts.
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!((between.not_after, own.not_after), (at(1_614_556_800), at(2_493_072_000)));
    assert_eq!(reading.expires_at(), Some(between.not_after));
    assert!(reading.phases.get(ProbePhase::Tls).is_none(), "it failed");
    drop(nginx);
}

#[test]
fn changed_and_unreadable_files_are_noticed() {
    let lab = Lab::new();
    let (ours, other) = (Certificate::self_signed(&lab, "app.test"), Certificate::self_signed(&lab, "other.test"));
    let (_nginx, address) = serving(&lab, &ours);
    let trusted: PathBuf = lab.path("trusted.pem");
    let options =
        || TlsOptions { verify: Some(Verify { trusted: trusted.clone(), depth: 1 }), ..TlsOptions::new("app.test") };
    let target = Target { tls: Some(Arc::new(options())), ..target(&address, http()) };
    let (runtime, mut prober) = (runtime(), prober(target, PATIENT));
    let mut probed = || reason(&runtime.block_on(prober.probe()));
    assert_eq!(probed(), Some(ProbeReason::SkippedUnreadable), "it does not exist");
    std::fs::copy(&other.certificate, &trusted).unwrap();
    assert_eq!(probed(), Some(ProbeReason::TlsUntrusted));
    std::fs::remove_file(&trusted).unwrap();
    std::fs::copy(&ours.certificate, &trusted).unwrap();
    assert_eq!(probed(), None);
    std::fs::write(&trusted, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n").unwrap();
    assert_eq!(probed(), Some(ProbeReason::SkippedUnreadable));
    std::fs::remove_file(&trusted).unwrap();
    std::fs::create_dir(&trusted).unwrap();
    assert_eq!(probed(), Some(ProbeReason::SkippedUnreadable), "a folder");
}

#[test]
fn http2_is_negotiated_for_grpc() {
    let lab = Lab::new();
    let certificate = Certificate::self_signed(&lab, "app.test");
    let port = free_port();
    let http = format!("server {{ listen 127.0.0.1:{port} ssl http2; {} return 200; }}", certificate.directives());
    let _nginx = Nginx::start(&lab, &NginxConfig { http, ..NginxConfig::default() });
    let options = TlsOptions { http2: true, ..TlsOptions::new("app.test") };
    // In HTTP/2 an HTTP/1.1 request is nonsense, and nginx says so in a frame.
    let reading = over_tls(&Address::loopback(port), options);
    assert_eq!(reason(&reading), Some(ProbeReason::ProtocolMismatch), "{reading:?}");
}

/// nginx with that certificate, and where it speaks TLS.
pub fn serving(lab: &Lab, certificate: &Certificate) -> (Nginx, Address) {
    let port = free_port();
    let http = format!("server {{ listen 127.0.0.1:{port} ssl; {} return 200 fine; }}", certificate.directives());
    (Nginx::start(lab, &NginxConfig { http, ..NginxConfig::default() }), Address::loopback(port))
}

fn over_tls(address: &Address, options: TlsOptions) -> ProbeReading {
    probe(Target { tls: Some(Arc::new(options)), ..target(address, http()) }, PATIENT)
}

#[test]
fn what_a_peer_really_speaks_is_found_out() {
    let lab = Lab::new();
    let (nginx, over_tls) = serving(&lab, &Certificate::self_signed(&lab, "app.test"));
    let silent = Peer::tcp(Wire::Raw, [ReadRequest, Close]);
    let hello = Peer::tcp(Wire::Raw, [ReadRequest, Write(b"\0\0\0\x04\0\0\0\0\0".to_vec())]);
    let nobody = Dead::port();
    for (address, expected) in [
        (&over_tls, Some(Spoken::Tls)),
        (&nginx.address(), Some(Spoken::Http)),
        (&nginx.socket(), Some(Spoken::Http)),
        (hello.address(), Some(Spoken::Http2)),
        (silent.address(), None),
        (nobody.address(), None),
    ] {
        let mut prober = prober(target(address, Ask::Nothing), PATIENT);
        assert_eq!(runtime().block_on(prober.identify()), expected, "{address}");
    }
}
