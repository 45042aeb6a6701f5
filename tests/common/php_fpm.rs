//! The real PHP-FPM.

use std::path::PathBuf;
use std::process::Command;

use super::http::{Address, Connection};
use super::lab::{Lab, WORKER_USER, is_root};
use super::process::{Process, find};

/// The main file, in the lab.
pub const CONF: &str = "php-fpm/fpm.conf";

/// A running PHP-FPM with one pool, `www`.
#[derive(Debug)]
pub struct PhpFpm {
    /// The master.
    pub process: Process,
    address: Address,
    documents: PathBuf,
    log: PathBuf,
}

impl PhpFpm {
    /// Starts a pool on a unix socket, with these directives besides the generated ones, and waits until it listens.
    ///
    /// # Panics
    /// When PHP-FPM is not installed or does not start.
    pub fn start(lab: &Lab, directives: &str) -> Self {
        Self::start_on(lab, Address::Unix(lab.path("php-fpm/www.sock")), directives)
    }

    /// The same on any address.
    ///
    /// # Panics
    /// When PHP-FPM is not installed or does not start.
    pub fn start_on(lab: &Lab, address: Address, directives: &str) -> Self {
        let folder = lab.subfolder("php-fpm");
        let (documents, log) = (lab.subfolder("php-fpm/www"), folder.join("fpm.log"));
        let identity = if is_root() {
            format!("user = {WORKER_USER}\ngroup = {WORKER_USER}\nlisten.owner = {WORKER_USER}\n")
        } else {
            String::new()
        };
        let config = format!(
            "[global]\ndaemonize = no\nerror_log = {log}\npid = {pid}\n\n[www]\n{identity}listen = {listen}\n\
             listen.mode = 0600\npm = static\nphp_admin_flag[log_errors] = on\nphp_admin_flag[display_errors] = off\n\
             php_admin_value[error_reporting] = 32767\n{directives}\n",
            log = log.display(),
            pid = folder.join("fpm.pid").display(),
            listen = address.to_string().trim_start_matches("unix:"),
        );
        let file = lab.write(CONF, config);
        let mut process = Process::start(
            "php-fpm",
            Command::new(executable()).arg("--nodaemonize").arg("--fpm-config").arg(file),
            &folder.join("fpm-output.log"),
        );
        process.wait_until_ready(lab, |_| Connection::open(&address).is_ok());
        Self { process, address, documents, log }
    }

    /// Where the pool listens.
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// FPM's own log.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// Directives of an nginx location that runs one script of the served folder.
    pub fn directives(&self, script: &str) -> String {
        format!(
            "fastcgi_pass {}; fastcgi_param SCRIPT_FILENAME {}/{script}; \
             fastcgi_param REQUEST_METHOD $request_method;",
            self.address,
            self.documents.display()
        )
    }

    /// Writes a script into the served folder and returns its path.
    pub fn script(&self, name: &str, code: &str) -> PathBuf {
        let path = self.documents.join(name);
        std::fs::write(&path, code).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

/// The installed PHP-FPM.
///
/// # Panics
/// When there is none.
pub fn executable() -> PathBuf {
    find(|file| {
        file.strip_prefix("php-fpm").is_some_and(|version| version.chars().all(|c| c == '.' || c.is_ascii_digit()))
    })
    .unwrap_or_else(|| panic!("PHP-FPM is not installed: apt-get install php-fpm"))
}

/// The main file of the installed packages, as Debian has it.
///
/// # Panics
/// When there is none.
pub fn installed_conf() -> PathBuf {
    let mut found = glob::glob("/etc/php/*/fpm/php-fpm.conf").expect("a pattern").flatten();
    found.next().unwrap_or_else(|| panic!("PHP-FPM is not installed: apt-get install php-fpm"))
}
