//! Guides to failures inside nginx or its host.

use super::client::ClientSaw;
use super::confirm::configured;
use super::subject::Subject;
use super::{Cause, Guide};
use crate::observation::LocalClass;

pub(super) fn guide(class: LocalClass, subject: &Subject<'_>) -> Guide {
    match class {
        LocalClass::WorkerConnectionsExhausted => worker_connections(subject),
        LocalClass::FilesExhausted => files(subject),
        LocalClass::MemoryExhausted => memory(),
        LocalClass::TempFileNoSpace => temp_file(
            subject,
            "no space is left on its file system (blocks, inodes or quota)",
            Cause::DiskFull,
            &["Make room on that file system, or move the *_temp_path directives to a larger one."],
        ),
        LocalClass::TempFileDenied => temp_file(
            subject,
            "nginx's worker may not write there",
            Cause::NginxMisconfigured,
            &[
                "Give the folder of the *_temp_path in the message to nginx's user, mode 0700 (packages create it so).",
                "If owner and mode are right: SELinux, AppArmor, or a read-only mount (ProtectSystem= in the unit).",
            ],
        ),
        LocalClass::LogNoSpace => log_no_space(),
        LocalClass::ResponseBufferedToDisk => buffered(subject, true),
        LocalClass::RequestBufferedToDisk => buffered(subject, false),
        LocalClass::RateLimited => rate_limited(subject),
        LocalClass::ConnectionsLimited => connections_limited(subject),
        LocalClass::WorkerCrashed => worker_crashed(),
        LocalClass::WorkerKilled => worker_killed(),
        LocalClass::ResolverUnreachable => resolver_unreachable(),
        LocalClass::ConfigInvalid => config_invalid(),
        LocalClass::BindFailed => bind_failed(),
        LocalClass::SharedMemoryExhausted => shared_memory(subject),
        LocalClass::FileDescriptorLimitLow => descriptor_limit(),
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

/// What is left of a request when a resource of nginx runs out: inside a request it is a 500, before one the client is
/// not even let in.
fn refused_by_nginx(subject: &Subject<'_>) -> ClientSaw {
    if subject.has_upstream() { subject.error(500) } else { ClientSaw::Nothing }
}

fn worker_connections(subject: &Subject<'_>) -> Guide {
    let reused = subject.says("reusing connections");
    Guide {
        meaning:
            "A worker has no connection slot left. One proxied request takes two: to the client and to the upstream."
                .to_owned(),
        client: if reused { ClientSaw::Unaffected } else { refused_by_nginx(subject) },
        caveat: reused.then(|| "nginx closed idle keep-alive connections to make room".to_owned()),
        first: Some(Cause::NginxExhausted),
        fix: owned(&[
            "Raise worker_connections in the events block, and worker_rlimit_nofile to at least twice of it.",
            "If slow upstreams hold the connections, mend those first.",
        ]),
        confirm: vec![configured("worker_connections"), "ss -s".to_owned(), "ss -tnp | grep -c '\"nginx\"'".to_owned()],
    }
}

fn files(subject: &Subject<'_>) -> Guide {
    let (whose, limit) = if subject.errno() == Some(23) {
        ("The host has no file descriptor left", "Raise fs.file-max.")
    } else {
        (
            "An nginx process has used up its limit on file descriptors",
            "Raise worker_rlimit_nofile (or LimitNOFILE= in the unit) to more than twice worker_connections.",
        )
    };
    Guide {
        meaning: format!("{whose}: sockets and files alike count."),
        client: refused_by_nginx(subject),
        caveat: (!subject.has_upstream()).then(|| {
            "a connection that could not be accepted waits; a file that could not be opened is a 500".to_owned()
        }),
        first: Some(Cause::NginxExhausted),
        fix: owned(&[limit]),
        confirm: vec![
            "grep 'open files' /proc/$(pgrep -o -f 'nginx: worker')/limits".to_owned(),
            "ls /proc/$(pgrep -o -f 'nginx: worker')/fd | wc -l".to_owned(),
            "sysctl fs.file-nr".to_owned(),
            configured("worker_rlimit_nofile"),
        ],
    }
}

fn memory() -> Guide {
    Guide {
        meaning: "nginx asked the kernel for memory and got none: a limit of its control group or unit, or strict \
                  overcommit, and rarely memory that is really used up."
            .to_owned(),
        client: ClientSaw::Status(500),
        caveat: Some("or no response, where the connection itself needed the memory".to_owned()),
        first: Some(Cause::NginxExhausted),
        fix: owned(&[
            "Find who holds the memory; raise MemoryMax= of nginx's unit if that is the limit.",
            "Large buffers times many connections add up: *_buffers, *_buffer_size, keys_zone sizes.",
        ]),
        confirm: owned(&["free -m", "systemctl show nginx -p MemoryCurrent,MemoryMax", "sysctl vm.overcommit_memory"]),
    }
}

fn temp_file(subject: &Subject<'_>, why: &str, first: Cause, fix: &[&str]) -> Guide {
    let (what, client) = if subject.has_upstream() {
        ("an upstream's response", subject.cut_short())
    } else {
        ("a request body (or a cached file)", ClientSaw::Status(500))
    };
    Guide {
        meaning: format!("nginx could not write {what} to a temporary file: {why}."),
        client,
        caveat: None,
        first: Some(first),
        fix: owned(fix),
        confirm: vec![
            "df -h; df -i".to_owned(),
            "namei -l /var/lib/nginx /var/cache/nginx".to_owned(),
            configured("*_temp_path"),
        ],
    }
}

fn log_no_space() -> Guide {
    Guide {
        meaning:
            "nginx could not write to one of its logs: the file system is full. It goes on serving, and drops lines \
                  for the rest of that second."
                .to_owned(),
        client: ClientSaw::Unaffected,
        caveat: Some("what else writes to that file system fails, too; and logs after this have gaps".to_owned()),
        first: Some(Cause::DiskFull),
        fix: owned(&[
            "Make room, then see that the logs are rotated (logrotate) and that rotation reaches nginx (USR1).",
        ]),
        confirm: owned(&["df -h /var/log; df -i /var/log", "du -xsh /var/log/*"]),
    }
}

fn buffered(subject: &Subject<'_>, response: bool) -> Guide {
    let names = subject.names;
    let (meaning, fix) = if response {
        (
            format!(
                "A response of {} came faster than the client took it and outgrew the memory buffers; nginx wrote the rest \
                 to a temporary file. A hint, no failure.",
                subject.target
            ),
            format!("If it costs disk time: more or larger buffers ({}).", names.larger_header_buffer()),
        )
    } else {
        (
            "A request body did not fit into client_body_buffer_size; nginx wrote it to a temporary file. A hint, no failure."
                .to_owned(),
            "If it costs disk time: a larger client_body_buffer_size in that location.".to_owned(),
        )
    };
    Guide { fix: vec![fix], ..Guide::harmless(meaning, ClientSaw::Unaffected) }
}

fn rate_limited(subject: &Subject<'_>) -> Guide {
    let (meaning, client) = if subject.says("dry run") {
        ("limit_req would have held this request back; limit_req_dry_run is on.", ClientSaw::Unaffected)
    } else if subject.says("delaying") {
        ("limit_req held this request back for a moment, as configured.", ClientSaw::Unaffected)
    } else {
        (
            "limit_req refused this request, as configured: more came for that key than rate and burst allow.",
            ClientSaw::Status(503),
        )
    };
    Guide {
        meaning: meaning.to_owned(),
        client,
        caveat: (client == ClientSaw::Status(503)).then(|| "or what limit_req_status says".to_owned()),
        first: Some(Cause::RateLimited),
        fix: owned(&[
            "If the clients are real: raise rate in limit_req_zone, or burst (with nodelay) in limit_req.",
            "Behind a proxy or CDN every client has one address: set_real_ip_from and real_ip_header first.",
        ]),
        confirm: vec![configured("limit_req"), configured("limit_req_zone")],
    }
}

fn connections_limited(subject: &Subject<'_>) -> Guide {
    let dry_run = subject.says("dry run");
    Guide {
        meaning: "limit_conn found more connections for that key than configured.".to_owned(),
        client: if dry_run { ClientSaw::Unaffected } else { subject.error(503) },
        caveat: (!dry_run).then(|| "or what limit_conn_status says".to_owned()),
        first: Some(Cause::RateLimited),
        fix: owned(&[
            "If the clients are real: raise limit_conn. HTTP/2 and HTTP/3 count each parallel request.",
            "Behind a proxy or CDN every client has one address: set_real_ip_from and real_ip_header first.",
        ]),
        confirm: vec![configured("limit_conn"), configured("limit_conn_zone")],
    }
}

fn worker_crashed() -> Guide {
    Guide {
        meaning: "A process of nginx died of a signal. The master starts a new one; what the dead one served is lost."
            .to_owned(),
        client: ClientSaw::Nothing,
        caveat: Some("every connection of that worker was cut".to_owned()),
        first: Some(Cause::NginxCrashed),
        fix: owned(&[
            "Suspect third-party modules first: take them out one by one, or rebuild them for this very version.",
            "Take a core dump: worker_rlimit_core and working_directory, or coredumpctl.",
        ]),
        confirm: owned(&["coredumpctl list nginx", "journalctl -k -g segfault -n 20", "nginx -V"]),
    }
}

fn worker_killed() -> Guide {
    Guide {
        meaning: "A process of nginx was killed by SIGKILL: the kernel for want of memory, or somebody by hand."
            .to_owned(),
        first: Some(Cause::OomKilled),
        fix: owned(&[
            "If it was the OOM killer: find who used the memory, and bound it there (MemoryMax=, pm.max_children).",
            "If it was a service manager whose patience ended: worker_shutdown_timeout lets old workers end in time.",
        ]),
        confirm: owned(&["journalctl -k -g 'oom-kill|Out of memory|Killed process' -n 20", "free -m"]),
        ..worker_crashed()
    }
}

fn resolver_unreachable() -> Guide {
    Guide {
        meaning: "The DNS server of the resolver line cannot be asked, or answers with an error.".to_owned(),
        client: ClientSaw::Unknown,
        caveat: Some("requests whose upstream's name is not in nginx's DNS cache get 502".to_owned()),
        first: Some(Cause::DnsFailure),
        fix: owned(&[
            "Name a DNS server that answers this host on the resolver line; several are asked in turn.",
            "In a container 127.0.0.53 is the container itself: take the address in its /etc/resolv.conf.",
        ]),
        confirm: vec![configured("resolver"), "ss -lun 'sport = :53'".to_owned(), "resolvectl dns".to_owned()],
    }
}

fn config_invalid() -> Guide {
    Guide {
        meaning:
            "nginx refused its configuration. At a reload the old workers go on with the old one; at a start nginx \
                  does not come up."
                .to_owned(),
        client: ClientSaw::Unknown,
        caveat: Some("after a failed reload nothing changes; after a failed start nobody listens".to_owned()),
        first: Some(Cause::NginxMisconfigured),
        fix: owned(&["Correct the file and line the message names; test before each reload."]),
        confirm: owned(&["nginx -t", "systemctl status nginx"]),
    }
}

fn bind_failed() -> Guide {
    Guide {
        meaning:
            "nginx cannot listen on that address: another process does already, the address is not this host's, or \
                  nginx may not use it."
                .to_owned(),
        client: ClientSaw::Unknown,
        caveat: Some("after a failed reload nothing changes; after a failed start nobody listens".to_owned()),
        first: Some(Cause::NginxMisconfigured),
        fix: owned(&[
            "In use (98): stop the other process, often a second nginx or Apache.",
            "Not this host's (99): correct the listen line, or start nginx after the network is up (network-online.target).",
            "Not permitted (13): ports below 1024 need CAP_NET_BIND_SERVICE; SELinux has its own list of ports.",
        ]),
        confirm: owned(&["ss -ltnp", "ip -br address", "nginx -t"]),
    }
}

fn shared_memory(subject: &Subject<'_>) -> Guide {
    let refuses = subject.says("could not allocate node");
    Guide {
        meaning: "A shared memory zone (cache keys, limits, sessions, an upstream's zone) has no room left.".to_owned(),
        client: if refuses { ClientSaw::Status(503) } else { ClientSaw::Unknown },
        caveat: Some(
            "limit_req and limit_conn refuse with 503 when their zone is full; caches only stop caching".to_owned(),
        ),
        first: Some(Cause::NginxExhausted),
        fix: owned(&[
            "Raise the size of the zone the message names: keys_zone, limit_req_zone, limit_conn_zone, ssl_session_cache \
             or zone.",
        ]),
        confirm: owned(&["nginx -T 2>/dev/null | grep -nE 'keys_zone|_zone |ssl_session_cache|^ *zone '"]),
    }
}

fn descriptor_limit() -> Guide {
    Guide {
        meaning:
            "worker_connections are more than the file descriptors a worker may open: it will run out of these first."
                .to_owned(),
        client: ClientSaw::Unaffected,
        caveat: Some("until that many connections are open".to_owned()),
        first: Some(Cause::NginxExhausted),
        fix: owned(&["Set worker_rlimit_nofile to at least twice worker_connections."]),
        confirm: vec![configured("worker_connections"), configured("worker_rlimit_nofile")],
    }
}
