//! A case: a broken upstream, a request, and what must come of it.

use std::any::Any;
use std::io::{Read, Write};
use std::time::Duration;

use nginx_502_exporter::inputs::log::nginx_error::{entries, peer_address};
use nginx_502_exporter::observation::{Entry, LocalClass, Phase, Protocol, UpstreamClass, Verdict};

use crate::common::faults::address::Dead;
use crate::common::faults::{Peer, Step, Wire};
use crate::common::http::{Address, Connection, Request};
use crate::common::lab::{Lab, free_port};
use crate::common::nginx::{Nginx, NginxConfig, Served};
use crate::counters;

/// How long nginx may take to have logged a request that the client has the answer of.
const LOGGED: Duration = Duration::from_secs(10);

/// How nginx is told to speak to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// `proxy_pass http://`.
    Http,
    /// `proxy_pass https://`.
    Https,
    /// `fastcgi_pass`.
    FastCgi,
    /// `uwsgi_pass`.
    Uwsgi,
    /// `uwsgi_pass suwsgi://`.
    Suwsgi,
    /// `scgi_pass`.
    Scgi,
    /// `grpc_pass grpc://`.
    Grpc,
    /// `grpc_pass grpcs://`.
    Grpcs,
    /// `memcached_pass`.
    Memcached,
    /// `proxy_pass` in `stream {}`.
    Stream,
}

impl Pass {
    fn directive(self, address: &Address) -> String {
        let colon = if matches!(address, Address::Unix(_)) { ":" } else { "" };
        match self {
            Self::Http => format!("proxy_pass http://{address}{colon};"),
            Self::Https => format!("proxy_pass https://{address}{colon};"),
            Self::FastCgi => format!("fastcgi_pass {address}; fastcgi_param REQUEST_METHOD $request_method;"),
            Self::Uwsgi => format!("uwsgi_pass {address}; uwsgi_param REQUEST_METHOD $request_method;"),
            Self::Suwsgi => format!("uwsgi_pass suwsgi://{address}; uwsgi_param REQUEST_METHOD $request_method;"),
            Self::Scgi => format!("scgi_pass {address}; scgi_param REQUEST_METHOD $request_method;"),
            Self::Grpc => format!("grpc_pass grpc://{address};"),
            Self::Grpcs => format!("grpc_pass grpcs://{address};"),
            Self::Memcached => format!("set $memcached_key $uri; memcached_pass {address};"),
            Self::Stream => format!("proxy_pass {address};"),
        }
    }

    fn wire(self) -> Wire {
        match self {
            Self::Http => Wire::Http,
            Self::Https | Self::Suwsgi | Self::Grpcs | Self::Memcached | Self::Stream => Wire::Raw,
            Self::FastCgi => Wire::FastCgi,
            Self::Uwsgi => Wire::Uwsgi,
            Self::Scgi => Wire::Scgi,
            Self::Grpc => Wire::Http2,
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Http => Protocol::Http,
            Self::Https => Protocol::Https,
            Self::FastCgi => Protocol::FastCgi,
            Self::Uwsgi => Protocol::Uwsgi,
            Self::Suwsgi => Protocol::Suwsgi,
            Self::Scgi => Protocol::Scgi,
            Self::Grpc => Protocol::Grpc,
            Self::Grpcs => Protocol::Grpcs,
            Self::Memcached => Protocol::Memcached,
            Self::Stream => Protocol::Stream,
        }
    }
}

/// An entry that must stand in the error log.
#[derive(Debug, Clone)]
struct Expected {
    /// nginx's own words, which make sure that the fault was the one meant.
    says: &'static str,
    verdict: Verdict,
    phase: Option<Phase>,
    protocol: Option<Protocol>,
    /// Whether nginx had a peer (or at least a group) to name.
    names_peer: bool,
}

/// A broken upstream, a request, and what must come of it.
#[derive(Debug)]
pub struct Case {
    name: String,
    pass: Pass,
    directives: String,
    outside: String,
    beside: String,
    body: usize,
    headers: Vec<(String, String)>,
    status: u16,
    expected: Vec<Expected>,
    port: u16,
    address: Option<String>,
    _upstream: Vec<Box<dyn Any>>,
}

impl Case {
    /// A location of these directives alone; `pass` says how it speaks to its upstream.
    pub fn location(pass: Pass, name: &str, directives: impl Into<String>) -> Self {
        let port = if pass == Pass::Stream { free_port() } else { 0 };
        Self {
            name: name.to_owned(),
            pass,
            directives: directives.into(),
            outside: String::new(),
            beside: String::new(),
            body: 0,
            headers: Vec::new(),
            status: 0,
            expected: Vec::new(),
            port,
            address: None,
            _upstream: Vec::new(),
        }
    }

    /// An upstream on TCP that plays a script.
    pub fn peer(pass: Pass, name: &str, script: impl Into<Vec<Step>>) -> Self {
        Self::against(pass, name, Peer::tcp(pass.wire(), script))
    }

    /// An upstream that plays a script.
    pub fn against(pass: Pass, name: &str, peer: Peer) -> Self {
        Self::passing_to(pass, name, peer.address()).holding(peer)
    }

    /// An upstream that is not there.
    pub fn dead(pass: Pass, name: &str, dead: Dead) -> Self {
        Self::passing_to(pass, name, dead.address()).holding(dead)
    }

    fn passing_to(pass: Pass, name: &str, address: &Address) -> Self {
        Self::location(pass, name, pass.directive(address)).naming(address)
    }

    /// The peer that entries name where the access log names none.
    pub fn naming(self, address: &Address) -> Self {
        Self { address: Some(address.to_string()), ..self }
    }

    /// Keeps something alive as long as the case.
    pub fn holding(mut self, upstream: impl Any) -> Self {
        self._upstream.push(Box::new(upstream));
        self
    }

    /// Further directives of the location.
    pub fn with(mut self, directives: &str) -> Self {
        self.directives = format!("{} {directives}", self.directives);
        self
    }

    /// Directives beside the location: what `http {}` (or `stream {}`) must hold for it.
    pub fn with_outside(mut self, directives: impl Into<String>) -> Self {
        self.outside = directives.into();
        self
    }

    /// Directives beside the location, in its server.
    pub fn with_beside(mut self, directives: impl Into<String>) -> Self {
        self.beside = directives.into();
        self
    }

    /// The request is a POST with a body of that many bytes.
    pub fn posting(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// The request carries this header too.
    pub fn sending(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The status the client gets; 0 stands for none, in `stream {}`.
    pub fn answers(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The next entry nginx writes: a failed attempt at a peer.
    pub fn fails(self, says: &'static str, class: UpstreamClass, phase: Phase) -> Self {
        self.logs(says, Verdict::Upstream(class), Some(phase), true)
    }

    /// The next entry nginx writes: a failure before there was a peer.
    pub fn fails_without_peer(self, says: &'static str, class: UpstreamClass, phase: Option<Phase>) -> Self {
        self.logs(says, Verdict::Upstream(class), phase, false)
    }

    /// The next entry nginx writes: a failure of its own.
    pub fn fails_locally(self, says: &'static str, class: LocalClass) -> Self {
        self.logs(says, Verdict::Local(class), None, false)
    }

    /// The next entry nginx writes.
    pub fn logs(mut self, says: &'static str, verdict: Verdict, phase: Option<Phase>, names_peer: bool) -> Self {
        let protocol = names_peer.then(|| self.pass.protocol());
        self.expected.push(Expected { says, verdict, phase, protocol, names_peer });
        self
    }

    /// What the case is about, for the count of classes.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> + '_ {
        self.expected.iter().map(|expected| expected.verdict)
    }

    fn uri(&self) -> String {
        match self.pass {
            Pass::Stream => format!("stream:{}", self.port),
            _ => format!("/{}", self.name),
        }
    }

    /// The part of an entry's text that says it belongs to this case.
    fn mark(&self) -> Vec<u8> {
        match self.pass {
            Pass::Stream => format!(", server: 127.0.0.1:{}", self.port).into_bytes(),
            _ => format!(" /{} HTTP/", self.name).into_bytes(),
        }
    }

    fn send(&self, nginx: &Nginx) -> Option<u16> {
        if self.pass == Pass::Stream {
            let mut connection = Connection::open(&Address::loopback(self.port)).expect("nginx listens");
            connection.write_all(b"hello\n").expect("nginx reads");
            let _reset_or_closed = connection.read_to_end(&mut Vec::new());
            return None;
        }
        let request = if self.body == 0 { Request::get(self.uri()) } else { Request::post(self.uri(), self.body) };
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send(&nginx.address()).ok().map(|answer| answer.status)
    }

    /// What is wrong with what nginx wrote and we understood; nothing, if all is well.
    fn problems(&self, answered: Option<u16>, served: &Served, entries: &[(Entry<'_>, &[u8])]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        check(served.status.parse() == Ok(self.status), format!("access log: status {}", served.status));
        check(answered.is_none_or(|status| status == self.status), format!("the client got {answered:?}"));
        let counted: Vec<&Entry<'_>> = entries.iter().map(|(entry, _)| entry).filter(|entry| counts(entry)).collect();
        check(counted.len() == self.expected.len(), format!("{} entries count", counted.len()));
        for (entry, expected) in counted.iter().zip(&self.expected) {
            let message = String::from_utf8_lossy(entry.message);
            check(message.contains(expected.says), format!("nginx says {message:?}, not {:?}", expected.says));
            check(
                entry.verdict == expected.verdict,
                format!("verdict {:?}, not {:?}", entry.verdict, expected.verdict),
            );
            check(entry.phase == expected.phase, format!("phase {:?}, not {:?}", entry.phase, expected.phase));
            if expected.names_peer {
                let peer = entry.fields.upstream.map(peer_address).unwrap_or_default();
                let peer = String::from_utf8_lossy(&peer);
                // Where nginx could not even make a socket, its access log knows no address.
                let peers = Some(&served.upstream_addr).filter(|peers| !peers.is_empty()).or(self.address.as_ref());
                let known = peers.is_some_and(|peers| peers.split([',', ' ']).any(|known| known == peer));
                check(known, format!("peer {peer:?}, not of {peers:?}"));
                check(entry.protocol == expected.protocol, format!("protocol {:?}", entry.protocol));
            } else {
                check(entry.fields.upstream.is_none(), format!("a peer: {:?}", entry.fields.upstream));
            }
        }
        problems
    }
}

/// The entries that count.
pub fn counted(log: &[u8]) -> Vec<Entry<'_>> {
    entries(log).into_iter().map(|(entry, _)| entry).filter(counts).collect()
}

fn counts(entry: &Entry<'_>) -> bool {
    !matches!(entry.verdict, Verdict::Client | Verdict::Other)
}

/// Puts all cases into one nginx, sends their requests one after another and compares, first what we make of the log,
/// then what the exporter serves.
///
/// # Panics
/// When any case does not come out as expected; all of them are listed, with nginx's lines.
pub fn run(lab: &Lab, http: &str, cases: &[Case]) {
    let mut config = NginxConfig { http: format!("  client_max_body_size 32m;\n{http}\n"), ..NginxConfig::default() };
    for Case { name, pass, directives, outside, beside, port, .. } in cases {
        if *pass == Pass::Stream {
            config.stream += &format!("  {outside}\n  server {{ listen 127.0.0.1:{port}; {directives} }}\n");
        } else {
            config.http += &format!("  {outside}\n");
            config.server += &format!("    location = /{name} {{ {directives} }}\n    {beside}\n");
        }
    }
    let nginx = Nginx::start(lab, &config);
    let answers: Vec<Option<u16>> = cases.iter().map(|case| case.send(&nginx)).collect();
    lab.wait_for("every request in the access log", LOGGED, || {
        let served = nginx.served();
        cases.iter().all(|case| served.iter().any(|served| served.uri == case.uri()))
    });
    let (log, served) = (nginx.errors(), nginx.served());
    let entries = entries(&log);
    let mut failures = String::new();
    for (case, answered) in cases.iter().zip(answers) {
        let mark = case.mark();
        let own: Vec<(Entry<'_>, &[u8])> =
            entries.iter().filter(|(_, bytes)| memchr::memmem::find(bytes, &mark).is_some()).copied().collect();
        let served = served.iter().find(|served| served.uri == case.uri()).expect("waited for");
        let lines = own.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect::<String>();
        println!("{}: {answered:?}, {served:?}\n{lines}", case.name);
        let problems = case.problems(answered, served, &own);
        if !problems.is_empty() {
            failures += &format!("{}: {}\n  {}\n{lines}\n", case.name, case.directives, problems.join("\n  "));
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    counters::compare(lab, &nginx, cases);
}
