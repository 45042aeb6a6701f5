//! Guides to failures while request and response were exchanged.

use super::client::ClientSaw;
use super::confirm::{configured, literal, service};
use super::subject::{Subject, Target};
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

pub(super) fn header_too_big(subject: &Subject<'_>) -> Guide {
    let size = subject.names.buffer_size();
    let mut confirm = Vec::new();
    if let (Target::Tcp(host, port), true) = (subject.target, subject.is_http()) {
        let host = literal(host, "HOST");
        confirm.push(format!("curl -s -m 10 -o /dev/null -D - 'http://{host}:{port}/PATH' | wc -c"));
    }
    confirm.push(configured(&size));
    Guide {
        meaning: format!(
            "The response header of {} is larger than {size} (one memory page, 4k or 8k, unless set).",
            subject.target
        ),
        client: subject.error(502),
        caveat: subject.subrequest_caveat(),
        first: Some(Cause::HeaderTooBig),
        fix: vec![
            format!("In that location: {}", subject.names.larger_header_buffer()),
            "Or make it smaller: many or large Set-Cookie lines, debug headers, long Content-Security-Policy."
                .to_owned(),
        ],
        confirm,
    }
}

pub(super) fn header_invalid(subject: &Subject<'_>) -> Guide {
    let (target, pass) = (subject.target, subject.names.pass());
    if subject.says("ignored") {
        return Guide {
            caveat: None,
            fix: vec!["Let the application send that header once.".to_owned()],
            ..Guide::harmless(
                format!("{target} sent a header line twice; nginx kept the first and went on."),
                ClientSaw::Unaffected,
            )
        };
    }
    // ngx_http_proxy_process_status_line() takes such a response for HTTP/0.9 and passes its bytes on.
    let as_http_09 = subject.says("no valid HTTP/1.0 header");
    Guide {
        meaning: if as_http_09 {
            format!(
                "The answer of {target} does not begin with an HTTP status line. nginx takes it for HTTP/0.9 and passes the \
                 bytes on as they are."
            )
        } else {
            format!("The answer of {target} does not begin with a header that is valid in the protocol of {pass}.")
        },
        client: if as_http_09 { ClientSaw::Unknown } else { subject.error(502) },
        caveat: if as_http_09 {
            Some("the access log shows status 009, and browsers refuse such a response".to_owned())
        } else {
            subject.subrequest_caveat()
        },
        first: Some(Cause::ResponseMalformed),
        fix: vec![
            format!(
                "Check that {pass} fits the port: HTTP spoken to a FastCGI or TLS port (or the other way round) looks like \
                 this."
            ),
            "If the protocol is right, the application writes something in front of its header, or a header line without \
             a colon or with a control character."
                .to_owned(),
        ],
        confirm: speak_to(subject),
    }
}

/// See the answer with one's own eyes, where a tool for that protocol is at hand.
fn speak_to(subject: &Subject<'_>) -> Vec<String> {
    let mut commands = vec![configured(&subject.names.pass())];
    if let (Target::Tcp(host, port), true) = (subject.target, subject.is_http()) {
        let host = literal(host, "HOST");
        commands.insert(0, format!("curl -s -m 10 --http0.9 -i 'http://{host}:{port}/PATH' | head -c 300 | cat -A"));
    }
    commands
}

pub(super) fn response_invalid(subject: &Subject<'_>) -> Guide {
    let target = subject.target;
    if subject.says("more data than specified") {
        return Guide {
            first: Some(Cause::ResponseMalformed),
            fix: vec!["Let the application send a Content-Length that fits the body, or none.".to_owned()],
            confirm: speak_to(subject),
            ..Guide::harmless(
                format!("{target} sent more body than its Content-Length announced; nginx dropped the rest."),
                ClientSaw::Unaffected,
            )
        };
    }
    Guide {
        meaning: format!("{target} broke the framing of its protocol (chunks, records or frames)."),
        // memcached's trailer follows the body, whatever the phase says.
        client: if subject.in_body() || subject.says("invalid trailer") {
            subject.cut_short()
        } else {
            subject.error(502)
        },
        caveat: subject.subrequest_caveat(),
        first: Some(Cause::ResponseMalformed),
        fix: vec![
            format!("Check that {} names the protocol that port speaks.", subject.names.pass()),
            "If it does, the backend or something between mangles the response: update it, and capture one (tcpdump)."
                .to_owned(),
        ],
        confirm: speak_to(subject),
    }
}

pub(super) fn stream_refused(subject: &Subject<'_>) -> Guide {
    let goaway = subject.says("goaway");
    let meaning = if goaway {
        format!("{} told nginx that it is closing this HTTP/2 connection (GOAWAY) with an error.", subject.target)
    } else {
        format!(
            "{} refused or reset the request's HTTP/2 stream; the number is HTTP/2's error code (2 internal error, 7 \
             refused, 8 cancelled, 11 too much).",
            subject.target
        )
    };
    Guide {
        meaning,
        client: if subject.in_body() { subject.cut_short() } else { subject.error(502) },
        caveat: subject.unless_retried(),
        first: Some(if goaway { Cause::KeepaliveRace } else { Cause::UpstreamAnswers502 }),
        fix: vec![
            "Look into the backend's own log at that second: it says why it refused.".to_owned(),
            "A refusal under load is its limit of concurrent streams or connection age: raise it there.".to_owned(),
        ],
        confirm: service(subject),
    }
}

pub(super) fn auth_unexpected(subject: &Subject<'_>) -> Guide {
    Guide {
        meaning: format!(
            "The backend of auth_request ({}) gave no verdict: its answer was neither 2xx nor 401 nor 403.",
            subject.target
        ),
        client: subject.error(500),
        caveat: Some("a 502 or 504 of the auth backend ends as 500, too".to_owned()),
        first: Some(Cause::UpstreamAnswers502),
        fix: vec![
            "Mend the auth backend: its own entry stands just before this one if nginx could not reach it.".to_owned(),
            "If it answers with a redirect, let it answer 401 and turn that into the redirect with error_page 401."
                .to_owned(),
        ],
        confirm: vec![configured("auth_request")],
    }
}

pub(super) fn other(subject: &Subject<'_>) -> Guide {
    Guide {
        meaning: format!(
            "Something failed with {} in use that fits no class of ours: {}.",
            subject.target,
            subject.message()
        ),
        client: ClientSaw::Unknown,
        caveat: None,
        first: Some(Cause::Unexplained),
        fix: Vec::new(),
        confirm: service(subject),
    }
}
