//! The real nginx.

use std::ffi::OsString;
use std::fs;
use std::path::{Display, Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal};

use super::http::{self, Address, Request, Response};
use super::lab::{Lab, WORKER_USER, free_port, is_root};
use super::process::{Process, program};

/// Where Debian's `libnginx-mod-stream` puts its module.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// What a test adds to the generated configuration; each part goes to the place its name says.
#[derive(Debug, Clone)]
pub struct NginxConfig {
    /// Folder inside the lab, for several nginx in one lab.
    pub name: String,
    /// Level of the error log. nginx's own default is `error`; `info` shows the client's doings too.
    pub level: String,
    /// Main context.
    pub main: String,
    /// `events {}`.
    pub events: String,
    /// `http {}`, before the server.
    pub http: String,
    /// The `server {}` that listens on [`Nginx::address`] and [`Nginx::socket`].
    pub server: String,
    /// `stream {}`; left out, and its module not loaded, where empty.
    pub stream: String,
    /// A shell command that runs first, in the same process: `ulimit -n 64`.
    pub before: Option<String>,
    /// Namespaces to run in, as options of unshare(1): `--net`.
    pub unshare: Option<String>,
}

impl Default for NginxConfig {
    fn default() -> Self {
        Self {
            name: "nginx".to_owned(),
            level: "info".to_owned(),
            main: String::new(),
            events: "worker_connections 256;".to_owned(),
            http: String::new(),
            server: String::new(),
            stream: String::new(),
            before: None,
            unshare: None,
        }
    }
}

impl NginxConfig {
    /// The usual case: only locations.
    pub fn server(server: impl Into<String>) -> Self {
        Self { server: server.into(), ..Self::default() }
    }
}

/// A running nginx with one worker.
#[derive(Debug)]
pub struct Nginx {
    /// The master.
    pub process: Process,
    folder: PathBuf,
    port: u16,
}

impl Nginx {
    /// Starts nginx and waits until it listens and takes signals, which it does once it has a worker.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start(lab: &Lab, config: &NginxConfig) -> Self {
        let mut nginx = Self::spawn(lab, config);
        let socket = nginx.socket();
        nginx
            .process
            .wait_until_ready(lab, |process| !process.children().is_empty() && http::Connection::open(&socket).is_ok());
        nginx
    }

    /// Starts nginx without waiting: for the ones that are meant to fail.
    pub fn spawn(lab: &Lab, config: &NginxConfig) -> Self {
        let folder = lab.subfolder(&config.name);
        let port = free_port();
        let file = lab.write(&format!("{}/nginx.conf", config.name), render(&folder, port, config));
        let mut run = wrapped_command(config);
        run.arg("-e").arg(folder.join("error.log")).arg("-p").arg(&folder).arg("-c").arg(file);
        let process = Process::start("nginx", &mut run, &folder.join("nginx-output.log"));
        Self { process, folder, port }
    }

    /// Its TCP address on the loopback.
    pub fn address(&self) -> Address {
        Address::loopback(self.port)
    }

    /// Its unix socket, reachable from outside a network namespace too.
    pub fn socket(&self) -> Address {
        Address::Unix(self.folder.join("http.sock"))
    }

    /// The error log's path.
    pub fn error_log(&self) -> PathBuf {
        self.folder.join("error.log")
    }

    /// The access log's path: one [`Served`] per line.
    pub fn access_log(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("nginx.conf")
    }

    /// A temporary folder: `body` for requests, `proxy`, `fastcgi`… for answers.
    pub fn temp_folder(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("temp-{kind}"))
    }

    /// The error log's content.
    pub fn errors(&self) -> Vec<u8> {
        fs::read(self.error_log()).unwrap_or_default()
    }

    /// Whether the error log holds that text.
    pub fn has_logged(&self, text: &str) -> bool {
        memchr::memmem::find(&self.errors(), text.as_bytes()).is_some()
    }

    /// The access log, taken apart.
    pub fn served(&self) -> Vec<Served> {
        let log = fs::read(self.access_log()).unwrap_or_default();
        log.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Asks for a target over TCP.
    ///
    /// # Panics
    /// When nginx gives no answer at all.
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// Sends a request over TCP; panics as [`Self::get`].
    pub fn send(&self, request: &Request) -> Response {
        request
            .send(&self.address())
            .unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&request.line)))
    }

    /// Reads the configuration again.
    pub fn reload(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Opens the logs again, after a rotation.
    pub fn reopen_logs(&self) {
        self.process.signal(Signal::USR1);
    }

    /// The worker.
    ///
    /// # Panics
    /// When none comes up.
    pub fn worker(&self, lab: &Lab) -> Pid {
        lab.wait_for_some("an nginx worker", super::process::START_DEADLINE, || {
            self.process.children().first().copied()
        })
    }
}

/// One line of the access log, in nginx's own words.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Served {
    /// `$request_uri`.
    pub uri: String,
    /// `$status`: what the client got.
    pub status: String,
    /// `$upstream_status`: of each attempt; empty where no upstream was asked.
    pub upstream_status: String,
    /// `$upstream_addr`: of each attempt; the group's name where none was live.
    pub upstream_addr: String,
    /// `$upstream_response_time`, seconds.
    pub upstream_response_time: String,
    /// `$body_bytes_sent`.
    pub body_bytes_sent: String,
}

impl Served {
    /// The peer of the last attempt.
    pub fn last_peer(&self) -> &str {
        self.upstream_addr.rsplit([',', ' ']).next().unwrap_or_default()
    }
}

/// nginx behind the wrappers it is to run in; each of them becomes nginx by exec, so that the process id stays.
fn wrapped_command(config: &NginxConfig) -> Command {
    let mut words = Vec::new();
    if let Some(options) = &config.unshare {
        words.push(program("unshare", "util-linux").into_os_string());
        words.extend(options.split_whitespace().map(OsString::from));
    }
    if let Some(script) = &config.before {
        words.extend(["sh".into(), "-ec".into(), format!("{script}\nexec \"$0\" \"$@\"").into()]);
    }
    words.push(program("nginx", "nginx").into_os_string());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

fn render(folder: &Path, port: u16, config: &NginxConfig) -> String {
    let NginxConfig { level, main, events, http, server, stream, .. } = config;
    let folder = folder.display();
    let user = match (is_root(), &config.unshare) {
        (true, _) => format!("user {WORKER_USER};"),
        // Root of a user namespace, which knows no other account.
        (false, Some(_)) => "user root root;".to_owned(),
        (false, None) => String::new(),
    };
    let (module, stream) = match stream.as_str() {
        "" => (String::new(), String::new()),
        _ => (stream_module(), format!("stream {{\n{}\n{stream}\n}}\n", stream_log(&folder))),
    };
    let temp_paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/temp-{};\n", kind.trim_start_matches("client_")))
        .concat();
    let facts = [
        ("uri", "request_uri"),
        ("status", "status"),
        ("upstream_status", "upstream_status"),
        ("upstream_addr", "upstream_addr"),
        ("upstream_response_time", "upstream_response_time"),
        ("body_bytes_sent", "body_bytes_sent"),
        ("request", "request"),
        ("request_time", "request_time"),
    ]
    .map(|(key, variable)| format!("\"{key}\":\"${variable}\""))
    .join(",");
    format!(
        "daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log {level};
{user}
{module}
{main}
events {{
{events}
}}
http {{
  log_format facts escape=json '{{{facts}}}';
  access_log {folder}/access.log facts;
{temp_paths}{http}
  server {{
    listen 127.0.0.1:{port};
    listen unix:{folder}/http.sock;
    server_name example.test;
{server}
  }}
}}
{stream}"
    )
}

/// `stream {}` has sessions instead of requests, and fewer variables.
fn stream_log(folder: &Display<'_>) -> String {
    format!(
        r#"  log_format facts escape=json '{{"uri":"stream:$server_port","status":"$status","upstream_status":"","upstream_addr":"$upstream_addr","upstream_response_time":"$upstream_connect_time","body_bytes_sent":"$bytes_sent"}}';
  access_log {folder}/access.log facts;"#
    )
}

fn stream_module() -> String {
    assert!(Path::new(STREAM_MODULE).exists(), "{STREAM_MODULE} is missing: apt-get install libnginx-mod-stream");
    format!("load_module {STREAM_MODULE};")
}
