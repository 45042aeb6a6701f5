//! Guides to failures of connecting, and of choosing whom to connect to.

use super::client::ClientSaw;
use super::confirm::{configured, listener, literal, route, service};
use super::subject::{Subject, Target};
use super::{Cause, Guide};

/// The cause behind an address on which nobody listens.
fn nobody_listens(subject: &Subject<'_>) -> Cause {
    if subject.is_fastcgi() { Cause::FpmNotRunning } else { Cause::BackendDown }
}

/// "Start it", and "or is it the wrong address", in that order.
fn start_or_correct(subject: &Subject<'_>) -> Vec<String> {
    let (target, pass) = (subject.target, subject.names.pass());
    let other_end = if subject.is_fastcgi() { "the pool's listen" } else { "the address the backend listens on" };
    vec![
        format!("Start what should listen on {target}, and let systemd restart it when it dies (Restart=on-failure)."),
        format!("If it runs: make {pass} (or the server line of its upstream block) and {other_end} the same."),
    ]
}

pub(super) fn refused(subject: &Subject<'_>) -> Guide {
    let meaning = match subject.target {
        Target::Unix(path) => format!(
            "The socket file {path} is there, but no process listens on it: it was left behind by one that has died."
        ),
        target if target.is_loopback() => format!("Nothing listens on {target}: the connection was refused at once."),
        target => {
            format!("The host of {target} answered that nothing listens there (or a firewall answered in its name).")
        }
    };
    Guide {
        meaning,
        client: subject.error(502),
        caveat: subject.unless_retried(),
        first: Some(nobody_listens(subject)),
        fix: start_or_correct(subject),
        confirm: [listener(subject), service(subject)].concat(),
    }
}

pub(super) fn socket_missing(subject: &Subject<'_>) -> Guide {
    let mut fix = start_or_correct(subject);
    if let Target::Unix(path) = subject.target {
        if path.starts_with("/tmp/") || path.starts_with("/var/tmp/") {
            fix.push(
                "nginx or the backend may have a /tmp of its own (PrivateTmp=yes): move the socket to /run.".into(),
            );
        } else if path.starts_with("/run/") || path.starts_with("/var/run/") {
            fix.push(
                "After a reboot /run is empty: RuntimeDirectory= in the backend's unit creates the folder.".into(),
            );
        }
    }
    Guide {
        meaning: format!(
            "There is no socket file at {}: the backend does not run, creates it elsewhere, or nginx sees another file \
             system (container, chroot).",
            subject.target
        ),
        client: subject.error(502),
        caveat: subject.unless_retried(),
        first: Some(nobody_listens(subject)),
        fix,
        confirm: [listener(subject), service(subject)].concat(),
    }
}

pub(super) fn permission_denied(subject: &Subject<'_>) -> Guide {
    let denials = "ausearch -m AVC -c nginx -ts recent; journalctl -k -g apparmor -n 20".to_owned();
    let (meaning, first, fix, confirm) = match subject.target {
        Target::Unix(path) => {
            let shown = literal(path, "SOCKET");
            let owner = if subject.is_fastcgi() {
                "In the FPM pool set listen.owner and listen.group to nginx's user and group, and listen.mode = 0660."
            } else {
                "Let the backend create its socket with nginx's group and mode 0660 (a umask of 007, chmod-socket = 660)."
            };
            (
                format!(
                    "nginx's worker may not connect to {path}: it needs write permission on the socket and search \
                     permission (x) on every folder above it, and SELinux or AppArmor must agree."
                ),
                Cause::SocketPermission,
                vec![
                    owner.to_owned(),
                    "Give nginx's user the search bit on the first folder that namei shows without it.".to_owned(),
                    "If both are in order, a security module refused it: allow that very denial.".to_owned(),
                ],
                vec![
                    format!("ls -l {shown}"),
                    format!("namei -l {shown}"),
                    "ps -C nginx -o user,group,args".to_owned(),
                    denials,
                ],
            )
        }
        target if subject.errno() == Some(1) => (
            format!("This host's own packet filter forbids the connection to {target} (EPERM)."),
            Cause::FirewallBlocked,
            vec![format!("Allow nginx's user to connect to {target} in the OUTPUT chain.")],
            vec!["nft list ruleset".to_owned(), "iptables -S OUTPUT".to_owned()],
        ),
        target => (
            format!("This host forbids nginx to connect to {target}: SELinux, or a route of type prohibit."),
            Cause::SelinuxDenied,
            vec![
                "Where SELinux denied it: setsebool -P httpd_can_network_connect on, or narrower, label the port \
                 (semanage port -a -t http_port_t -p tcp PORT)."
                    .to_owned(),
            ],
            [vec![denials, "getsebool httpd_can_network_connect".to_owned()], route(subject)].concat(),
        ),
    };
    Guide { meaning, client: subject.error(502), caveat: subject.unless_retried(), first: Some(first), fix, confirm }
}

pub(super) fn backlog_full(subject: &Subject<'_>) -> Guide {
    let (first, mut fix) = if subject.is_fastcgi() {
        (
            Cause::PoolExhausted,
            vec![
                "Find out what keeps the workers: request_slowlog_timeout and slowlog in the pool.".to_owned(),
                "If memory allows, raise pm.max_children.".to_owned(),
                "For short bursts raise the pool's listen.backlog.".to_owned(),
            ],
        )
    } else {
        (
            Cause::BacklogFull,
            vec![
                "Give the backend more workers, or find out what keeps them.".to_owned(),
                "For short bursts raise the backlog of its listening socket.".to_owned(),
            ],
        )
    };
    fix.push(
        "The kernel caps every backlog at net.core.somaxconn: raise that too, and restart the backend.".to_owned(),
    );
    let mut confirm = listener(subject);
    if let Some(queue) = confirm.first_mut() {
        queue.push_str("   # Recv-Q waiting, Send-Q limit");
    }
    confirm.push("sysctl net.core.somaxconn".to_owned());
    Guide {
        meaning: format!(
            "The accept queue of {} is full: connections come faster than the backend's workers take them.",
            subject.target
        ),
        client: subject.error(502),
        caveat: subject.unless_retried(),
        first: Some(first),
        fix,
        confirm,
    }
}

pub(super) fn timeout(subject: &Subject<'_>) -> Guide {
    let (target, directive) = (subject.target, subject.names.connect_timeout());
    // Either nginx's timer fired, or connect() itself returned ETIMEDOUT: for nginx the latter is an error, not a timeout.
    let by_timer = subject.says("timed out (") && !subject.says("connect() ");
    let patience =
        if by_timer { format!("within {directive} (60s unless set)") } else { "until the kernel gave up".to_owned() };
    Guide {
        meaning: format!(
            "{target} did not answer the attempt to connect {patience}: packets are dropped on the way, the host is down, \
             or its accept queue is full."
        ),
        client: subject.error(if by_timer { 504 } else { 502 }),
        caveat: subject.unless_retried(),
        first: Some(Cause::FirewallBlocked),
        fix: vec![
            format!("Open the way to {target} (firewall, security group, network policy) or take the dead server out."),
            format!("Lower {directive} to a few seconds: a longer wait only holds the client."),
        ],
        confirm: [route(subject), listener(subject)].concat(),
    }
}

pub(super) fn unreachable(subject: &Subject<'_>) -> Guide {
    let target = subject.target;
    let why = match subject.errno() {
        Some(100 | 101) => "this host has no route to its network (often an IPv6 address on a host without IPv6)",
        Some(112) => "its host is down",
        _ => "no host answers at that address on its network, or a firewall rejects it as unreachable",
    };
    Guide {
        meaning: format!("{target} cannot be reached: {why}."),
        client: subject.error(502),
        caveat: subject.unless_retried(),
        first: Some(Cause::FirewallBlocked),
        fix: vec![
            "Bring the host or the route back, or take the address out of the upstream group.".to_owned(),
            "Where the name has an AAAA record and the host no IPv6: ipv6=off on the resolver line, or an IPv4 address."
                .to_owned(),
        ],
        confirm: [route(subject), vec!["ip neigh".to_owned()]].concat(),
    }
}

pub(super) fn no_local_port(subject: &Subject<'_>) -> Guide {
    let (target, bind) = (subject.target, subject.names.bind());
    let (meaning, status, mut fix) = if subject.says("bind(") {
        // ngx_event_connect_peer() ends in NGX_ERROR here: an internal error, and no other server is tried.
        (
            format!("The local address of {bind} could not be used for a connection to {target}."),
            500,
            vec![format!("Correct {bind}: the address must be one of this host's own (or be transparent).")],
        )
    } else {
        (
            format!("No local port was left for one more connection to {target}: too many are open or in TIME-WAIT."),
            502,
            vec!["Widen net.ipv4.ip_local_port_range, and set net.ipv4.tcp_tw_reuse = 1.".to_owned()],
        )
    };
    if let Some(keepalive) = subject.names.keepalive() {
        fix.push(format!("Reuse connections: {keepalive}."));
    }
    Guide {
        meaning,
        client: subject.error(status),
        caveat: if status == 502 { subject.unless_retried() } else { subject.subrequest_caveat() },
        first: Some(Cause::NginxExhausted),
        fix,
        confirm: vec![
            "ss -s".to_owned(),
            "sysctl net.ipv4.ip_local_port_range net.ipv4.tcp_tw_reuse".to_owned(),
            "ip -br address".to_owned(),
            configured(&bind),
        ],
    }
}

pub(super) fn reset(subject: &Subject<'_>) -> Guide {
    let local = matches!(subject.target, Target::Unix(_));
    Guide {
        meaning: format!(
            "The connection to {} was torn down while it was being set up, by {}.",
            subject.target,
            if local { "a backend that closed its socket" } else { "the backend's host or something between" }
        ),
        client: subject.error(502),
        caveat: subject.unless_retried(),
        first: Some(if local { nobody_listens(subject) } else { Cause::FirewallBlocked }),
        fix: vec![
            "If it happens at restarts: let the service manager hold the socket, or reload the backend instead."
                .to_owned(),
            "If not: look at what stands between (load balancer, proxy of a mesh, packet filter) and its limits."
                .to_owned(),
        ],
        confirm: [listener(subject), vec!["sysctl net.ipv4.tcp_abort_on_overflow".to_owned()]].concat(),
    }
}

pub(super) fn failed(subject: &Subject<'_>) -> Guide {
    let target = subject.target;
    let (meaning, status) = if subject.says("socket() failed") {
        (format!("nginx could not even create a socket for a connection to {target}."), 500)
    } else {
        let hint = match subject.errno() {
            Some(91) => ": the socket there is of another type (datagram) than the stream nginx needs",
            Some(20 | 36 | 40) => ": the path of the socket leads nowhere",
            Some(97) => ": this host lacks that address family (IPv6 switched off?)",
            _ => "",
        };
        (format!("Connecting to {target} failed{hint}."), 502)
    };
    Guide {
        meaning,
        client: subject.error(status),
        caveat: if status == 502 { subject.unless_retried() } else { subject.subrequest_caveat() },
        first: Some(Cause::AddressMismatch),
        fix: vec![format!(
            "Check what {} names against what the backend really offers; errno(3) explains the number.",
            subject.names.pass()
        )],
        confirm: listener(subject),
    }
}

pub(super) fn no_live_upstreams(subject: &Subject<'_>) -> Guide {
    Guide {
        meaning: format!(
            "nginx had no server left to try in the group {}: each was marked failed (max_fails failures, kept out for \
             fail_timeout, 10s unless set), is set down, or has its max_conns in use. It says nothing of its own about \
             why.",
            subject.target
        ),
        client: subject.error(502),
        caveat: subject.subrequest_caveat(),
        first: Some(Cause::NoLiveUpstreams),
        fix: vec![
            "Mend what the peers' own entries just before this one say: that is the deeper cause.".to_owned(),
            "Only if the peers are healthy and their failures rare: raise max_fails, or max_fails=0 on their server lines."
                .to_owned(),
        ],
        confirm: vec![
            "grep -B50 'no live upstreams' /var/log/nginx/error.log | grep -E 'while (connecting|SSL|sending|reading)'"
                .to_owned(),
            "nginx -T 2>/dev/null | grep -n -A8 '^ *upstream '".to_owned(),
        ],
    }
}

pub(super) fn peer_disabled(subject: &Subject<'_>) -> Guide {
    Guide {
        caveat: Some("the failure that led to it has an entry, a class and a status of its own".to_owned()),
        first: Some(Cause::NoLiveUpstreams),
        fix: vec![
            "Mend what the entry of the same connection (*N) says.".to_owned(),
            "max_fails and fail_timeout on the server line decide how soon and how long.".to_owned(),
        ],
        ..Guide::harmless(
            format!(
                "{} has failed max_fails times within fail_timeout and gets no requests for that long. A companion of \
                 another entry: it is counted on its own, not as one more failure.",
                subject.target
            ),
            ClientSaw::Unaffected,
        )
    }
}
