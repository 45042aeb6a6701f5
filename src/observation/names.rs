//! The closed sets of what a log entry can be.

use super::closed_set::closed_set;

closed_set! {
    /// Where a log entry comes from.
    pub enum Source {
        /// nginx's error log, or nginx's own words on standard error.
        NginxError = "nginx_error",
        /// nginx's access log.
        NginxAccess = "nginx_access",
        /// PHP-FPM's log.
        Fpm = "fpm",
        /// The kernel's log.
        Kernel = "kernel",
        /// The audit daemon's log (SELinux).
        Audit = "audit",
        /// AppArmor's records, in whichever log they stand.
        AppArmor = "apparmor",
        /// None of these.
        Unrecognised = "unrecognised",
    }
}

closed_set! {
    /// What a log entry is about, before any class.
    pub enum Kind {
        /// An attempt at an upstream failed.
        Upstream = "upstream",
        /// nginx or its host is the problem.
        Local = "local",
        /// PHP messages that came over FastCGI's standard error.
        Php = "php",
        /// An event of PHP-FPM's own log.
        FpmEvent = "fpm_event",
        /// The OOM killer at work.
        Oom = "oom",
        /// A security module refused something.
        Denial = "denial",
        /// A process died of a signal.
        Crash = "crash",
        /// The client's doing: it went away, sent nonsense, was refused.
        Client = "client",
        /// Understood, and none of these.
        Other = "other",
    }
}

closed_set! {
    /// Severity of an entry, from nginx's `err_levels` (`src/core/ngx_log.c`); less severe last.
    pub enum Level {
        /// `emerg`: nginx cannot go on.
        Emerg = "emerg",
        /// `alert`.
        Alert = "alert",
        /// `crit`.
        Crit = "crit",
        /// `error`: the default level of `error_log`.
        Error = "error",
        /// `warn`.
        Warn = "warn",
        /// `notice`.
        Notice = "notice",
        /// `info`.
        Info = "info",
        /// `debug`.
        Debug = "debug",
    }
}

closed_set! {
    /// What nginx was doing with the upstream (or, for [`Phase::SendingToClient`], with its answer).
    pub enum Phase {
        /// Looking up the upstream's name.
        Resolving = "resolving",
        /// `while connecting to upstream`.
        Connecting = "connecting",
        /// `while SSL handshaking to upstream`.
        Handshaking = "handshaking",
        /// `while sending request to upstream`.
        Sending = "sending",
        /// `while reading response header from upstream`.
        ReadingHeader = "reading_header",
        /// `while reading upstream`.
        ReadingBody = "reading_body",
        /// `while sending to client`.
        SendingToClient = "sending_to_client",
        /// `while proxying upgraded connection` (WebSocket).
        ProxyingUpgraded = "proxying_upgraded",
        /// `while proxying …` in `stream {}`.
        Proxying = "proxying",
    }
}

closed_set! {
    /// How nginx spoke to the upstream.
    pub enum Protocol {
        /// `proxy_pass http://`.
        Http = "http",
        /// `proxy_pass https://`.
        Https = "https",
        /// `fastcgi_pass`.
        FastCgi = "fastcgi",
        /// `uwsgi_pass`.
        Uwsgi = "uwsgi",
        /// `uwsgi_pass suwsgi://`.
        Suwsgi = "suwsgi",
        /// `scgi_pass`.
        Scgi = "scgi",
        /// `grpc_pass grpc://`.
        Grpc = "grpc",
        /// `grpc_pass grpcs://`.
        Grpcs = "grpcs",
        /// `memcached_pass`.
        Memcached = "memcached",
        /// `proxy_pass` inside `stream {}`.
        Stream = "stream",
    }
}

closed_set! {
    /// Class of a failed upstream attempt: label `class` of `nginx_upstream_errors_total`.
    pub enum UpstreamClass {
        /// Nobody accepts on the address (a stale socket file too).
        ConnectRefused = "connect_refused",
        /// The unix socket's file does not exist.
        ConnectSocketMissing = "connect_socket_missing",
        /// The kernel or a security module refused the connect.
        ConnectPermissionDenied = "connect_permission_denied",
        /// The unix socket's queue is full.
        ConnectBacklogFull = "connect_backlog_full",
        /// No connection within the connect timeout, or the kernel gave up.
        ConnectTimeout = "connect_timeout",
        /// No route, host or network down.
        ConnectUnreachable = "connect_unreachable",
        /// No local address or port left to connect from.
        ConnectNoLocalPort = "connect_no_local_port",
        /// Reset or aborted while connecting.
        ConnectReset = "connect_reset",
        /// Any other failure while connecting.
        ConnectFailed = "connect_failed",
        /// Every peer of the group is marked failed.
        NoLiveUpstreams = "no_live_upstreams",
        /// The upstream's name could not be resolved.
        DnsNotResolved = "dns_not_resolved",
        /// A name must be resolved at run time, and no `resolver` is configured.
        DnsNoResolver = "dns_no_resolver",
        /// What a variable made of the address is none.
        UpstreamAddressInvalid = "upstream_address_invalid",
        /// The TLS handshake with the upstream failed.
        TlsHandshakeFailed = "tls_handshake_failed",
        /// The TLS handshake with the upstream took too long.
        TlsHandshakeTimeout = "tls_handshake_timeout",
        /// The upstream's certificate was not accepted.
        TlsVerifyFailed = "tls_verify_failed",
        /// The upstream's certificate is for another name.
        TlsNameMismatch = "tls_name_mismatch",
        /// The upstream did not take the request in time.
        SendTimeout = "send_timeout",
        /// Sending the request failed.
        SendFailed = "send_failed",
        /// No response header in time.
        ReadHeaderTimeout = "read_header_timeout",
        /// The response stalled after its header.
        ReadBodyTimeout = "read_body_timeout",
        /// The upstream closed before a complete header.
        ClosedBeforeHeader = "closed_before_header",
        /// The upstream closed in the middle of the body.
        ClosedInBody = "closed_in_body",
        /// Reset before a complete header.
        ResetBeforeHeader = "reset_before_header",
        /// Reset in the middle of the body.
        ResetInBody = "reset_in_body",
        /// The response header is larger than nginx's buffer for it.
        HeaderTooBig = "header_too_big",
        /// The response header is not one of that protocol.
        HeaderInvalid = "header_invalid",
        /// The body breaks its protocol's framing.
        ResponseInvalid = "response_invalid",
        /// The HTTP/2 peer refused or reset the stream, or sent GOAWAY.
        StreamRefused = "stream_refused",
        /// The `auth_request` backend answered something that is no verdict.
        AuthUnexpected = "auth_unexpected",
        /// In upstream context, and none of these.
        Other = "other",
    }
}

closed_set! {
    /// Class of a failure inside nginx or its host: label `class` of `nginx_local_errors_total`.
    pub enum LocalClass {
        /// No free connection slot in the worker.
        WorkerConnectionsExhausted = "worker_connections_exhausted",
        /// Out of file descriptors (EMFILE, ENFILE).
        FilesExhausted = "files_exhausted",
        /// Out of memory (ENOMEM, malloc).
        MemoryExhausted = "memory_exhausted",
        /// No space left for a temporary or cache file.
        TempFileNoSpace = "temp_file_no_space",
        /// A temporary or cache file may not be written.
        TempFileDenied = "temp_file_denied",
        /// No space left for a log.
        LogNoSpace = "log_no_space",
        /// A response did not fit into memory buffers.
        ResponseBufferedToDisk = "response_buffered_to_disk",
        /// A request body did not fit into memory buffers.
        RequestBufferedToDisk = "request_buffered_to_disk",
        /// `limit_req` refused or delayed.
        RateLimited = "rate_limited",
        /// `limit_conn` refused.
        ConnectionsLimited = "connections_limited",
        /// A worker died of a signal.
        WorkerCrashed = "worker_crashed",
        /// A worker was killed by SIGKILL.
        WorkerKilled = "worker_killed",
        /// The configured DNS server does not answer.
        ResolverUnreachable = "resolver_unreachable",
        /// A start or reload failed on the configuration.
        ConfigInvalid = "config_invalid",
        /// A listening address could not be bound.
        BindFailed = "bind_failed",
        /// A shared memory zone is full.
        SharedMemoryExhausted = "shared_memory_exhausted",
        /// `worker_connections` exceed the limit on open files.
        FileDescriptorLimitLow = "file_descriptor_limit_low",
    }
}

closed_set! {
    /// Kind of one PHP message: label `kind` of `nginx_php_errors_total`; most telling first.
    pub enum PhpKind {
        /// `Allowed memory size of … exhausted`.
        MemoryExhausted = "memory_exhausted",
        /// `Maximum execution time of … exceeded`.
        TimeExceeded = "time_exceeded",
        /// A database or cache could not be reached.
        DependencyUnreachable = "dependency_unreachable",
        /// Call to an undefined function, class or constant.
        UndefinedSymbol = "undefined_symbol",
        /// `Parse error`.
        ParseError = "parse_error",
        /// `Uncaught …`.
        UncaughtException = "uncaught_exception",
        /// Any other fatal error.
        FatalOther = "fatal_other",
        /// `Primary script unknown`, or the script could not be opened.
        ScriptNotFound = "script_not_found",
        /// `Access to the script … has been denied`.
        AccessDenied = "access_denied",
        /// `PHP Warning`.
        Warning = "warning",
        /// `PHP Notice`.
        Notice = "notice",
        /// `PHP Deprecated`.
        Deprecated = "deprecated",
        /// Text an application wrote to its log.
        Application = "application",
    }
}
