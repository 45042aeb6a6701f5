//! Behaviour of the follower on real files in a temporary directory.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

use super::{FollowOptions, Follower};
use crate::inputs::Sink;
use crate::inputs::log::{Consumer, MAX_HELD_BACK, More};
use crate::observation::{FailureReason, FileDelta, Health, Level, LocalClass, LogDelta, Observation, UpstreamClass};

/// Takes lines as bytes; a line without end when nothing more can come.
struct Lines {
    file: Arc<str>,
    lines: Arc<Mutex<Vec<Vec<u8>>>>,
    read: FileDelta,
}

impl Consumer for Lines {
    fn consume(&mut self, bytes: &[u8], more: More) -> usize {
        let whole = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        let taken = if more == More::Never || bytes.len() - whole >= MAX_HELD_BACK { bytes.len() } else { whole };
        let mut lines = self.lines.lock().unwrap();
        for line in bytes[..taken].split_inclusive(|byte| *byte == b'\n') {
            self.read.lines += 1;
            lines.push(line.strip_suffix(b"\n").unwrap_or(line).to_vec());
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
struct Scene {
    dir: TempDir,
    lines: Arc<Mutex<Vec<Vec<u8>>>>,
    follower: Option<Follower>,
    receiver: Option<Receiver<Observation>>,
    health: Vec<Health>,
    deltas: Vec<LogDelta>,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { dir, lines: Arc::default(), follower: None, receiver: None, health: Vec::new(), deltas: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self, patterns: &[&str]) -> FollowOptions {
        FollowOptions {
            patterns: self.names(patterns),
            poll_interval: Duration::from_millis(50),
            keep_rotated: Duration::from_secs(5),
            ..FollowOptions::default()
        }
    }

    fn names(&self, patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|name| self.path(name).to_str().unwrap().to_owned()).collect()
    }

    /// Starts, and returns when the first look is over.
    fn start(&mut self, options: FollowOptions) {
        let lines = Arc::clone(&self.lines);
        let make = move |path: &Path| -> Box<dyn Consumer + Send> {
            let file = path.to_string_lossy().into();
            Box::new(Lines { file, lines: Arc::clone(&lines), read: FileDelta::default() })
        };
        let (sink, receiver) = Sink::channel();
        let expects_health = !options.patterns.is_empty();
        self.follower = Some(Follower::start(options, Box::new(make), sink).unwrap());
        self.receiver = Some(receiver);
        self.health.clear();
        if expects_health {
            self.wait("first health", |scene| !scene.health.is_empty());
        }
    }

    fn follow(&mut self, patterns: &[&str]) {
        self.start(self.options(patterns));
    }

    fn stop(&mut self) {
        self.follower.take().unwrap().stop();
        self.receive();
    }

    fn receive(&mut self) {
        while let Some(Ok(observation)) = self.receiver.as_mut().map(Receiver::try_recv) {
            match observation {
                Observation::Log(delta) => self.deltas.push(*delta),
                Observation::Health(health) => self.health.push(health),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn wait(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.receive();
            if condition(self) {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what}; lines {:?}, {:?}", self.lines(), self.health);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().take(1000).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    fn expect(&mut self, lines: &[&str]) {
        self.wait(&format!("{lines:?}"), |scene| scene.lines().len() >= lines.len());
        assert_eq!(self.lines(), lines);
    }

    fn sum(&self, field: impl Fn(&FileDelta) -> u64) -> u64 {
        self.deltas.iter().map(|delta| field(&delta.read)).sum()
    }

    fn reason(&self, name: &str) -> Option<Result<(), FailureReason>> {
        let input = format!("nginx_error_log:{}", self.path(name).display());
        let last = self.health.iter().rev().find(|health| *health.input == input)?;
        Some(last.outcome.clone().map_err(|failure| failure.reason))
    }

    fn append(&self, name: &str, text: &str) {
        append(&mut OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap(), text);
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

fn append(file: &mut File, text: &str) {
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn begins_at_the_end_of_what_exists_and_at_the_beginning_of_what_appears() {
    let mut scene = Scene::new();
    scene.append("a.log", "old\nhalf a");
    scene.follow(&["a.log", "b.log"]);
    scene.append("a.log", " line\n");
    scene.expect(&["half a line"]);
    scene.append("b.log", "first\n");
    scene.expect(&["half a line", "first"]);
}

#[test]
fn from_start_reads_what_exists() {
    let mut scene = Scene::new();
    scene.append("a.log", "old\n");
    scene.start(FollowOptions { from_start: true, ..scene.options(&["a.log"]) });
    scene.expect(&["old"]);
}

#[test]
fn a_renamed_file_is_read_while_it_is_written_to() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.follow(&["a.log*"]);
    let mut old = OpenOptions::new().append(true).open(scene.path("a.log")).unwrap();
    append(&mut old, "1\n");
    scene.rename("a.log", "a.log.1");
    append(&mut old, "2\n");
    scene.expect(&["1", "2"]);
    scene.append("a.log", "3\n");
    scene.expect(&["1", "2", "3"]);
    append(&mut old, "4\n");
    scene.expect(&["1", "2", "3", "4"]);
    scene.stop();
    assert_eq!(scene.sum(|read| read.rotations), 1);
    assert_eq!(scene.sum(|read| read.lost_bytes), 0);
    assert!(scene.deltas.iter().all(|delta| delta.file.ends_with("a.log")));
}

#[test]
fn two_rotations_between_two_looks_lose_nothing() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.append("a.log.7", "older than all of this\n");
    let born = SystemTime::now();
    scene.wait("file times to tell before from after", |_| born.elapsed().unwrap() > Duration::from_millis(30));
    scene.follow(&["a.log"]);
    for round in 0..20 {
        for part in 0..5 {
            scene.append("a.log", &format!("{round}.{part}\n"));
            scene.rename("a.log", &format!("a.log.{round}.{part}"));
        }
        scene.append("a.log", "end\n");
        scene.wait("a round", |scene| scene.lines().len() == 6 * (round + 1));
    }
}

#[test]
fn truncation_begins_again_and_takes_what_was_held_back() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.follow(&["a.log"]);
    scene.append("a.log", "one\ntwo\nhalf");
    scene.expect(&["one", "two"]);
    File::create(scene.path("a.log")).unwrap();
    scene.expect(&["one", "two", "half"]);
    scene.append("a.log", "x\n");
    scene.expect(&["one", "two", "half", "x"]);
    scene.stop();
    assert_eq!(scene.sum(|read| read.rotations), 1);
}

#[test]
fn truncation_is_noticed_when_the_file_has_grown_beyond_its_place_at_once() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.follow(&["a.log"]);
    scene.append("a.log", "one\ntwo\n");
    scene.expect(&["one", "two"]);
    fs::write(scene.path("a.log"), "three\nfour\nfive\n").unwrap();
    scene.expect(&["one", "two", "three", "four", "five"]);
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_its_successor_from_its_beginning() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.follow(&["a.log"]);
    let mut old = OpenOptions::new().append(true).open(scene.path("a.log")).unwrap();
    fs::remove_file(scene.path("a.log")).unwrap();
    append(&mut old, "late\n");
    scene.expect(&["late"]);
    scene.append("a.log", "new\n");
    scene.expect(&["late", "new"]);
}

#[test]
fn a_symlink_that_switches_is_followed_there_and_back() {
    let mut scene = Scene::new();
    let switch = |scene: &Scene, to: &str| {
        std::os::unix::fs::symlink(scene.path(to), scene.path("next")).unwrap();
        scene.rename("next", "a.log");
    };
    scene.append("x", "old\n");
    switch(&scene, "x");
    scene.follow(&["a.log"]);
    scene.append("x", "x1\n");
    scene.expect(&["x1"]);
    scene.append("y", "y1\n");
    switch(&scene, "y");
    scene.expect(&["x1", "y1"]);
    switch(&scene, "x");
    scene.append("x", "x2\n");
    scene.expect(&["x1", "y1", "x2"]);
}

#[test]
fn two_names_of_one_file_count_it_once() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    fs::hard_link(scene.path("a.log"), scene.path("b.log")).unwrap();
    scene.follow(&["*.log", "a.log"]);
    scene.append("a.log", "1\n");
    scene.expect(&["1"]);
    scene.stop();
    scene.expect(&["1"]);
}

#[test]
fn a_glob_takes_new_files_and_leaves_compressed_and_hidden_ones() {
    let mut scene = Scene::new();
    scene.follow(&["*.log*"]);
    assert_eq!(scene.reason("*.log*"), Some(Err(FailureReason::NotFound)));
    scene.append("a.log.1.gz", "compressed\n");
    scene.append(".a.log", "hidden\n");
    fs::write(scene.dir.path().join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff.log")), "x")
        .unwrap();
    scene.append("a.log", "1\n");
    scene.expect(&["1"]);
    scene.wait("the glob to be well", |scene| scene.reason("*.log*") == Some(Ok(())));
}

#[test]
fn a_named_pipe_survives_its_writers() {
    let mut scene = Scene::new();
    let made = rustix::fs::mknodat(rustix::fs::CWD, scene.path("p"), rustix::fs::FileType::Fifo, 0o600.into(), 0);
    made.unwrap();
    scene.follow(&["p"]);
    for round in ["1", "2", "3"] {
        let mut writer = OpenOptions::new().write(true).open(scene.path("p")).unwrap();
        append(&mut writer, &format!("{round}\n"));
        drop(writer);
        scene.wait("a line", |scene| scene.lines().last().is_some_and(|line| line == round));
    }
    let mut writer = OpenOptions::new().write(true).open(scene.path("p")).unwrap();
    let writer = std::thread::spawn(move || {
        (0..100_000).for_each(|number| append(&mut writer, &format!("line {number} of many\n")));
    });
    scene.wait("all", |scene| scene.lines.lock().unwrap().len() == 100_003);
    writer.join().unwrap();
}

#[test]
fn what_cannot_be_followed_says_why_and_recovers() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("dir")).unwrap();
    std::os::unix::fs::symlink("/dev/stderr", scene.path("err")).unwrap();
    scene.follow(&["dir", "err", "none", "null"]);
    std::os::unix::fs::symlink("/dev/null", scene.path("null")).unwrap();
    scene.wait("null", |scene| scene.reason("null") == Some(Err(FailureReason::WrongType)));
    assert_eq!(scene.reason("dir"), Some(Err(FailureReason::WrongType)));
    assert_eq!(scene.reason("err"), Some(Err(FailureReason::WrongType)));
    assert_eq!(scene.reason("none"), Some(Err(FailureReason::NotFound)));
    fs::remove_dir(scene.path("dir")).unwrap();
    scene.append("dir", "no directory any more\n");
    scene.expect(&["no directory any more"]);
    assert_eq!(scene.reason("dir"), Some(Ok(())));
    scene.append("dir", "more\n");
    fs::remove_file(scene.path("dir")).unwrap();
    scene.wait("its absence", |scene| scene.reason("dir") == Some(Err(FailureReason::NotFound)));
}

#[test]
fn patterns_are_replaced_without_losing_the_place() {
    let mut scene = Scene::new();
    scene.append("a.log", "old\n");
    scene.append("b.log", "old\n");
    scene.follow(&["a.log"]);
    scene.append("a.log", "a1\n");
    scene.expect(&["a1"]);
    let names = scene.names(&["a.log", "b.log"]);
    scene.follower.as_ref().unwrap().update(names);
    scene.wait("b", |scene| scene.reason("b.log") == Some(Ok(())));
    scene.append("b.log", "b1\n");
    scene.expect(&["a1", "b1"]);
    let names = scene.names(&["b.log"]);
    scene.follower.as_ref().unwrap().update(names);
    scene.wait("a's end", |scene| scene.reason("a.log") == Some(Err(FailureReason::Removed)));
    scene.append("a.log", "while away\n");
    let names = scene.names(&["*.log"]);
    scene.follower.as_ref().unwrap().update(names);
    scene.expect(&["a1", "b1", "while away"]);
}

#[test]
fn a_restart_with_a_position_file_goes_on_where_it_was() {
    let mut scene = Scene::new();
    let options = FollowOptions { position_file: Some(scene.path("pos")), ..scene.options(&["a.log"]) };
    scene.append("a.log", "old\n");
    scene.start(options.clone());
    scene.append("a.log", "1\nhal");
    scene.stop();
    scene.append("a.log", "f\n");
    scene.start(options.clone());
    scene.expect(&["1", "half"]);
    scene.stop();
    scene.append("a.log", "before rotation\n");
    scene.rename("a.log", "a.log.1");
    scene.append("a.log", "came and went\n");
    scene.rename("a.log", "a.log.2");
    scene.append("a.log", "after rotation\n");
    scene.start(options.clone());
    scene.wait("three", |scene| scene.lines().len() == 5);
    let mut lines = scene.lines().split_off(2);
    lines.sort();
    assert_eq!(lines, ["after rotation", "before rotation", "came and went"]);
    scene.stop();
    fs::write(scene.path("a.log"), "another file\n").unwrap();
    scene.start(options);
    scene.wait("the other", |scene| scene.lines().len() == 6);
}

#[test]
fn a_corrupt_position_file_is_as_good_as_none() {
    let mut scene = Scene::new();
    for corrupt in ["", "{", "{\"at\":-1}", "[1,2]", "\0\u{ff}"] {
        fs::write(scene.path("pos"), corrupt).unwrap();
        scene.append("a.log", "old\n");
        scene.start(FollowOptions { position_file: Some(scene.path("pos")), ..scene.options(&["a.log"]) });
        scene.append("a.log", "new\n");
        scene.wait("a line", |scene| !scene.lines().is_empty());
        assert_eq!(scene.lines(), ["new"]);
        scene.stop();
        scene.lines.lock().unwrap().clear();
    }
}

#[test]
fn links_stay_within_the_root() {
    let mut scene = Scene::new();
    fs::create_dir_all(scene.path("host/var/log")).unwrap();
    std::os::unix::fs::symlink("/var/log/real", scene.path("host/var/log/a.log")).unwrap();
    scene.append("host/var/log/real", "");
    let patterns = vec!["/var/log/*.log".to_owned()];
    scene.start(FollowOptions { rootfs: Some(scene.path("host")), patterns, ..scene.options(&[]) });
    scene.append("host/var/log/real", "1\n");
    scene.expect(&["1"]);
    scene.receive();
    assert_eq!(&*scene.deltas[0].file, "/var/log/a.log");
}

#[test]
fn rotations_leave_no_descriptor_open() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    let quick = FollowOptions { keep_rotated: Duration::ZERO, ..scene.options(&["a.log"]) };
    scene.start(quick);
    let dir = scene.dir.path().to_owned();
    let open = move || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).filter(|path| path.starts_with(&dir)).count()
    };
    for round in 0..100 {
        scene.append("a.log", &format!("{round}\n"));
        scene.rename("a.log", &format!("a.log.{}", round % 3));
        scene.append("a.log", "");
        scene.wait("a line", |scene| scene.lines().len() == round + 1);
    }
    scene.wait("the old files to be closed", |_| open() == 1);
    scene.stop();
    assert_eq!(open(), 0);
}
