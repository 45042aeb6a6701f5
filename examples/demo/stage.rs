//! The programs of the demo, and the things in them that can be broken.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::faults::Step::{Close, ReadRequest, Write};
use crate::common::faults::dns::{DnsServer, Reply};
use crate::common::faults::{HTTP_OK, Peer, Wire};
use crate::common::http::Address;
use crate::common::lab::free_port;
use crate::common::tls::Certificate;
use crate::common::{Exporter, Lab, Nginx, NginxConfig, PhpFpm, Prometheus};

/// What the PHP scripts do.
const SCRIPTS: [(&str, &str); 5] = [
    ("fine", "echo 'fine';"),
    ("busy", "usleep(700000);"),
    ("slow", "usleep(1500000);"),
    ("crash", "posix_kill(posix_getpid(), 11);"),
    ("header", "header('X-Session: ' . str_repeat('x', 6000));"),
];

/// Everything that runs. Fields are dropped in this order.
#[derive(Debug)]
pub struct Stage {
    /// Scrapes the exporter.
    pub prometheus: Prometheus,
    /// Follows nginx's error log.
    pub exporter: Exporter,
    nginx: Nginx,
    php_fpm: PhpFpm,
    application: Option<Peer>,
    _dns: DnsServer,
    _lab: Lab,
}

impl Stage {
    /// Starts all of it.
    ///
    /// # Panics
    /// When a program is missing or does not start.
    pub fn start() -> Self {
        let lab = Lab::new();
        let application = Peer::tcp(Wire::Http, [ReadRequest, Write(HTTP_OK.to_vec()), Close]);
        let dns = DnsServer::start(Reply::Code(3));
        // One worker and a queue for two: the smallest pool that can be exhausted.
        let php_fpm = PhpFpm::start(&lab, "pm.max_children = 1\nlisten.backlog = 1");
        let nginx = Nginx::start(&lab, &configuration(&lab, &application, &php_fpm, &dns));
        let exporter = Exporter::following(&lab, &nginx.error_log());
        let prometheus = Prometheus::start(&lab, &[("nginx", exporter.address())]);
        Self { prometheus, exporter, nginx, php_fpm, application: Some(application), _dns: dns, _lab: lab }
    }

    /// Sends so many requests at once and gives the answers' statuses, sorted.
    pub fn ask(&self, uri: &str, requests: usize) -> Vec<u16> {
        let mut answers: Vec<u16> = std::thread::scope(|scope| {
            let askers: Vec<_> = (0..requests).map(|_| scope.spawn(|| self.nginx.get(uri).status)).collect();
            askers.into_iter().map(|asker| asker.join().expect("an answer")).collect()
        });
        answers.sort_unstable();
        answers
    }

    /// The application exits.
    pub fn stop_application(&mut self) {
        self.application = None;
    }

    /// PHP-FPM exits, and removes its socket.
    pub fn stop_php_fpm(&mut self) {
        self.php_fpm.process.stop();
    }

    /// Sets the mode of PHP-FPM's socket.
    pub fn set_socket_mode(&mut self, mode: u32) {
        if let Address::Unix(socket) = self.php_fpm.address() {
            fs::set_permissions(socket, fs::Permissions::from_mode(mode)).expect("our own socket");
        }
    }

    /// Where to look, for people.
    pub fn addresses(&self) -> String {
        format!(
            "  nginx       http://{}/  (error log: {})\n  exporter    http://{}/metrics\n  Prometheus  \
             http://{}/graph?g0.expr=sum%20by%20(class)%20(increase(nginx_upstream_failures_total%5B5m%5D))%20%3E%200",
            self.nginx.address(),
            self.nginx.error_log().display(),
            self.exporter.address(),
            self.prometheus.address(),
        )
    }
}

fn configuration(lab: &Lab, application: &Peer, php_fpm: &PhpFpm, dns: &DnsServer) -> NginxConfig {
    let (backend, other) = (Certificate::self_signed(lab, "backend.test"), Certificate::self_signed(lab, "other.test"));
    let tls = Address::loopback(free_port());
    let scripts: String = SCRIPTS
        .iter()
        .map(|(name, code)| {
            let script = format!("{name}.php");
            php_fpm.script(&script, &format!("<?php {code}\n"));
            format!("location = /php/{name} {{ {} fastcgi_buffer_size 4k; }}\n", php_fpm.directives(&script))
        })
        .collect();
    let scripts = scripts.replace("/php/slow {", "/php/slow { fastcgi_read_timeout 1s;");
    NginxConfig {
        level: "error".to_owned(),
        http: format!("server {{ listen {tls} ssl; {} return 200; }}", backend.directives()),
        server: format!(
            "location = / {{ return 200 \"/app /tls /dns /php/fine /php/busy /php/slow /php/crash /php/header\\n\"; }}
location = /app {{ proxy_pass http://{app}; }}
location = /tls {{ proxy_pass https://{tls}; proxy_ssl_verify on; proxy_ssl_trusted_certificate {trusted}; }}
location = /dns {{ resolver {dns} ipv6=off; set $name backend.test; proxy_pass http://$name; }}
{scripts}",
            app = application.address(),
            trusted = other.certificate.display(),
            dns = dns.address(),
        ),
        ..NginxConfig::default()
    }
}
