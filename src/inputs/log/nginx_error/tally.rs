//! Counts what the entries of one log say, until the follower takes the sums.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memchr::memchr;

use super::{peer, php, read, split};
use crate::inputs::log::names::Names;
use crate::inputs::log::{Consumer, MAX_HELD_BACK, More};
use crate::observation::{
    Entry, FileDelta, Level, LocalClass, LogDelta, PeerLabels, PhpKind, SeriesDelta, UpstreamClass, Verdict,
};

/// A [`Consumer`] of nginx's error log.
#[derive(Debug)]
pub struct Tally {
    delta: Box<LogDelta>,
    /// Anything at all came since the last delta.
    moved: bool,
    /// Inside a line too long to be held back: nothing counts until its line feed.
    skipping: bool,
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
            skipping: false,
            upstreams: Names::new(),
            peers: Names::new(),
            servers: Names::new(),
        }
    }

    #[inline]
    fn count(&mut self, entry: &Entry<'_>) {
        if let Some(slot) = entry.level.and_then(|level| self.delta.levels.get_mut(level.index())) {
            *slot += 1;
        }
        match entry.verdict {
            Verdict::Upstream(class) => self.count_upstream(entry, class),
            Verdict::Local(class) => add(&mut self.delta.local, class.index()),
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
        add(&mut self.delta.upstream, class.index());
        let is_group = class == UpstreamClass::NoLiveUpstreams;
        let name = entry.fields.upstream.map_or(std::borrow::Cow::Borrowed(&b""[..]), |raw| key(raw, is_group));
        self.upstreams.with(&name, |counts| {
            add(&mut counts.classes, class.index());
            counts.is_group |= is_group;
        });
        self.servers.with(entry.fields.server.unwrap_or_default(), |classes| add(classes, class.index()));
    }

    fn count_php(&mut self, entry: &Entry<'_>) {
        let peer = entry.fields.upstream.map_or(std::borrow::Cow::Borrowed(&b""[..]), peer::address);
        let Some(record) = entry.message.strip_prefix(php::OPENER) else { return };
        self.peers.with(&peer, |kinds| php::kinds(record).for_each(|kind| add(kinds, kind.index())));
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

    /// Passes over the rest of an overlong line. Returns how much of `bytes` that was.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let Some(end) = memchr(b'\n', bytes) else {
            self.delta.read.lost_bytes += bytes.len() as u64;
            return bytes.len();
        };
        self.skipping = false;
        self.delta.read.lost_bytes += end as u64;
        end + 1
    }
}

impl Consumer for Tally {
    fn consume(&mut self, bytes: &[u8], more: More) -> usize {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.skipping {
                taken += self.skip(rest);
                continue;
            }
            match split::next(rest, more) {
                split::Step::Entry { length, lines, located } => {
                    self.count(&read::read(rest.get(..length).unwrap_or_default(), located));
                    self.delta.read.lines += u64::from(lines);
                    taken += length;
                }
                split::Step::Foreign { length, lines } => {
                    self.delta.read.lines += u64::from(lines);
                    let is_blank = rest.get(..length).unwrap_or_default().trim_ascii().is_empty();
                    self.delta.read.unrecognised += u64::from(!is_blank && lines > 0);
                    taken += length;
                }
                split::Step::Wait if rest.len() >= MAX_HELD_BACK => {
                    self.delta.read.lines += 1;
                    self.delta.read.unrecognised += 1;
                    self.skipping = true;
                }
                split::Step::Wait => break,
            }
        }
        self.delta.read.bytes += taken as u64;
        self.moved |= taken > 0;
        taken
    }

    fn rotated(&mut self, lost_bytes: u64) {
        self.delta.read.rotations += 1;
        self.delta.read.lost_bytes += lost_bytes;
        self.skipping = false;
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
fn add<const N: usize>(counts: &mut [u64; N], index: usize) {
    if let Some(count) = counts.get_mut(index) {
        *count += 1;
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
