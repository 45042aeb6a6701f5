//! Counts what the entries of one log say, until the follower takes the sums.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::peer;
use super::scan::{Piece, Scanner};
use crate::inputs::log::names::Names;
use crate::inputs::log::{Consumer, More};
use crate::observation::{
    Entry, FileDelta, Level, LocalClass, LogDelta, PeerLabels, PhpKind, SeriesDelta, UpstreamClass, Verdict,
};

/// A [`Consumer`] of nginx's error log.
#[derive(Debug)]
pub struct Tally {
    delta: Box<LogDelta>,
    /// Anything at all came since the last delta.
    moved: bool,
    scanner: Scanner,
    upstreams: Names<Upstream>,
    peers: Names<[u64; PhpKind::COUNT]>,
    servers: Names<[u64; UpstreamClass::COUNT]>,
}

/// Counts of one upstream.
#[derive(Debug, Clone, Copy)]
struct Upstream {
    classes: [u64; UpstreamClass::COUNT],
    disabled: u64,
    /// The name is a group's or an unresolved host's: no peer was contacted.
    is_group: bool,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { classes: [0; UpstreamClass::COUNT], disabled: 0, is_group: false }
    }
}

impl Tally {
    /// Counts for the log named `file`.
    #[must_use]
    pub fn new(file: Arc<str>) -> Self {
        Self {
            delta: empty(file),
            moved: false,
            scanner: Scanner::default(),
            upstreams: Names::new(),
            peers: Names::new(),
            servers: Names::new(),
        }
    }

    #[inline]
    fn count(&mut self, entry: &Entry<'_>) {
        if let Some(level) = entry.level {
            add(&mut self.delta.levels, level.index(), 1);
        }
        match entry.verdict {
            Verdict::Upstream(class) => self.count_upstream(entry, class),
            Verdict::Local(class) => add(&mut self.delta.local, class.index(), 1),
            Verdict::Php(_) => self.count_php(entry),
            Verdict::PeerDisabled => {
                if let Some(upstream) = entry.fields.upstream {
                    self.upstreams.with(&key(upstream, false), |counts| counts.disabled += 1);
                }
            }
            Verdict::Client | Verdict::Other => {}
        }
        if self.upstreams.is_full() || self.peers.is_full() || self.servers.is_full() {
            self.put_aside();
        }
    }

    #[inline]
    fn count_upstream(&mut self, entry: &Entry<'_>, class: UpstreamClass) {
        add(&mut self.delta.upstream, class.index(), 1);
        let is_group = class == UpstreamClass::NoLiveUpstreams;
        let name = entry.fields.upstream.map_or(std::borrow::Cow::Borrowed(&b""[..]), |raw| key(raw, is_group));
        self.upstreams.with(&name, |counts| {
            add(&mut counts.classes, class.index(), 1);
            counts.is_group |= is_group;
        });
        self.servers.with(entry.fields.server.unwrap_or_default(), |classes| add(classes, class.index(), 1));
    }

    fn count_php(&mut self, entry: &Entry<'_>) {
        let peer = entry.fields.upstream.map_or(std::borrow::Cow::Borrowed(&b""[..]), peer::address);
        self.peers.with(&peer, |counts| {
            for (kind, count) in entry.php.iter() {
                add(counts, kind.index(), count.into());
            }
        });
    }

    /// Turns the counts by name into series of the delta.
    fn put_aside(&mut self) {
        let series = &mut self.delta.series;
        self.upstreams.drain(|name, counts| {
            let is_group = counts.is_group;
            let name = name.strip_prefix('\u{0}').map_or_else(|| Arc::clone(name), Arc::from);
            let peer = if is_group { Arc::default() } else { Arc::clone(&name) };
            let labels = PeerLabels { upstream: name, peer };
            for (class, count) in moved(UpstreamClass::ALL, &counts.classes) {
                series.push(SeriesDelta::Upstream(labels.clone(), class, count));
            }
            if counts.disabled > 0 {
                series.push(SeriesDelta::PeerDisabled(labels, counts.disabled));
            }
        });
        self.servers.drain(|server, classes| {
            for (class, count) in moved(UpstreamClass::ALL, &classes) {
                series.push(SeriesDelta::Server(Arc::clone(server), class, count));
            }
        });
        self.peers.drain(|peer, kinds| {
            for (kind, count) in moved(PhpKind::ALL, &kinds) {
                series.push(SeriesDelta::Php(kind, Arc::clone(peer), count));
            }
        });
    }
}

impl Consumer for Tally {
    fn consume(&mut self, bytes: &[u8], more: More) -> usize {
        let mut scanner = self.scanner;
        let taken = scanner.scan(bytes, more, |piece| match piece {
            Piece::Entry(entry, _, lines) => {
                self.delta.read.lines += u64::from(lines);
                self.count(&entry);
            }
            Piece::Foreign(line) => {
                self.delta.read.lines += 1;
                self.delta.read.unrecognised += u64::from(!line.trim_ascii().is_empty());
            }
            Piece::Overlong(_) => {
                self.delta.read.lines += 1;
                self.delta.read.unrecognised += 1;
            }
            Piece::Skipped(length) => self.delta.read.lost_bytes += length as u64,
        });
        self.scanner = scanner;
        self.delta.read.bytes += taken as u64;
        self.moved |= taken > 0;
        taken
    }

    fn rotated(&mut self, lost_bytes: u64) {
        self.delta.read.rotations += 1;
        self.delta.read.lost_bytes += lost_bytes;
        self.scanner.reset();
        self.moved = true;
    }

    fn take_delta(&mut self) -> Option<Box<LogDelta>> {
        if !std::mem::take(&mut self.moved) {
            return None;
        }
        self.put_aside();
        let next = empty(Arc::clone(&self.delta.file));
        Some(std::mem::replace(&mut self.delta, next))
    }
}

/// What tells upstreams apart while counting. A group and a peer may carry the same name: a byte no name holds keeps them
/// apart.
fn key(upstream: &[u8], is_group: bool) -> std::borrow::Cow<'_, [u8]> {
    let address = peer::address(upstream);
    if is_group { std::borrow::Cow::Owned([b"\0", address.as_ref()].concat()) } else { address }
}

#[inline]
fn add<const N: usize>(counts: &mut [u64; N], index: usize, by: u64) {
    if let Some(count) = counts.get_mut(index) {
        *count += by;
    }
}

fn moved<'a, T: Copy, const N: usize>(all: &'a [T], counts: &'a [u64; N]) -> impl Iterator<Item = (T, u64)> + 'a {
    all.iter().copied().zip(counts.iter().copied()).filter(|(_, count)| *count > 0)
}

fn empty(file: Arc<str>) -> Box<LogDelta> {
    Box::new(LogDelta {
        file,
        read: FileDelta::default(),
        levels: [0; Level::COUNT],
        upstream: [0; UpstreamClass::COUNT],
        local: [0; LocalClass::COUNT],
        series: Vec::new(),
        lag: Duration::ZERO,
        at: SystemTime::UNIX_EPOCH,
    })
}
