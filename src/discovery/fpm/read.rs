//! Files into sections: includes, duplicates and all.
//!
//! As in `fpm_conf.c`: what stands before the first section is global; `[global]` and pools may be opened again, names of
//! sections and keys do not care for case; **an include is textual**, so keys after it belong to the section that the
//! last file left open; of a key said twice the last is in force, of a `php_value[x]` the first (PHP applies them
//! backwards). Includes nest up to five files deep.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::files::{self, outside};
use super::ini::{Environment, Line, Malformed, Value, statements};
use super::layout::Paths;
use super::{Discovery, MAX_POOLS, Place, ProblemKind, Stated};

/// What is read of one file; ordinary ones have 20 KB.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Files of one installation.
const MAX_FILES: usize = 2_000;
/// Bytes of one installation: of all its files, and of all values with what `$pool` and the environment put into them.
const MAX_BYTES: usize = 32 << 20;
/// `ini_recursion` in `fpm_conf.c`.
const MAX_DEPTH: usize = 5;

/// The entries of a section, by lower-case key; `php_admin_value[memory_limit]` for those with brackets.
pub(super) type Entries = BTreeMap<String, Stated<String>>;

/// The configuration as text.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) global: Entries,
    pub(super) pools: Vec<RawPool>,
}

/// A pool as text.
#[derive(Debug)]
pub(super) struct RawPool {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) entries: Entries,
}

/// Where the next entry goes.
#[derive(Debug, Clone, Copy)]
enum Section {
    Global,
    /// By position in [`Raw::pools`].
    Pool(usize),
    /// There were too many pools before it.
    Dropped,
}

/// Reads files below a root into a [`Raw`].
pub(super) struct Reader<'r> {
    root: &'r Path,
    paths: &'r Paths,
    environment: Environment<'r>,
    found: &'r mut Discovery,
    raw: Raw,
    /// Positions in `raw.pools`, by lower-case name.
    names: HashMap<String, usize>,
    current: Section,
    files: usize,
    bytes: usize,
}

impl<'r> Reader<'r> {
    pub(super) fn new(
        root: &'r Path,
        paths: &'r Paths,
        environment: Environment<'r>,
        found: &'r mut Discovery,
    ) -> Self {
        let (raw, names) = (Raw::default(), HashMap::new());
        Self { root, paths, environment, found, raw, names, current: Section::Global, files: 0, bytes: 0 }
    }

    pub(super) fn read(mut self, conf: &Arc<Path>) -> Raw {
        self.file(conf, 1);
        self.raw
    }

    fn file(&mut self, name: &Arc<Path>, depth: usize) {
        self.files += 1;
        if self.files > MAX_FILES || self.bytes > MAX_BYTES {
            let what = format!("not read: there are more than {MAX_FILES} files or {MAX_BYTES} bytes");
            self.found.problem(ProblemKind::Ignored, name, None, what);
            return;
        }
        self.found.saw(&outside(self.root, name));
        let content = match files::read(self.root, name, MAX_FILE_BYTES) {
            Ok(content) => content,
            Err(error) => return self.found.unreadable(name, None, &error),
        };
        if content.len() as u64 > MAX_FILE_BYTES {
            let what = format!("only its first {MAX_FILE_BYTES} bytes are read");
            self.found.problem(ProblemKind::Ignored, name, None, what);
        }
        self.bytes = self.bytes.saturating_add(content.len());
        // FPM's reader steps over a byte order mark, though its authors may not know.
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
        for (line, number) in content.split(|byte| *byte == b'\n').zip(1..) {
            for statement in statements(line, self.environment) {
                let at = Place { file: Arc::clone(name), line: number };
                match statement {
                    Ok(Line::Section(section)) => self.section(section, at),
                    Ok(Line::Entry { value: Value { unknown: Some(variable), .. }, .. }) => {
                        let what = format!(
                            "${{{}}} is in the environment of FPM, which this process may not read",
                            shown(&variable)
                        );
                        self.found.problem(ProblemKind::Permission, &at.file, Some(at.line), what);
                    }
                    Ok(Line::Entry { key, sub: None, value }) if key == "include" => {
                        self.include(&value.text, &at, depth);
                    }
                    Ok(Line::Entry { key, sub, value }) => self.entry(key, sub, value.text, at),
                    Err(Malformed) => {
                        let what = "FPM refuses this line: it is no `key = value`";
                        self.found.problem(ProblemKind::Refused, &at.file, Some(at.line), what);
                    }
                }
            }
        }
    }

    fn section(&mut self, name: String, at: Place) {
        let known = name.to_ascii_lowercase();
        self.current = match self.names.get(&known) {
            _ if known == "global" => Section::Global,
            Some(index) => Section::Pool(*index),
            None if self.raw.pools.len() < MAX_POOLS => {
                let index = self.raw.pools.len();
                self.names.insert(known, index);
                self.raw.pools.push(RawPool { name, at, entries: Entries::new() });
                Section::Pool(index)
            }
            None => {
                let what = format!("pools past the first {MAX_POOLS} are not looked at");
                self.found.problem(ProblemKind::Ignored, &at.file, None, what);
                Section::Dropped
            }
        };
    }

    fn entry(&mut self, key: String, sub: Option<String>, value: String, at: Place) {
        let pool = match self.current {
            Section::Global => None,
            Section::Pool(index) => self.raw.pools.get_mut(index),
            Section::Dropped => return,
        };
        let known = match (&pool, &sub) {
            (Some(_), Some(sub)) => ARRAYS.contains(&key.as_str()) && (sub.is_empty() == (key == SUPPRESS_PATH)),
            (None, Some(_)) => false,
            (Some(_), None) => POOL_KEYS.iter().any(|known| known.eq_ignore_ascii_case(&key)),
            (None, None) => GLOBAL_KEYS.iter().any(|known| known.eq_ignore_ascii_case(&key)),
        };
        if !known {
            let section = pool.map_or("global", |pool| pool.name.as_str());
            let what = format!("FPM refuses the key `{}` in section [{}]", shown(&key), shown(section));
            self.found.problem(ProblemKind::Refused, &at.file, Some(at.line), what);
            return;
        }
        let name = pool.as_ref().map_or("", |pool| pool.name.as_str());
        let names = value.matches(POOL).count();
        let bytes = self.bytes.saturating_add(value.len()).saturating_add(names.saturating_mul(name.len()));
        if names > 0 && pool.is_none() {
            let what = "FPM refuses `$pool` outside of a pool";
            return self.found.problem(ProblemKind::Refused, &at.file, Some(at.line), what);
        }
        if bytes > MAX_BYTES {
            let what = format!("not read: there are more than {MAX_BYTES} bytes");
            return self.found.problem(ProblemKind::Ignored, &at.file, Some(at.line), what);
        }
        self.bytes = bytes;
        let value = Stated { value: value.replace(POOL, name), at: Some(at) };
        let entries = pool.map_or(&mut self.raw.global, |pool| &mut pool.entries);
        match sub {
            // Secrets of applications, of no use here.
            Some(_) if key == "env" => {}
            Some(sub) => {
                entries.entry(format!("{}[{}]", key.replace("flag", "value"), sub.trim())).or_insert(value);
            }
            None => {
                entries.insert(key.to_ascii_lowercase(), value);
            }
        }
    }

    fn include(&mut self, pattern: &str, at: &Place, depth: usize) {
        let (file, line) = (&at.file, Some(at.line));
        if depth >= MAX_DEPTH {
            let what = format!("not included: FPM nests includes at most {MAX_DEPTH} files deep");
            return self.found.problem(ProblemKind::Refused, file, line, what);
        }
        let matches = match files::matching(self.root, &self.paths.prefix.join(pattern), MAX_FILES) {
            Ok(matches) => matches,
            Err(why) => {
                let what = format!("the include is no pattern: {why}");
                return self.found.problem(ProblemKind::Refused, file, line, what);
            }
        };
        for error in &matches.errors {
            self.found.unreadable(file, line, error);
        }
        if matches.files.is_empty() {
            self.found.problem(ProblemKind::Empty, file, line, "no file matches the include");
        }
        self.found.saw(&outside(self.root, &matches.folder));
        for name in matches.files {
            self.file(&name, depth + 1);
        }
    }
}

/// Stands for the name of the pool.
const POOL: &str = "$pool";

/// A name from a file, fit for a message.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    short.escape_debug().to_string()
}

const ARRAYS: &[&str] = &["env", "php_value", "php_admin_value", "php_flag", "php_admin_flag", SUPPRESS_PATH];

/// The one with nothing between its brackets.
const SUPPRESS_PATH: &str = "access.suppress_path";

/// `ini_fpm_global_options`.
const GLOBAL_KEYS: &[&str] = &[
    "pid",
    "error_log",
    "syslog.ident",
    "syslog.facility",
    "log_buffering",
    "log_level",
    "log_limit",
    "emergency_restart_threshold",
    "emergency_restart_interval",
    "process_control_timeout",
    "process.max",
    "process.priority",
    "daemonize",
    "rlimit_files",
    "rlimit_core",
    "events.mechanism",
    "systemd_interval",
];

/// `ini_fpm_pool_options`.
const POOL_KEYS: &[&str] = &[
    "prefix",
    "user",
    "group",
    "listen",
    "listen.backlog",
    "listen.acl_users",
    "listen.acl_groups",
    "listen.owner",
    "listen.group",
    "listen.mode",
    "listen.allowed_clients",
    "listen.setfib",
    "process.priority",
    "process.dumpable",
    "pm",
    "pm.max_children",
    "pm.start_servers",
    "pm.min_spare_servers",
    "pm.max_spare_servers",
    "pm.max_spawn_rate",
    "pm.process_idle_timeout",
    "pm.max_requests",
    "pm.status_path",
    "pm.status_listen",
    "ping.path",
    "ping.response",
    "access.log",
    "access.format",
    "slowlog",
    "request_slowlog_timeout",
    "request_slowlog_trace_depth",
    "request_terminate_timeout",
    "request_terminate_timeout_track_finished",
    "rlimit_files",
    "rlimit_core",
    "chroot",
    "chdir",
    "catch_workers_output",
    "decorate_workers_output",
    "clear_env",
    "security.limit_extensions",
    "apparmor_hat",
];
