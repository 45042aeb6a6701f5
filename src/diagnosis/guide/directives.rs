//! The directives of each `*_pass` module, by what they do.
//!
//! The modules name theirs alike (`proxy_read_timeout`, `fastcgi_read_timeout`, …), with exceptions: `stream {}` has one
//! `proxy_timeout` for both directions, gRPC and memcached have no set of buffers, FastCGI, SCGI and memcached no TLS.
//! `tests/guide.rs` asks a real nginx whether every name used exists where it is said to be used.

use crate::observation::Protocol;

/// Names of directives for one protocol; where an entry does not tell it, with `*` for the module's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directives(pub(super) Option<Protocol>);

impl Directives {
    fn prefix(self) -> &'static str {
        match self.0 {
            None => "*",
            Some(Protocol::Http | Protocol::Https | Protocol::Stream) => "proxy",
            Some(Protocol::FastCgi) => "fastcgi",
            Some(Protocol::Uwsgi | Protocol::Suwsgi) => "uwsgi",
            Some(Protocol::Scgi) => "scgi",
            Some(Protocol::Grpc | Protocol::Grpcs) => "grpc",
            Some(Protocol::Memcached) => "memcached",
        }
    }

    fn named(self, rest: &str) -> String {
        format!("{}_{rest}", self.prefix())
    }

    pub(super) fn pass(self) -> String {
        self.named("pass")
    }

    pub(super) fn connect_timeout(self) -> String {
        self.named("connect_timeout")
    }

    pub(super) fn send_timeout(self) -> String {
        self.named(if self.is_stream() { "timeout" } else { "send_timeout" })
    }

    pub(super) fn read_timeout(self) -> String {
        self.named(if self.is_stream() { "timeout" } else { "read_timeout" })
    }

    /// What the timeout above is when it is not set.
    pub(super) fn exchange_timeout_default(self) -> &'static str {
        if self.is_stream() { "10m" } else { "60s" }
    }

    pub(super) fn next_upstream(self) -> String {
        self.named("next_upstream")
    }

    pub(super) fn buffer_size(self) -> String {
        self.named("buffer_size")
    }

    pub(super) fn bind(self) -> String {
        self.named("bind")
    }

    /// A directive of upstream TLS: `ssl_verify`, `ssl_name`, …
    pub(super) fn tls(self, rest: &str) -> String {
        match self.0 {
            Some(Protocol::FastCgi | Protocol::Scgi | Protocol::Memcached) | None => format!("*_{rest}"),
            Some(
                Protocol::Http
                | Protocol::Https
                | Protocol::Stream
                | Protocol::Uwsgi
                | Protocol::Suwsgi
                | Protocol::Grpc
                | Protocol::Grpcs,
            ) => self.named(rest),
        }
    }

    /// A header buffer of 16 kB, with companions that nginx accepts beside it: the busy size must hold the larger of the
    /// header buffer and one buffer, and be less than all buffers but one (`ngx_http_proxy_merge_loc_conf`).
    pub(super) fn larger_header_buffer(self) -> String {
        let prefix = self.prefix();
        match self.0 {
            Some(Protocol::Grpc | Protocol::Grpcs | Protocol::Memcached | Protocol::Stream) => {
                format!("{prefix}_buffer_size 16k;")
            }
            Some(
                Protocol::Http
                | Protocol::Https
                | Protocol::FastCgi
                | Protocol::Uwsgi
                | Protocol::Suwsgi
                | Protocol::Scgi,
            )
            | None => format!("{prefix}_buffer_size 16k; {prefix}_buffers 8 16k; {prefix}_busy_buffers_size 32k;"),
        }
    }

    /// What makes nginx use connections to this kind of upstream again, beside `keepalive` in the `upstream {}` block.
    pub(super) fn keepalive(self) -> Option<&'static str> {
        match self.0 {
            Some(Protocol::Http | Protocol::Https) => Some(
                "keepalive in the upstream block, with proxy_http_version 1.1 and proxy_set_header Connection \"\"",
            ),
            Some(Protocol::FastCgi) => Some("keepalive in the upstream block, with fastcgi_keep_conn on"),
            Some(Protocol::Grpc | Protocol::Grpcs | Protocol::Memcached) => Some("keepalive in the upstream block"),
            Some(Protocol::Uwsgi | Protocol::Suwsgi | Protocol::Scgi | Protocol::Stream) | None => None,
        }
    }

    pub(super) fn is_stream(self) -> bool {
        self.0 == Some(Protocol::Stream)
    }
}
