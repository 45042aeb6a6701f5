use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const CONF: &str = "/etc/php/8.2/fpm/php-fpm.conf";

struct Host(TempDir);

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            host.write(name, content);
        }
        host
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = files::outside(self.0.path(), Path::new(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn discover(&self) -> Discovery {
        let procfs = self.0.path().join("proc");
        discover(&Sources { procfs, rootfs: self.0.path().into(), conf: Vec::new() }, &self.processes())
    }

    fn processes(&self) -> Processes {
        Processes::read(&self.0.path().join("proc"))
    }
}

/// The only pool of one main file.
fn only(content: &str) -> (Pool, Vec<Problem>) {
    let mut found = Host::new(&[(CONF, content)]).discover();
    let mut pools = found.installations.remove(0).pools;
    assert_eq!(pools.len(), 1, "{pools:?}");
    (pools.remove(0), found.problems)
}

fn said(problems: &[Problem]) -> Vec<(Option<u32>, &str)> {
    problems.iter().map(|problem| (problem.line, problem.what.as_str())).collect()
}

#[test]
fn a_pool_is_read_with_file_and_line() {
    let host = Host::new(&[
        (
            CONF,
            "[global]\nerror_log = /var/log/php8.2-fpm.log\nlog_level = warning\ninclude=/etc/php/8.2/fpm/pool.d/*.conf\n",
        ),
        (
            "/etc/php/8.2/fpm/pool.d/www.conf",
            "; comment\n[www]\nlisten = /run/php/$pool.sock\nlisten.backlog = 128\npm = dynamic\npm.max_children = 5\n\
             pm.min_spare_servers = 1\npm.max_spare_servers = 3\npm.status_path = /status\nping.path = /ping\n\
             request_terminate_timeout = 2m\nslowlog = var/log/$pool.slow\nphp_admin_value[memory_limit] = 256M\n\
             php_admin_value[memory_limit] = 1M\nphp_value[max_execution_time] = 30\ncatch_workers_output = yes\n",
        ),
    ]);
    let found = host.discover();
    assert_eq!(found.problems, []);
    let [installation] = found.installations.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (installation.version.unwrap().to_string().as_str(), installation.log_level.value),
        ("8.2", LogLevel::Warning)
    );
    assert_eq!(installation.error_log.at.as_ref().unwrap().to_string(), format!("{CONF}:2"));
    let [pool] = installation.pools.as_slice() else { panic!("{installation:?}") };
    let file = "/etc/php/8.2/fpm/pool.d/www.conf";
    assert_eq!((&*pool.name, pool.at.to_string()), ("www", format!("{file}:2")));
    assert_eq!(pool.peer().as_deref(), Some("unix:/run/php/www.sock"));
    let place = |at: &Option<Place>| at.as_ref().unwrap().to_string();
    let max_children = pool.max_children.as_ref().unwrap();
    assert_eq!((max_children.value, place(&max_children.at)), (5, format!("{file}:6")));
    assert_eq!((pool.listen_backlog.value, pool.listen_backlog.at.is_some()), (128, true));
    assert_eq!(pool.start_servers, Some(Stated::default(2)));
    assert_eq!(pool.request_terminate_timeout.value, Duration::from_secs(120));
    assert_eq!(pool.slowlog.as_ref().unwrap().value, Path::new("/usr/var/log/www.slow"));
    let memory = pool.memory_limit.as_ref().unwrap();
    assert_eq!((memory.value.as_str(), place(&memory.at)), ("256M", format!("{file}:13")));
    assert_eq!(pool.max_execution_time.as_ref().unwrap().value, "30");
    assert!(pool.catch_workers_output.value && pool.decorate_workers_output.value);
    assert_eq!(pool.status(), Some((&Listen::Unix("/run/php/www.sock".into()), "/status")));
}

#[test]
fn a_listener_for_the_status_page_has_a_path_of_its_own() {
    let (pool, _) = only("[www]\nlisten=9000\npm.status_listen = 127.0.0.1:9001\n");
    let (listen, path) = pool.status().unwrap();
    assert_eq!((listen.peer().as_str(), path), ("127.0.0.1:9001", "/"));
    assert_eq!(only("[www]\nlisten=9000\n").0.status(), None);
}

#[test]
fn the_default_backlog_is_that_of_the_version() {
    for (conf, backlog) in [
        ("/etc/php5/fpm/php-fpm.conf", 65_535),
        ("/etc/php/7.4/fpm/php-fpm.conf", 511),
        ("/etc/php/8.1/fpm/php-fpm.conf", 511),
        ("/etc/php/8.2/fpm/php-fpm.conf", -1),
        ("/usr/local/etc/php-fpm.conf", -1),
    ] {
        let found = Host::new(&[(conf, "[www]\nlisten=9000\n")]).discover();
        assert_eq!(found.pools().map(|(_, pool)| pool.listen_backlog.value).collect::<Vec<_>>(), [backlog], "{conf}");
    }
}

#[test]
fn an_include_is_textual_and_leaks_its_section() {
    let host = Host::new(&[
        (CONF, "include=/a/*.conf\npm.max_children = 9\n[global]\nlog_level = error\n[ONE]\nuser = late\n"),
        ("/a/1.conf", "[one]\nlisten=/1\n"),
        ("/a/2.conf", "[two]\nlisten=/2\n"),
        ("/a/.hidden.conf", "[hidden]\n"),
        ("/a/folder.conf/x", ""),
    ]);
    let found = host.discover();
    assert_eq!(found.problems, []);
    let pools: Vec<_> = found.pools().map(|(_, pool)| pool).collect();
    assert_eq!(pools.iter().map(|pool| &*pool.name).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(pools[0].max_children, None);
    assert_eq!(pools[1].max_children.as_ref().unwrap().value, 9);
    assert_eq!(pools[0].user.as_ref().unwrap().value, "late");
    assert_eq!(found.installations[0].log_level.value, LogLevel::Error);
}

#[test]
fn relative_includes_are_below_the_prefix_of_the_distribution() {
    let found = Host::new(&[
        ("/usr/local/etc/php-fpm.conf", "include=etc/php-fpm.d/*.conf\n"),
        ("/usr/local/etc/php-fpm.d/www.conf", "[www]\nlisten = 127.0.0.1:9000\n"),
        ("/usr/local/etc/php-fpm.d/zz-docker.conf", "[global]\ndaemonize = no\n\n[www]\nlisten = 9000\n"),
    ])
    .discover();
    assert_eq!(found.problems, []);
    assert_eq!(found.pools().filter_map(|(_, pool)| pool.peer()).collect::<Vec<_>>(), ["127.0.0.1:9000"]);
}

#[test]
fn what_fpm_refuses_is_reported_once_and_the_rest_is_kept() {
    let (pool, problems) = only(
        "[www]\nlisten=/x\nnosuch.key = secret\nwhat is this\npm.max_children = many\npm = sometimes\n\
         request_terminate_timeout = 5min\nphp_value[] = 1\nphp_valu[x] = 1\npm.max_requests = 7\ninclude=/none/*\n",
    );
    assert_eq!((pool.peer().as_deref(), pool.max_requests.value), (Some("unix:/x"), 7));
    let said = said(&problems);
    assert_eq!(said.iter().map(|(line, _)| line.unwrap()).collect::<Vec<_>>(), [3, 4, 8, 9, 11, 6, 5, 7], "{said:#?}");
    assert!(said[0].1.contains("`nosuch.key` in section [www]") && !problems.iter().any(|p| p.what.contains("secret")));
}

#[test]
fn includes_that_go_round_in_circles_end() {
    let found = Host::new(&[(CONF, "include=/etc/php/8.2/fpm/*.conf\n[www]\nlisten=/x\n")]).discover();
    assert_eq!(found.pools().count(), 1);
    assert_eq!(said(&found.problems), [(Some(1), "not included: FPM nests includes at most 5 files deep")]);
}

#[test]
fn what_is_no_text_does_not_matter_and_what_is_endless_ends() {
    let host = Host::new(&[(CONF, "include=/b/*\n[www]\nlisten=/x\n")]);
    host.write("/b/9-binary", (0..=255u8).cycle().take(100_000).collect::<Vec<_>>());
    host.write("/b/1-long-line", vec![b'a'; 3 << 20]);
    let many: String = (0..3_000).map(|n| format!("[p{n}]\nlisten=/{n}\n")).collect();
    host.write("/b/2-many", many);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        host.0.path().join("b/0-fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let found = host.discover();
    assert_eq!(found.pools().count(), MAX_POOLS);
    assert!(found.problems.len() <= MAX_PROBLEMS);
    let whats = || found.problems.iter().map(|problem| problem.what.as_str());
    assert!(whats().any(|what| what.contains("not a regular file")), "{:#?}", found.problems);
    assert!(whats().any(|what| what.contains("first 1048576 bytes")), "{:#?}", found.problems);
}

#[test]
fn names_that_are_put_into_values_again_and_again_do_not_fill_the_memory() {
    let name = "n".repeat(200_000);
    let values = format!("user = {}\n", "$pool".repeat(20_000)).repeat(3);
    let host = Host::new(&[(CONF, &format!("[{name}]\nlisten=/x\n{values}pm.max_requests = 7\n"))]);
    let found = host.discover();
    let [(_, pool)] = found.pools().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((&pool.user, pool.max_requests.value), (&None, 7), "4 GB each");
    assert_eq!(said(&found.problems).iter().map(|(line, _)| line.unwrap()).collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn the_name_of_a_pool_needs_a_pool() {
    let found = Host::new(&[(CONF, "error_log = /var/log/$pool.log\n[www]\nlisten=/x\n")]).discover();
    assert_eq!(said(&found.problems), [(Some(1), "FPM refuses `$pool` outside of a pool")]);
}

#[test]
fn links_of_the_host_stay_on_the_host() {
    let host = Host::new(&[("/real.conf", "[linked]\nlisten=/x\n"), (CONF, "include=/b/*.conf\n")]);
    fs::create_dir(host.0.path().join("b")).unwrap();
    std::os::unix::fs::symlink("/real.conf", host.0.path().join("b/www.conf")).unwrap();
    assert_eq!(host.discover().pools().count(), 1);
    // The folder, too.
    std::os::unix::fs::symlink("/b", host.0.path().join("c")).unwrap();
    host.write(CONF, "include=/c/*.conf\n");
    let found = host.discover();
    assert_eq!(found.pools().map(|(_, pool)| pool.at.to_string()).collect::<Vec<_>>(), ["/c/www.conf:1"]);
}

#[test]
fn a_changed_file_and_a_new_pool_are_noticed() {
    let host =
        Host::new(&[(CONF, "include=/etc/php/8.2/fpm/pool.d/*.conf\n"), ("/etc/php/8.2/fpm/pool.d/a.conf", "[a]\n")]);
    let found = host.discover();
    assert!(!found.changed(&host.processes()));
    host.write("/etc/php/8.2/fpm/pool.d/a.conf", "[a]\nlisten = 9000\n");
    assert!(found.changed(&host.processes()));
    let found = host.discover();
    assert!(!found.changed(&host.processes()));
    host.write("/etc/php/8.2/fpm/pool.d/b.conf", "[b]\n");
    assert!(found.changed(&host.processes()));
    let found = host.discover();
    assert_eq!(found.pools().count(), 2);
    run_master(&host, 10, CONF);
    assert!(found.changed(&host.processes()));
}

/// A procfs with one master and its workers.
fn run_master(host: &Host, pid: u32, conf: &str) {
    let write = |pid: u32, name: &str, content: &str| host.write(&format!("/proc/{pid}/{name}"), content);
    write(pid, "cmdline", &format!("php-fpm: master process ({conf})\0\0"));
    write(pid, "stat", &format!("{pid} (php-fpm8.2) S 1 {}", "0 ".repeat(17) + "500 0"));
    write(pid, "environ", "HOME=/\0CHILDREN=7\0");
    host.write("/proc/stat", "cpu 1\nbtime 1000\n");
    for worker in [pid + 2, pid + 1] {
        write(worker, "cmdline", "php-fpm: pool www\0");
        write(worker, "stat", &format!("{worker} (php ) fpm) S {pid} 0"));
    }
    write(pid + 3, "cmdline", "php-fpm: pool www\0");
    write(pid + 3, "stat", "13 (sh) S 1 0");
}

#[test]
fn a_running_master_is_found_with_its_workers_and_environment() {
    let host = Host::new(&[(CONF, "[www]\nlisten=/x\npm.max_children = ${CHILDREN}\nuser=${NOBODY}x\n")]);
    let found = host.discover();
    assert_eq!(said(&found.problems).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [Some(3), Some(4)]);
    run_master(&host, 10, CONF);
    let found = host.discover();
    assert_eq!(found.problems, []);
    let installation = &found.installations[0];
    let master = installation.master.as_ref().unwrap();
    assert_eq!((master.pid, master.workers["www"].as_slice()), (10, &[11, 12][..]));
    assert_eq!(master.started, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_005)));
    assert_eq!(installation.pools[0].max_children.as_ref().unwrap().value, 7);
    assert_eq!(installation.pools[0].user.as_ref().unwrap().value, "x");
}

#[test]
fn a_master_brings_its_own_configuration() {
    let host = Host::new(&[("/srv/fpm.conf", "[own]\nlisten=/x\n")]);
    run_master(&host, 10, "/srv/fpm.conf");
    let found = host.discover();
    assert_eq!(found.pools().map(|(_, pool)| &*pool.name).collect::<Vec<_>>(), ["own"]);
    // Of a container we see only what its root shows.
    host.write("/proc/10/status", "Name:\tphp-fpm\nNSpid:\t10\t1\n");
    let found = host.discover();
    assert_eq!((found.pools().count(), found.installations[0].root.ends_with("proc/10/root")), (0, true));
    host.write("/proc/10/root/srv/fpm.conf", "[inside]\nlisten=/x\n");
    assert_eq!(host.discover().pools().map(|(_, pool)| pool.name.to_string()).collect::<Vec<_>>(), ["inside"]);
}

#[test]
fn a_file_of_others_is_a_matter_of_permission() {
    let host = Host::new(&[(CONF, "include=/b/*.conf\ninclude=/c/*.conf\n"), ("/b/a.conf", "[a]\n")]);
    let closed = |name: &str| {
        let path = files::outside(host.0.path(), Path::new(name));
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    };
    closed("/b/a.conf");
    fs::create_dir(host.0.path().join("c")).unwrap();
    closed("/c");
    fs::set_permissions(host.0.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let kinds = std::thread::scope(|scope| {
        let look = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            }
            host.discover().problems.into_iter().map(|problem| (problem.kind, problem.line)).collect::<Vec<_>>()
        });
        look.join().unwrap()
    });
    fs::set_permissions(host.0.path().join("c"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(kinds[..2], [(ProblemKind::Permission, None), (ProblemKind::Permission, Some(2))]);
}

#[test]
fn the_operators_files_are_the_only_ones_if_there_are_any() {
    let host = Host::new(&[(CONF, "[www]\n"), ("/a.conf", "[a]\n")]);
    run_master(&host, 10, CONF);
    let sources = Sources {
        procfs: host.0.path().join("proc"),
        rootfs: host.0.path().into(),
        conf: vec!["/a.conf".into(), "/missing.conf".into()],
    };
    let found = discover(&sources, &host.processes());
    assert_eq!(found.pools().map(|(_, pool)| &*pool.name).collect::<Vec<_>>(), ["a"]);
    assert_eq!(found.problems.len(), 1);
}

#[test]
fn pools_of_the_same_name_have_different_labels() {
    let host = Host::new(&[
        ("/etc/php/8.1/fpm/php-fpm.conf", "[www]\n[a]\n"),
        ("/etc/php/8.2/fpm/php-fpm.conf", "[www]\n[b]\n"),
    ]);
    let found = host.discover();
    assert_eq!(labels(&found).iter().map(|label| &**label).collect::<Vec<_>>(), ["8.1/www", "a", "8.2/www", "b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_file_is_read(content in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let host = Host::new(&[]);
        host.write(CONF, content);
        prop_assert_eq!(host.discover().installations.len(), 1);
    }

    #[test]
    fn files_of_directives_are_read(lines in prop::collection::vec(r#"(\[www\]|listen|pm|pm.max_children|php_value\[a\]|include|env\[X\])[ =]{0,2}("?/?[a-z0-9$*{};']{0,6}"?)"#, 0..40)) {
        let host = Host::new(&[]);
        host.write(CONF, lines.join("\n"));
        host.discover();
    }
}
