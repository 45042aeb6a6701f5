//! One entry, asked the way a guide asks.

use std::fmt;
use std::net::IpAddr;

use super::client::ClientSaw;
use super::directives::Directives;
use crate::observation::{Entry, Phase, Protocol};

/// The address an entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// The path of a unix socket.
    Unix(&'a str),
    /// Address and port.
    Tcp(&'a str, &'a str),
    /// The name of an `upstream {}` block, or a host without a port.
    Name(&'a str),
    /// The entry names none.
    Unknown,
}

impl<'a> Target<'a> {
    fn new(peer: Option<&'a str>) -> Self {
        match peer {
            None | Some("") => Self::Unknown,
            Some(peer) => {
                if let Some(path) = peer.strip_prefix("unix:") {
                    return Self::Unix(path);
                }
                match peer.rsplit_once(':') {
                    Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                        Self::Tcp(host, port)
                    }
                    _ => Self::Name(peer),
                }
            }
        }
    }

    /// Whether the address is one of this host's own loopback.
    pub(super) fn is_loopback(self) -> bool {
        match self {
            Self::Tcp(host, _) => {
                host == "localhost"
                    || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            Self::Unix(_) => true,
            Self::Name(_) | Self::Unknown => false,
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Name(name) => f.write_str(name),
            Self::Unknown => f.write_str("the upstream"),
        }
    }
}

/// One entry with what follows from its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    entry: &'a Entry<'a>,
    pub(super) target: Target<'a>,
    pub(super) names: Directives,
}

impl<'a> Subject<'a> {
    pub(super) fn new(entry: &'a Entry<'a>, peer: Option<&'a str>) -> Self {
        Self { entry, target: Target::new(peer), names: Directives(entry.protocol) }
    }

    pub(super) fn errno(&self) -> Option<u16> {
        self.entry.errno
    }

    pub(super) fn says(&self, words: &str) -> bool {
        memchr::memmem::find(self.entry.message, words.as_bytes()).is_some()
    }

    /// The message with unreadable bytes replaced.
    pub(super) fn message(&self) -> String {
        String::from_utf8_lossy(self.entry.message).into_owned()
    }

    pub(super) fn has_upstream(&self) -> bool {
        self.entry.fields.upstream.is_some()
    }

    pub(super) fn is_fastcgi(&self) -> bool {
        self.entry.protocol == Some(Protocol::FastCgi)
    }

    pub(super) fn is_http(&self) -> bool {
        matches!(self.entry.protocol, Some(Protocol::Http | Protocol::Https))
    }

    pub(super) fn is_stream(&self) -> bool {
        self.names.is_stream()
    }

    pub(super) fn in_body(&self) -> bool {
        matches!(
            self.entry.phase,
            Some(Phase::ReadingBody | Phase::SendingToClient | Phase::ProxyingUpgraded | Phase::Proxying)
        )
    }

    /// What the client got when the attempt failed before any response: `status`, which `stream {}` does not know.
    pub(super) fn error(&self, status: u16) -> ClientSaw {
        if self.is_stream() { ClientSaw::Closed } else { ClientSaw::Status(status) }
    }

    /// What the client got when the attempt failed after its response had begun.
    pub(super) fn cut_short(&self) -> ClientSaw {
        if self.is_stream() { ClientSaw::Closed } else { ClientSaw::CutShort }
    }

    /// What changes the status of an attempt after which nginx may try another server, as it does by default after
    /// `error` and `timeout` (`*_next_upstream`).
    pub(super) fn unless_retried(&self) -> Option<String> {
        let next = self.names.next_upstream();
        let retried = if self.is_stream() {
            format!("unless the group had another server that answered ({next})")
        } else {
            format!("or the answer of another server of the group, where {next} passed the request on")
        };
        Some(match self.subrequest_caveat() {
            Some(part) => format!("{part}; {retried}"),
            None => retried,
        })
    }

    /// The same where nginx does not try another server unless told to.
    pub(super) fn subrequest_caveat(&self) -> Option<String> {
        let uri = String::from_utf8_lossy(self.entry.fields.subrequest?);
        Some(format!(
            "that is the answer to the subrequest {uri}: behind auth_request the client gets 500, in a page put together by \
             SSI an error in that place"
        ))
    }
}
