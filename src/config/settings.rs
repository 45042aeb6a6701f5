//! Every setting, once.
//!
//! The name is the flag without its dashes. Environment variable and key in the file follow from it by rule, so that
//! nobody has to look up three spellings: `--web.listen-address`, `NGINX_502_EXPORTER_WEB_LISTEN_ADDRESS`,
//! `web: {listen_address: …}`.

/// What every environment variable of ours begins with.
pub const ENVIRONMENT_PREFIX: &str = "NGINX_502_EXPORTER_";

/// How many values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One.
    One,
    /// One or more: the flag is repeatable, the variable is separated by commas, the key has a value or a list.
    Many,
    /// `true` or `false`; the flag alone means `true`.
    Switch,
}

/// One setting, as the operator sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// `web.listen-address`: section, dot, words joined by `-`.
    pub name: &'static str,
    /// How many values it takes.
    pub takes: Takes,
    /// What stands for the value in the help.
    pub value_name: &'static str,
    /// One or two sentences for the help.
    pub help: &'static str,
    /// What is in force when nobody says anything; empty where that is nothing.
    pub default: &'static [&'static str],
    /// The only possible values, where they are few; empty otherwise.
    pub choices: &'static [&'static str],
    /// Whether a reload applies a change; otherwise it takes a restart.
    pub on_reload: bool,
}

impl Setting {
    const ONE: Self =
        Self { name: "", takes: Takes::One, value_name: "", help: "", default: &[], choices: &[], on_reload: false };
    const SWITCH: Self = Self {
        takes: Takes::Switch,
        value_name: "BOOL",
        default: &["false"],
        choices: &["true", "false"],
        ..Self::ONE
    };

    /// `--web.listen-address`.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// `NGINX_502_EXPORTER_WEB_LISTEN_ADDRESS`.
    #[must_use]
    pub fn environment(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name.replace(['.', '-'], "_").to_ascii_uppercase())
    }

    /// `web.listen_address`: the path of keys in the file, joined by dots.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// The configuration file itself; not in the file.
pub static CONFIG_FILE: Setting = Setting {
    name: "config.file",
    value_name: "FILE",
    help: "Configuration file (YAML). Without one, flags, environment and defaults say everything.",
    ..Setting::ONE
};

/// Whether only to check; not in the file.
pub static CONFIG_CHECK: Setting = Setting {
    name: "config.check",
    help: "Check file, flags and environment, print what would be in force, and exit: 0 good, 2 not.",
    ..Setting::SWITCH
};

/// The error logs to follow.
pub static NGINX_ERROR_LOG: Setting = Setting {
    name: "nginx.error-log",
    takes: Takes::Many,
    value_name: "FILE",
    help: "nginx error log to follow: an absolute path or a glob, looked at again while running.",
    default: &["/var/log/nginx/*error.log"],
    on_reload: true,
    ..Setting::ONE
};

/// Which configuration of nginx to read.
pub static NGINX_CONF: Setting = Setting {
    name: "nginx.conf",
    value_name: "FILE",
    help: "nginx's configuration. Without one: that of the nginx that runs, else of the one that is installed.",
    ..Setting::ONE
};

/// Which configurations of PHP-FPM to read.
pub static FPM_CONF: Setting = Setting {
    name: "fpm.conf",
    takes: Takes::Many,
    value_name: "FILE",
    help: "PHP-FPM's main configuration. Without one: those of every installed version and every running master.",
    ..Setting::ONE
};

/// How often status pages are read.
pub static FPM_INTERVAL: Setting = Setting {
    name: "fpm.interval",
    value_name: "DURATION",
    help: "How often to read each pool's status page: 10ms to 1m.",
    default: &["15s"],
    ..Setting::ONE
};

/// How long a status page may take.
pub static FPM_TIMEOUT: Setting = Setting {
    name: "fpm.timeout",
    value_name: "DURATION",
    help: "How long one reading of a status page may take altogether: 10ms to 1m.",
    default: &["3s"],
    ..Setting::ONE
};

/// How often the kernel is asked for queues.
pub static SOCKET_INTERVAL: Setting = Setting {
    name: "socket.interval",
    value_name: "DURATION",
    help: "How often to ask the kernel for the accept queues of local upstreams: 10ms to 1m.",
    default: &["1s"],
    ..Setting::ONE
};

/// How often peers are probed.
pub static PROBE_INTERVAL: Setting = Setting {
    name: "probe.interval",
    value_name: "DURATION",
    help: "How often to probe each upstream peer, with one connection: 10ms to 1m.",
    default: &["15s"],
    ..Setting::ONE
};

/// How long a probe may take.
pub static PROBE_TIMEOUT: Setting = Setting {
    name: "probe.timeout",
    value_name: "DURATION",
    help: "How long one probe may take altogether: 10ms to 1m.",
    default: &["3s"],
    ..Setting::ONE
};

/// Which kinds of probe are not made.
pub static PROBE_DISABLE: Setting = Setting {
    name: "probe.disable",
    takes: Takes::Many,
    value_name: "KIND",
    help: "Probe no peer that takes this kind of probe; `all` for none at all.",
    choices: &["unix", "tcp", "dns", "tls", "http", "fastcgi", "all"],
    ..Setting::ONE
};

/// Which peers are not probed.
pub static PROBE_EXCLUDE: Setting = Setting {
    name: "probe.exclude",
    takes: Takes::Many,
    value_name: "PEER",
    help: "Do not probe this peer, named as in the label `peer`: 127.0.0.1:9000, unix:/run/php/php8.2-fpm.sock.",
    ..Setting::ONE
};

/// Where to begin in a log.
pub static LOG_FROM_START: Setting = Setting {
    name: "log.from-start",
    help: "Read the logs found at start from their beginning, not from their end.",
    ..Setting::SWITCH
};

/// Where positions are kept.
pub static LOG_POSITION_FILE: Setting = Setting {
    name: "log.position-file",
    value_name: "FILE",
    help: "Keep the positions in the logs here, so that a restart neither misses nor repeats an entry.",
    ..Setting::ONE
};

/// Polling, where the kernel does not tell.
pub static LOG_POLL_INTERVAL: Setting = Setting {
    name: "log.poll-interval",
    value_name: "DURATION",
    help: "How often to look at logs that the kernel reports no changes for, and at globs: 10ms to 1h.",
    default: &["1s"],
    ..Setting::ONE
};

/// Level of the exporter's own log.
pub static LOG_LEVEL: Setting = Setting {
    name: "log.level",
    value_name: "LEVEL",
    help: "Least severe level of what the exporter itself says on standard error.",
    default: &["info"],
    choices: &["debug", "info", "warn", "error"],
    on_reload: true,
    ..Setting::ONE
};

/// Format of the exporter's own log.
pub static LOG_FORMAT: Setting = Setting {
    name: "log.format",
    value_name: "FORMAT",
    help: "Format of what the exporter itself says.",
    default: &["logfmt"],
    choices: &["logfmt", "json"],
    ..Setting::ONE
};

/// Where to serve.
pub static WEB_LISTEN_ADDRESS: Setting = Setting {
    name: "web.listen-address",
    takes: Takes::Many,
    value_name: "ADDRESS",
    help: "Where to serve metrics: `:port` (all interfaces), `host:port` or `[ipv6]:port`.",
    default: &[":10502"],
    ..Setting::ONE
};

/// The path of the metrics.
pub static WEB_TELEMETRY_PATH: Setting = Setting {
    name: "web.telemetry-path",
    value_name: "PATH",
    help: "Path under which metrics are served.",
    default: &["/metrics"],
    ..Setting::ONE
};

/// Whether the web may ask for a reload.
pub static WEB_ENABLE_LIFECYCLE: Setting = Setting {
    name: "web.enable-lifecycle",
    help: "Let POST /-/reload read the configuration again. SIGHUP always does.",
    ..Setting::SWITCH
};

/// The root of the host.
pub static PATH_ROOTFS: Setting = Setting {
    name: "path.rootfs",
    value_name: "DIR",
    help: "Where the root filesystem of the host is mounted (in a container).",
    default: &["/"],
    ..Setting::ONE
};

/// The procfs of the host.
pub static PATH_PROCFS: Setting = Setting {
    name: "path.procfs",
    value_name: "DIR",
    help: "Where procfs is mounted.",
    default: &["/proc"],
    ..Setting::ONE
};

/// The cap on label sets.
pub static LIMITS_SERIES_PER_FAMILY: Setting = Setting {
    name: "limits.series-per-family",
    value_name: "NUMBER",
    help: "Label sets per metric family before further ones are counted as `other`: 1 to 100000.",
    default: &["500"],
    ..Setting::ONE
};

/// What can stand in the file, in the order of the help.
pub static ALL: &[&Setting] = &[
    &NGINX_ERROR_LOG,
    &NGINX_CONF,
    &FPM_CONF,
    &FPM_INTERVAL,
    &FPM_TIMEOUT,
    &SOCKET_INTERVAL,
    &PROBE_INTERVAL,
    &PROBE_TIMEOUT,
    &PROBE_DISABLE,
    &PROBE_EXCLUDE,
    &LOG_FROM_START,
    &LOG_POSITION_FILE,
    &LOG_POLL_INTERVAL,
    &LOG_LEVEL,
    &LOG_FORMAT,
    &WEB_LISTEN_ADDRESS,
    &WEB_TELEMETRY_PATH,
    &WEB_ENABLE_LIFECYCLE,
    &PATH_ROOTFS,
    &PATH_PROCFS,
    &LIMITS_SERIES_PER_FAMILY,
];
