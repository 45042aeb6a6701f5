//! Guides to responses that came and cannot be used.

use super::client::ClientSaw;
use super::confirm::{configured, literal, service};
use super::subject::{Subject, Target};
use super::{Cause, Guide};

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
