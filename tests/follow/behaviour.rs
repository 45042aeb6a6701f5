//! What the follower does, one behaviour per test.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nginx_502_exporter::inputs::log::follow::FollowOptions;
use nginx_502_exporter::observation::FailureReason;

use crate::scene::{Scene, append};

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

/// How many files this process has open in a directory.
fn open_files(dir: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).filter(|path| path.starts_with(dir)).count()
}

#[test]
fn rotations_leave_no_descriptor_open() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    let quick = FollowOptions { keep_rotated: Duration::ZERO, ..scene.options(&["a.log"]) };
    scene.start(quick);
    for round in 0..100 {
        scene.append("a.log", &format!("{round}\n"));
        scene.rename("a.log", &format!("a.log.{}", round % 3));
        scene.append("a.log", "");
        scene.wait("a line", |scene| scene.lines().len() == round + 1);
    }
    let dir = scene.dir.path().to_owned();
    scene.wait("the old files to be closed", |_| open_files(&dir) == 1);
    scene.stop();
    assert_eq!(open_files(&dir), 0);
}

#[test]
fn a_file_that_may_not_be_read_at_first_is_read_from_where_it_was_then() {
    let mut scene = Scene::new();
    let mode = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(scene.dir.path().to_owned(), 0o755);
    scene.append("a.log", "old\n");
    mode(scene.path("a.log"), 0o000);
    let mut scene = as_nobody(move || {
        scene.follow(&["a.log"]);
        scene
    });
    assert_eq!(scene.reason("a.log"), Some(Err(FailureReason::Permission)));
    scene.append("a.log", "meanwhile\n");
    mode(scene.path("a.log"), 0o644);
    scene.expect(&["meanwhile"]);
    scene.wait("health", |scene| scene.reason("a.log") == Some(Ok(())));
}

/// Credentials are a thread's own, and passed on to the threads it starts.
fn as_nobody<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let nobody = std::thread::spawn(move || {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
        run()
    });
    nobody.join().unwrap()
}

#[test]
fn where_inotify_is_refused_files_are_polled() {
    let mut scene = Scene::new();
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    scene.append("a.log", "");
    let (mut scene, taken) = as_nobody(move || {
        let taken: Vec<_> = (0..10_000).map_while(|_| inotify::Inotify::init().ok()).collect();
        assert!(inotify::Inotify::init().is_err());
        scene.follow(&["a.log", "*.log"]);
        (scene, taken)
    });
    drop(taken);
    scene.append("a.log", "1\n");
    scene.expect(&["1"]);
    scene.append("b.log", "2\n");
    scene.expect(&["1", "2"]);
    scene.rename("a.log", "a.log.1");
    scene.append("a.log", "3\n");
    scene.append("a.log.1", "4\n");
    scene.wait("four lines", |scene| scene.lines().len() == 4);
}

#[test]
fn rotation_faster_than_files_are_closed_is_bounded_in_descriptors_and_loses_nothing() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.follow(&["a.log"]);
    for round in 0..600 {
        scene.append("a.log", &format!("{round}\n"));
        scene.rename("a.log", &format!("a.log.{round}"));
    }
    scene.wait("all lines", |scene| scene.lines().len() == 600);
    let dir = scene.dir.path().to_owned();
    scene.wait("files to be closed", move |_| open_files(&dir) <= 512);
}

#[test]
fn bytes_come_through_as_they_are() {
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.follow(&["a.log"]);
    let bytes = b"\0nul\n\xff\xfe not UTF-8 \xc3\n\r\n";
    fs::write(scene.path("a.log"), bytes).unwrap();
    scene.wait("three lines", |scene| scene.lines().len() == 3);
    assert_eq!(scene.lines.lock().unwrap().join(&b'\n'), &bytes[..bytes.len() - 1]);
}

#[test]
fn garbage_without_line_feeds_is_read_in_bounded_memory() {
    const CHUNK: usize = 1 << 20;
    let resident = || {
        let status = fs::read_to_string("/proc/self/statm").unwrap();
        status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let mut scene = Scene::new();
    scene.append("a.log", "");
    scene.follow(&["a.log"]);
    let before = resident();
    let mut file = OpenOptions::new().append(true).open(scene.path("a.log")).unwrap();
    let garbage = "g".repeat(CHUNK);
    (0..100).for_each(|_| append(&mut file, &garbage));
    append(&mut file, "\nafter it\n");
    scene.wait("the line after it", |scene| scene.lines.lock().unwrap().ends_with(&[b"after it".to_vec()]));
    let more = resident().saturating_sub(before);
    assert!(more < 30 << 20, "{more} bytes more");
    scene.stop();
    assert_eq!(scene.sum(|read| read.bytes), (100 * CHUNK + 10) as u64);
}
