//! Pools: text into typed values, with FPM's defaults.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::master::Wanted;
use super::read::{Entries, Raw, RawPool};
use super::value::{count, integer, switch, time};
use super::{
    DEFAULT_IDLE_TIMEOUT, Discovery, Installation, Listen, Place, ProblemKind, Stated, Version, default_backlog,
};

/// How FPM starts workers: `pm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessManager {
    /// All of them, always.
    Static,
    /// As many as are needed, and some spare.
    Dynamic,
    /// When a request comes.
    OnDemand,
}

/// The least severe level FPM logs: `log_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The default.
    Notice,
    /// Without notices; `max_children` reached and slow requests are warnings.
    Warning,
    /// Errors and worse: hides most of what we look for.
    Error,
    /// Only what ends FPM.
    Alert,
}

/// A pool, as configured. `None` where nobody says anything and FPM has no default either.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// Where its section begins first.
    pub at: Place,
    /// Where it listens. FPM does not start without.
    pub listen: Option<Stated<Listen>>,
    /// `listen.owner`, of the socket file.
    pub listen_owner: Option<Stated<String>>,
    /// `listen.group`, of the socket file.
    pub listen_group: Option<Stated<String>>,
    /// `listen.mode`, octal as written; FPM's default is 0660.
    pub listen_mode: Option<Stated<String>>,
    /// `listen.acl_users`: where FPM knows ACLs, owner and group are ignored then.
    pub listen_acl_users: Option<Stated<String>>,
    /// `listen.acl_groups`.
    pub listen_acl_groups: Option<Stated<String>>,
    /// `listen.allowed_clients`: addresses that may connect by TCP.
    pub listen_allowed_clients: Option<Stated<String>>,
    /// `listen.backlog`; -1 stands for `net.core.somaxconn`, which limits every other value too.
    pub listen_backlog: Stated<i32>,
    /// Who the workers run as.
    pub user: Option<Stated<String>>,
    /// Their group.
    pub group: Option<Stated<String>>,
    /// `chroot` of the workers.
    pub chroot: Option<Stated<PathBuf>>,
    /// `pm`. FPM does not start without.
    pub pm: Option<Stated<ProcessManager>>,
    /// `pm.max_children`. FPM does not start without.
    pub max_children: Option<Stated<u32>>,
    /// `pm.start_servers`: what FPM takes, if it is not said.
    pub start_servers: Option<Stated<u32>>,
    /// `pm.min_spare_servers`.
    pub min_spare_servers: Option<Stated<u32>>,
    /// `pm.max_spare_servers`.
    pub max_spare_servers: Option<Stated<u32>>,
    /// `pm.max_requests`; 0 for no limit.
    pub max_requests: Stated<u32>,
    /// `pm.process_idle_timeout`.
    pub process_idle_timeout: Stated<Duration>,
    /// `pm.status_path`; `/` by default where there is a `pm.status_listen`.
    pub status_path: Option<Stated<String>>,
    /// `pm.status_listen` (PHP 8.0): answers even if every worker is busy.
    pub status_listen: Option<Stated<Listen>>,
    /// `ping.path`.
    pub ping_path: Option<Stated<String>>,
    /// `ping.response`.
    pub ping_response: Stated<String>,
    /// `request_terminate_timeout`; zero for none.
    pub request_terminate_timeout: Stated<Duration>,
    /// `request_slowlog_timeout`; zero for none.
    pub request_slowlog_timeout: Stated<Duration>,
    /// `slowlog`.
    pub slowlog: Option<Stated<PathBuf>>,
    /// `access.log`.
    pub access_log: Option<Stated<PathBuf>>,
    /// `catch_workers_output`.
    pub catch_workers_output: Stated<bool>,
    /// `decorate_workers_output`.
    pub decorate_workers_output: Stated<bool>,
    /// `rlimit_files`; the global one where the pool has none, 0 where nobody set one.
    pub rlimit_files: Stated<u32>,
    /// PHP's `memory_limit`, by `php_admin_value` or, weaker, `php_value`; as written.
    pub memory_limit: Option<Stated<String>>,
    /// PHP's `max_execution_time`, likewise.
    pub max_execution_time: Option<Stated<String>>,
    /// PHP's `error_log`, likewise.
    pub php_error_log: Option<Stated<String>>,
}

impl Pool {
    /// Where and under which path the status page answers; the listener of its own where there is one.
    #[must_use]
    pub fn status(&self) -> Option<(&Listen, &str)> {
        let path = self.status_path.as_ref()?;
        let listen = self.status_listen.as_ref().or(self.listen.as_ref())?;
        Some((&listen.value, &path.value))
    }

    /// The label of this pool as a peer of nginx: `unix:/run/php/php8.2-fpm.sock`, `127.0.0.1:9000`.
    #[must_use]
    pub fn peer(&self) -> Option<String> {
        self.listen.as_ref().map(|listen| listen.value.peer())
    }
}

/// Types what was read.
pub(super) fn understand(wanted: Wanted, raw: Raw, found: &mut Discovery) -> Installation {
    let Wanted { conf, root, paths, master } = wanted;
    let mut global = Section { entries: raw.global, found };
    // A pool says more precisely than a path which defaults hold, but only the version of a program is certain.
    let error_log = global.text("error_log").unwrap_or_else(|| Stated::default("log/php-fpm.log".to_owned()));
    let is_syslog = error_log.value.eq_ignore_ascii_case("syslog");
    let error_log = error_log.map(|name| if is_syslog { "syslog".into() } else { paths.state.join(name) });
    let log_level = global.typed("log_level", log_level).unwrap_or(Stated::default(LogLevel::Notice));
    let rlimit_files = global.typed("rlimit_files", count).unwrap_or(Stated::default(0));
    let version = paths.version;
    let pools = raw.pools.into_iter().map(|raw| pool(raw, &paths.prefix, version, &rlimit_files, found)).collect();
    Installation { conf, root, version, master, error_log, log_level, rlimit_files, pools }
}

fn pool(raw: RawPool, prefix: &Path, version: Option<Version>, files: &Stated<u32>, found: &mut Discovery) -> Pool {
    let RawPool { name, at, entries } = raw;
    let mut section = Section { entries, found };
    let prefix = section.text("prefix").map_or_else(|| prefix.to_owned(), |own| prefix.join(own.value));
    let path = |text: String| prefix.join(text);
    let address = |text: &str| Listen::parse(text, &prefix);
    let pm = section.typed("pm", process_manager);
    let min_spare_servers = section.typed("pm.min_spare_servers", count);
    let max_spare_servers = section.typed("pm.max_spare_servers", count);
    // fpm_conf_process_all_pools: in the middle between the two.
    let middle = min_spare_servers
        .as_ref()
        .zip(max_spare_servers.as_ref())
        .map(|(min, max)| Stated::default(min.value.saturating_add(max.value.saturating_sub(min.value) / 2)));
    let start_servers = section.typed("pm.start_servers", count).filter(|start| start.value > 0).or(middle);
    let status_listen = section.typed("pm.status_listen", address);
    let status_path = section.text("pm.status_path");
    let status_path = status_path.or_else(|| status_listen.as_ref().map(|_| Stated::default("/".to_owned())));
    Pool {
        name: name.into(),
        at,
        listen: section.typed("listen", address),
        listen_owner: section.text("listen.owner"),
        listen_group: section.text("listen.group"),
        listen_mode: section.text("listen.mode"),
        listen_acl_users: section.text("listen.acl_users"),
        listen_acl_groups: section.text("listen.acl_groups"),
        listen_allowed_clients: section.text("listen.allowed_clients"),
        listen_backlog: section
            .typed("listen.backlog", integer)
            .unwrap_or_else(|| Stated::default(default_backlog(version))),
        user: section.text("user"),
        group: section.text("group"),
        chroot: section.text("chroot").map(|text| text.map(|text| path(text.replace("$prefix/", "")))),
        pm,
        max_children: section.typed("pm.max_children", |text| count(text).filter(|children| *children > 0)),
        start_servers,
        min_spare_servers,
        max_spare_servers,
        max_requests: section.typed("pm.max_requests", count).unwrap_or(Stated::default(0)),
        process_idle_timeout: section
            .typed("pm.process_idle_timeout", time)
            .unwrap_or(Stated::default(DEFAULT_IDLE_TIMEOUT)),
        status_path,
        status_listen,
        ping_path: section.text("ping.path"),
        ping_response: section.text("ping.response").unwrap_or_else(|| Stated::default("pong".to_owned())),
        request_terminate_timeout: section.timeout("request_terminate_timeout"),
        request_slowlog_timeout: section.timeout("request_slowlog_timeout"),
        slowlog: section.text("slowlog").map(|text| text.map(path)),
        access_log: section.text("access.log").map(|text| text.map(path)),
        catch_workers_output: section.typed("catch_workers_output", switch).unwrap_or(Stated::default(false)),
        decorate_workers_output: section.typed("decorate_workers_output", switch).unwrap_or(Stated::default(true)),
        rlimit_files: section.typed("rlimit_files", count).unwrap_or_else(|| files.clone()),
        memory_limit: section.php("memory_limit"),
        max_execution_time: section.php("max_execution_time"),
        php_error_log: section.php("error_log"),
    }
}

impl<T> Stated<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> Stated<U> {
        Stated { value: to(self.value), at: self.at }
    }
}

/// A section whose values are taken one by one.
struct Section<'f> {
    entries: Entries,
    found: &'f mut Discovery,
}

impl Section<'_> {
    /// A text that is not empty.
    fn text(&mut self, key: &str) -> Option<Stated<String>> {
        self.entries.remove(key).filter(|stated| !stated.value.is_empty())
    }

    /// A value that is more than text; what FPM would refuse is a problem.
    fn typed<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Stated<T>> {
        let Stated { value, at } = self.entries.remove(key)?;
        match parse(&value) {
            Some(value) => Some(Stated { value, at }),
            None => {
                if let Some(at) = at {
                    let what = format!("FPM refuses the value of `{key}`");
                    self.found.problem(ProblemKind::Refused, &at.file, Some(at.line), what);
                }
                None
            }
        }
    }

    fn timeout(&mut self, key: &str) -> Stated<Duration> {
        self.typed(key, time).unwrap_or(Stated::default(Duration::ZERO))
    }

    /// A setting of PHP: what the administrator says is stronger (`fpm_php_apply_defines`).
    fn php(&mut self, name: &str) -> Option<Stated<String>> {
        self.text(&format!("php_admin_value[{name}]")).or_else(|| self.text(&format!("php_value[{name}]")))
    }
}

fn process_manager(text: &str) -> Option<ProcessManager> {
    let named = [
        ("static", ProcessManager::Static),
        ("dynamic", ProcessManager::Dynamic),
        ("ondemand", ProcessManager::OnDemand),
    ];
    named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, pm)| pm)
}

fn log_level(text: &str) -> Option<LogLevel> {
    let named = [
        ("debug", LogLevel::Debug),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
        ("warn", LogLevel::Warning),
        ("error", LogLevel::Error),
        ("alert", LogLevel::Alert),
    ];
    named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| level)
}
