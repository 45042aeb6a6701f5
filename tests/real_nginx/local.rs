//! What is nginx's own doing, or the client's, and must not be blamed on an upstream.

use std::io::Write as _;
use std::time::Duration;

use nginx_502_exporter::observation::LocalClass::{
    ConnectionsLimited, LogNoSpace, RateLimited, RequestBufferedToDisk, ResponseBufferedToDisk,
};
use nginx_502_exporter::observation::Phase::{Connecting, ReadingBody};
use nginx_502_exporter::observation::UpstreamClass::ConnectRefused;
use nginx_502_exporter::observation::Verdict;

use crate::case::Case;
use crate::common::faults::Step::{Close, Hang, ReadRequest, Write};
use crate::common::faults::address::Dead;
use crate::common::faults::{HTTP_OK, Peer, Wire};
use crate::common::http::{Connection, Request};
use crate::common::{Lab, Nginx, NginxConfig};
use crate::pass::Pass;
use crate::run::{counted, run};

#[test]
fn failures_of_nginx_itself_are_classified() {
    let lab = Lab::new();
    run(&lab, &cases(&lab));
}

pub fn cases(lab: &Lab) -> Vec<Case> {
    let fine = |name: &str| Case::peer(Pass::Http, name, [ReadRequest, Write(HTTP_OK.to_vec()), Close]).answers(200);
    let answer = [b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 600_000][..]].concat();
    let static_file = |name: &str, directives: &str| Case::location(Pass::Http, name, directives).answers(503);
    vec![
        fine("limit-first")
            .with("limit_req zone=slow;")
            .with_outside("limit_req_zone $server_name zone=slow:32k rate=1r/m;"),
        static_file("limit-second", "limit_req zone=slow;").fails_locally("limiting requests", RateLimited),
        fine("limit-delayed-first")
            .with("limit_req zone=quick burst=5;")
            .with_outside("limit_req_zone $server_name zone=quick:32k rate=30r/m;"),
        fine("limit-delayed").with("limit_req zone=quick burst=5;").fails_locally("delaying request", RateLimited),
        // The location asks itself, and so is served twice at a time.
        static_file("limit-connections", &format!("limit_conn all 1; proxy_pass http://unix:{};", own_socket(lab)))
            .with_outside("limit_conn_zone $server_name zone=all:32k;")
            .fails_locally("limiting connections", ConnectionsLimited),
        fine("big-request")
            .with("client_body_buffer_size 8k;")
            .posting(100_000)
            .fails_locally("a client request body is buffered", RequestBufferedToDisk),
        Case::peer(Pass::Http, "big-response", [ReadRequest, Write(answer), Close])
            .with("proxy_buffers 4 4k; proxy_busy_buffers_size 4k; limit_rate 1m;")
            .logs("an upstream response is buffered", Verdict::Local(ResponseBufferedToDisk), Some(ReadingBody), true)
            .answers(200),
        fine("full-log")
            .with(&format!("access_log {} facts; access_log /dev/full;", lab.path("nginx/access.log").display()))
            .logs("write() to \"/dev/full\" failed (28", Verdict::Local(LogNoSpace), None, true),
        // The client's doing.
        fine("too-big-request").with("client_max_body_size 1k;").posting(2_000).answers(413),
        // The page that should tell of the failure is missing: an open() that names an upstream.
        Case::dead(Pass::Http, "missing-page", Dead::port())
            .with("error_page 502 /no-such-page.html;")
            .fails("connect() failed (111", ConnectRefused, Connecting)
            .answers(404),
    ]
}

fn own_socket(lab: &Lab) -> String {
    format!("{}:", lab.path("nginx/http.sock").display())
}

#[test]
fn a_client_that_goes_away_is_no_failure() {
    let lab = Lab::new();
    let slow = Peer::tcp(Wire::Http, [ReadRequest, Hang]);
    let location = format!("location / {{ proxy_pass http://{}; }}", slow.address());
    let nginx = Nginx::start(&lab, &NginxConfig::server(location));
    let mut connection = Connection::open(&nginx.address()).expect("nginx listens");
    connection.write_all(&Request::get("/impatient").head()).expect("nginx reads");
    let deadline = Duration::from_secs(10);
    lab.wait_for("the request to reach the upstream", deadline, || slow.accepted() == 1);
    drop(connection);
    lab.wait_for("nginx to notice", deadline, || nginx.served().iter().any(|served| served.status == "499"));
    assert!(nginx.has_logged("client prematurely closed connection, so upstream connection is closed too"));
    let log = nginx.errors();
    assert!(counted(&log).is_empty(), "{:?}", counted(&log));
}
