//! One log entry, taken apart. Borrowed from the bytes it was read from: nothing is copied.

use super::names::{Kind, Level, LocalClass, Phase, PhpKind, Protocol, Source, UpstreamClass};

/// A log entry: a line with its continuation lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whose log this is.
    pub source: Source,
    /// The entry's own clock reading. nginx logs local time without a zone.
    pub time: Option<CivilTime>,
    /// Severity, where the entry has one.
    pub level: Option<Level>,
    /// What the entry says.
    pub verdict: Verdict,
    /// What nginx was doing.
    pub phase: Option<Phase>,
    /// How nginx spoke to the upstream, as far as the entry tells.
    pub protocol: Option<Protocol>,
    /// The error number as logged: Linux's, or that of the system nginx ran on.
    pub errno: Option<u16>,
    /// The PHP messages it carries.
    pub php: PhpKinds,
    /// The text before the fields, without time, level and process.
    pub message: &'a [u8],
    /// The named fields after the message.
    pub fields: Fields<'a>,
}

/// The fields nginx appends to a message (`ngx_http_log_error_handler`, `ngx_stream_log_error`). No byte of them is
/// escaped: `request`, `host` and `referrer` are whatever the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    /// Address of the client, `unix:` for a unix listener.
    pub client: Option<&'a [u8]>,
    /// `server_name`, or the listening address while the request is unknown and in `stream {}`. May be empty.
    pub server: Option<&'a [u8]>,
    /// The request line.
    pub request: Option<&'a [u8]>,
    /// URI of the subrequest.
    pub subrequest: Option<&'a [u8]>,
    /// The upstream as logged: scheme, peer or group, and for `proxy_pass` the URI.
    pub upstream: Option<&'a [u8]>,
    /// The `Host` header.
    pub host: Option<&'a [u8]>,
    /// The `Referer` header.
    pub referrer: Option<&'a [u8]>,
}

/// What an entry says, with its class where the kind has classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// A failed attempt at an upstream.
    Upstream(UpstreamClass),
    /// The companion line `upstream server temporarily disabled`: a peer was taken out of its group.
    PeerDisabled,
    /// A failure inside nginx or its host.
    Local(LocalClass),
    /// PHP messages; the most telling of them.
    Php(PhpKind),
    /// The client's doing.
    Client,
    /// Understood, and of no further interest.
    Other,
}

impl Verdict {
    /// The kind of the entry, as `replay --format ndjson` names it.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Upstream(_) => Kind::Upstream,
            Self::Local(_) => Kind::Local,
            Self::Php(_) => Kind::Php,
            Self::Client => Kind::Client,
            Self::PeerDisabled | Self::Other => Kind::Other,
        }
    }

    /// The wire name of the class, where the kind has classes.
    #[must_use]
    pub const fn class(self) -> Option<&'static str> {
        match self {
            Self::Upstream(class) => Some(class.name()),
            Self::Local(class) => Some(class.name()),
            Self::Php(kind) => Some(kind.name()),
            Self::PeerDisabled | Self::Client | Self::Other => None,
        }
    }
}

/// A wall clock reading without a zone, compared and kept as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilTime {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 60.
    pub second: u8,
}

impl std::fmt::Display for CivilTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// How many PHP messages of each kind an entry carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PhpKinds([u16; PhpKind::COUNT]);

impl PhpKinds {
    /// The kinds with their counts, most telling first, those that do not occur left out.
    pub fn iter(&self) -> impl Iterator<Item = (PhpKind, u16)> {
        PhpKind::ALL.iter().copied().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// The most telling kind, if there is any message.
    #[must_use]
    pub fn worst(&self) -> Option<PhpKind> {
        self.iter().next().map(|(kind, _)| kind)
    }
}

impl FromIterator<PhpKind> for PhpKinds {
    fn from_iter<I: IntoIterator<Item = PhpKind>>(kinds: I) -> Self {
        let mut counts = Self::default();
        for kind in kinds {
            if let Some(count) = counts.0.get_mut(kind.index()) {
                *count = count.saturating_add(1);
            }
        }
        counts
    }
}
