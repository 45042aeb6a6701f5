//! Every directive, pool setting and kernel parameter that the guide names exists: asked of the real programs.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use nginx_502_exporter::diagnosis::guide::{Guide, guide};
use nginx_502_exporter::observation::{
    Entry, Fields, Level, LocalClass, PhpKind, PhpKinds, Protocol, Source, UpstreamClass, Verdict,
};

/// Messages that lead the guide into its side branches.
const MESSAGES: &[&str] = &[
    "",
    "bind(192.0.2.1) failed",
    "socket() failed",
    "(18:self-signed certificate)",
    "(22:certificate chain too long)",
    "wrong version number",
    "limiting requests, dry run",
    "delaying request",
    "more data than specified",
    "no valid HTTP/1.0 header",
    "ignored",
    "goaway",
];

fn guides(protocol: Option<Protocol>) -> Vec<Guide> {
    let upstream = UpstreamClass::ALL.iter().copied().map(Verdict::Upstream);
    let local = LocalClass::ALL.iter().copied().map(Verdict::Local);
    let php = PhpKind::ALL.iter().copied().map(Verdict::Php);
    let verdicts = upstream.chain(local).chain(php).chain([Verdict::PeerDisabled, Verdict::Client, Verdict::Other]);
    let mut guides = Vec::new();
    // PHP's messages come over FastCGI and nothing else.
    let possible =
        |verdict: &Verdict| !matches!(verdict, Verdict::Php(_)) || matches!(protocol, None | Some(Protocol::FastCgi));
    for verdict in verdicts.filter(possible) {
        for message in MESSAGES {
            for errno in [None, Some(1), Some(13), Some(23)] {
                for peer in [None, Some("10.0.0.1:80"), Some("unix:/run/php/php8.2-fpm.sock"), Some("unix:/tmp/a.sock")]
                {
                    let entry = Entry {
                        source: Source::NginxError,
                        time: None,
                        level: Some(Level::Error),
                        verdict,
                        phase: None,
                        protocol,
                        errno,
                        php: PhpKinds::default(),
                        message: message.as_bytes(),
                        fields: Fields { upstream: peer.map(str::as_bytes), ..Fields::default() },
                    };
                    guides.push(guide(&entry, peer));
                }
            }
        }
    }
    guides
}

/// The words of a guide that look like a setting: lower case with an underscore.
fn settings(guides: &[Guide]) -> BTreeSet<String> {
    let texts = guides
        .iter()
        .flat_map(|guide| [&guide.meaning].into_iter().chain(&guide.caveat).chain(&guide.fix).chain(&guide.confirm));
    let word = |c: char| c.is_ascii_alphanumeric() || "_.$*".contains(c);
    texts
        .flat_map(|text| text.split(move |c| !word(c)))
        .map(|text| text.trim_end_matches('.'))
        .filter(|text| {
            text.contains('_') && !text.contains(['$', '*']) && !text.chars().any(|c| c.is_ascii_uppercase())
        })
        .filter(|text| !text.starts_with('_') && !text.ends_with('_'))
        .map(str::to_owned)
        .collect()
}

/// Words that look like a setting and belong to another program; each is checked by hand against its manual.
const OF_OTHER_PROGRAMS: &[&str] = &[
    "s_client",                  // openssl
    "httpd_can_network_connect", // SELinux boolean
    "http_port_t",               // SELinux type
];

/// Parameters of directives, and whole lines of the guide, some of which have them.
const PARAMETERS: &[&str] = &["max_fails", "fail_timeout", "max_conns", "keys_zone"];
const LINES: &[(&str, &str)] = &[
    ("upstream", "server 127.0.0.1:1 max_fails=0 fail_timeout=10s max_conns=5"),
    ("upstream", "server 127.0.0.1:1; keepalive 8; keepalive_timeout 5s"),
    ("http", "proxy_cache_path cache keys_zone=a:1m"),
    ("http", "resolver 127.0.0.53 valid=30s ipv6=off"),
    ("location", "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name"),
    ("location", "try_files $fastcgi_script_name =404"),
    ("location", "proxy_http_version 1.1; proxy_set_header Connection \"\""),
    ("location", "fastcgi_keep_conn on"),
];

/// PHP's and FPM's.
const OF_PHP: &[&str] = &["max_execution_time", "memory_limit", "display_errors", "php_admin_value"];
const OF_FPM: &[(&str, &str)] = &[
    ("pm.max_children", "5"),
    ("request_terminate_timeout", "5s"),
    ("request_slowlog_timeout", "5s"),
    ("rlimit_core", "unlimited"),
    ("security.limit_extensions", ".php"),
];

/// What nginx says to a configuration that holds `directive` in `context`.
fn nginx_says(directory: &Path, context: &str, directive: &str) -> String {
    let body = match context {
        "main" => format!("{directive};\nevents {{}}\n"),
        "events" => format!("events {{ {directive}; }}\n"),
        "http" => format!("events {{}}\nhttp {{ {directive}; }}\n"),
        "location" => format!("events {{}}\nhttp {{ server {{ location / {{ {directive}; }} }} }}\n"),
        "upstream" => format!("events {{}}\nhttp {{ upstream u {{ {directive}; }} }}\n"),
        "stream" => format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nevents {{}}\nstream {{ server {{ listen 127.0.0.1:1; \
             {directive}; }} }}\n"
        ),
        other => panic!("{other}"),
    };
    let file = directory.join("nginx.conf");
    std::fs::write(&file, body).unwrap();
    let output = Command::new(common::process::program("nginx", "nginx"))
        .args(["-t", "-e", "stderr", "-g", "pid nginx.pid;", "-p"])
        .arg(directory)
        .arg("-c")
        .arg(&file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn exists_in(directory: &Path, context: &str, name: &str) -> bool {
    let said = nginx_says(directory, context, name);
    !said.contains("unknown directive") && !said.contains("directive is not allowed here")
}

#[test]
fn every_directive_named_exists_where_the_protocol_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere: BTreeSet<&str> = OF_OTHER_PROGRAMS.iter().chain(OF_PHP).chain(PARAMETERS).copied().collect();
    let of_fpm: BTreeSet<&str> = OF_FPM.iter().map(|(name, _)| *name).collect();
    let prefixes = ["proxy_", "fastcgi_", "uwsgi_", "scgi_", "grpc_", "memcached_"];
    let mut checked = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for protocol in Protocol::ALL.iter().copied().map(Some).chain([None]) {
        let contexts: &[&str] = match protocol {
            Some(Protocol::Stream) => &["stream"],
            _ => &["location"],
        };
        for name in settings(&guides(protocol)) {
            let name = name.as_str();
            if elsewhere.contains(name) || of_fpm.contains(name) || name.starts_with("net.") || name.starts_with("vm.")
            {
                continue;
            }
            let of_protocol = prefixes.iter().any(|prefix| name.starts_with(prefix));
            let found = if of_protocol {
                contexts.iter().any(|context| exists_in(directory.path(), context, name))
            } else {
                checked.contains(name)
                    || ["location", "http", "main", "events", "upstream"]
                        .into_iter()
                        .any(|context| exists_in(directory.path(), context, name))
            };
            if !found {
                unknown.insert(format!("{name} ({protocol:?})"));
            }
            checked.insert(name.to_owned());
        }
    }
    assert!(unknown.is_empty(), "nginx does not know {unknown:#?}");
    assert!(checked.len() > 40, "{checked:?}");
}

#[test]
fn every_line_the_guide_suggests_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    for (context, line) in LINES {
        let said = nginx_says(directory.path(), context, line);
        assert!(said.contains("test is successful"), "{line}\n{said}");
    }
}

#[test]
fn the_larger_header_buffer_is_a_configuration_nginx_accepts() {
    let directory = tempfile::tempdir().unwrap();
    for &protocol in Protocol::ALL.iter().filter(|&&protocol| protocol != Protocol::Stream) {
        let entry = Entry {
            source: Source::NginxError,
            time: None,
            level: None,
            verdict: Verdict::Upstream(UpstreamClass::HeaderTooBig),
            phase: None,
            protocol: Some(protocol),
            errno: None,
            php: PhpKinds::default(),
            message: b"upstream sent too big header",
            fields: Fields::default(),
        };
        let guide = guide(&entry, None);
        let lines = guide.fix.iter().find_map(|fix| fix.strip_prefix("In that location: ")).unwrap();
        let said = nginx_says(directory.path(), "location", lines.trim_end_matches(';'));
        assert!(said.contains("test is successful"), "{lines}\n{said}");
    }
}

#[test]
fn every_pool_setting_named_is_one_of_fpm() {
    let directory = tempfile::tempdir().unwrap();
    let settings: String = OF_FPM.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    let log = directory.path().join("fpm.log");
    let configuration = format!(
        "[global]\nerror_log = {}\n[www]\nuser = nobody\ngroup = nogroup\nlisten = {}\nlisten.owner = nobody\n\
         listen.group = nogroup\nlisten.mode = 0660\nlisten.backlog = 511\nslowlog = {}\npm = static\n{settings}\
         php_admin_value[memory_limit] = 64M\n",
        log.display(),
        directory.path().join("www.sock").display(),
        directory.path().join("slow.log").display(),
    );
    let file = directory.path().join("fpm.conf");
    std::fs::write(&file, configuration).unwrap();
    let output = Command::new(common::php_fpm::executable()).arg("-t").arg("-y").arg(&file).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &std::fs::read_to_string(&log).unwrap_or_default();
    assert!(output.status.success() && said.contains("test is successful"), "{said}");
}

#[test]
fn every_kernel_parameter_named_exists() {
    for protocol in Protocol::ALL.iter().copied().map(Some) {
        for name in settings(&guides(protocol)) {
            if ["net.", "vm."].iter().any(|prefix| name.starts_with(prefix)) {
                let path = Path::new("/proc/sys").join(name.replace('.', "/"));
                assert!(path.exists(), "{name}");
            }
        }
    }
}
