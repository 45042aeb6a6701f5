//! A follower in a temporary directory, and what came out of it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

use nginx_502_exporter::inputs::Sink;
use nginx_502_exporter::inputs::log::follow::{FollowOptions, Follower};
use nginx_502_exporter::inputs::log::{Consumer, MAX_HELD_BACK, More};
use nginx_502_exporter::observation::{
    FailureReason, FileDelta, Health, Level, LocalClass, LogDelta, Observation, UpstreamClass,
};

/// So many bytes of each line are kept.
const LINE: usize = 400;

/// Takes lines as bytes, of each the beginning; a line without end when nothing more can come. As an
/// entry may go on in the next line, the last line waits for the next one, or for silence.
struct Lines {
    file: Arc<str>,
    lines: Arc<Mutex<Vec<Vec<u8>>>>,
    read: FileDelta,
}

impl Consumer for Lines {
    fn consume(&mut self, bytes: &[u8], more: More) -> usize {
        let end_before = |end| memchr::memrchr(b'\n', &bytes[..end]);
        let last = end_before(bytes.len());
        let end = if more == More::Expected { last.and_then(end_before) } else { last };
        let whole = end.map_or(0, |end| end + 1);
        let taken = if more == More::Never || bytes.len() - whole >= MAX_HELD_BACK { bytes.len() } else { whole };
        let mut lines = self.lines.lock().unwrap();
        for line in bytes[..taken].split_inclusive(|byte| *byte == b'\n') {
            self.read.lines += 1;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            lines.push(line[..line.len().min(LINE)].to_vec());
        }
        self.read.bytes += taken as u64;
        taken
    }

    fn rotated(&mut self, lost_bytes: u64) {
        self.read.rotations += 1;
        self.read.lost_bytes += lost_bytes;
    }

    fn take_delta(&mut self) -> Option<Box<LogDelta>> {
        let read = std::mem::take(&mut self.read);
        (read != FileDelta::default()).then(|| {
            Box::new(LogDelta {
                file: Arc::clone(&self.file),
                read,
                levels: [0; Level::COUNT],
                upstream: [0; UpstreamClass::COUNT],
                local: [0; LocalClass::COUNT],
                series: Vec::new(),
                lag: Duration::ZERO,
                at: SystemTime::now(),
            })
        })
    }
}

/// A follower in a directory of its own, and what came out of it.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) lines: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) follower: Option<Follower>,
    receiver: Option<Receiver<Observation>>,
    pub(crate) health: Vec<Health>,
    pub(crate) deltas: Vec<LogDelta>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { dir, lines: Arc::default(), follower: None, receiver: None, health: Vec::new(), deltas: Vec::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn options(&self, patterns: &[&str]) -> FollowOptions {
        FollowOptions {
            patterns: self.names(patterns),
            poll_interval: Duration::from_millis(50),
            keep_rotated: Duration::from_secs(5),
            ..FollowOptions::default()
        }
    }

    pub(crate) fn names(&self, patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|name| self.path(name).to_str().unwrap().to_owned()).collect()
    }

    /// Starts, and returns when the first look is over.
    pub(crate) fn start(&mut self, options: FollowOptions) {
        let lines = Arc::clone(&self.lines);
        let make = move |path: &Path| -> Box<dyn Consumer + Send> {
            let file = path.to_string_lossy().into();
            Box::new(Lines { file, lines: Arc::clone(&lines), read: FileDelta::default() })
        };
        let (sink, receiver) = Sink::channel();
        let inputs: Vec<_> = options.patterns.iter().map(|pattern| format!("nginx_error_log:{pattern}")).collect();
        self.follower = Some(Follower::start(options, Box::new(make), sink).unwrap());
        self.receiver = Some(receiver);
        self.health.clear();
        let said = |scene: &Self, input: &String| scene.health.iter().any(|health| *health.input == **input);
        self.wait("first health", |scene| inputs.iter().all(|input| said(scene, input)));
    }

    pub(crate) fn follow(&mut self, patterns: &[&str]) {
        self.start(self.options(patterns));
    }

    pub(crate) fn stop(&mut self) {
        self.follower.take().unwrap().stop();
        self.receive();
    }

    pub(crate) fn receive(&mut self) {
        while let Some(Ok(observation)) = self.receiver.as_mut().map(Receiver::try_recv) {
            match observation {
                Observation::Log(delta) => self.deltas.push(*delta),
                Observation::Health(health) => self.health.push(health),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    pub(crate) fn wait(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(8);
        loop {
            self.receive();
            if condition(self) {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what}; lines {:?}, {:?}", self.lines(), self.health);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().take(1000).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    pub(crate) fn expect(&mut self, lines: &[&str]) {
        self.wait(&format!("{lines:?}"), |scene| scene.lines().len() >= lines.len());
        assert_eq!(self.lines(), lines);
    }

    pub(crate) fn sum(&self, field: impl Fn(&FileDelta) -> u64) -> u64 {
        self.deltas.iter().map(|delta| field(&delta.read)).sum()
    }

    pub(crate) fn reason(&self, name: &str) -> Option<Result<(), FailureReason>> {
        let input = format!("nginx_error_log:{}", self.path(name).display());
        let last = self.health.iter().rev().find(|health| *health.input == input)?;
        Some(last.outcome.clone().map_err(|failure| failure.reason))
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        append(&mut OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap(), text);
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

pub(crate) fn append(file: &mut File, text: &str) {
    file.write_all(text.as_bytes()).unwrap();
}
