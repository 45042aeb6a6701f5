//! What nginx was doing: ` while connecting to upstream` at the end of a message (`log->action`).

use std::sync::LazyLock;

use memchr::memmem::FinderRev;

use crate::observation::Phase;

/// What stands behind ` while `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Something with the upstream or with its answer.
    Upstream(Phase),
    /// Reading from or handshaking with the client.
    Client,
    /// Writing to the syslog, requesting a certificate's status and the like: nobody's request fails by it.
    Aside,
    /// Any other action.
    Unknown,
}

impl Action {
    /// The phase, where the action has one.
    pub(super) const fn phase(self) -> Option<Phase> {
        match self {
            Self::Upstream(phase) => Some(phase),
            Self::Client | Self::Aside | Self::Unknown => None,
        }
    }
}

/// Actions are at most this long, addresses of resolvers included.
const LONGEST: usize = 120;

/// What almost every entry about an upstream ends in.
const USUAL: [(&[u8], Phase); 5] = [
    (b" while connecting to upstream", Phase::Connecting),
    (b" while reading response header from upstream", Phase::ReadingHeader),
    (b" while reading upstream", Phase::ReadingBody),
    (b" while sending request to upstream", Phase::Sending),
    (b" while SSL handshaking to upstream", Phase::Handshaking),
];

/// Splits ` while ACTION` off the end of `text`.
#[inline]
pub(super) fn split(text: &[u8]) -> (&[u8], Option<Action>) {
    if text.ends_with(b" upstream") {
        for (words, phase) in USUAL {
            if let Some(message) = text.strip_suffix(words) {
                return (message.trim_ascii_end(), Some(Action::Upstream(phase)));
            }
        }
    }
    split_unusual(text)
}

/// Set up once: setting up a search takes longer than searching here.
static WHILE: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new("while "));

fn split_unusual(text: &[u8]) -> (&[u8], Option<Action>) {
    let window_start = text.len().saturating_sub(LONGEST);
    let window = text.get(window_start..).unwrap_or_default();
    let mut end = window.len();
    // Usually one step: only SSL's own texts hold a second " while ".
    for _ in 0..4 {
        let Some(at) = WHILE.rfind(window.get(..end).unwrap_or_default()) else { break };
        if at > 0
            && window.get(at - 1).is_some_and(u8::is_ascii_whitespace)
            && let Some(action) = window.get(at + b"while ".len()..).and_then(known)
        {
            return (text.get(..window_start + at).unwrap_or_default().trim_ascii_end(), Some(action));
        }
        end = at;
    }
    (text, None)
}

fn known(words: &[u8]) -> Option<Action> {
    const ACTIONS: [(&[u8], Action); 30] = [
        (b"connecting to upstream", Action::Upstream(Phase::Connecting)),
        (b"reading response header from upstream", Action::Upstream(Phase::ReadingHeader)),
        (b"reading upstream", Action::Upstream(Phase::ReadingBody)),
        (b"sending request to upstream", Action::Upstream(Phase::Sending)),
        (b"SSL handshaking to upstream", Action::Upstream(Phase::Handshaking)),
        (b"sending to client", Action::Upstream(Phase::SendingToClient)),
        (b"sending response to client", Action::Upstream(Phase::SendingToClient)),
        (b"proxying upgraded connection", Action::Upstream(Phase::ProxyingUpgraded)),
        (b"proxying connection", Action::Upstream(Phase::Proxying)),
        (b"proxying and reading from upstream", Action::Upstream(Phase::Proxying)),
        (b"proxying and sending to upstream", Action::Upstream(Phase::Proxying)),
        (b"proxying and reading from client", Action::Client),
        (b"proxying and sending to client", Action::Client),
        (b"resolving", Action::Upstream(Phase::Resolving)),
        (b"SSL handshaking", Action::Client),
        (b"waiting for request", Action::Client),
        (b"reading client", Action::Client),
        (b"reading PROXY protocol", Action::Client),
        (b"processing HTTP/", Action::Client),
        (b"keepalive", Action::Client),
        (b"closing request", Action::Client),
        (b"handling QUIC", Action::Client),
        (b"initializing session", Action::Unknown),
        (b"prereading client data", Action::Client),
        (b"logging to syslog", Action::Aside),
        (b"logging request", Action::Aside),
        (b"requesting certificate status", Action::Aside),
        (b"accepting new connection", Action::Unknown),
        (b"internally redirecting to", Action::Unknown),
        (b"checking status code", Action::Aside),
    ];
    ACTIONS.iter().find(|(text, _)| words.starts_with(text)).map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_action_is_split_off() {
        for (text, message, phase) in [
            (
                "connect() failed (111: x) while connecting to upstream",
                "connect() failed (111: x)",
                Some(Phase::Connecting),
            ),
            (
                "recv() failed (111: x) while resolving, resolver: 127.0.0.1:53",
                "recv() failed (111: x)",
                Some(Phase::Resolving),
            ),
            (
                "SSL_read() failed (SSL: error:0A000126:SSL routines::unexpected eof while reading) while reading upstream",
                "SSL_read() failed (SSL: error:0A000126:SSL routines::unexpected eof while reading)",
                Some(Phase::ReadingBody),
            ),
            (
                "upstream timed out (110: x)\n\nwhile connecting to upstream",
                "upstream timed out (110: x)",
                Some(Phase::Connecting),
            ),
            ("SSL_do_handshake() failed while SSL handshaking", "SSL_do_handshake() failed", None),
            ("unexpected eof while reading", "unexpected eof while reading", None),
            ("", "", None),
        ] {
            let (left, action) = split(text.as_bytes());
            assert_eq!((left, action.and_then(Action::phase)), (message.as_bytes(), phase), "{text}");
        }
    }
}
