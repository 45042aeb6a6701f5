//! Random sequences of what happens to logs, against the one thing that has to come out: every line exactly once.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;

use nginx_502_exporter::inputs::log::follow::FollowOptions;
use proptest::prelude::*;

use crate::scene::{Scene, append};

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Action {
    /// nginx writes whole lines.
    Lines(u8),
    /// A write ends within a line.
    Half,
    /// The log is renamed; nginx goes on writing to it.
    Rename,
    /// nginx opens its log by name.
    Reopen,
    /// A worker that is slow to reopen writes to an old file.
    Late(u8),
    /// copytruncate, with everything read.
    Truncate,
    /// The log is deleted; nginx goes on writing to it.
    Delete,
    /// A further log appears that a glob matches.
    Appear,
    /// A symlink shows another log.
    Switch,
    /// The exporter stops; things go on happening.
    Stop,
    /// The exporter starts.
    Start,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => (1..20_u8).prop_map(Action::Lines),
        2 => Just(Action::Half),
        4 => Just(Action::Rename),
        4 => Just(Action::Reopen),
        3 => (0..4_u8).prop_map(Action::Late),
        1 => Just(Action::Truncate),
        1 => Just(Action::Delete),
        1 => Just(Action::Appear),
        1 => Just(Action::Switch),
        1 => Just(Action::Stop),
        2 => Just(Action::Start),
    ];
    prop::collection::vec(action, 1..60)
}

/// Somebody who writes lines to an open file.
struct Writer {
    file: File,
    half: bool,
    /// It has a name still.
    linked: bool,
}

/// The logs, and what was written to them.
struct Model {
    scene: Scene,
    options: FollowOptions,
    up: bool,
    current: Writer,
    old: Vec<Writer>,
    renamed: bool,
    written: Vec<String>,
    names: usize,
    switched_while_down: bool,
}

impl Model {
    fn new(wide: bool) -> Self {
        let mut scene = Scene::new();
        let log = if wide { "a.log*" } else { "a.log" };
        let options = FollowOptions {
            position_file: Some(scene.path("positions")),
            ..scene.options(&[log, "site-*.log", "link.log"])
        };
        let current = open(&scene, "a.log");
        scene.append("target-0", "");
        symlink(scene.path("target-0"), scene.path("link.log")).unwrap();
        scene.start(options.clone());
        let (old, written) = (Vec::new(), Vec::new());
        Self { scene, options, up: true, current, old, renamed: false, written, names: 0, switched_while_down: false }
    }

    fn name(&mut self) -> usize {
        self.names += 1;
        self.names
    }

    fn line(&mut self) -> String {
        let line = format!("line {}", self.written.len());
        self.written.push(line.clone());
        line + "\n"
    }

    /// One more line through a writer; the rest of one, if half of it is there.
    fn write(&mut self, old: Option<usize>) {
        let line = self.line();
        let writer = old.map_or(&mut self.current, |index| &mut self.old[index]);
        if std::mem::take(&mut writer.half) {
            // The half has no number yet: it gets the one just taken.
            append(&mut writer.file, line.strip_prefix("line").unwrap());
        } else {
            append(&mut writer.file, &line);
        }
    }

    /// Waits until everything written was read. Halves are finished first.
    fn drain(&mut self) {
        for index in (0..self.old.len()).map(Some).chain([None]) {
            let half = index.map_or(self.current.half, |index| self.old[index].half);
            if half {
                self.write(index);
            }
        }
        let count = self.written.len();
        self.scene.wait("all lines", |scene| scene.lines.lock().unwrap().len() >= count);
    }

    fn reopen(&mut self) {
        let current = std::mem::replace(&mut self.current, open(&self.scene, "a.log"));
        self.old.push(current);
        self.renamed = false;
        self.write(None);
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Lines(count) => (0..count).for_each(|_| self.write(None)),
            Action::Half if !self.current.half => {
                append(&mut self.current.file, "line");
                self.current.half = true;
            }
            Action::Rename if !self.renamed => {
                let to = format!("a.log.{}", self.name());
                self.scene.rename("a.log", &to);
                self.renamed = true;
            }
            Action::Reopen if self.renamed => self.reopen(),
            Action::Late(back) => {
                if let Some(index) = self.old.len().checked_sub(1 + usize::from(back)) {
                    self.write(Some(index));
                }
            }
            Action::Truncate if self.up && !self.renamed => {
                self.drain();
                self.current.file.set_len(0).unwrap();
                self.write(None);
            }
            Action::Delete if self.up && !self.renamed => {
                self.drain();
                fs::remove_file(self.scene.path("a.log")).unwrap();
                self.current.linked = false;
                self.reopen();
            }
            Action::Appear if self.up => {
                let (name, line) = (format!("site-{}.log", self.name()), self.line());
                self.scene.append(&name, &line);
            }
            Action::Switch if self.up || !self.switched_while_down => {
                if self.up {
                    self.drain();
                }
                self.switched_while_down = !self.up;
                let (target, line) = (format!("target-{}", self.name()), self.line());
                self.scene.append(&target, &line);
                symlink(self.scene.path(&target), self.scene.path("next")).unwrap();
                self.scene.rename("next", "link.log");
            }
            Action::Stop if self.up => {
                self.drain();
                self.scene.stop();
                self.up = false;
                // What has no name cannot be found again.
                self.old.retain(|writer| writer.linked);
            }
            Action::Start if !self.up => self.start(),
            _ => {}
        }
    }

    fn start(&mut self) {
        self.scene.start(self.options.clone());
        self.up = true;
        self.switched_while_down = false;
    }

    fn finish(mut self) {
        if !self.up {
            self.start();
        }
        self.drain();
        self.scene.stop();
        let mut read = self.scene.lines.lock().unwrap().clone();
        let mut written: Vec<_> = self.written.into_iter().map(String::into_bytes).collect();
        read.sort();
        written.sort();
        let text = |lines: &[Vec<u8>]| String::from_utf8_lossy(&lines.join(&b'\n')).into_owned();
        assert_eq!(text(&read), text(&written));
        assert_eq!(self.scene.sum(|read| read.lost_bytes), 0);
    }
}

fn open(scene: &Scene, name: &str) -> Writer {
    let file = OpenOptions::new().append(true).create(true).open(scene.path(name)).unwrap();
    Writer { file, half: false, linked: true }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_read_exactly_once(wide: bool, actions in actions()) {
        let mut model = Model::new(wide);
        actions.into_iter().for_each(|action| model.apply(action));
        model.finish();
    }
}
