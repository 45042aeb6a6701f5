//! A host's root mounted somewhere, laid out as distributions and images lay it out.

use std::path::Path;

use nginx_502_exporter::discovery::nginx::{Discovery, Disk, Options, discover};
use nginx_502_exporter::observation::nginx::Destination;

use crate::common::Lab;

/// The roots of four hosts below one folder.
fn root(lab: &Lab, name: &str, files: &[(&str, &str)]) -> Discovery {
    for (path, text) in files {
        lab.write(&format!("{name}{path}"), text);
    }
    discover(&Options::default(), &Disk::new(&lab.path(name)).expect("a folder"))
}

fn logs(discovery: &Discovery) -> (Vec<&Destination>, Vec<&Destination>) {
    let config = &discovery.config;
    (
        config.error_logs.iter().map(|log| &log.destination).collect(),
        config.access_logs.iter().map(|log| &log.destination).collect(),
    )
}

fn file(path: &str) -> Destination {
    Destination::File(path.into())
}

#[test]
fn paths_and_links_are_the_hosts_own() {
    let lab = Lab::new();
    lab.write("debian/etc/nginx/sites-available/app", "server { location / { proxy_pass http://127.0.0.1:1; } }");
    lab.subfolder("debian/etc/nginx/sites-enabled");
    // As `ln -s` on the host made it: it must not lead to the container's own files.
    std::os::unix::fs::symlink("/etc/nginx/sites-available/app", lab.path("debian/etc/nginx/sites-enabled/app"))
        .expect("a link");
    let discovery = root(
        &lab,
        "debian",
        &[("/etc/nginx/nginx.conf", "http { include /etc/nginx/sites-enabled/*; }"), ("/var/lib/nginx/body/.keep", "")],
    );
    assert_eq!(discovery.problems, []);
    assert_eq!(discovery.files, [Path::new("/etc/nginx/nginx.conf"), Path::new("/etc/nginx/sites-enabled/app")]);
    assert_eq!(discovery.config.passes[0].place.to_string(), "/etc/nginx/sites-enabled/app:1");
    assert_eq!(logs(&discovery), (vec![&Destination::Stderr], vec![&file("/var/log/nginx/access.log")]));
}

#[test]
fn built_in_paths_are_those_of_the_layout() {
    let lab = Lab::new();
    let conf = "http { server { location / { proxy_pass http://127.0.0.1:1; } } }";
    let red_hat = root(&lab, "rhel", &[("/etc/nginx/nginx.conf", conf), ("/var/lib/nginx/tmp/.keep", "")]);
    let image = root(&lab, "image", &[("/etc/nginx/nginx.conf", conf)]);
    let source = root(&lab, "source", &[("/usr/local/nginx/conf/nginx.conf", conf)]);
    for (discovery, error, access, body) in [
        (&red_hat, "/var/log/nginx/error.log", "/var/log/nginx/access.log", "/var/lib/nginx/tmp/client_body"),
        (&image, "/var/log/nginx/error.log", "/var/log/nginx/access.log", "/var/cache/nginx/client_temp"),
        (
            &source,
            "/usr/local/nginx/logs/error.log",
            "/usr/local/nginx/logs/access.log",
            "/usr/local/nginx/client_body_temp",
        ),
    ] {
        assert_eq!(discovery.problems, []);
        assert_eq!(discovery.config.passes.len(), 1);
        assert_eq!(logs(discovery), (vec![&file(error)], vec![&file(access)]));
        assert!(discovery.config.stored_paths.iter().any(|stored| stored.path == Path::new(body)), "{body}");
    }
}

#[test]
fn the_version_in_the_binary_decides_on_defaults() {
    let lab = Lab::new();
    let conf = "http { upstream a { server 127.0.0.1:1; } server { location / { proxy_pass http://a; } } }";
    for (version, http, keepalive) in [("1.29.6", "1.0", None), ("1.29.7", "1.1", Some(32))] {
        let binary = format!(
            "\0nginx version: nginx/{version}\n\0configure arguments: --prefix=/etc/nginx --conf-path=/etc/nginx/nginx.conf\n\0"
        );
        let discovery = root(&lab, version, &[("/usr/sbin/nginx", &binary), ("/etc/nginx/nginx.conf", conf)]);
        assert_eq!(discovery.problems, []);
        let found = discovery.config.passes[0].http_version.as_ref().map(|setting| &*setting.value);
        assert_eq!(found, Some(http), "{version}");
        let target = discovery.config.targets.iter().next().expect("one");
        assert_eq!(discovery.config.passes_to(target).count(), 1);
        assert_eq!(target.keepalive.as_ref().map(|setting| setting.value), keepalive, "{version}");
    }
}
