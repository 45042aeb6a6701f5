//! Guides to failures of finding an address to connect to: names, and what variables made of them.

use super::confirm::{configured, literal};
use super::subject::Subject;
use super::{Cause, Guide};

pub(super) fn dns_not_resolved(subject: &Subject<'_>) -> Guide {
    let why = if subject.says("(3:") {
        "the name does not exist (NXDOMAIN)"
    } else if subject.says("(110:") || subject.says("(60:") {
        "the DNS server did not answer in time (resolver_timeout, 30s unless set)"
    } else if subject.says("(2:") {
        "the DNS server could not find out (SERVFAIL)"
    } else if subject.says("(5:") {
        "the DNS server refuses to answer this host (REFUSED)"
    } else {
        "the DNS server gave an answer nginx cannot use"
    };
    let message = subject.message();
    let name = message.split_once(" could not be resolved").map_or("", |(name, _)| name);
    Guide {
        meaning: format!(
            "nginx looks this upstream's name up while it runs, and {why}. It asks only the servers of its resolver line, \
             never /etc/hosts."
        ),
        client: subject.error(502),
        caveat: subject.subrequest_caveat(),
        first: Some(Cause::DnsFailure),
        fix: vec![
            format!("Correct the name in {}, or bring its record back.", subject.names.pass()),
            "Point the resolver line to a server that answers: resolver 127.0.0.53 valid=30s ipv6=off;".to_owned(),
        ],
        confirm: vec![
            format!("dig {} @RESOLVER", literal(name, "NAME")),
            format!("getent ahosts {}   # what the rest of the host sees", literal(name, "NAME")),
            configured("resolver"),
        ],
    }
}

pub(super) fn dns_no_resolver(subject: &Subject<'_>) -> Guide {
    let pass = subject.names.pass();
    Guide {
        meaning: format!(
            "{pass} has a variable in it, so the name must be looked up for each request, and no resolver is configured."
        ),
        client: subject.error(502),
        caveat: subject.subrequest_caveat(),
        first: Some(Cause::DnsFailure),
        fix: vec![
            "Add the host's DNS server to the http block: resolver 127.0.0.53 valid=30s;".to_owned(),
            format!("Or name an upstream block in {pass}: nginx finds that by name without asking DNS."),
        ],
        confirm: vec![configured("resolver"), configured(&pass), "resolvectl dns".to_owned()],
    }
}

pub(super) fn address_invalid(subject: &Subject<'_>) -> Guide {
    let pass = subject.names.pass();
    let wrong = if subject.says("invalid port") || subject.says("no port") {
        "its port is missing or no port number"
    } else if subject.says("no host") {
        "its host is missing"
    } else if subject.says("invalid URL prefix") {
        "it does not begin with the scheme"
    } else {
        "it is none"
    };
    Guide {
        meaning: format!("What the variable in {pass} became is no address: {wrong}."),
        client: subject.error(500),
        caveat: subject.subrequest_caveat(),
        first: Some(Cause::NginxMisconfigured),
        fix: vec![
            format!("Give the variable in {pass} a value on every path (the default of its map), scheme and port included."),
            "If a client's header or argument ends up in it, map it to known addresses: it decides where nginx connects."
                .to_owned(),
        ],
        confirm: vec![configured(&pass), "nginx -T 2>/dev/null | grep -nE '^ *(map|set) '".to_owned()],
    }
}
