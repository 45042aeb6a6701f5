//! The real nginx under load while its log is rotated.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::scene::Scene;

/// nginx with an upstream that refuses every connection: one entry per request.
struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    fn start(scene: &mut Scene) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let dir = scene.dir.path().display().to_string();
        let configuration = format!(
            "daemon off; user root; worker_processes 2; pid {dir}/pid; error_log {dir}/error.log error;
            events {{}}
            http {{
                access_log off; keepalive_requests 10000000;
                client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
                uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
                server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:1; }} }}
            }}"
        );
        fs::write(scene.path("nginx.conf"), configuration).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(scene.path("nginx.conf")).arg("-e").arg(scene.path("error.log"));
        let child = command.spawn().expect("nginx is installed");
        scene.wait("nginx", |_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { child, port }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers.
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
    }
}

/// Clients that send one request after another.
struct Load {
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let (answered, stop) = <(Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let client = |_| {
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut connection = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
                connection.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    request(&mut connection);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..3).map(client).collect();
        Self { answered, stop, threads }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many requests were answered in the end.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.answered.load(Ordering::Relaxed)
    }
}

/// Sends a request and reads its answer, which has to be a 502.
fn request(connection: &mut BufReader<TcpStream>) {
    connection.get_mut().write_all(b"GET /path HTTP/1.1\r\nHost: example.org\r\n\r\n").unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(connection.read_line(&mut head).unwrap(), 0);
    }
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    connection.read_exact(&mut body).unwrap();
}

fn failures(scene: &Scene) -> u64 {
    let refused = memchr::memmem::Finder::new(b"connect() failed (111: ");
    scene.lines.lock().unwrap().iter().filter(|line| refused.find(line).is_some()).count() as u64
}

/// Rotates fifty times, asserts that every answer has its entry, and returns how many rotations were noticed.
fn rotate_fifty_times(pattern: &str) -> u64 {
    let mut scene = Scene::new();
    let nginx = Nginx::start(&mut scene);
    scene.follow(&[pattern]);
    let load = Load::start(nginx.port);
    for round in 0..50 {
        scene.rename("error.log", &format!("error.log.{round}"));
        // Now and then nginx is told late, or rotated again at once.
        let late = load.answered() + if round % 5 == 0 { 300 } else { 0 };
        scene.wait("requests", |_| load.answered() >= late);
        nginx.signal(Signal::USR1);
        let next = load.answered() + if round % 7 == 0 { 0 } else { 200 };
        scene.wait("the new log", |scene| scene.path("error.log").exists() && load.answered() >= next);
    }
    let answered = load.stop();
    scene.wait("all entries", |scene| scene.lines.lock().unwrap().len() as u64 >= answered);
    scene.stop();
    assert_eq!(failures(&scene), answered);
    assert_eq!(scene.sum(|read| read.lost_bytes), 0);
    scene.sum(|read| read.rotations)
}

#[test]
fn fifty_rotations_of_a_busy_nginx_lose_no_entry_and_count_none_twice() {
    assert_eq!(rotate_fifty_times("error.log"), 50);
}

#[test]
fn nor_do_they_where_the_pattern_matches_rotated_names_too() {
    rotate_fifty_times("*error.log*");
}

#[test]
fn copytruncate_of_a_busy_nginx_is_always_noticed_and_counts_nothing_twice() {
    let mut scene = Scene::new();
    let nginx = Nginx::start(&mut scene);
    scene.follow(&["error.log"]);
    let load = Load::start(nginx.port);
    for round in 1..=20 {
        let next = load.answered() + 200;
        scene.wait("requests", |_| load.answered() >= next);
        let log = OpenOptions::new().write(true).open(scene.path("error.log")).unwrap();
        log.set_len(0).unwrap();
        scene.wait("the truncation to be noticed", |scene| scene.sum(|read| read.rotations) == round);
    }
    let answered = load.stop();
    scene.stop();
    let rest = fs::read(scene.path("error.log")).unwrap();
    let rest: Vec<_> = rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    assert!(!rest.is_empty() && scene.lines.lock().unwrap().ends_with(&rest));
    let counted = failures(&scene);
    let longest = scene.lines.lock().unwrap().iter().map(Vec::len).max().unwrap() as u64 + 1;
    assert!(counted <= answered, "{counted} of {answered}");
    assert!(scene.sum(|read| read.lost_bytes) <= (answered - counted) * longest);
}
