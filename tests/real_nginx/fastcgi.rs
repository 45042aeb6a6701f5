//! `fastcgi_pass`, to peers that break the protocol; PHP itself is in `php`.

use nginx_502_exporter::observation::Phase::{Connecting, ReadingBody, ReadingHeader};
use nginx_502_exporter::observation::UpstreamClass::{
    ClosedBeforeHeader, ClosedInBody, ConnectRefused, ConnectSocketMissing, HeaderInvalid, HeaderTooBig,
    ReadHeaderTimeout, ResetBeforeHeader, ResponseInvalid,
};
use nginx_502_exporter::observation::{PhpKind, Verdict};

use crate::case::Case;
use crate::common::Lab;
use crate::common::faults::Step::{Close, Hang, ReadRequest, Reset, Write};
use crate::common::faults::address::Dead;
use crate::common::faults::fastcgi::{END_REQUEST, STDERR, STDOUT, answer, record, record_with};
use crate::pass::Pass;
use crate::run::run;

#[test]
fn failures_of_fastcgi_upstreams_are_classified() {
    let lab = Lab::new();
    run(&lab, &cases(&lab));
}

pub fn cases(lab: &Lab) -> Vec<Case> {
    let peer = |name: &str, answer: Vec<u8>, end| Case::peer(Pass::FastCgi, name, [ReadRequest, Write(answer), end]);
    let started = || record(STDOUT, b"Content-Length: 10\r\n\r\nfour");
    let big = [b"X-Big: ", &[b'x'; 8192][..], b"\r\n\r\n"].concat();
    vec![
        Case::dead(Pass::FastCgi, "fcgi-refused", Dead::port())
            .fails("connect() failed (111", ConnectRefused, Connecting)
            .answers(502),
        Case::dead(Pass::FastCgi, "fcgi-missing", Dead::missing_socket(lab))
            .fails("failed (2:", ConnectSocketMissing, Connecting)
            .answers(502),
        peer("fcgi-closes", Vec::new(), Close)
            .fails("upstream prematurely closed connection", ClosedBeforeHeader, ReadingHeader)
            .answers(502),
        peer("fcgi-resets", Vec::new(), Reset)
            .fails("recv() failed (104", ResetBeforeHeader, ReadingHeader)
            .answers(502),
        peer("fcgi-silent", Vec::new(), Hang)
            .with("fastcgi_read_timeout 200ms;")
            .fails("upstream timed out (110", ReadHeaderTimeout, ReadingHeader)
            .answers(504),
        peer("fcgi-empty", [record(STDOUT, b""), record(END_REQUEST, &[0; 8])].concat(), Close)
            .fails("upstream prematurely closed FastCGI stdout", ClosedBeforeHeader, ReadingHeader)
            .answers(502),
        peer("fcgi-closes-in-body", started(), Close)
            .with("fastcgi_keep_conn on;")
            .fails("upstream prematurely closed connection", ClosedInBody, ReadingBody)
            .answers(200),
        peer("fcgi-big-header", record(STDOUT, &big), Close)
            .fails("upstream sent too big header", HeaderTooBig, ReadingHeader)
            .answers(502),
        peer("fcgi-bad-status", record(STDOUT, b"Status: abc\r\n\r\n"), Close)
            .fails("upstream sent invalid status", HeaderInvalid, ReadingHeader)
            .answers(502),
        peer("fcgi-bad-version", record_with(9, STDOUT, 1, b"x"), Close)
            .fails("upstream sent unsupported FastCGI protocol version: 9", HeaderInvalid, ReadingHeader)
            .answers(502),
        peer("fcgi-bad-record", record_with(1, 42, 1, b"x"), Close)
            .fails("upstream sent invalid FastCGI record type: 42", ResponseInvalid, ReadingHeader)
            .answers(502),
        peer("fcgi-other-request", record_with(1, STDOUT, 2, b"x"), Close)
            .fails("upstream sent unexpected FastCGI request id", ResponseInvalid, ReadingHeader)
            .answers(502),
        peer("fcgi-http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Close)
            .fails("upstream sent unsupported FastCGI protocol version: 72", HeaderInvalid, ReadingHeader)
            .answers(502),
        peer(
            "fcgi-stderr",
            [record(STDERR, b"raw \0 and \"quoted\", client: nobody"), answer(b"fine")].concat(),
            Close,
        )
        .logs("FastCGI sent in stderr", Verdict::Php(PhpKind::Application), Some(ReadingHeader), true)
        .answers(200),
        // Nothing is wrong: nothing may count.
        peer("fcgi-fine", answer(b"fine"), Close).answers(200),
    ]
}
