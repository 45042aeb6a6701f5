//! Guides to exchanges that stopped: the backend was too slow, or went away.

use super::client::ClientSaw;
use super::confirm::{configured, service};
use super::subject::Subject;
use super::{Cause, Guide};

/// What limits a request's time at the backend, in the order in which the limits should fire.
fn order_of_timeouts(subject: &Subject<'_>) -> String {
    let read = subject.names.read_timeout();
    if subject.is_fastcgi() {
        format!(
            "Let the inner limit fire first: max_execution_time < request_terminate_timeout < {read}. (PHP's own limit does \
             not count time in system calls: a hanging database is caught only by the second.)"
        )
    } else {
        format!("Let the inner limit fire first: the application server's own request timeout below {read}.")
    }
}

/// Where the backend says why it ended in the middle of a request.
fn backend_log(subject: &Subject<'_>) -> Vec<String> {
    let mut commands = if subject.is_fastcgi() {
        vec!["grep -E 'exited on signal|terminating|SIG' /var/log/php*fpm*.log".to_owned()]
    } else {
        Vec::new()
    };
    commands.extend(service(subject));
    commands.push("journalctl -k -g 'segfault|Out of memory|oom-kill' -n 20".to_owned());
    commands
}

/// What ends a backend's process, or its connection, in the middle of a request.
fn why_it_ended(subject: &Subject<'_>) -> Vec<String> {
    if subject.is_fastcgi() {
        return vec![
            "Look into FPM's log at that second: exited on signal 11 is a crash (extension, opcache), on signal 9 mostly \
             the OOM killer, terminating is request_terminate_timeout."
                .to_owned(),
            "A crash: update or disable the extension, and take a core dump (rlimit_core = unlimited in the pool).".to_owned(),
            order_of_timeouts(subject),
        ];
    }
    let mut fix =
        vec!["Look into the backend's own log at that second: crash, restart, deploy, memory limit.".to_owned()];
    if subject.names.keepalive().is_some() {
        fix.push(
            "If the backend is healthy and nginx reuses its connections: keepalive_timeout in the upstream block must be \
             shorter than the backend's idle timeout."
                .to_owned(),
        );
    }
    fix
}

fn ended(subject: &Subject<'_>, how: &str, in_body: bool) -> Guide {
    let target = subject.target;
    let (meaning, client, caveat) = if in_body {
        (
            format!("{target} {how} in the middle of the response body."),
            subject.cut_short(),
            subject.subrequest_caveat(),
        )
    } else {
        (
            format!("{target} took the request and {how} before its response header was complete."),
            subject.error(502),
            // gRPC and unbuffered FastCGI say "reading response header" while they read the first body bytes, too.
            subject.unless_retried(),
        )
    };
    Guide {
        meaning,
        client,
        caveat,
        first: Some(Cause::WorkerCrash),
        fix: why_it_ended(subject),
        confirm: backend_log(subject),
    }
}

pub(super) fn closed_before_header(subject: &Subject<'_>) -> Guide {
    // These words stand in the body filters only; unbuffered, they come with the phase before (ngx_http_fastcgi_module.c).
    ended(subject, "closed the connection", subject.says("closed FastCGI request"))
}

pub(super) fn closed_in_body(subject: &Subject<'_>) -> Guide {
    ended(subject, "closed the connection", true)
}

pub(super) fn reset_before_header(subject: &Subject<'_>) -> Guide {
    ended(subject, "reset the connection", false)
}

pub(super) fn reset_in_body(subject: &Subject<'_>) -> Guide {
    ended(subject, "reset the connection", true)
}

/// A timer of nginx that ran out while the backend had the request.
fn too_slow(subject: &Subject<'_>, meaning: String, directive: &str, client: ClientSaw) -> Guide {
    let mut confirm = vec![configured(directive)];
    confirm.extend(service(subject));
    let slow_requests = if subject.is_fastcgi() {
        "Find the slow script: request_slowlog_timeout = 5s and slowlog in the pool."
    } else {
        "Find the slow requests: $upstream_response_time in the access log, then the backend's own traces."
    };
    Guide {
        meaning,
        client,
        caveat: if client == ClientSaw::Status(504) { subject.unless_retried() } else { subject.subrequest_caveat() },
        first: Some(Cause::BackendSlow),
        fix: vec![
            slow_requests.to_owned(),
            order_of_timeouts(subject),
            format!("Raise {directive} only in the location of requests that are slow by design."),
        ],
        confirm,
    }
}

pub(super) fn send_timeout(subject: &Subject<'_>) -> Guide {
    let directive = subject.names.send_timeout();
    let meaning = format!(
        "{} did not take any more of the request for {directive} ({} unless set): it does not read.",
        subject.target,
        subject.names.exchange_timeout_default()
    );
    too_slow(subject, meaning, &directive, subject.error(504))
}

pub(super) fn read_header_timeout(subject: &Subject<'_>) -> Guide {
    let directive = subject.names.read_timeout();
    let meaning = format!(
        "{} has the request, but sent nothing for {directive} ({} unless set). It may still be working on it, for nobody.",
        subject.target,
        subject.names.exchange_timeout_default()
    );
    too_slow(subject, meaning, &directive, subject.error(504))
}

pub(super) fn read_body_timeout(subject: &Subject<'_>) -> Guide {
    let directive = subject.names.read_timeout();
    let meaning = format!(
        "{} began its response and then sent nothing for {directive} ({} unless set).",
        subject.target,
        subject.names.exchange_timeout_default()
    );
    too_slow(subject, meaning, &directive, subject.cut_short())
}

pub(super) fn send_failed(subject: &Subject<'_>) -> Guide {
    let mut fix = vec![
        "A body the backend refuses to read to its end: raise its limit, or set client_max_body_size below it so that \
         nginx answers 413."
            .to_owned(),
    ];
    fix.extend(why_it_ended(subject));
    Guide {
        meaning: format!(
            "{} closed or reset the connection while nginx was still sending the request.",
            subject.target
        ),
        client: subject.error(502),
        caveat: subject.unless_retried(),
        first: Some(if subject.is_http() { Cause::KeepaliveRace } else { Cause::WorkerCrash }),
        fix,
        confirm: [backend_log(subject), vec![configured("client_max_body_size")]].concat(),
    }
}
