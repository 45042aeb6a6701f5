//! Beside the real parser: which files it reads, in which order, where it sees the first mistake, and what it makes of
//! quotes and escapes.

use std::path::{Path, PathBuf};

use nginx_502_exporter::discovery::nginx::{Disk, Options, discover};
use nginx_502_exporter::observation::nginx::{Destination, Origin};

use crate::common::{Lab, Nginx, NginxConfig};
use crate::{discover_in, files_of_dump, nginx};

/// A configuration with every part that is cut and changed below.
const WHOLE: &str = r#"events { worker_connections 64; }
http {
    access_log off;
    # a comment; with { braces }
    upstream app {
        server 127.0.0.1:1 weight=2;
        server 127.0.0.1:2;
    }
    map $host $to { default "a b"; c 'd\'e'; }
    server {
        listen unix:@ROOT@/s;
        server_name "quoted name" a.test;
        location ~ "^/\d{3}$" { proxy_pass http://app; }
        location / {
            if ($arg_x = "y") { return 404; }
            proxy_pass http://127.0.0.1:3;
            proxy_read_timeout 5s;
            include snippet.conf;
        }
    }
}
"#;

#[test]
fn the_files_and_their_order_are_nginxs() {
    let lab = Lab::new();
    lab.write("etc/nginx.conf", "events {}\nhttp {\n access_log off;\n include a/*;\n include b.conf; include b.conf;\n include ../*/a/[!1]*;\n include c*/*/x;\n}\n");
    for (name, text) in [
        ("a/10", "include b/*;"),
        ("a/9", ""),
        ("a/B", "server { listen unix:s; include b/y; }"),
        ("a/a", ""),
        ("a/.x", "no"),
        ("a/é", ""),
        ("b/y", "keepalive_timeout 5;"),
        ("b.conf", ""),
        ("c2/d/x", ""),
        ("c1/d/x", ""),
        ("c1/d/y", "no"),
    ] {
        lab.write(&format!("etc/{name}"), text);
    }
    // `include b/*` in `http {}` and in `server {}` of the same file: allowed in both.
    let (accepted, dump) = nginx(&lab.path("etc"), "-T");
    assert!(accepted, "{dump}");
    let discovery = discover_in(&lab.path("etc"));
    assert_eq!(discovery.problems, []);
    // nginx dumps a file once, by its name.
    assert_eq!(discovery.files, files_of_dump(&dump));
    assert!(discovery.files.len() > 10);
}

#[test]
fn the_stock_configuration_of_the_distribution_is_understood() {
    let disk = Disk::new(Path::new("/")).expect("no root to open");
    let discovery = discover(&Options::default(), &disk);
    assert_eq!(discovery.problems, []);
    let config = &discovery.config;
    let path = Path::new("/etc/nginx/nginx.conf");
    assert_eq!(discovery.files.first().map(PathBuf::as_path), Some(path));
    assert_eq!(config.main.user.as_ref().expect("it names one").value, "www-data".into());
    assert_eq!(config.main.worker_connections.value, 768);
    assert!(config.servers.iter().any(|server| server.names == ["_".into()] && server.listen.len() == 2));
    let log = |path: &str| Destination::File(path.into());
    assert!(config.error_logs.iter().any(|found| found.destination == log("/var/log/nginx/error.log")));
    assert!(config.access_logs.iter().any(|found| found.destination == log("/var/log/nginx/access.log")));
    let built_in = config.stored_paths.iter().filter(|stored| stored.origin == Origin::Default);
    let built_in: Vec<_> = built_in.map(|stored| stored.path.to_string_lossy()).collect();
    assert!(built_in.contains(&"/var/lib/nginx/body".into()), "{built_in:?}");
    let dump = std::process::Command::new(crate::common::process::program("nginx", "nginx")).arg("-T").output();
    let dump = dump.expect("nginx runs");
    if dump.status.success() {
        assert_eq!(discovery.files, files_of_dump(&String::from_utf8_lossy(&dump.stdout)));
    }
}

#[test]
fn a_configuration_cut_or_changed_anywhere_is_refused_as_by_nginx() {
    let lab = Lab::new();
    lab.write("snippet.conf", "proxy_send_timeout 3s;");
    let whole = WHOLE.replace("@ROOT@", &lab.root().to_string_lossy());
    let mut changed: Vec<Vec<u8>> = Vec::new();
    for at in (0..whole.len()).step_by(17) {
        changed.push(whole.as_bytes()[..at].to_vec());
    }
    for (at, byte) in whole.bytes().enumerate() {
        if matches!(byte, b';' | b'{' | b'}' | b'"' | b'\'' | b'\\') {
            let (before, after) = (&whole.as_bytes()[..at], &whole.as_bytes()[at + 1..]);
            changed.push([before, after].concat());
            changed.push([before, &[byte, byte], after].concat());
        }
    }
    let (mut accepted_count, mut same_line) = (0, 0);
    let mut wrong = Vec::new();
    for text in &changed {
        lab.write("nginx.conf", text);
        let (accepted, said) = nginx(lab.root(), "-t");
        let problems = discover_in(lab.root()).problems;
        let shown = String::from_utf8_lossy(text);
        if accepted {
            accepted_count += 1;
            if !problems.is_empty() {
                wrong.push(format!("nginx accepts\n{shown}\n{problems:?}"));
            }
            continue;
        }
        let syntax = ["unexpected \"", "unexpected end of file", "too long parameter"];
        let Some((_, words)) =
            said.split_once("[emerg] ").filter(|(_, words)| syntax.iter().any(|start| words.starts_with(start)))
        else {
            // A mistake of meaning: only those about upstreams are ours to see.
            continue;
        };
        // `unexpected "}" in /path/nginx.conf:12`
        let (what, line) = words.lines().next().and_then(|line| line.rsplit_once(':')).expect("a line number");
        let what = what.split(" in /").next().expect("words");
        let found = problems.iter().any(|problem| {
            problem.place.line.to_string() == line && problem.what.starts_with(what.trim_end_matches(", expecting \";\" or \"}\""))
                // nginx names the end of the file; where the quote opened tells more.
                || what.starts_with("unexpected end of file") && problem.what.starts_with("unexpected end of file")
        });
        same_line += usize::from(found);
        if !found {
            wrong.push(format!("nginx says {what} in line {line}, we {problems:?}\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), changed.len(), wrong.join("\n"));
    assert!(accepted_count > 5 && same_line > 60, "{accepted_count} accepted, {same_line} refused alike");
}

#[test]
fn words_are_what_nginx_makes_of_them() {
    const SPELLINGS: &[&str] = &[
        "plain",
        "a#b",
        "a'b",
        r#"a"b"#,
        r#""a b""#,
        r#""a\"b""#,
        r#"'a\'b'"#,
        r"a\ b",
        r"a\;b",
        r"a\\b",
        r"\t\n\r|",
        r"\.\d\x",
        r#""a;{}#b""#,
        r#""tab	here""#,
        "'two\n lines'",
        "a}b",
        "\u{fc}\u{20ac}",
    ];
    let lab = Lab::new();
    let formats: String = SPELLINGS
        .iter()
        .enumerate()
        .map(|(n, spelling)| format!("log_format f{n} escape=none {spelling} '|';\n"))
        .collect();
    let logs: String =
        (0..SPELLINGS.len()).map(|n| format!("access_log {}/f{n}.txt f{n};\n", lab.root().display())).collect();
    let config =
        NginxConfig { http: formats, server: format!("location / {{ {logs} return 204; }}"), ..NginxConfig::default() };
    let nginx = Nginx::start(&lab, &config);
    assert_eq!(nginx.get("/").status, 204);
    let options = Options { conf: Some(nginx.config_file()), ..Options::default() };
    let discovery = discover(&options, &Disk::new(Path::new("/")).expect("no root to open"));
    assert_eq!(discovery.problems, []);
    for (n, spelling) in SPELLINGS.iter().enumerate() {
        let file = lab.path(&format!("f{n}.txt"));
        lab.wait_for("the log", std::time::Duration::from_secs(10), || {
            std::fs::read(&file).is_ok_and(|log| !log.is_empty())
        });
        let logged = String::from_utf8(std::fs::read(&file).expect("a log")).expect("text");
        let format = discovery.config.log_formats.iter().find(|format| *format.name == *format!("f{n}"));
        assert_eq!(format!("{}\n", format.expect("the format").text), logged, "{spelling}");
    }
}
