//! One entry, taken apart.

use memchr::memmem;

use super::action;
use super::classify::{self, Context};
use super::fields::{self, Agreement, Request, Tail};
use super::locate::{Located, Shape};
use super::{errno, peer, php};
use crate::observation::{Entry, Fields, Phase, Protocol, Source, UpstreamClass, Verdict};

/// The fields of an entry and where its message ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// The message with its ` while …`.
    pub(super) message: &'a [u8],
    pub(super) tail: Tail<'a>,
}

/// More candidates than this are not tried: a message may quote `, client: ` as often as it likes.
const CANDIDATES: usize = 16;

const CLIENT: &[u8] = b"client: ";

/// Finds the fields in `text`: the first `, client: ` from which on everything agrees.
#[inline]
pub(super) fn find_tail(text: &[u8]) -> Option<Found<'_>> {
    use std::sync::LazyLock;
    static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(CLIENT));
    let record = text.starts_with(php::OPENER);
    let mut fallback: Option<Found<'_>> = None;
    for request in Request::ALL {
        for at in FINDER.find_iter(text).take(CANDIDATES) {
            let Some(message) = text.get(..at).and_then(message_before) else { continue };
            if record && !ends_record(message) {
                continue;
            }
            let tail = fields::read(text.get(at + CLIENT.len()..)?, request);
            let found = Found { message, tail };
            if tail.agreement == Agreement::Whole {
                return Some(found);
            }
            if fallback.is_none_or(|earlier| earlier.tail.agreement < tail.agreement) {
                fallback = Some(found);
            }
        }
    }
    fallback
}

/// The message, when `, client: ` or `, udp client: ` follows it.
fn message_before(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_suffix(b"udp ").unwrap_or(text);
    text.trim_ascii_end().strip_suffix(b",")
}

/// Whether `message` ends in `" while ACTION`: only there a FastCGI record ends.
fn ends_record(message: &[u8]) -> bool {
    let (record, action) = action::split(message);
    action.is_some() && record.ends_with(b"\"")
}

/// Takes the entry apart whose beginning is known.
#[inline]
pub(super) fn read(entry: &[u8], located: Located) -> Entry<'_> {
    let text = entry.get(located.message..).unwrap_or_default().trim_ascii_end();
    let found = find_tail(text);
    let (message, action) = action::split(found.map_or(text, |found| found.message));
    let tail = found.map(|found| found.tail);
    let fields = tail.map_or_else(Fields::default, |tail| tail.fields);
    let php = message.strip_prefix(php::OPENER).map(php::kinds).unwrap_or_default();
    let errno = errno::find(message);
    let context = Context {
        level: located.level,
        action,
        php,
        errno: errno.map(errno::to_linux),
        has_upstream: fields.upstream.is_some(),
        has_fields: tail.is_some(),
        mail: tail.is_some_and(|tail| tail.mail),
    };
    let verdict = classify::classify(message, context);
    Entry {
        source: Source::NginxError,
        time: located.time,
        level: located.level,
        verdict,
        phase: phase(verdict, context),
        protocol: match (fields.upstream, tail) {
            (Some(_), Some(tail)) if tail.stream => Some(Protocol::Stream),
            (Some(upstream), _) => peer::protocol(upstream),
            (None, _) => None,
        },
        errno: errno.filter(|_| is_errno_bearing(message, verdict)),
        php,
        message,
        fields,
    }
}

/// Whether a line without a head can only be nginx's.
pub(super) fn is_telling(line: &[u8]) -> bool {
    let located = Located { message: 0, head: 0, shape: Shape::Headless, time: None, level: None, connection: true };
    let entry = read(line, located);
    match entry.verdict {
        Verdict::Upstream(_) | Verdict::Local(_) => true,
        Verdict::Php(_) => true,
        Verdict::PeerDisabled | Verdict::Client => entry.fields.client.is_some(),
        Verdict::Other => false,
    }
}

/// The phase to report: that of the action, or what the message itself says nginx was doing.
fn phase(verdict: Verdict, context: Context) -> Option<Phase> {
    match verdict {
        Verdict::Upstream(UpstreamClass::DnsNotResolved | UpstreamClass::DnsNoResolver) => Some(Phase::Resolving),
        _ => context.phase(),
    }
}

/// In these the number in parentheses is the resolver's or OpenSSL's, not the operating system's.
fn is_errno_bearing(message: &[u8], verdict: Verdict) -> bool {
    let is_others = matches!(
        verdict,
        Verdict::Upstream(UpstreamClass::DnsNotResolved | UpstreamClass::TlsVerifyFailed) | Verdict::Php(_)
    );
    !is_others && !message.starts_with(b"DNS error (")
}
