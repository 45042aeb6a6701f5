//! `stream {}`: proxies that know bytes only.

use nginx_502_exporter::observation::Phase::{Connecting, Handshaking, Proxying, Resolving};
use nginx_502_exporter::observation::UpstreamClass::{
    ConnectBacklogFull, ConnectPermissionDenied, ConnectRefused, ConnectSocketMissing, ConnectTimeout, DnsNotResolved,
    NoLiveUpstreams, ResetInBody, TlsHandshakeFailed,
};

use crate::case::Case;
use crate::common::Lab;
use crate::common::faults::Step::{Hang, ReadRequest, Reset, Write};
use crate::common::faults::address::Dead;
use crate::common::faults::dns::{DnsServer, Reply};
use crate::pass::Pass;
use crate::run::run;

#[test]
fn failures_of_stream_upstreams_are_classified() {
    let lab = Lab::new();
    run(&lab, &cases(&lab));
}

pub fn cases(lab: &Lab) -> Vec<Case> {
    let unknown = DnsServer::start(Reply::Code(3));
    let resolving =
        format!("resolver {} ipv6=off; set $backend backend.test:80; proxy_pass $backend;", unknown.address());
    vec![
        Case::dead(Pass::Stream, "stream-refused", Dead::port())
            .fails("connect() failed (111", ConnectRefused, Connecting)
            .answers(502),
        Case::dead(Pass::Stream, "stream-missing", Dead::missing_socket(lab))
            .fails("failed (2:", ConnectSocketMissing, Connecting)
            .answers(502),
        Case::dead(Pass::Stream, "stream-silent-port", Dead::full_port())
            .with("proxy_connect_timeout 200ms;")
            .fails("upstream timed out (110", ConnectTimeout, Connecting)
            .answers(502),
        Case::location(Pass::Stream, "stream-none-live", "proxy_pass down;")
            .with_outside("upstream down { server 127.0.0.1:1 down; }")
            .fails("no live upstreams", NoLiveUpstreams, Connecting)
            .answers(502),
        Case::location(Pass::Stream, "stream-unknown-name", resolving)
            .holding(unknown)
            .fails_without_peer("could not be resolved (3:", DnsNotResolved, Some(Resolving))
            .answers(500),
        Case::peer(Pass::Stream, "stream-plain", [ReadRequest, Write(b"220 ready\r\n".to_vec())])
            .with("proxy_ssl on;")
            .fails("SSL_do_handshake() failed (SSL:", TlsHandshakeFailed, Handshaking)
            .answers(502),
        // A session that has nothing more to say is no failure, and information only.
        Case::peer(Pass::Stream, "stream-idle", [ReadRequest, Hang]).with("proxy_timeout 200ms;").answers(200),
        Case::dead(Pass::Stream, "stream-full", Dead::full_socket(lab))
            .fails("failed (11:", ConnectBacklogFull, Connecting)
            .answers(502),
        Case::dead(Pass::Stream, "stream-forbidden", Dead::forbidden_socket(lab))
            .fails("failed (13:", ConnectPermissionDenied, Connecting)
            .answers(502),
        Case::peer(Pass::Stream, "stream-resets", [ReadRequest, Reset])
            .fails("recv() failed (104", ResetInBody, Proxying)
            .answers(200),
    ]
}
