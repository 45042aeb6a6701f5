//! `uwsgi_pass` and `scgi_pass`, and one case each of the protocols that say nothing new.

use nginx_502_exporter::observation::Phase::{Connecting, ReadingBody, ReadingHeader};
use nginx_502_exporter::observation::UpstreamClass::{
    ClosedBeforeHeader, ClosedInBody, ConnectRefused, ConnectSocketMissing, HeaderInvalid, HeaderTooBig,
    ReadHeaderTimeout, ResetBeforeHeader,
};

use crate::case::Case;
use crate::common::Lab;
use crate::common::faults::Step::{Close, Hang, ReadRequest, Reset, Write};
use crate::common::faults::address::Dead;
use crate::pass::Pass;
use crate::run::run;

#[test]
fn failures_of_uwsgi_and_scgi_upstreams_are_classified() {
    let lab = Lab::new();
    run(&lab, &cases(&lab));
}

pub fn cases(lab: &Lab) -> Vec<Case> {
    let mut cases = of(lab, Pass::Uwsgi, "uwsgi");
    cases.extend(of(lab, Pass::Scgi, "scgi"));
    for (pass, name) in [(Pass::Suwsgi, "suwsgi"), (Pass::Grpcs, "grpcs"), (Pass::Memcached, "memcached")] {
        let refused = Case::dead(pass, name, Dead::port());
        cases.push(refused.fails("connect() failed (111", ConnectRefused, Connecting).answers(502));
    }
    cases
}

fn of(lab: &Lab, pass: Pass, word: &str) -> Vec<Case> {
    let name = |case: &str| format!("{word}-{case}");
    let peer = |case: &str, script: Vec<_>| Case::peer(pass, &name(case), script);
    let big = [b"Status: 200 OK\r\nX-Big: ", &[b'x'; 8192][..], b"\r\n\r\n"].concat();
    vec![
        Case::dead(pass, &name("refused"), Dead::port())
            .fails("connect() failed (111", ConnectRefused, Connecting)
            .answers(502),
        Case::dead(pass, &name("missing"), Dead::missing_socket(lab))
            .fails("failed (2:", ConnectSocketMissing, Connecting)
            .answers(502),
        peer("closes", vec![ReadRequest, Close])
            .fails("upstream prematurely closed connection", ClosedBeforeHeader, ReadingHeader)
            .answers(502),
        peer("resets", vec![ReadRequest, Reset])
            .fails("recv() failed (104", ResetBeforeHeader, ReadingHeader)
            .answers(502),
        peer("silent", vec![ReadRequest, Hang])
            .with(&format!("{word}_read_timeout 200ms;"))
            .fails("upstream timed out (110", ReadHeaderTimeout, ReadingHeader)
            .answers(504),
        peer("big-header", vec![ReadRequest, Write(big)])
            .fails("upstream sent too big header", HeaderTooBig, ReadingHeader)
            .answers(502),
        peer("garbage", vec![ReadRequest, Write(b"\0\0\0\0\r\n\r\n".to_vec())])
            .fails("upstream sent invalid header", HeaderInvalid, ReadingHeader)
            .answers(502),
        peer(
            "closes-in-body",
            vec![ReadRequest, Write(b"Status: 200 OK\r\nContent-Length: 10\r\n\r\nfour".to_vec()), Close],
        )
        .fails("upstream prematurely closed connection", ClosedInBody, ReadingBody)
        .answers(200),
    ]
}
