//! `grpc_pass`: HTTP/2 peers.

use nginx_502_exporter::observation::Phase::{Connecting, ReadingHeader};
use nginx_502_exporter::observation::UpstreamClass::{
    ClosedBeforeHeader, ConnectRefused, HeaderInvalid, ReadHeaderTimeout, ResetBeforeHeader, ResponseInvalid,
    StreamRefused,
};

use crate::case::Case;
use crate::common::Lab;
use crate::common::faults::Step::{Close, Hang, ReadRequest, Reset, Write};
use crate::common::faults::address::Dead;
use crate::common::faults::http2::{
    DATA, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, frame, literal, ok_header, preface,
};
use crate::pass::Pass;
use crate::run::run;

/// Error code INTERNAL_ERROR (RFC 9113, section 7).
const INTERNAL_ERROR: [u8; 4] = [0, 0, 0, 2];

#[test]
fn failures_of_grpc_upstreams_are_classified() {
    let lab = Lab::new();
    run(&lab, &cases(&lab));
}

pub fn cases(_: &Lab) -> Vec<Case> {
    let sends = |name: &str, frames: &[Vec<u8>]| {
        Case::peer(Pass::Grpc, name, [ReadRequest, Write(frames.concat()), Hang]).answers(502)
    };
    let peer = |name: &str, script: Vec<_>| Case::peer(Pass::Grpc, name, script);
    vec![
        Case::dead(Pass::Grpc, "grpc-refused", Dead::port())
            .fails("connect() failed (111", ConnectRefused, Connecting)
            .answers(502),
        peer("grpc-closes", vec![ReadRequest, Close])
            .fails("upstream prematurely closed connection", ClosedBeforeHeader, ReadingHeader)
            .answers(502),
        peer("grpc-resets", vec![ReadRequest, Reset])
            .fails("recv() failed (104", ResetBeforeHeader, ReadingHeader)
            .answers(502),
        peer("grpc-silent", vec![ReadRequest, Write(preface()), Hang])
            .with("grpc_read_timeout 200ms;")
            .fails("upstream timed out (110", ReadHeaderTimeout, ReadingHeader)
            .answers(504),
        sends("grpc-rst-stream", &[preface(), frame(RST_STREAM, 0, 1, &INTERNAL_ERROR)]).fails(
            "upstream rejected request with error 2",
            StreamRefused,
            ReadingHeader,
        ),
        sends("grpc-goaway", &[preface(), frame(GOAWAY, 0, 0, &[&[0; 4][..], &INTERNAL_ERROR].concat())]).fails(
            "upstream sent goaway with error 2",
            StreamRefused,
            ReadingHeader,
        ),
        sends("grpc-bad-status", &[preface(), frame(HEADERS, END_HEADERS, 1, &literal(":status", "ab"))]).fails(
            "upstream sent invalid :status",
            HeaderInvalid,
            ReadingHeader,
        ),
        sends("grpc-data-first", &[preface(), frame(DATA, 0, 1, b"x")]).fails(
            "upstream sent unexpected http2 frame: 0",
            ResponseInvalid,
            ReadingHeader,
        ),
        sends("grpc-http1", &[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]).fails(
            "upstream sent too large http2 frame: 4740180",
            ResponseInvalid,
            ReadingHeader,
        ),
        // The header is there, the answer is not. Unbuffered as gRPC is, nginx still says it reads the header.
        sends("grpc-cut-body", &[ok_header(), frame(DATA, 0, 1, b"four"), frame(RST_STREAM, 0, 1, &INTERNAL_ERROR)])
            .fails("upstream rejected request with error 2", StreamRefused, ReadingHeader)
            .answers(200),
    ]
}
