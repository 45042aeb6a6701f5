//! The thread: look at names when they may have changed, read files when they have grown, say what came of it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::{BUFFER, LogFile};
use super::health::Reporter;
use super::names::Name;
use super::pattern::Pattern;
use super::place::{Identity, Root};
use super::position::{Position, Positions, State};
use super::watch::{Wakeup, Watcher};
use super::{FollowOptions, MakeConsumer, Orders};
use crate::inputs::{Closed, Sink};
use crate::observation::{LogDelta, Observation};

/// The shortest time between two rounds of reading: a busy log is read in batches, not line by line.
const READ_GAP: Duration = Duration::from_millis(2);

/// The shortest time between two looks at names, however busy a directory is.
const LOOK_GAP: Duration = Duration::from_millis(10);

/// Everything the thread owns.
pub(super) struct Worker {
    pub(super) options: FollowOptions,
    pub(super) make_consumer: MakeConsumer,
    pub(super) root: Root,
    pub(super) patterns: Vec<Pattern>,
    pub(super) names: BTreeMap<PathBuf, Name>,
    pub(super) files: BTreeMap<Identity, LogFile>,
    pub(super) positions: Positions,
    pub(super) watcher: Watcher,
    pub(super) reporter: Reporter,
    sink: Sink,
    orders: Arc<Orders>,
    buffer: Vec<u8>,
    look_at: Instant,
    looked: Instant,
    health_changed: bool,
    /// The earliest time at which bytes not yet read can have come to a file that was read to its end.
    woken: Instant,
}

impl Worker {
    pub(super) fn new(
        options: FollowOptions,
        make_consumer: MakeConsumer,
        sink: Sink,
        orders: Arc<Orders>,
    ) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            root: Root::new(options.rootfs.clone())?,
            patterns: options.patterns.iter().cloned().map(Pattern::new).collect(),
            names: BTreeMap::new(),
            files: BTreeMap::new(),
            positions: Positions::load(options.position_file.clone()),
            watcher: Watcher::new(),
            reporter: Reporter::new(options.kind, sink.clone()),
            options,
            make_consumer,
            sink,
            orders,
            buffer: vec![0; BUFFER],
            look_at: now,
            looked: now,
            health_changed: false,
            woken: now,
        })
    }

    /// Follows until told to stop, or until the hub has gone.
    pub(super) fn run(mut self) {
        // Without a hub nothing was delivered since the last save: the next start has to read that again.
        if let Err(Closed) = self.follow() {
            tracing::debug!("the hub has stopped before the logs' follower");
        }
    }

    fn follow(&mut self) -> Result<(), Closed> {
        loop {
            // Asked before reading: what was written before the order is read after it.
            let stopping = self.orders.stopping();
            if let Some(patterns) = self.orders.new_patterns() {
                self.replace_patterns(patterns)?;
                self.look_at = Instant::now();
            }
            if stopping || self.look_at <= Instant::now() {
                self.look()?;
                self.looked = Instant::now();
                self.look_at = self.looked + self.options.poll_interval;
                self.health_changed = true;
                self.files.values_mut().for_each(|file| file.pending = true);
            }
            self.read()?;
            self.settle(stopping)?;
            if std::mem::take(&mut self.health_changed) {
                self.say_health()?;
            }
            if stopping {
                self.save();
                return Ok(());
            }
            if self.positions.due().is_some_and(|due| due <= Instant::now()) {
                self.save();
            }
            self.wait();
        }
    }

    fn read(&mut self) -> Result<(), Closed> {
        for file in self.files.values_mut().filter(|file| file.pending) {
            let failed = file.failure.is_some();
            send(&self.sink, file.turn(&mut self.buffer, self.woken))?;
            self.health_changed |= failed != file.failure.is_some();
        }
        Ok(())
    }

    fn settle(&mut self, all: bool) -> Result<(), Closed> {
        let now = Instant::now();
        let due = |file: &&mut LogFile| file.settle_at().is_some_and(|at| all || at <= now);
        for file in self.files.values_mut().filter(due) {
            send(&self.sink, file.settle())?;
        }
        Ok(())
    }

    /// Reads the last words of a file and closes it; its place is remembered.
    pub(super) fn close(&mut self, id: Identity, last_words: bool) -> Result<(), Closed> {
        let Some(mut file) = self.files.remove(&id) else { return Ok(()) };
        if let Some(watch) = file.watch.take() {
            self.watcher.unwatch_file(watch);
        }
        if last_words {
            send(&self.sink, file.turn(&mut self.buffer, self.woken))?;
            send(&self.sink, file.finish())?;
        }
        if let Some(position) = file.position() {
            self.positions.remember(Position { state: State::Closed, ..position });
        }
        Ok(())
    }

    fn save(&mut self) {
        self.positions.save(self.files.values().filter_map(LogFile::position));
    }

    fn wait(&mut self) {
        let now = Instant::now();
        let pending = self.files.values().any(|file| file.pending);
        let settle = self.files.values().filter_map(LogFile::settle_at);
        let due = settle.chain([self.look_at]).chain(self.positions.due()).min().filter(|_| !pending);
        let timeout = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        let pipes: Vec<_> = self.files.values().filter_map(|file| Some((file.id, file.pipe()?))).collect();
        // A full pipe makes nginx wait: no batches there.
        let gap = if pipes.is_empty() { READ_GAP.min(timeout) } else { Duration::ZERO };
        let Wakeup { since, changed, look_everywhere } = self.watcher.wait(&self.orders.waker, &pipes, gap, timeout);
        self.woken = since;
        for id in changed {
            if let Some(file) = self.files.get_mut(&id) {
                file.pending = true;
            }
        }
        if look_everywhere {
            self.look_at = self.look_at.min(self.looked + LOOK_GAP);
        }
    }
}

fn send(sink: &Sink, delta: Option<Box<LogDelta>>) -> Result<(), Closed> {
    delta.map_or(Ok(()), |delta| sink.send_blocking(Observation::Log(delta)))
}
