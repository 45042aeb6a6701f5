//! A case: a broken upstream, a request, and what must come of it.

use std::any::Any;
use std::io::{Read, Write};

use nginx_502_exporter::inputs::log::nginx_error::peer_address;
use nginx_502_exporter::observation::{Entry, LocalClass, Phase, UpstreamClass, Verdict};

use crate::common::faults::address::Dead;
use crate::common::faults::{Peer, Step};
use crate::common::http::{Address, Connection, Request};
use crate::common::lab::free_port;
use crate::common::nginx::{Nginx, NginxConfig, Served};
use crate::pass::Pass;
use crate::run::counts;

/// An entry that must stand in the error log.
#[derive(Debug, Clone)]
struct Expected {
    /// nginx's own words, which make sure that the fault was the one meant.
    says: &'static str,
    verdict: Verdict,
    phase: Option<Phase>,
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

    /// The status in the access log, which is the client's too, but for `stream {}`.
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
        self.expected.push(Expected { says, verdict, phase, names_peer });
        self
    }

    /// What the case is about, for the count of classes.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> + '_ {
        self.expected.iter().map(|expected| expected.verdict)
    }

    /// Adds what the case needs to nginx's configuration.
    pub fn configure(&self, config: &mut NginxConfig) {
        let Self { name, directives, outside, beside, port, .. } = self;
        if self.pass == Pass::Stream {
            config.stream += &format!("  {outside}\n  server {{ listen 127.0.0.1:{port}; {directives} }}\n");
        } else {
            config.http += &format!("  {outside}\n");
            config.server += &format!("    location = /{name} {{ {directives} }}\n    {beside}\n");
        }
    }

    /// Its `uri` in the access log.
    pub fn uri(&self) -> String {
        match self.pass {
            Pass::Stream => format!("stream:{}", self.port),
            _ => format!("/{}", self.name),
        }
    }

    /// The part of an entry's text that says it belongs to this case.
    pub fn mark(&self) -> Vec<u8> {
        match self.pass {
            Pass::Stream => format!(", server: 127.0.0.1:{}", self.port).into_bytes(),
            _ => format!(" /{} HTTP/", self.name).into_bytes(),
        }
    }

    /// Sends its request and gives the status that came back, if one did.
    pub fn send(&self, nginx: &Nginx) -> Option<u16> {
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
    pub fn problems(&self, answered: Option<u16>, served: &Served, entries: &[(Entry<'_>, &[u8])]) -> Vec<String> {
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
                check(entry.protocol == Some(self.pass.protocol()), format!("protocol {:?}", entry.protocol));
            } else {
                check(entry.fields.upstream.is_none(), format!("a peer: {:?}", entry.fields.upstream));
            }
        }
        problems
    }
}
