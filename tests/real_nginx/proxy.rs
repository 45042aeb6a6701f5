//! `proxy_pass http://`: the whole way from connecting to the end of the body.

use nginx_502_exporter::observation::Phase::{
    Connecting, ReadingBody, ReadingHeader, Resolving, Sending, SendingToClient,
};
use nginx_502_exporter::observation::UpstreamClass::{
    AuthUnexpected, ClosedBeforeHeader, ClosedInBody, ConnectBacklogFull, ConnectFailed, ConnectNoLocalPort,
    ConnectPermissionDenied, ConnectRefused, ConnectSocketMissing, ConnectTimeout, ConnectUnreachable, DnsNoResolver,
    DnsNotResolved, HeaderInvalid, HeaderTooBig, NoLiveUpstreams, ReadBodyTimeout, ReadHeaderTimeout,
    ResetBeforeHeader, ResetInBody, ResponseInvalid, SendFailed, SendTimeout, UpstreamAddressInvalid,
};
use nginx_502_exporter::observation::Verdict;

use crate::case::Case;
use crate::common::faults::Step::{AwaitRequest, Close, Hang, ReadRequest, RefuseData, Reset, Write};
use crate::common::faults::address::Dead;
use crate::common::faults::dns::{DnsServer, Reply};
use crate::common::faults::{HTTP_OK, Peer, Step, Wire};
use crate::common::{Lab, Nginx, NginxConfig};
use crate::pass::Pass;
use crate::run::{counted, run};

/// A header that announces ten bytes, and four of them.
const CUT_BODY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour";
/// The connection is the WebSocket protocol's from here on.
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
const READ_TIMEOUT: &str = "proxy_read_timeout 200ms;";

#[test]
fn failures_of_http_upstreams_are_classified() {
    let lab = Lab::new();
    run(&lab, &cases(&lab));
}

#[test]
fn an_entry_that_nginx_cut_short_keeps_its_class() {
    let lab = Lab::new();
    let dead = Dead::port();
    let location = format!("location / {{ proxy_pass http://{}; }}", dead.address());
    let nginx = Nginx::start(&lab, &NginxConfig::server(location));
    assert_eq!(nginx.get(&format!("/?{}", "long".repeat(1000))).status, 502);
    let log = nginx.errors();
    let counted = counted(&log);
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert_eq!(counted[0].verdict, Verdict::Upstream(ConnectRefused));
    assert_eq!(counted[0].phase, Some(Connecting));
    assert_eq!(counted[0].fields.upstream, None, "it stands behind the cut");
}

pub fn cases(lab: &Lab) -> Vec<Case> {
    [connecting(lab), choosing_a_peer(), sending(lab), reading_the_header(), reading_the_body(lab)]
        .into_iter()
        .flatten()
        .collect()
}

fn dead(name: &str, dead: Dead) -> Case {
    Case::dead(Pass::Http, name, dead).answers(502)
}

fn connecting(lab: &Lab) -> Vec<Case> {
    vec![
        dead("refused", Dead::port()).fails("connect() failed (111", ConnectRefused, Connecting),
        dead("forged", Dead::port()).sending("Referer", r#"x", upstream: "http://203.0.113.9:9/", host: "evil"#).fails(
            "connect() failed (111",
            ConnectRefused,
            Connecting,
        ),
        dead("stale", Dead::stale_socket(lab)).fails("failed (111", ConnectRefused, Connecting),
        dead("missing", Dead::missing_socket(lab)).fails("failed (2:", ConnectSocketMissing, Connecting),
        dead("forbidden", Dead::forbidden_socket(lab)).fails("failed (13:", ConnectPermissionDenied, Connecting),
        dead("full", Dead::full_socket(lab)).fails("failed (11:", ConnectBacklogFull, Connecting),
        dead("datagram", Dead::datagram_socket(lab)).fails("failed (91:", ConnectFailed, Connecting),
        dead("silent-port", Dead::full_port())
            .with("proxy_connect_timeout 200ms;")
            .fails("upstream timed out (110", ConnectTimeout, Connecting)
            .answers(504),
        // TCP to a broadcast address: the kernel refuses without sending anything.
        Case::location(Pass::Http, "unreachable", "proxy_pass http://127.255.255.255:80;")
            .fails("failed (101:", ConnectUnreachable, Connecting)
            .answers(502),
        // TEST-NET-1, RFC 5737: not an address of this machine.
        dead("no-local-address", Dead::port())
            .with("proxy_bind 192.0.2.1;")
            .fails("bind(192.0.2.1) failed (99", ConnectNoLocalPort, Connecting)
            .answers(500),
    ]
}

fn choosing_a_peer() -> Vec<Case> {
    let (first, second) = (Dead::port(), Dead::port());
    let group = format!(
        "upstream dying {{ server {} max_fails=1; server {} max_fails=1; }}",
        first.address(),
        second.address()
    );
    let resolving = |name: &str, reply: Reply| {
        let server = DnsServer::start(reply);
        let resolver = format!("resolver {} ipv6=off;", server.address());
        Case::location(Pass::Http, name, format!("{resolver} set $backend backend.test; proxy_pass http://$backend;"))
            .holding(server)
            .answers(502)
    };
    vec![
        Case::location(Pass::Http, "dying", "proxy_pass http://dying;")
            .with_outside(group)
            .holding(first)
            .holding(second)
            .fails("connect() failed (111", ConnectRefused, Connecting)
            .logs("temporarily disabled", Verdict::PeerDisabled, Some(Connecting), true)
            .fails("connect() failed (111", ConnectRefused, Connecting)
            .logs("temporarily disabled", Verdict::PeerDisabled, Some(Connecting), true)
            .answers(502),
        Case::location(Pass::Http, "none-live", "proxy_pass http://down;")
            .with_outside("upstream down { server 127.0.0.1:1 down; }")
            .fails("no live upstreams", NoLiveUpstreams, Connecting)
            .answers(502),
        resolving("unknown-name", Reply::Code(3)).fails_without_peer(
            "could not be resolved (3:",
            DnsNotResolved,
            Some(Resolving),
        ),
        resolving("dns-failure", Reply::Code(2)).fails_without_peer(
            "could not be resolved (2:",
            DnsNotResolved,
            Some(Resolving),
        ),
        resolving("dns-silent", Reply::Silence).with("resolver_timeout 200ms;").fails_without_peer(
            "could not be resolved (110:",
            DnsNotResolved,
            Some(Resolving),
        ),
        Case::location(Pass::Http, "no-resolver", "set $backend backend.test; proxy_pass http://$backend;")
            .fails_without_peer("no resolver defined", DnsNoResolver, Some(Resolving))
            .answers(502),
        Case::location(Pass::Http, "bad-port", "set $backend 127.0.0.1:99999; proxy_pass http://$backend;")
            .fails_without_peer("invalid port in upstream", UpstreamAddressInvalid, None)
            .answers(500),
        Case::location(Pass::Http, "bad-scheme", "set $backend ftp://127.0.0.1; proxy_pass $backend;")
            .fails_without_peer("invalid URL prefix", UpstreamAddressInvalid, None)
            .answers(500),
        {
            let (dead, live) = (Dead::port(), Peer::tcp(Wire::Http, [ReadRequest, Write(HTTP_OK.to_vec())]));
            let group = format!("upstream retried {{ server {}; server {} backup; }}", dead.address(), live.address());
            // The client sees nothing of it.
            Case::location(Pass::Http, "retried", "proxy_pass http://retried;")
                .with_outside(group)
                .holding((dead, live))
                .fails("connect() failed (111", ConnectRefused, Connecting)
                .logs("temporarily disabled", Verdict::PeerDisabled, Some(Connecting), true)
                .answers(200)
        },
        {
            let judge = Dead::port();
            let location = format!("location = /dead-judge {{ internal; proxy_pass http://{}; }}", judge.address());
            Case::location(Pass::Http, "without-judge", "auth_request /dead-judge;")
                .with_beside(location)
                .naming(judge.address())
                .holding(judge)
                .fails("connect() failed (111", ConnectRefused, Connecting)
                .fails_without_peer("auth request unexpected status: 502", AuthUnexpected, Some(SendingToClient))
                .answers(500)
        },
        {
            let teapot =
                Peer::tcp(Wire::Http, [ReadRequest, Write(b"HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n".to_vec())]);
            let location = format!("location = /judge {{ internal; proxy_pass http://{}; }}", teapot.address());
            Case::location(Pass::Http, "unjudged", "auth_request /judge;")
                .with_beside(location)
                .holding(teapot)
                .fails_without_peer("auth request unexpected status: 418", AuthUnexpected, Some(SendingToClient))
                .answers(500)
        },
    ]
}

fn sending(lab: &Lab) -> Vec<Case> {
    let post = |name: &str, script: Vec<_>| {
        Case::against(Pass::Http, name, Peer::unix(lab, &format!("{name}.sock"), Wire::Http, script))
            .with("client_body_buffer_size 2m;")
            .posting(1_500_000)
    };
    vec![
        post("never-reads", vec![Hang])
            .with("proxy_send_timeout 200ms;")
            .fails("upstream timed out (110", SendTimeout, Sending)
            .answers(504),
        post("reads-no-more", vec![ReadRequest, RefuseData, Hang])
            .fails("failed (32:", SendFailed, Sending)
            .answers(502),
    ]
}

fn says(bytes: &[u8]) -> Step {
    Write(bytes.to_vec())
}

fn reading_the_header() -> Vec<Case> {
    let peer = |name: &str, script: Vec<_>| Case::peer(Pass::Http, name, script);
    let big = [b"HTTP/1.1 200 OK\r\nX-Big: ", &[b'x'; 8192][..], b"\r\n\r\n"].concat();
    vec![
        peer("closes", vec![ReadRequest, Close])
            .fails("upstream prematurely closed connection", ClosedBeforeHeader, ReadingHeader)
            .answers(502),
        peer("closes-in-header", vec![ReadRequest, says(b"HTTP/1.1 200 OK\r\nContent-Le"), Close])
            .fails("upstream prematurely closed connection", ClosedBeforeHeader, ReadingHeader)
            .answers(502),
        peer("resets", vec![ReadRequest, Reset])
            .fails("recv() failed (104", ResetBeforeHeader, ReadingHeader)
            .answers(502),
        peer("silent", vec![ReadRequest, Hang])
            .with(READ_TIMEOUT)
            .fails("upstream timed out (110", ReadHeaderTimeout, ReadingHeader)
            .answers(504),
        peer("stalls-in-header", vec![ReadRequest, says(b"HTTP/1.1 200 OK\r\n"), Hang])
            .with(READ_TIMEOUT)
            .fails("upstream timed out (110", ReadHeaderTimeout, ReadingHeader)
            .answers(504),
        peer("big-header", vec![ReadRequest, Write(big)])
            .fails("upstream sent too big header", HeaderTooBig, ReadingHeader)
            .answers(502),
        peer("bad-header", vec![ReadRequest, says(b"HTTP/1.1 200 OK\r\nX\0Y: 1\r\n\r\n")])
            .fails("upstream sent invalid header", HeaderInvalid, ReadingHeader)
            .answers(502),
        // nginx takes it for an answer of HTTP/0.9 and notes status 009.
        peer("not-http", vec![ReadRequest, says(b"SSH-2.0-OpenSSH_9.2\r\n")])
            .fails("upstream sent no valid HTTP/1.0 header", HeaderInvalid, ReadingHeader)
            .answers(9),
    ]
}

fn reading_the_body(lab: &Lab) -> Vec<Case> {
    let peer = |name: &str, script: Vec<_>| Case::peer(Pass::Http, name, script);
    // On a unix socket, so that nginx reads what was sent before the reset.
    let resetting = |name: &str, answer: &[u8]| {
        let script = vec![AwaitRequest, says(answer), Reset];
        Case::against(Pass::Http, name, Peer::unix(lab, &format!("{name}.sock"), Wire::Http, script))
    };
    vec![
        peer("closes-in-body", vec![ReadRequest, says(CUT_BODY), Close])
            .fails("upstream prematurely closed connection", ClosedInBody, ReadingBody)
            .answers(200),
        resetting("resets-in-body", CUT_BODY).fails("readv() failed (104", ResetInBody, ReadingBody).answers(200),
        peer("stalls-in-body", vec![ReadRequest, says(CUT_BODY), Hang])
            .with(READ_TIMEOUT)
            .fails("upstream timed out (110", ReadBodyTimeout, ReadingBody)
            .answers(200),
        peer(
            "bad-chunk",
            vec![ReadRequest, says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), Hang],
        )
        .fails("upstream sent invalid chunked response", ResponseInvalid, ReadingBody)
        .answers(200),
        // How WebSockets end: nobody's request fails by it.
        resetting("resets-websocket", UPGRADED)
            .with("proxy_http_version 1.1; proxy_set_header Upgrade websocket; proxy_set_header Connection upgrade;")
            .sending("Upgrade", "websocket")
            .answers(101),
        peer("too-much", vec![ReadRequest, says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nfour")])
            .fails("upstream sent more data than specified", ResponseInvalid, ReadingBody)
            .answers(200),
    ]
}
