//! The catalogue of causes: what the diagnosis may conclude.

use crate::observation::closed_set::closed_set;

closed_set! {
    /// Why nginx answers 502, 503 or 504: the names of labels, JSON and runbooks.
    pub enum Cause {
        /// The process behind the address does not run.
        BackendDown = "backend_down",
        /// PHP-FPM does not run, or not with the pool nginx passes to.
        FpmNotRunning = "fpm_not_running",
        /// nginx passes to an address nobody listens on, while the backend listens elsewhere.
        AddressMismatch = "address_mismatch",
        /// nginx's worker may not use the unix socket.
        SocketPermission = "socket_permission",
        /// Every worker of the pool is busy.
        PoolExhausted = "pool_exhausted",
        /// The accept queue overflows while workers are free.
        BacklogFull = "backlog_full",
        /// The backend answers, but later than nginx waits.
        BackendSlow = "backend_slow",
        /// A backend process died of a signal in the middle of a request.
        WorkerCrash = "worker_crash",
        /// PHP-FPM terminated a request that ran too long.
        WorkerTerminated = "worker_terminated",
        /// PHP gave up on the script.
        PhpFatal = "php_fatal",
        /// The kernel killed a process for its memory.
        OomKilled = "oom_killed",
        /// Memory is nearly used up.
        MemoryPressure = "memory_pressure",
        /// The host has more work than processors or disks can do.
        HostOverloaded = "host_overloaded",
        /// A file system that nginx, PHP or a log writes to is full.
        DiskFull = "disk_full",
        /// A file system has no free inode.
        InodesFull = "inodes_full",
        /// A file system is mounted or was remounted read-only.
        FilesystemReadonly = "filesystem_readonly",
        /// The response header does not fit nginx's buffer for it.
        HeaderTooBig = "header_too_big",
        /// The backend speaks another protocol, or speaks it wrongly.
        ResponseMalformed = "response_malformed",
        /// nginx and the backend cannot agree on TLS, or nginx does not trust the certificate.
        TlsFailure = "tls_failure",
        /// The backend's name cannot be resolved.
        DnsFailure = "dns_failure",
        /// The backend's name resolves to other addresses than the ones nginx has loaded.
        DnsStale = "dns_stale",
        /// Something on the way drops or rejects the connection.
        FirewallBlocked = "firewall_blocked",
        /// SELinux refused it.
        SelinuxDenied = "selinux_denied",
        /// AppArmor refused it.
        ApparmorDenied = "apparmor_denied",
        /// Every server of the group is out of use; each has a cause of its own.
        NoLiveUpstreams = "no_live_upstreams",
        /// A database or cache the application needs is not reachable.
        DependencyDown = "dependency_down",
        /// The backend closes idle connections that nginx is about to use again.
        KeepaliveRace = "keepalive_race",
        /// nginx itself has run out of connections, files or memory.
        NginxExhausted = "nginx_exhausted",
        /// nginx's own workers die.
        NginxCrashed = "nginx_crashed",
        /// nginx's configuration is wrong.
        NginxMisconfigured = "nginx_misconfigured",
        /// The backend, or a proxy in front of it, gives the error answer itself.
        UpstreamAnswers502 = "upstream_answers_502",
        /// nginx refuses by `limit_req` or `limit_conn`, as configured.
        RateLimited = "rate_limited",
        /// The error is made in front of this nginx.
        NotThisNginx = "not_this_nginx",
        /// Clients stop waiting for a slow backend.
        ClientGaveUp = "client_gave_up",
        /// None of these explains it.
        Unexplained = "unexplained",
    }
}
