//! What a replay found, summed up.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use hashbrown::HashMap;
use serde::Serialize;

use super::input::Input;
use crate::inputs::log::nginx_error::{Piece, peer_address};
use crate::observation::{CivilTime, Entry, Kind, Level, Verdict};

/// Rows kept apart; what goes beyond them is counted under [`OTHER`].
const ROWS: usize = 10_000;

/// The name of everything beyond [`ROWS`].
const OTHER: &str = "other";

/// Sums of a replay.
#[derive(Debug, Default)]
pub(super) struct Summary {
    files: Vec<PathBuf>,
    pub(super) totals: Totals,
    rows: HashMap<RowKey, Seen>,
}

/// Sums over everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    /// Bytes looked at.
    pub(super) bytes: u64,
    /// Lines, continuation lines included.
    pub(super) lines: u64,
    /// Entries of nginx.
    pub(super) entries: u64,
    /// Lines that belong to no entry.
    pub(super) unrecognised_lines: u64,
    /// Bytes of overlong lines, not looked at.
    pub(super) skipped_bytes: u64,
    #[serde(serialize_with = "levels")]
    pub(super) levels: [u64; Level::COUNT],
    #[serde(serialize_with = "time")]
    pub(super) first: Option<CivilTime>,
    #[serde(serialize_with = "time")]
    pub(super) last: Option<CivilTime>,
}

/// What tells rows apart: what the entries say, and of whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RowKey {
    verdict: Verdict,
    name: Box<[u8]>,
}

/// The key of a row that need not be owned to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RowRef<'a> {
    verdict: Verdict,
    name: &'a [u8],
}

impl hashbrown::Equivalent<RowKey> for RowRef<'_> {
    fn equivalent(&self, key: &RowKey) -> bool {
        self.verdict == key.verdict && *self.name == *key.name
    }
}

/// How often, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    count: u64,
    first: Option<CivilTime>,
    last: Option<CivilTime>,
}

impl Seen {
    fn add(&mut self, time: Option<CivilTime>, count: u64) {
        self.count += count;
        widen(&mut self.first, &mut self.last, time);
    }
}

fn widen(first: &mut Option<CivilTime>, last: &mut Option<CivilTime>, time: Option<CivilTime>) {
    // Outages fill seconds with entries.
    if *last == time {
        return;
    }
    let Some(time) = time else { return };
    if first.is_none_or(|first| time < first) {
        *first = Some(time);
    }
    if last.is_none_or(|last| time > last) {
        *last = Some(time);
    }
}

/// A row of the result.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Kind of the entries.
    #[serde(serialize_with = "kind")]
    pub(super) kind: Kind,
    /// Their class.
    pub(super) class: &'static str,
    /// The address contacted, or the group in an entry about a group. Empty where nginx had chosen none.
    pub(super) upstream: String,
    pub(super) count: u64,
    #[serde(serialize_with = "time")]
    pub(super) first: Option<CivilTime>,
    #[serde(serialize_with = "time")]
    pub(super) last: Option<CivilTime>,
}

impl Summary {
    /// Sums of `inputs`, nothing counted yet.
    pub(super) fn new(inputs: &[Input]) -> Self {
        Self { files: inputs.iter().map(|input| input.path().to_path_buf()).collect(), ..Self::default() }
    }

    #[inline]
    pub(super) fn count(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Entry(entry, bytes, lines) => {
                self.totals.bytes += bytes.len() as u64;
                self.totals.lines += u64::from(*lines);
                self.totals.entries += 1;
                self.entry(entry);
            }
            Piece::Foreign(line) => {
                self.totals.bytes += line.len() as u64;
                self.totals.lines += 1;
                self.totals.unrecognised_lines += u64::from(!line.trim_ascii().is_empty());
            }
            Piece::Overlong(_) => {
                self.totals.lines += 1;
                self.totals.unrecognised_lines += 1;
            }
            Piece::Skipped(length) => {
                self.totals.bytes += *length as u64;
                self.totals.skipped_bytes += *length as u64;
            }
        }
    }

    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) {
        if let Some(count) = entry.level.and_then(|level| self.totals.levels.get_mut(level.index())) {
            *count += 1;
        }
        widen(&mut self.totals.first, &mut self.totals.last, entry.time);
        let address = || entry.fields.upstream.map(peer_address).unwrap_or_default();
        match entry.verdict {
            Verdict::Upstream(_) | Verdict::PeerDisabled => self.row(entry.verdict, &address(), entry.time, 1),
            Verdict::Local(_) => self.row(entry.verdict, b"", entry.time, 1),
            Verdict::Php(_) => {
                let peer = address();
                for (kind, count) in entry.php.iter() {
                    self.row(Verdict::Php(kind), &peer, entry.time, count.into());
                }
            }
            Verdict::Client | Verdict::Other => {}
        }
    }

    #[inline]
    fn row(&mut self, verdict: Verdict, name: &[u8], time: Option<CivilTime>, count: u64) {
        if let Some(seen) = self.rows.get_mut(&RowRef { verdict, name }) {
            seen.add(time, count);
            return;
        }
        let name = if self.rows.len() < ROWS { name } else { OTHER.as_bytes() };
        self.rows.entry(RowKey { verdict, name: name.into() }).or_default().add(time, count);
    }

    /// The rows, most frequent first within their kind.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .rows
            .iter()
            .map(|(key, seen)| Row {
                kind: key.verdict.kind(),
                class: key.verdict.class().unwrap_or("peer_disabled"),
                upstream: String::from_utf8_lossy(&key.name).into_owned(),
                count: seen.count,
                first: seen.first,
                last: seen.last,
            })
            .collect();
        rows.sort_unstable_by(|a, b| {
            let names = |row: &Row| (row.class, row.upstream.clone());
            a.kind.cmp(&b.kind).then(b.count.cmp(&a.count)).then_with(|| names(a).cmp(&names(b)))
        });
        rows
    }

    /// Everything as one JSON object.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Result<'a> {
            files: Vec<std::borrow::Cow<'a, str>>,
            #[serde(flatten)]
            totals: &'a Totals,
            failures: Vec<Row>,
        }
        let files = self.files.iter().map(|path| path.to_string_lossy()).collect();
        serde_json::to_writer_pretty(&mut *out, &Result { files, totals: &self.totals, failures: self.rows() })?;
        writeln!(out)
    }
}

fn levels<S: serde::Serializer>(counts: &[u64; Level::COUNT], serializer: S) -> Result<S::Ok, S::Error> {
    let named: BTreeMap<&str, u64> = Level::ALL.iter().map(|level| level.name()).zip(counts.iter().copied()).collect();
    named.serialize(serializer)
}

fn time<S: serde::Serializer>(time: &Option<CivilTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.and_then(super::ndjson::rfc3339).serialize(serializer)
}

fn kind<S: serde::Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}
