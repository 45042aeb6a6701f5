//! The real PHP-FPM behind the real nginx, driven past saturation.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nginx_502_exporter::observation::socket::{ListenerKey, ListenerState, Listening};
use rustix::net::sockopt::set_socket_linger;

use crate::common::faults::fastcgi::record;
use crate::common::http::{Address, Connection, Request};
use crate::common::lab::{WORKER_USER, free_port, is_root};
use crate::common::process::{Process, find, pause, resume};
use crate::common::{Lab, Nginx, NginxConfig};
use crate::support::{DEADLINE, figures, in_text, only, read, reader, settled, text_says, unix_key, wait_for, wanted};

const BEGIN_REQUEST: u8 = 1;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
/// How long it takes to believe that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

/// A pool of 2 workers and a backlog of 4, whose script runs until it is released.
struct Pool {
    address: Address,
    documents: PathBuf,
    process: Process,
}

impl Pool {
    fn start(lab: &Lab, address: Address) -> Self {
        let folder = lab.subfolder("php-fpm");
        let documents = lab.subfolder("php-fpm/www");
        let waiting = format!(
            "<?php ignore_user_abort(true);\nwhile (!file_exists('{}')) {{ usleep(5000); clearstatcache(); }}\necho 'done';",
            lab.path("release").display()
        );
        lab.write("php-fpm/www/wait.php", waiting);
        lab.write("php-fpm/www/quick.php", "<?php echo 'quick';");
        let listen = match &address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => path.display().to_string(),
        };
        let identity = match is_root() {
            true => format!("user = {WORKER_USER}\ngroup = {WORKER_USER}\nlisten.owner = {WORKER_USER}\n"),
            false => String::new(),
        };
        let config = format!(
            "[global]\ndaemonize = no\nerror_log = {log}\npid = {pid}\n[www]\n{identity}listen = {listen}\n\
             listen.backlog = 4\npm = static\npm.max_children = 2\npm.status_path = /status\n",
            log = folder.join("fpm.log").display(),
            pid = folder.join("fpm.pid").display(),
        );
        let file = lab.write("php-fpm/fpm.conf", config);
        let executable = find(|file| file.starts_with("php-fpm") && !file.contains("config")).expect("php-fpm");
        let mut command = Command::new(executable);
        command.arg("--nodaemonize").arg("--fpm-config").arg(file);
        let mut process = Process::start("php-fpm", &mut command, &folder.join("output.log"));
        let key = key(&address);
        process.wait_until_ready(lab, |_| read(&key).listening == Listening::Yes);
        Self { address, documents, process }
    }

    fn key(&self) -> ListenerKey {
        key(&self.address)
    }

    /// A FastCGI request of our own, sent but not read.
    fn request(&self, name: &str, script: &str, keep: bool) -> Connection {
        let file = self.documents.join(script);
        let parameters = [
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", name),
            ("SCRIPT_FILENAME", file.to_str().unwrap()),
            ("QUERY_STRING", "json"),
        ];
        let pair = |(name, value): (&str, &str)| {
            let lengths = [u8::try_from(name.len()).unwrap(), u8::try_from(value.len()).unwrap()];
            [&lengths[..], name.as_bytes(), value.as_bytes()].concat()
        };
        let parameters = parameters.map(pair).concat();
        let begin = record(BEGIN_REQUEST, &[0, 1, u8::from(keep), 0, 0, 0, 0, 0]);
        let bytes = [begin, record(PARAMS, &parameters), record(PARAMS, b""), record(STDIN, b"")].concat();
        let mut connection = Connection::open(&self.address).unwrap();
        connection.write_all(&bytes).unwrap();
        connection
    }
}

fn key(address: &Address) -> ListenerKey {
    match address {
        Address::Unix(path) => unix_key(path),
        Address::Tcp(address) => ListenerKey::Tcp(*address),
    }
}

/// nginx in front of the pool: its connections, unlike the test's own, are those of others.
fn nginx(lab: &Lab, pool: &Pool) -> Nginx {
    let pass = match &pool.address {
        Address::Unix(path) => format!("unix:{}", path.display()),
        Address::Tcp(address) => address.to_string(),
    };
    let documents = pool.documents.display();
    let location = |name: &str, directives: &str| {
        format!(
            "location = /{name} {{ fastcgi_pass {pass}; fastcgi_param REQUEST_METHOD GET;\n\
             fastcgi_param SCRIPT_FILENAME {documents}/{name}.php; {directives} }}\n"
        )
    };
    let server = location("wait", "") + &location("quick", "");
    Nginx::start(lab, &NginxConfig::server(server))
}

fn visit(nginx: &Nginx, target: &str) -> Connection {
    let mut connection = Connection::open(&nginx.address()).unwrap();
    connection.write_all(&Request::get(target).head()).unwrap();
    connection
}

fn is_silent(connection: &mut Connection) -> bool {
    match connection {
        Connection::Unix(stream) => stream.set_read_timeout(Some(SILENCE)).unwrap(),
        Connection::Tcp(stream) => stream.set_read_timeout(Some(SILENCE)).unwrap(),
    }
    matches!(connection.read(&mut [0]), Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()))
}

fn saturation_stays_visible(lab: &Lab, address: Address) {
    let pool = Pool::start(lab, address);
    let (key, nginx) = (pool.key(), nginx(lab, &pool));
    let state = settled(&key, (0, Some(4), 0, Some(0)));
    let owner = state.owner.expect("root, or the same user");
    assert_eq!(owner.pid, pool.process.pid().as_raw_nonzero().get().unsigned_abs(), "the master: {owner:?}");
    assert!(owner.name.starts_with("php-fpm"), "{owner:?}");

    let visitors: Vec<_> = (0..5).map(|_| visit(&nginx, "/wait")).collect();
    let state = settled(&key, (3, Some(4), 2, Some(0)));
    assert_eq!((state.busy(), state.own), (2, Some(0)));

    // What other exporters ask does not answer now; its connection waits like everybody's.
    let mut status = pool.request("/status", "status", false);
    assert!(is_silent(&mut status), "a saturated pool has answered a status request");
    settled(&key, (4, Some(4), 2, Some(0)));
    let mut reader = reader();
    for _ in 0..100 {
        let state = only(reader.read(&wanted([key.clone()]), SystemTime::now()));
        assert_eq!((state.busy(), figures(&state)), (2, (4, Some(4), 2, Some(0))), "in every reading");
    }

    // The visitors give up, nginx closes: the workers go on for nobody, and what waits keeps waiting.
    drop(visitors);
    let state = settled(&key, (4, Some(4), 2, Some(2)));
    assert_eq!((state.busy(), state.queue.unwrap().full), (2, Some(false)));
    let (abandoned, own) = if matches!(key, ListenerKey::Unix(_)) { (None, None) } else { (Some(2), Some(0)) };
    text_says(&key, &ListenerState { abandoned, own, ..in_text(&state) });
    let _last = visit(&nginx, "/wait");
    let state = settled(&key, (5, Some(4), 2, Some(2)));
    assert_eq!(state.queue.unwrap().full, Some(true));

    lab.write("release", "");
    // The worker that has answered us waits until we close: nobody else's load.
    let state = settled(&key, (0, Some(4), 1, Some(0)));
    assert_eq!((state.own, state.busy()), (Some(1), 0));
    let mut answer = Vec::new();
    status.read_to_end(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("\"listen queue\""));
    drop(status);
    settled(&key, (0, Some(4), 0, Some(0)));
}

#[test]
fn a_saturated_pool_on_a_unix_socket_stays_visible() {
    let lab = Lab::new();
    let address = Address::Unix(lab.subfolder("php-fpm").join("www.sock"));
    saturation_stays_visible(&lab, address);
}

#[test]
fn a_saturated_pool_on_tcp_stays_visible() {
    saturation_stays_visible(&Lab::new(), Address::loopback(free_port()));
}

#[test]
fn a_connection_that_is_kept_alive_keeps_its_worker() {
    let lab = Lab::new();
    let address = Address::Unix(lab.subfolder("php-fpm").join("www.sock"));
    let pool = Pool::start(&lab, address);
    let mut kept = pool.request("/quick.php", "quick.php", true);
    let mut answer = [0; 1024];
    assert!(kept.read(&mut answer).unwrap() > 0);
    // The answer is there, the worker still waits for the next request on this connection and for no other.
    let state = settled(&pool.key(), (0, Some(4), 1, Some(0)));
    assert_eq!((state.own, state.busy()), (Some(1), 0), "this connection is the test's own");
    let _second = pool.request("/wait.php", "wait.php", false);
    let _third = pool.request("/wait.php", "wait.php", false);
    settled(&pool.key(), (1, Some(4), 2, Some(0)));
    drop(kept);
    settled(&pool.key(), (0, Some(4), 2, Some(0)));
    lab.write("release", "");
}

#[test]
fn a_worker_whose_client_has_reset_is_seen_on_unix_sockets_only() {
    for unix in [true, false] {
        let lab = Lab::new();
        let address = match unix {
            true => Address::Unix(lab.subfolder("php-fpm").join("www.sock")),
            false => Address::Tcp(SocketAddr::new([127, 0, 0, 1].into(), free_port())),
        };
        let pool = Pool::start(&lab, address);
        let client = pool.request("/wait.php", "wait.php", false);
        settled(&pool.key(), (0, Some(4), 1, Some(0)));
        match client {
            Connection::Unix(stream) => drop(stream),
            Connection::Tcp(stream) => {
                set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                drop(stream);
            }
        }
        let accepted = u64::from(unix);
        settled(&pool.key(), (0, Some(4), accepted, Some(accepted)));
        lab.write("release", "");
    }
}

#[test]
fn reload_stop_and_end_are_told_apart() {
    let lab = Lab::new();
    let path = lab.subfolder("php-fpm").join("www.sock");
    let mut pool = Pool::start(&lab, Address::Unix(path.clone()));
    let before = read(&pool.key()).queue.unwrap().inode;
    lab.wait_for("the workers", DEADLINE, || pool.process.children().len() == 2);
    let old = pool.process.children();
    // A reload keeps the socket.
    pool.process.signal(rustix::process::Signal::USR2);
    lab.wait_for("the reload", DEADLINE, || lab.log_tails().contains("Reloading"));
    wait_for(&pool.key(), |state| state.queue.is_some_and(|queue| queue.inode == before));
    lab.wait_for("the new workers", DEADLINE, || {
        let new = pool.process.children();
        new.len() == 2 && new.iter().all(|worker| !old.contains(worker))
    });
    // SIGSTOP: it listens, and a connection is accepted by nobody.
    let workers = pool.process.children();
    pause(&lab, &workers);
    let waits = pool.request("/quick.php", "quick.php", false);
    settled(&pool.key(), (1, Some(4), 0, Some(0)));
    resume(&workers);
    drop(waits);
    settled(&pool.key(), (0, Some(4), 0, Some(0)));
    assert!(pool.process.stop().is_some());
    assert_eq!(read(&pool.key()).listening, Listening::No);
    assert!(!path.exists());
}
