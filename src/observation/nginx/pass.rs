//! A `*_pass` and the values in force where it stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Place, Setting};
use crate::observation::Protocol;

/// Which of nginx's two proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// `http {}`.
    Http,
    /// `stream {}`.
    Stream,
}

/// A `*_pass` and the values in force where it stands, inherited ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// What is spoken. With the scheme in a variable: what the directive speaks without TLS.
    pub protocol: Protocol,
    /// Where it leads.
    pub target: PassTarget,
    /// The argument, as written: `http://backend/api/`.
    pub written: Arc<str>,
    /// Where it stands.
    pub place: Place,
    /// `server_name` of its server.
    pub server_names: Arc<[Arc<str>]>,
    /// Its location, as written: `/`, `~ \.php$`, `@fallback`, `/a/ if ($x)`; empty in `stream {}`.
    pub location: Arc<str>,
    /// `*_connect_timeout`.
    pub connect_timeout: Setting<Duration>,
    /// `*_send_timeout`; in `stream {}` `proxy_timeout`.
    pub send_timeout: Setting<Duration>,
    /// `*_read_timeout`; in `stream {}` `proxy_timeout`.
    pub read_timeout: Setting<Duration>,
    /// `*_buffer_size`, in bytes: the response header has to fit in. In `stream {}` the size of the relay buffer.
    pub buffer_size: Setting<u64>,
    /// `*_buffers`; gRPC, memcached and `stream {}` have none.
    pub buffers: Option<Setting<Buffers>>,
    /// `*_busy_buffers_size`, in bytes; where there are buffers.
    pub busy_buffers_size: Option<Setting<u64>>,
    /// `*_next_upstream` with its limits.
    pub next_upstream: NextUpstream,
    /// `proxy_http_version`, where HTTP is spoken. The built-in value is 1.1 since nginx 1.29.7; `None`: not written,
    /// and the version of nginx is not known.
    pub http_version: Option<Setting<Arc<str>>>,
    /// The `Connection` header of `proxy_set_header`; empty for `""`. `None`: nginx's own.
    pub connection_header: Option<Setting<Arc<str>>>,
    /// The values of `*_ssl_*`, where TLS is spoken.
    pub tls: Option<Tls>,
    /// `resolver`, which names in variables need.
    pub resolver: Option<Resolver>,
}

impl Pass {
    /// Which of nginx's two proxies it belongs to.
    #[must_use]
    pub const fn context(&self) -> Context {
        match self.protocol {
            Protocol::Stream => Context::Stream,
            _ => Context::Http,
        }
    }
}

/// Where a pass leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassTarget {
    /// To the [`Target`](super::Target) of that name.
    Fixed(Arc<str>),
    /// That is decided for each request, by variables.
    RunTime {
        /// The targets that follow from `set`, `map`, `geo` and `split_clients` with literal values.
        candidates: Vec<Arc<str>>,
        /// Whether these are all: no variable gets a value from the request.
        complete: bool,
    },
    /// It is not understood; a [`Problem`](super::Problem) says why.
    Invalid,
}

/// `*_buffers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub size: u64,
}

/// When the next peer is tried, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextUpstream {
    /// `*_next_upstream`: the conditions. In `stream {}` `on` or `off`.
    pub on: Setting<Vec<Arc<str>>>,
    /// `*_next_upstream_tries`; 0: no limit.
    pub tries: Setting<u64>,
    /// `*_next_upstream_timeout`; zero: no limit.
    pub timeout: Setting<Duration>,
}

/// How nginx behaves as a TLS client: `proxy_ssl_*`, `grpc_ssl_*`, `uwsgi_ssl_*`. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `*_ssl_verify`.
    pub verify: Setting<bool>,
    /// `*_ssl_verify_depth`.
    pub verify_depth: Setting<u64>,
    /// `*_ssl_trusted_certificate`.
    pub trusted_certificate: Option<Setting<PathBuf>>,
    /// `*_ssl_server_name`: whether SNI is sent.
    pub sends_name: Setting<bool>,
    /// `*_ssl_name`: the name that is sent and verified, variables unresolved. `None`: the host of the pass.
    pub name: Option<Setting<Arc<str>>>,
    /// `*_ssl_certificate`: the client certificate; variables unresolved.
    pub certificate: Option<Setting<PathBuf>>,
    /// `*_ssl_certificate_key`.
    pub certificate_key: Option<Setting<PathBuf>>,
    /// `*_ssl_protocols`; empty: nginx's own, which depend on its version.
    pub protocols: Setting<Vec<Arc<str>>>,
    /// `*_ssl_ciphers`.
    pub ciphers: Setting<Arc<str>>,
}

/// `resolver` and `resolver_timeout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// The name servers, as written.
    pub servers: Setting<Vec<Arc<str>>>,
    /// `valid=`: overrides the TTL of answers.
    pub valid: Option<Duration>,
    /// `ipv4=`, `ipv6=`: whether these addresses are asked for.
    pub families: (bool, bool),
    /// `resolver_timeout`.
    pub timeout: Setting<Duration>,
}
