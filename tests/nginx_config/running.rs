//! A running nginx: when it started, when it loaded its configuration, and whether the files are still those.

use std::path::Path;
use std::time::{Duration, SystemTime};

use nginx_502_exporter::discovery::nginx::{Disk, Options, discover, masters};
use nginx_502_exporter::observation::nginx::Loaded;

use crate::common::{Lab, Nginx, NginxConfig};

const DEADLINE: Duration = Duration::from_secs(20);

fn find(nginx: &Nginx) -> Option<Loaded> {
    let pid = nginx.process.pid().as_raw_nonzero().get().unsigned_abs();
    masters(Path::new("/proc")).expect("/proc is readable").into_iter().find(|master| master.pid == pid)
}

#[test]
fn a_reload_and_files_changed_after_it_are_seen() {
    let lab = Lab::new();
    lab.write("conf.d/a.conf", "upstream a { server 127.0.0.1:1; }");
    let nginx = Nginx::start(
        &lab,
        &NginxConfig { http: format!("include {}/conf.d/*.conf;", lab.root().display()), ..NginxConfig::default() },
    );
    let first = lab.wait_for_some("a worker", DEADLINE, || find(&nginx).filter(|loaded| loaded.workers.len() == 1));
    assert_eq!((first.reloaded_at, first.configured_at()), (None, first.started_at));
    let age = SystemTime::now().duration_since(first.started_at).expect("in the past");
    assert!(age < Duration::from_secs(60), "{age:?}");
    assert_eq!(first.conf_path.as_deref(), Some(&*nginx.config_file()));
    assert!(!first.in_container);

    // What runs tells where the files are.
    let disk = Disk::new(Path::new("/")).expect("no root to open");
    let options = Options::of(&first);
    let discovery = discover(&options, &disk);
    assert_eq!(discovery.problems, []);
    assert_eq!(discovery.config.targets.len(), 1);
    assert!(!discovery.changed(&disk));

    lab.write("conf.d/b.conf", "upstream b { server 127.0.0.1:2; }");
    assert!(discovery.changed(&disk), "a pattern matches another file");
    let discovery = discover(&options, &disk);
    assert_eq!(discovery.config.targets.len(), 2);
    assert!(!discovery.changed(&disk));
    // Two seconds tell first workers from those of a reload.
    let reloaded = lab.wait_for_some("a reload", DEADLINE, || {
        let start = SystemTime::now().duration_since(first.started_at).ok()?;
        if start > Duration::from_secs(3) {
            nginx.reload();
        }
        find(&nginx).filter(|loaded| loaded.reloaded_at.is_some())
    });
    assert_ne!(reloaded.workers, first.workers);
    assert!(reloaded.configured_at() > first.started_at);
    assert_eq!(discovery.newer_than(reloaded.configured_at()).count(), 0);
    let before = first.started_at.checked_sub(Duration::from_secs(60)).expect("a time");
    assert!(discovery.newer_than(before).any(|path| path.ends_with("conf.d/b.conf")));

    lab.write("conf.d/a.conf", "upstream a { server 127.0.0.1:3; server 127.0.0.1:4; }");
    assert!(discovery.changed(&disk), "a file has other content");
}

#[test]
fn options_given_to_nginx_are_used() {
    let lab = Lab::new();
    lab.write("etc/n.conf", "include more;");
    lab.write("etc/more", "http { server { access_log a.log; location / { proxy_pass http://127.0.0.1:1; } } }");
    let options = Options {
        conf: Some("etc/n.conf".into()),
        prefix: Some(lab.root().to_owned()),
        error_log: Some("e.log".into()),
        directives: Some("worker_processes 3; error_log given.log notice;".into()),
        ..Options::default()
    };
    let config = discover(&options, &Disk::new(Path::new("/")).expect("no root to open")).config;
    assert_eq!(&*config.main.worker_processes.value, "3");
    let path = |name: &str| nginx_502_exporter::observation::nginx::Destination::File(lab.path(name));
    assert_eq!(config.error_logs.iter().map(|log| &log.destination).collect::<Vec<_>>(), [&path("given.log")]);
    assert_eq!(config.access_logs.iter().map(|log| &log.destination).collect::<Vec<_>>(), [&path("a.log")]);
}
