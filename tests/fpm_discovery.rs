//! What discovery makes of FPM's configuration, against what the real FPM makes of it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Lab, PhpFpm, php_fpm};
use nginx_502_exporter::discovery::fpm::{Discovery, Pool, ProcessManager, Processes, Sources, Stated, discover};

/// Sections and their keys, as `php-fpm -tt` shows what is in force.
fn shown_by_fpm(conf: &Path) -> Result<BTreeMap<String, BTreeMap<String, String>>, String> {
    let output = Command::new(php_fpm::executable()).arg("-tt").arg("-y").arg(conf).output().expect("php-fpm runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(text);
    }
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().filter_map(|line| line.split_once("NOTICE: ")).map(|(_, line)| line) {
        if let Some((key, value)) = line.strip_prefix('\t').and_then(|line| line.split_once(" = ")) {
            sections.entry(current.clone()).or_default().insert(key.to_owned(), value.to_owned());
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            current = name.to_owned();
        }
    }
    Ok(sections)
}

/// The same of ours, for the keys we have.
fn shown_by_us(pool: &Pool) -> BTreeMap<&'static str, String> {
    fn text<T: ToString>(value: Option<&Stated<T>>) -> String {
        value.map_or_else(|| "undefined".to_owned(), |stated| stated.value.to_string())
    }
    fn path(value: Option<&Stated<std::path::PathBuf>>) -> String {
        value.map_or_else(|| "undefined".to_owned(), |stated| stated.value.display().to_string())
    }
    fn number(value: Option<&Stated<u32>>) -> String {
        value.map_or_else(|| "0".to_owned(), |stated| stated.value.to_string())
    }
    let seconds = |value: &Stated<std::time::Duration>| format!("{}s", value.value.as_secs());
    let switch = |value: &Stated<bool>| if value.value { "yes" } else { "no" }.to_owned();
    let pm = pool.pm.as_ref().map_or("", |pm| match pm.value {
        ProcessManager::Static => "static",
        ProcessManager::Dynamic => "dynamic",
        ProcessManager::OnDemand => "ondemand",
    });
    let ping = pool.ping_path.as_ref().map(|_| &pool.ping_response);
    BTreeMap::from([
        ("user", text(pool.user.as_ref())),
        ("group", text(pool.group.as_ref())),
        ("listen.backlog", pool.listen_backlog.value.to_string()),
        ("listen.owner", text(pool.listen_owner.as_ref())),
        ("listen.group", text(pool.listen_group.as_ref())),
        ("listen.mode", text(pool.listen_mode.as_ref())),
        ("listen.acl_users", text(pool.listen_acl_users.as_ref())),
        ("listen.acl_groups", text(pool.listen_acl_groups.as_ref())),
        ("listen.allowed_clients", text(pool.listen_allowed_clients.as_ref())),
        ("pm", pm.to_owned()),
        ("pm.max_children", number(pool.max_children.as_ref())),
        ("pm.start_servers", number(pool.start_servers.as_ref())),
        ("pm.min_spare_servers", number(pool.min_spare_servers.as_ref())),
        ("pm.max_spare_servers", number(pool.max_spare_servers.as_ref())),
        ("pm.process_idle_timeout", pool.process_idle_timeout.value.as_secs().to_string()),
        ("pm.max_requests", pool.max_requests.value.to_string()),
        ("pm.status_path", text(pool.status_path.as_ref())),
        ("ping.path", text(pool.ping_path.as_ref())),
        ("ping.response", text(ping)),
        ("access.log", path(pool.access_log.as_ref())),
        ("slowlog", path(pool.slowlog.as_ref())),
        ("request_slowlog_timeout", seconds(&pool.request_slowlog_timeout)),
        ("request_terminate_timeout", seconds(&pool.request_terminate_timeout)),
        ("chroot", path(pool.chroot.as_ref())),
        ("catch_workers_output", switch(&pool.catch_workers_output)),
        ("decorate_workers_output", switch(&pool.decorate_workers_output)),
    ])
}

fn look(conf: &Path) -> Discovery {
    // Not the host's procfs: a master of another test must not matter.
    let sources = Sources { procfs: "/nowhere".into(), rootfs: "/".into(), conf: vec![conf.into()] };
    discover(&sources, &Processes::default())
}

/// Compares every pool; returns how many there were.
fn agree(conf: &Path) -> usize {
    let found = look(conf);
    let mut shown = shown_by_fpm(conf).unwrap_or_else(|refusal| panic!("{}: {refusal}", conf.display()));
    let global = shown.remove("global").unwrap();
    assert_eq!(found.problems, [], "{}", conf.display());
    assert_eq!(found.installations[0].error_log.value.display().to_string(), global["error_log"]);
    assert_eq!(found.installations[0].pools.len(), shown.len(), "{}", conf.display());
    for pool in &found.installations[0].pools {
        let theirs = &shown[&*pool.name];
        for (key, ours) in shown_by_us(pool) {
            // FPM puts a slash more between a prefix and a path.
            assert_eq!(ours, theirs[key].replace("//", "/"), "[{}] {key} of {}", pool.name, conf.display());
        }
        let listen = theirs["listen"].replace("[::]", "127.0.0.1");
        let peer = pool.peer().unwrap();
        assert!([format!("unix:{listen}"), format!("127.0.0.1:{listen}"), listen].contains(&peer), "{peer}");
    }
    shown.len()
}

#[test]
fn the_installed_configuration_is_read_as_fpm_reads_it() {
    let lab = Lab::new();
    let conf = php_fpm::installed_conf();
    // FPM opens the log it names, also when it only tests; it is to leave the host's alone.
    let text = std::fs::read_to_string(&conf).expect("the main file");
    let log = format!("error_log = {}", lab.path("fpm.log").display());
    let lines = text.lines().map(|line| if line.starts_with("error_log") { &log } else { line });
    agree(&lab.write("php-fpm.conf", lines.collect::<Vec<_>>().join("\n")));
    let found = look(&conf);
    assert_eq!(found.installations[0].version.map(|version| version.major), Some(8));
}

#[test]
fn tricky_configurations_are_read_as_fpm_reads_them() {
    let lab = Lab::new();
    let log = lab.path("fpm.log").display().to_string();
    let root = lab.root().display().to_string();
    let start = format!("error_log = {log}\n");
    let base = "user = www-data\ngroup = \"www-data\"\npm = static\npm.max_children = 3\n";
    lab.write("d/a.conf", format!("[a]\nlisten = {root}/a.sock\n{base}"));
    lab.write("d/b.conf", format!("[b]\nlisten = '{root}/b.sock' ; comment\n{base}"));
    lab.subfolder("d/folder.conf");
    lab.subfolder("jail");
    let pools = [
        format!("[www]\nlisten = 9000\n{base}"),
        format!("[www]\nlisten = [::]:9000\n{base}listen.allowed_clients = 127.0.0.1,10.0.0.1\n"),
        format!(
            "[www]\nlisten = run/fpm.sock\n{base}listen.backlog = 17\nlisten.mode=0660\nlisten.acl_users = nginx\n"
        ),
        format!("[www]\r\nlisten = 127.0.0.1:9000\r\n{}\r\n", base.replace('\n', "\r\n")),
        format!("\u{feff}[global]\n[www]\nlisten = /x\n{base}"),
        format!("[www]listen=/x\n{base}[WWW]\npm.max_children=8\nPM.Max_Requests = 500\n"),
        format!("[www]\nlisten = /$pool-x\n{base}ping.path = /ping\nping.response = \"hi; $pool\" ; no\n"),
        format!("[www]\nlisten = /x\n{base}pm = dynamic\npm.min_spare_servers = 1\npm.max_spare_servers = 3\n"),
        format!("[www]\nlisten = /x\n{base}pm = ondemand\npm.process_idle_timeout = 2m\nlisten.backlog = 511\n"),
        format!("[www]\nlisten = /x\n{base}request_terminate_timeout = 1h\ncatch_workers_output = Yes\n"),
        format!("[www]\nlisten = /x\n{base}slowlog = {root}/slow.log\nrequest_slowlog_timeout = 5\n"),
        format!(
            "[www]\nlisten = /x\n{base}prefix = {root}\nchroot = $prefix/jail\naccess.log = $pool.access\ndecorate_workers_output = off\n"
        ),
        format!("[www]\nlisten = /x\n{base}env[A] = b\nphp_flag[x] = on\nphp_admin_value[memory_limit] = 64M\n"),
        format!("[www]\nlisten = /x\n{base}pm.status_path = /st\nphp_value[\"a b\"] = 'x;y'\n"),
        format!("[w w]\nlisten = /x\n{base}\n; [no]\n['q']\nlisten = /q\n{base}"),
        format!("include = {root}/d/*.conf\nrequest_terminate_timeout = 9\n"),
        format!("[www]\nlisten = /x\ninclude={root}/d/a.conf\n[www]\n{base}"),
    ];
    let mut seen = 0;
    for (number, pool) in pools.iter().enumerate() {
        let bom = if pool.starts_with('\u{feff}') { pool.clone() } else { format!("[global]\n{start}{pool}") };
        let bom = bom.replacen("[global]\n[www]", &format!("[global]\n{start}[www]"), 1);
        seen += agree(&lab.write(&format!("{number}.conf"), bom));
    }
    assert_eq!(seen, 20);
}

#[test]
fn every_line_that_fpm_refuses_is_reported_by_us() {
    let lab = Lab::new();
    let base = format!(
        "[global]\nerror_log = {}\n[www]\nlisten = /x\nuser = www-data\npm = static\npm.max_children = 3\n",
        lab.path("fpm.log").display()
    );
    for line in [
        "nosuch.key = 1",
        "pid = /x",
        "# comment",
        "listen.backlog = many",
        "pm.max_children = 3x",
        "pm = sometimes",
        "request_terminate_timeout = 10min",
        "catch_workers_output = maybe",
        "php_value[] = 1",
        "php_valu[x] = 1",
        "php_value[x = 1",
        "ping.response = a=b",
        "ping.response = \"open",
        "bare",
        "= 1",
        " [www2]",
        "[www2",
        "Include = /x",
        "ping.response = ${OPEN",
    ] {
        let conf = lab.write("c.conf", format!("{base}{line}\n"));
        let refusal = shown_by_fpm(&conf).expect_err(line);
        let found = look(&conf);
        assert_eq!(found.problems.len(), 1, "{line}: {:?}\n{refusal}", found.problems);
        assert_eq!(found.problems[0].line, Some(8), "{line}: {:?}", found.problems);
        assert_eq!(found.pools().count(), 1, "{line}");
    }
}

#[test]
fn a_running_fpm_is_found_by_its_processes() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 2\npm.status_path = /status");
    let conf = lab.path("php-fpm/fpm.conf");
    // A worker calls itself one a moment after it was forked.
    let installation = lab.wait_for_some("both workers", Duration::from_secs(10), || {
        let sources = Sources { procfs: "/proc".into(), rootfs: "/".into(), conf: Vec::new() };
        let found = discover(&sources, &Processes::read(Path::new("/proc")));
        let mut installations = found.installations.into_iter();
        let installation = installations.find(|installation| *installation.conf == conf)?;
        let workers = installation.master.as_ref()?.workers.get("www")?.len();
        (workers == 2).then_some(installation)
    });
    let master = installation.master.as_ref().unwrap();
    assert_eq!(master.pid, fpm.process.pid().as_raw_nonzero().get().unsigned_abs());
    let age = master.started.unwrap().elapsed().unwrap_or_default();
    assert!(age.as_secs() < 600, "{age:?}");
    assert!(installation.version.is_some(), "of the program's name");
    assert_eq!(installation.pools[0].max_children.as_ref().unwrap().at.as_ref().unwrap().file.as_ref(), conf);
}
