//! What the client saw, and the entries that are about the client.

use std::fmt;

use super::Guide;
use super::subject::Subject;

/// What became of the request an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientSaw {
    /// An error response of nginx.
    Status(u16),
    /// The upstream's status, usually 200, and a body that ends early.
    CutShort,
    /// `stream {}`: the connection was closed.
    Closed,
    /// The response it would have got without the entry.
    Unaffected,
    /// No response: the client had gone, or never got through.
    Nothing,
    /// The entry alone does not tell.
    Unknown,
}

impl fmt::Display for ClientSaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::Status(403) => "Forbidden",
            Self::Status(404) => "Not Found",
            Self::Status(499) => "(the client closed the request; only the access log shows it)",
            Self::Status(500) => "Internal Server Error",
            Self::Status(502) => "Bad Gateway",
            Self::Status(503) => "Service Temporarily Unavailable",
            Self::Status(504) => "Gateway Time-out",
            Self::Status(_) => "",
            Self::CutShort => "the upstream's status (usually 200) with a body cut short",
            Self::Closed => "no status (stream): the connection was closed",
            Self::Unaffected => "its normal response",
            Self::Nothing => "no response",
            Self::Unknown => "not told by this entry: see the access log",
        };
        match self {
            Self::Status(status) if reason.is_empty() => write!(f, "{status}"),
            Self::Status(status) => write!(f, "{status} {reason}"),
            _ => f.write_str(reason),
        }
    }
}

/// Entries about the client's side of a request.
pub(super) fn gone_or_refused(subject: &Subject<'_>) -> Guide {
    if subject.says("prematurely closed connection") {
        let upstream = subject.target;
        return Guide {
            confirm: vec!["grep '\" 499 ' /var/log/nginx/access.log | tail".to_owned()],
            ..Guide::harmless(
                format!(
                    "The client closed its connection before the answer was there, and nginx dropped the request to \
                     {upstream} with it. Not an upstream failure: it was the client that did not wait, though often \
                     because the upstream was slow."
                ),
                ClientSaw::Status(499),
            )
        };
    }
    let side = if subject.has_upstream() {
        "The entry carries an upstream: only because one was in use at that moment."
    } else {
        "No upstream was involved."
    };
    Guide::harmless(
        format!(
            "This is about the connection to the client, which went away, timed out, sent something nginx refuses or was \
             refused access. {side} Not an upstream failure."
        ),
        ClientSaw::Unknown,
    )
}

/// Entries nginx writes that report no failed attempt.
pub(super) fn no_failure(subject: &Subject<'_>) -> Guide {
    let meaning = if subject.says("open() ") && subject.has_upstream() {
        "A file could not be opened, often the page of an error_page, while an upstream was in use. The upstream's own \
         failure, if any, has an entry of its own; this one is about the file and counts as no upstream failure."
    } else if subject.has_upstream() {
        "nginx reports something beside a request to an upstream. It is no failed attempt and counts as none."
    } else if subject.says("DNS error") {
        "The DNS server answered a question of nginx with an error. A request that needed the answer has an entry of its \
         own, and that one is counted."
    } else {
        "An entry of nginx that is about no upstream and none of the failures that lead to 502, 503 or 504."
    };
    Guide::harmless(meaning, ClientSaw::Unknown)
}
