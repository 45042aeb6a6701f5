//! Failed attempts at an upstream: from the words of `ngx_http_upstream.c`, its protocol modules and
//! `ngx_stream_proxy_module.c` to the classes of `nginx_upstream_errors_total`.

use super::action::Action;
use super::classify::Context;
use super::errno::linux;
use crate::observation::{Level, Phase, UpstreamClass as Class, Verdict};

/// The class of a message in upstream context; `None` when it is about something else.
pub(super) fn classify(message: &[u8], context: Context) -> Option<Verdict> {
    let starts = |words: &[u8]| message.starts_with(words);
    let verdict = match message.first()? {
        b'c' if starts(b"client prematurely closed connection") => return Some(Verdict::Client),
        b'c' if starts(b"connect() ") => return connect(message, context),
        b'u' if starts(b"upstream ") => return of_upstream(message, context),
        b'n' if starts(b"no live upstreams") => Class::NoLiveUpstreams,
        b'r' | b'W' | b'S' if is_call(message, &RECEIVING) => return received(message, context),
        b's' | b'w' | b'W' | b'S' if is_call(message, &SENDING) => return sent(message, context),
        b'S' | b'p' if starts(b"SSL_do_handshake() ") || starts(b"peer closed connection in SSL handshake") => {
            return (context.phase() == Some(Phase::Handshaking))
                .then_some(Verdict::Upstream(Class::TlsHandshakeFailed));
        }
        b'S' | b'c' if starts(b"SSL_") || starts(b"cannot load certificate") => tls_set_up(message, context)?,
        b'b' | b's' | b'i' | b'g' if in_connecting(context) && is_call(message, &CONNECTING) => {
            if has(message, b", ignored") {
                return Some(Verdict::Other);
            }
            by_connect_errno(message, context.errno)
        }
        b'c' if in_connecting(context) && starts(b"could not enable transparent proxying") => Class::ConnectFailed,
        b'c' if starts(b"closed connection") => return received(message, context),
        b'a' if starts(b"auth request unexpected status: ") => Class::AuthUnexpected,
        // As a warning it is about OCSP stapling.
        b'n' if starts(b"no resolver defined to resolve ") && is_error(context) => Class::DnsNoResolver,
        b'm' if starts(b"memcached sent invalid trailer") => Class::ResponseInvalid,
        b'm' if starts(b"memcached sent invalid ") => Class::HeaderInvalid,
        b'i' if starts(b"invalid header after joining FastCGI records") => Class::HeaderInvalid,
        b'r' if starts(b"round robin upstream stuck on ") => Class::Other,
        b'i' if starts(b"invalid URL prefix in \"") => Class::UpstreamAddressInvalid,
        b'z' if starts(b"zero length URI to proxy") => Class::UpstreamAddressInvalid,
        _ if is_address_error(message, context) => Class::UpstreamAddressInvalid,
        _ if is_unresolved(message) => Class::DnsNotResolved,
        _ if ends_attempt(message, context) => Class::Other,
        _ => return None,
    };
    Some(Verdict::Upstream(verdict))
}

const RECEIVING: [&[u8]; 5] = [b"recv() ", b"readv() ", b"WSARecv() ", b"SSL_read() ", b"recvmsg() "];
const SENDING: [&[u8]; 10] = [
    b"send() ",
    b"sendfile() ",
    b"writev() ",
    b"sendmsg() ",
    b"sendto() ",
    b"sendfilev() ",
    b"WSASend() ",
    b"SSL_write() ",
    b"SSL_sendfile() ",
    b"SSL_write_early_data() ",
];
const CONNECTING: [&[u8]; 5] = [b"bind(", b"socket() ", b"setsockopt(", b"ioctl(", b"getsockname()"];

fn is_call(message: &[u8], calls: &[&[u8]]) -> bool {
    calls.iter().any(|call| message.starts_with(call))
}

fn has(message: &[u8], words: &[u8]) -> bool {
    memchr::memmem::find(message, words).is_some()
}

/// Connecting, and not a warning about an option that was not set.
fn in_connecting(context: Context) -> bool {
    context.phase() == Some(Phase::Connecting) && context.is_severe()
}

fn connect(message: &[u8], context: Context) -> Option<Verdict> {
    let attempted = context.phase() == Some(Phase::Connecting) || context.has_upstream;
    attempted.then(|| Verdict::Upstream(by_connect_errno(message, context.errno)))
}

fn by_connect_errno(message: &[u8], errno: Option<u16>) -> Class {
    match errno {
        Some(linux::ECONNREFUSED) => Class::ConnectRefused,
        Some(linux::ENOENT) => Class::ConnectSocketMissing,
        Some(linux::EACCES | linux::EPERM) => Class::ConnectPermissionDenied,
        // On unix sockets the listener's queue is full; on TCP the kernel found no local port (connect(2)).
        Some(linux::EAGAIN) if message.starts_with(b"connect() to unix:") => Class::ConnectBacklogFull,
        Some(linux::EAGAIN | linux::EADDRNOTAVAIL | linux::EADDRINUSE) => Class::ConnectNoLocalPort,
        Some(linux::ETIMEDOUT) => Class::ConnectTimeout,
        Some(linux::EHOSTUNREACH | linux::ENETUNREACH | linux::ENETDOWN | linux::EHOSTDOWN) => {
            Class::ConnectUnreachable
        }
        Some(linux::ECONNABORTED | linux::ECONNRESET) => Class::ConnectReset,
        _ => Class::ConnectFailed,
    }
}

/// Messages that begin with `upstream `.
fn of_upstream(message: &[u8], context: Context) -> Option<Verdict> {
    let said = message.strip_prefix(b"upstream ")?;
    let starts = |words: &[u8]| said.starts_with(words);
    let phase = context.phase();
    let class = match said.first()? {
        b't' if starts(b"timed out") => return timed_out(context),
        // Said by the filters of the body only, whatever nginx was doing when it began (unbuffered, it never says).
        b'p' if starts(b"prematurely closed FastCGI request") => Class::ClosedInBody,
        b'p' if starts(b"prematurely closed ") => closed(phase),
        b'p' if starts(b"prematurely sent response") => Class::ResponseInvalid,
        b'c' if starts(b"closed prematurely ") || starts(b"closed connection") => {
            if context.errno == Some(linux::ECONNRESET) { reset(phase) } else { closed(phase) }
        }
        b's' if starts(b"sent ") => return sent_by_upstream(said.strip_prefix(b"sent ")?).map(Verdict::Upstream),
        b's' if starts(b"server temporarily disabled") => return Some(Verdict::PeerDisabled),
        b'r' if starts(b"rejected request with error ") => Class::StreamRefused,
        b'v' if starts(b"violated ") => Class::ResponseInvalid,
        b'S' if starts(b"SSL certificate verify error: ") => Class::TlsVerifyFailed,
        b'S' if starts(b"SSL certificate does not match ") => Class::TlsNameMismatch,
        b'b' if starts(b"buffer is too small to read response") => Class::HeaderTooBig,
        // The session's end in stream {}, with its byte counters.
        b'd' if starts(b"disconnected, ") => return Some(Verdict::Other),
        _ if ends_attempt(message, context) => Class::Other,
        _ => return None,
    };
    Some(Verdict::Upstream(class))
}

/// Whether an error while talking to an upstream ended the attempt, whatever its words. Troubles with files and with
/// closing a connection do not.
fn ends_attempt(message: &[u8], context: Context) -> bool {
    const HARMLESS: [&[u8]; 5] = [b"close() ", b"shutdown() ", b"SSL_shutdown() ", b"unlink() ", b"balancer "];
    let talking =
        matches!(context.phase(), Some(Phase::Connecting | Phase::Handshaking | Phase::Sending | Phase::ReadingHeader));
    talking
        && context.has_upstream
        && !matches!(context.level, Some(Level::Warn))
        && context.is_severe()
        && !is_call(message, &HARMLESS)
        && !has(message, b"() \"")
        && !has(message, b", ignored")
}

fn is_error(context: Context) -> bool {
    matches!(context.level, Some(Level::Error) | None)
}

fn timed_out(context: Context) -> Option<Verdict> {
    let class = match context.phase() {
        Some(Phase::Connecting) => Class::ConnectTimeout,
        Some(Phase::Handshaking) => Class::TlsHandshakeTimeout,
        Some(Phase::Sending) => Class::SendTimeout,
        Some(Phase::ReadingHeader) => Class::ReadHeaderTimeout,
        Some(Phase::ReadingBody | Phase::SendingToClient) => Class::ReadBodyTimeout,
        // A UDP session whose upstream did not answer; TCP sessions end with `connection timed out`.
        Some(Phase::Proxying) if context.is_severe() => Class::ReadBodyTimeout,
        // An idle WebSocket that reached its timeout: that is how they end.
        Some(Phase::ProxyingUpgraded | Phase::Proxying) => return Some(Verdict::Other),
        Some(Phase::Resolving) | None => Class::Other,
    };
    Some(Verdict::Upstream(class))
}

const fn in_body(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::ReadingBody | Phase::SendingToClient | Phase::Proxying | Phase::ProxyingUpgraded))
}

const fn closed(phase: Option<Phase>) -> Class {
    if in_body(phase) { Class::ClosedInBody } else { Class::ClosedBeforeHeader }
}

const fn reset(phase: Option<Phase>) -> Class {
    if in_body(phase) { Class::ResetInBody } else { Class::ResetBeforeHeader }
}

/// Receiving from the upstream failed; the same words with another action are about the client or the resolver.
fn received(message: &[u8], context: Context) -> Option<Verdict> {
    let Some(Action::Upstream(phase)) = context.action else { return None };
    if !context.is_severe() {
        return Some(Verdict::Client);
    }
    let class = match phase {
        Phase::Connecting => by_connect_errno(message, context.errno),
        Phase::Handshaking => Class::TlsHandshakeFailed,
        Phase::Resolving => return None,
        // The log does not tell which of the two sides of a WebSocket broke.
        Phase::ProxyingUpgraded => return Some(Verdict::Other),
        Phase::SendingToClient if !context.has_upstream => return Some(Verdict::Client),
        Phase::Sending | Phase::ReadingHeader | Phase::ReadingBody | Phase::SendingToClient | Phase::Proxying => {
            match context.errno {
                Some(linux::ECONNRESET | linux::EPIPE | linux::ECONNABORTED) => reset(Some(phase)),
                // TLS 1.3's and OpenSSL 3's word for a connection closed without a goodbye; kevent's for end of file.
                None if has(message, b"unexpected eof") || has(message, b"returned 0") => closed(Some(phase)),
                None if message.starts_with(b"closed connection") => closed(Some(phase)),
                Some(_) | None => Class::Other,
            }
        }
    };
    Some(Verdict::Upstream(class))
}

/// Sending to the upstream failed.
fn sent(message: &[u8], context: Context) -> Option<Verdict> {
    if has(message, b" to syslog ") {
        return Some(Verdict::Other);
    }
    let Some(Action::Upstream(phase)) = context.action else { return None };
    let class = match phase {
        Phase::SendingToClient => return Some(Verdict::Client),
        Phase::ProxyingUpgraded => return Some(Verdict::Other),
        Phase::Resolving => return None,
        Phase::Connecting => by_connect_errno(message, context.errno),
        Phase::Handshaking => Class::TlsHandshakeFailed,
        Phase::Sending | Phase::ReadingHeader | Phase::ReadingBody | Phase::Proxying => {
            if !context.is_severe() {
                return Some(Verdict::Client);
            }
            if has(message, b"returned zero") {
                return Some(Verdict::Other);
            }
            Class::SendFailed
        }
    };
    Some(Verdict::Upstream(class))
}

/// Setting up TLS towards the upstream failed before a byte was sent.
fn tls_set_up(message: &[u8], context: Context) -> Option<Class> {
    let to_upstream = context.phase() == Some(Phase::Handshaking)
        || (context.phase() == Some(Phase::Connecting) && context.has_upstream);
    (to_upstream && context.is_severe() && !message.starts_with(b"SSL_shutdown() "))
        .then_some(Class::TlsHandshakeFailed)
}

/// Messages that begin with `upstream sent `: what breaks the header, the framing, or refuses the stream.
fn sent_by_upstream(said: &[u8]) -> Option<Class> {
    const HEADER: [&[u8]; 18] = [
        b"invalid header",
        b"no valid ",
        b"neither valid ",
        b"unsupported ",
        b"invalid status",
        b"unexpected status",
        b"invalid :status",
        b"unexpected :status",
        b"no :status",
        b"duplicate ",
        b"invalid \"",
        b"unknown \"",
        b"\"Content-Length\" and ",
        b"HTTP/1.0 response with early hints",
        b"invalid encoded header",
        b"invalid http2 table index",
        b"too large http2 header",
        b"truncated http2 header",
    ];
    let starts = |words: &[u8]| said.starts_with(words);
    if starts(b"too big header") || starts(b"too big trailers") {
        return Some(Class::HeaderTooBig);
    }
    if starts(b"goaway with error ") {
        return Some(Class::StreamRefused);
    }
    if starts(b"duplicate header line") && said.ends_with(b", ignored") {
        // A warning about a header nginx dropped; the answer went out.
        return None;
    }
    Some(if HEADER.iter().any(|words| starts(words)) { Class::HeaderInvalid } else { Class::ResponseInvalid })
}

/// `invalid port in upstream "127.0.0.1:99999/"`: what a variable made of the address, and `pass` in `stream {}`.
fn is_address_error(message: &[u8], context: Context) -> bool {
    if !is_error(context) {
        return false;
    }
    const PLACES: [&[u8]; 2] = [b" in upstream \"", b" in pass \""];
    // The reason is one of ngx_parse_url()'s: plain words, before anything that came from outside.
    let Some(quote) = memchr::memchr(b'"', message.get(..message.len().min(80)).unwrap_or_default()) else {
        return false;
    };
    let reason = message.get(..=quote).unwrap_or_default();
    PLACES.iter().any(|place| {
        let words = reason.strip_suffix(*place);
        words.is_some_and(|words| words.iter().all(|b| b.is_ascii_alphanumeric() || *b == b' '))
    })
}

/// `name could not be resolved (3: Host not found)`: the name is one word, so a quoted path cannot pose as it.
fn is_unresolved(message: &[u8]) -> bool {
    let before_code = memchr::memrchr(b'(', message).and_then(|at| message.get(..at));
    let Some(name) = before_code.and_then(|text| text.strip_suffix(b" could not be resolved ")) else { return false };
    !name.is_empty() && (!name.contains(&b' ') || message.starts_with(b"service "))
}
