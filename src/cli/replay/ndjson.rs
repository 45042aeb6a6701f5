//! `replay --format ndjson`: one JSON object per entry, in order, with the keys of the published schema.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::pump::Visitor;
use crate::inputs::log::nginx_error::{Piece, foreign, peer_address};
use crate::observation::{CivilTime, Entry, UpstreamClass, Verdict};

/// One entry. Bytes that are not UTF-8 are replaced.
#[derive(Debug, Serialize)]
struct Record<'a> {
    source: &'static str,
    time: Option<String>,
    level: Option<&'static str>,
    kind: &'static str,
    class: Option<&'static str>,
    phase: Option<&'static str>,
    protocol: Option<&'static str>,
    upstream: Option<Cow<'a, str>>,
    peer: Option<String>,
    server: Option<Cow<'a, str>>,
    errno: Option<u16>,
    message: Cow<'a, str>,
    line: u64,
}

impl<'a> Record<'a> {
    fn new(entry: &Entry<'a>, line: u64) -> Self {
        Self {
            source: entry.source.name(),
            time: entry.time.and_then(rfc3339),
            level: entry.level.map(|level| level.name()),
            kind: entry.verdict.kind().name(),
            class: entry.verdict.class(),
            phase: entry.phase.map(|phase| phase.name()),
            protocol: entry.protocol.map(|protocol| protocol.name()),
            upstream: entry.fields.upstream.map(String::from_utf8_lossy),
            peer: peer(entry),
            server: entry.fields.server.map(String::from_utf8_lossy),
            errno: entry.errno,
            message: String::from_utf8_lossy(entry.message),
            line,
        }
    }
}

/// The address contacted; an entry about a group as a whole has none.
fn peer(entry: &Entry<'_>) -> Option<String> {
    if entry.verdict == Verdict::Upstream(UpstreamClass::NoLiveUpstreams) {
        return None;
    }
    let address = peer_address(entry.fields.upstream?);
    Some(String::from_utf8_lossy(&address).into_owned())
}

/// nginx logs local time; without a zone in the log it is read as this machine's.
pub(super) fn rfc3339(time: CivilTime) -> Option<String> {
    let signed = |part: u8| i8::try_from(part).ok();
    // A leap second is the last second that calendars know.
    let second = signed(time.second.min(59))?;
    let civil = jiff::civil::DateTime::new(
        i16::try_from(time.year).ok()?,
        signed(time.month)?,
        signed(time.day)?,
        signed(time.hour)?,
        signed(time.minute)?,
        second,
        0,
    )
    .ok()?;
    let zoned = civil.to_zoned(TimeZone::system()).ok()?;
    Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// Writes records.
pub(super) struct Writer<'w> {
    out: BufWriter<&'w mut dyn Write>,
    /// Number of the next line of the log at hand.
    line: u64,
}

impl<'w> Writer<'w> {
    pub(super) fn new(out: &'w mut dyn Write) -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, out), line: 1 }
    }

    /// Another log begins.
    pub(super) fn begin(&mut self) {
        self.line = 1;
    }

    pub(super) fn flush(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Visitor for Writer<'_> {
    /// Writes `piece` as a record. Blank lines are no entries.
    fn piece(&mut self, piece: &Piece<'_>) -> io::Result<()> {
        let (entry, lines) = match piece {
            Piece::Entry(entry, _, lines) => (*entry, u64::from(*lines)),
            Piece::Foreign(text) if text.trim_ascii().is_empty() => {
                self.line += 1;
                return Ok(());
            }
            Piece::Foreign(text) | Piece::Overlong(text) => (foreign(text), 1),
            Piece::Skipped(_) => return Ok(()),
        };
        serde_json::to_writer(&mut self.out, &Record::new(&entry, self.line))?;
        self.line += lines;
        self.out.write_all(b"\n")
    }

    /// Whoever reads the records of a log as it grows sees each at once.
    fn pause(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
