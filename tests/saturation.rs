//! The signature: a pool of PHP-FPM driven past saturation stays visible in every scrape, while its status page is silent.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use common::http::{Address, Connection, Request};
use common::lab::free_port;
use common::{Exporter, Lab, Nginx, NginxConfig, PhpFpm};

const DEADLINE: Duration = Duration::from_secs(20);
/// Scrapes under saturation, each of which must tell the truth.
const SCRAPES: usize = 25;

/// Requests that wait behind the two that run.
const WAITING: usize = 3;

struct Scene {
    lab: Lab,
    nginx: Nginx,
    exporter: Exporter,
    _fpm: PhpFpm,
    address: Address,
}

impl Scene {
    fn start(lab: Lab, address: Address) -> Self {
        let released = lab.path("released");
        let directives = "listen.backlog = 4\npm.max_children = 2\npm.status_path = /status\n";
        let fpm = PhpFpm::start_on(&lab, address.clone(), directives);
        let code = format!(
            "<?php while (!file_exists('{}')) {{ usleep(5000); clearstatcache(); }}\necho 'done';",
            released.display()
        );
        fpm.script("wait.php", &code);
        let server = format!("location / {{ {} }}", fpm.directives("wait.php"));
        let nginx = Nginx::start(&lab, &NginxConfig::server(server));
        let exporter = Exporter::looking_at(&lab, &nginx.config_file(), &lab.path("php-fpm/fpm.conf"));
        Self { lab, nginx, exporter, _fpm: fpm, address }
    }

    fn pool(&self, family: &str) -> Option<f64> {
        self.exporter.value(&format!("{family}{{pool=\"www\"}}"))
    }

    fn wait_for_pool(&self, family: &str, value: f64) {
        let what = format!("{family} to be {value}");
        self.lab.wait_for(&what, DEADLINE, || self.pool(family) == Some(value));
    }

    fn visit(&self) -> Connection {
        let mut connection = Connection::open(&self.nginx.address()).expect("nginx listens");
        connection.write_all(&Request::get("/").head()).expect("sent");
        connection
    }

    /// What `ss` shows as waiting on the pool's listening socket.
    fn ss_waiting(&self) -> Option<f64> {
        let (kind, text) = match &self.address {
            Address::Unix(path) => ("-xlH", path.display().to_string()),
            Address::Tcp(address) => ("-tlnH", address.to_string()),
        };
        let output = Command::new("ss").arg(kind).output().expect("iproute2 is installed");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let row = table.lines().find(|row| row.split_whitespace().any(|word| word == text))?;
        let numbers: Vec<f64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.first().copied()
    }

    fn stays_visible_while_the_status_page_is_silent(&self) {
        self.wait_for_pool("phpfpm_up", 1.0);
        self.wait_for_pool("phpfpm_max_children", 2.0);
        self.wait_for_pool("phpfpm_saturation_ratio", 0.0);

        let visitors: Vec<Connection> = (0..2 + WAITING).map(|_| self.visit()).collect();
        self.lab
            .wait_for("the visitors to wait", DEADLINE, || self.pool("phpfpm_listen_queue") >= Some(WAITING as f64));
        let silent = || self.pool("phpfpm_up") != Some(1.0);
        self.lab.wait_for("the status page to be out of reach", DEADLINE, silent);
        // A status request given up stays in the queue until a worker takes it: what `ss` shows is what is true.
        let waiting = self.ss_waiting();
        assert!(waiting >= Some(WAITING as f64), "{waiting:?}");
        self.lab.wait_for("the last look at the queue", DEADLINE, || self.pool("phpfpm_listen_queue") == waiting);
        for _ in 0..SCRAPES {
            assert_eq!(self.pool("phpfpm_busy_workers"), Some(2.0));
            assert_eq!(self.pool("phpfpm_saturation_ratio"), Some(1.0));
            assert_eq!(self.pool("phpfpm_listen_queue"), waiting);
        }
        assert_eq!(self.ss_waiting(), waiting);
        assert!(silent());
        // What reading the status page alone would have left of these numbers.
        assert_eq!(self.pool("phpfpm_active_processes"), None);

        fs::write(self.lab.path("released"), "").expect("our folder");
        drop(visitors);
        self.wait_for_pool("phpfpm_saturation_ratio", 0.0);
        self.wait_for_pool("phpfpm_listen_queue", 0.0);
        self.wait_for_pool("phpfpm_up", 1.0);
    }
}

#[test]
fn a_saturated_pool_on_a_unix_socket_stays_visible() {
    let lab = Lab::new();
    let address = Address::Unix(lab.path("www.sock"));
    Scene::start(lab, address).stays_visible_while_the_status_page_is_silent();
}

#[test]
fn a_saturated_pool_on_a_tcp_port_stays_visible() {
    let lab = Lab::new();
    let address = Address::loopback(free_port());
    Scene::start(lab, address).stays_visible_while_the_status_page_is_silent();
}
