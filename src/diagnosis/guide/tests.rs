use super::{ClientSaw, Guide, guide};
use crate::diagnosis::Cause;
use crate::observation::{
    Entry, Fields, Level, LocalClass, Phase, PhpKind, PhpKinds, Protocol, Source, UpstreamClass, Verdict,
};

fn entry(verdict: Verdict, protocol: Option<Protocol>) -> Entry<'static> {
    Entry {
        source: Source::NginxError,
        time: None,
        level: Some(Level::Error),
        verdict,
        phase: None,
        protocol,
        errno: None,
        php: PhpKinds::default(),
        message: b"upstream timed out (110: Connection timed out)",
        fields: Fields { upstream: Some(b"x"), ..Fields::default() },
    }
}

fn verdicts() -> impl Iterator<Item = Verdict> {
    let upstream = UpstreamClass::ALL.iter().copied().map(Verdict::Upstream);
    let local = LocalClass::ALL.iter().copied().map(Verdict::Local);
    let php = PhpKind::ALL.iter().copied().map(Verdict::Php);
    upstream.chain(local).chain(php).chain([Verdict::PeerDisabled, Verdict::Client, Verdict::Other])
}

fn protocols() -> impl Iterator<Item = Option<Protocol>> {
    Protocol::ALL.iter().copied().map(Some).chain([None])
}

fn texts(guide: &Guide) -> impl Iterator<Item = &String> {
    [&guide.meaning].into_iter().chain(&guide.caveat).chain(&guide.fix).chain(&guide.confirm)
}

fn upstream_guide(class: UpstreamClass, protocol: Protocol, peer: &str) -> Guide {
    guide(&entry(Verdict::Upstream(class), Some(protocol)), Some(peer))
}

#[test]
fn every_upstream_class_gives_the_status_of_the_catalogue() {
    use ClientSaw::{CutShort, Status, Unknown};
    use UpstreamClass as U;
    let expected = |class| match class {
        U::ConnectTimeout | U::TlsHandshakeTimeout | U::SendTimeout | U::ReadHeaderTimeout => Status(504),
        U::ReadBodyTimeout | U::ClosedInBody | U::ResetInBody => CutShort,
        U::UpstreamAddressInvalid | U::AuthUnexpected => Status(500),
        U::Other => Unknown,
        U::ConnectRefused
        | U::ConnectSocketMissing
        | U::ConnectPermissionDenied
        | U::ConnectBacklogFull
        | U::ConnectUnreachable
        | U::ConnectNoLocalPort
        | U::ConnectReset
        | U::ConnectFailed
        | U::NoLiveUpstreams
        | U::DnsNotResolved
        | U::DnsNoResolver
        | U::TlsHandshakeFailed
        | U::TlsVerifyFailed
        | U::TlsNameMismatch
        | U::SendFailed
        | U::ClosedBeforeHeader
        | U::ResetBeforeHeader
        | U::HeaderTooBig
        | U::HeaderInvalid
        | U::ResponseInvalid
        | U::StreamRefused => Status(502),
    };
    for &class in U::ALL {
        assert_eq!(upstream_guide(class, Protocol::Http, "10.0.0.1:80").client, expected(class), "{class}");
    }
}

#[test]
fn a_stream_proxy_has_no_status_only_a_closed_connection() {
    for &class in UpstreamClass::ALL {
        let client = upstream_guide(class, Protocol::Stream, "10.0.0.1:80").client;
        assert!(matches!(client, ClientSaw::Closed | ClientSaw::Unknown), "{class}: {client:?}");
    }
}

#[test]
fn every_failed_attempt_has_a_cause_to_check_a_fix_and_a_way_to_confirm() {
    for verdict in verdicts() {
        for protocol in protocols() {
            let guide = guide(&entry(verdict, protocol), Some("10.0.0.1:80"));
            assert!(guide.meaning.ends_with('.'), "{verdict:?}: {}", guide.meaning);
            let failed = !matches!(guide.client, ClientSaw::Unaffected | ClientSaw::Unknown);
            let about_the_client = matches!(verdict, Verdict::Client | Verdict::Other);
            let unexplained = verdict == Verdict::Upstream(UpstreamClass::Other);
            if failed && !about_the_client {
                assert!(guide.first.is_some() && !guide.fix.is_empty() && !guide.confirm.is_empty(), "{guide:#?}");
            }
            if matches!(verdict, Verdict::Upstream(_)) && !unexplained {
                assert!(guide.first.is_some() && !guide.fix.is_empty() && !guide.confirm.is_empty(), "{guide:#?}");
            }
        }
    }
}

#[test]
fn the_directives_are_those_of_the_protocol_in_use() {
    let prefixes = ["proxy_", "fastcgi_", "uwsgi_", "scgi_", "grpc_", "memcached_"];
    let own = |protocol| match protocol {
        None => "*_",
        Some(Protocol::Http | Protocol::Https | Protocol::Stream) => "proxy_",
        Some(Protocol::FastCgi) => "fastcgi_",
        Some(Protocol::Uwsgi | Protocol::Suwsgi) => "uwsgi_",
        Some(Protocol::Scgi) => "scgi_",
        Some(Protocol::Grpc | Protocol::Grpcs) => "grpc_",
        Some(Protocol::Memcached) => "memcached_",
    };
    for &class in UpstreamClass::ALL {
        for protocol in protocols() {
            let guide = guide(&entry(Verdict::Upstream(class), protocol), Some("10.0.0.1:80"));
            for text in texts(&guide) {
                for prefix in prefixes.iter().filter(|&&prefix| prefix != own(protocol)) {
                    assert!(!text.contains(prefix), "{class} over {protocol:?}: {text}");
                }
            }
        }
    }
}

#[test]
fn the_kernels_own_timeout_is_an_error_to_nginx_and_gives_502() {
    let mut entry = entry(Verdict::Upstream(UpstreamClass::ConnectTimeout), Some(Protocol::Http));
    assert_eq!(guide(&entry, None).client, ClientSaw::Status(504));
    entry.message = b"connect() failed (110: Connection timed out)";
    assert_eq!(guide(&entry, None).client, ClientSaw::Status(502));
}

#[test]
fn a_local_address_that_cannot_be_bound_gives_500() {
    let mut entry = entry(Verdict::Upstream(UpstreamClass::ConnectNoLocalPort), Some(Protocol::Http));
    entry.message = b"bind(203.0.113.7) failed (99: Cannot assign requested address)";
    assert_eq!(guide(&entry, Some("127.0.0.1:1")).client, ClientSaw::Status(500));
}

#[test]
fn an_answer_without_status_line_is_passed_on_as_http_0_9() {
    let mut entry = entry(Verdict::Upstream(UpstreamClass::HeaderInvalid), Some(Protocol::Http));
    entry.message = b"upstream sent no valid HTTP/1.0 header";
    entry.phase = Some(Phase::ReadingHeader);
    let guide = guide(&entry, Some("127.0.0.1:1"));
    assert_eq!(guide.client, ClientSaw::Unknown);
    assert!(guide.caveat.is_some_and(|caveat| caveat.contains("009")));
}

#[test]
fn a_missing_php_socket_leads_to_the_service_of_that_version() {
    let guide = upstream_guide(UpstreamClass::ConnectSocketMissing, Protocol::FastCgi, "unix:/run/php/php8.2-fpm.sock");
    assert_eq!(guide.first, Some(Cause::FpmNotRunning));
    assert_eq!(
        guide.confirm,
        [
            "ss -xlp src /run/php/php8.2-fpm.sock",
            "ls -l /run/php/php8.2-fpm.sock",
            "systemctl status php8.2-fpm",
            "php-fpm8.2 -t"
        ]
    );
}

#[test]
fn a_peer_from_a_forged_line_never_reaches_a_command() {
    for peer in ["unix:/run/a.sock; reboot", "$(reboot):80", "`reboot`", "a'|reboot:80", "unix:\x1b[2J"] {
        for verdict in verdicts() {
            for protocol in protocols() {
                let guide = guide(&entry(verdict, protocol), Some(peer));
                for command in &guide.confirm {
                    assert!(!command.contains("reboot") && !command.contains('\x1b'), "{command}");
                }
            }
        }
    }
}

#[test]
fn a_failed_subrequest_says_what_auth_request_makes_of_it() {
    let mut entry = entry(Verdict::Upstream(UpstreamClass::ConnectRefused), Some(Protocol::Http));
    entry.fields.subrequest = Some(b"/auth");
    assert!(
        guide(&entry, None)
            .caveat
            .is_some_and(|caveat| caveat.contains("/auth: behind auth_request the client gets 500"))
    );
}
