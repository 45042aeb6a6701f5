//! Addresses of peers, as `ngx_parse_url` reads them and `ngx_sock_ntop` writes them (`src/core/ngx_inet.c`): what is
//! made here has to be spelt as the error log spells it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::observation::Protocol;
use crate::observation::nginx::Host;

/// An address, and whether a port was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: Host,
    /// The host without the port, as written: the name an `upstream {}` would have.
    pub(super) name: Arc<str>,
    pub(super) has_port: bool,
}

impl Address {
    /// As the error log has it.
    pub(super) fn label(&self) -> Arc<str> {
        label(&self.host)
    }
}

/// The label `peer`.
pub(super) fn label(host: &Host) -> Arc<str> {
    match host {
        Host::Unix(path) => format!("unix:{path}").into(),
        Host::Ip(address) => {
            let text = address.to_string();
            text.into()
        }
        Host::Name { name, port: 0 } => Arc::clone(name),
        Host::Name { name, port } => format!("{name}:{port}").into(),
    }
}

/// Reads an address. `default_port` is what nginx assumes; `with_uri`: whether a URI may follow.
///
/// # Errors
/// nginx's words.
pub(super) fn parse(text: &[u8], default_port: Option<u16>, with_uri: bool) -> Result<Address, &'static str> {
    if let Some((scheme, path)) = text.split_at_checked(5)
        && scheme.eq_ignore_ascii_case(b"unix:")
    {
        let path = if with_uri { path.split(|byte| *byte == b':').next().unwrap_or_default() } else { path };
        return unix(path);
    }
    let (authority, has_uri) = match memchr::memchr2(b'/', b'?', text) {
        Some(at) => (text.get(..at).unwrap_or_default(), true),
        None => (text, false),
    };
    if has_uri && !with_uri {
        return Err("invalid host");
    }
    let (name, port) = match authority.strip_prefix(b"[") {
        Some(inner) => {
            let end = memchr::memchr(b']', inner).ok_or("invalid host")?;
            let (host, after) = authority.split_at_checked(end + 2).ok_or("invalid host")?;
            match after.split_first() {
                None => (host, None),
                Some((b':', port)) => (host, Some(port)),
                Some(_) => return Err("invalid host"),
            }
        }
        None => match memchr::memchr(b':', authority) {
            Some(colon) => (authority.get(..colon).unwrap_or_default(), authority.get(colon + 1..)),
            None => (authority, None),
        },
    };
    let written_port = match port {
        Some(port) => Some(
            super::units::number(port)
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port > 0)
                .ok_or("invalid port")?,
        ),
        None => None,
    };
    if name.is_empty() {
        return Err("no host");
    }
    // 0 stands for none: an `upstream {}` of that name has its own.
    let port = written_port.or(default_port).unwrap_or(0);
    let host = match ip(name)? {
        Some(ip) => Host::Ip(SocketAddr::new(ip, port)),
        None => Host::Name { name: String::from_utf8_lossy(name).into(), port },
    };
    Ok(Address { host, name: String::from_utf8_lossy(name).into(), has_port: written_port.is_some() })
}

fn unix(path: &[u8]) -> Result<Address, &'static str> {
    /// `sizeof(sun_path)`, its NUL included.
    const MAX_PATH: usize = 108;
    if path.is_empty() {
        return Err("no path in the unix domain socket");
    }
    if path.len() >= MAX_PATH {
        return Err("too long path in the unix domain socket");
    }
    // `unix:///run/a.sock` names the same file, and is spelt with one slash where log entries are read.
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    let path: Arc<str> = String::from_utf8_lossy(path.get(slashes.saturating_sub(1)..).unwrap_or(path)).into();
    Ok(Address { host: Host::Unix(Arc::clone(&path)), name: path, has_port: false })
}

fn ip(name: &[u8]) -> Result<Option<IpAddr>, &'static str> {
    if let Some(inner) = name.strip_prefix(b"[") {
        let inner = inner.strip_suffix(b"]").and_then(|text| std::str::from_utf8(text).ok());
        let address: Ipv6Addr = inner.and_then(|text| text.parse().ok()).ok_or("invalid IPv6 address")?;
        return Ok(Some(address.into()));
    }
    Ok(ipv4(name).map(IpAddr::V4))
}

/// Four decimal numbers. Unlike elsewhere a leading zero does not make one octal.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        *octet = u8::try_from(super::units::number(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// A module's `*_pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Module {
    /// What its directives begin with: `proxy`.
    pub(super) prefix: &'static str,
    /// What it speaks when no scheme says more.
    pub(super) protocol: Protocol,
    /// Schemes before the address, what they mean, and the port they imply.
    pub(super) schemes: &'static [(&'static str, Protocol, Option<u16>)],
    /// Whether there has to be a scheme.
    pub(super) needs_scheme: bool,
}

/// The modules of `http {}`.
pub(super) const HTTP_MODULES: &[Module] = &[
    Module {
        prefix: "proxy",
        protocol: Protocol::Http,
        schemes: &[("http://", Protocol::Http, Some(80)), ("https://", Protocol::Https, Some(443))],
        needs_scheme: true,
    },
    Module { prefix: "fastcgi", protocol: Protocol::FastCgi, schemes: &[], needs_scheme: false },
    Module {
        prefix: "uwsgi",
        protocol: Protocol::Uwsgi,
        schemes: &[("uwsgi://", Protocol::Uwsgi, None), ("suwsgi://", Protocol::Suwsgi, None)],
        needs_scheme: false,
    },
    Module { prefix: "scgi", protocol: Protocol::Scgi, schemes: &[], needs_scheme: false },
    Module {
        prefix: "grpc",
        protocol: Protocol::Grpc,
        schemes: &[("grpc://", Protocol::Grpc, None), ("grpcs://", Protocol::Grpcs, None)],
        needs_scheme: false,
    },
    Module { prefix: "memcached", protocol: Protocol::Memcached, schemes: &[], needs_scheme: false },
];

/// The one of `stream {}`.
pub(super) const STREAM_MODULE: Module =
    Module { prefix: "proxy", protocol: Protocol::Stream, schemes: &[], needs_scheme: false };

impl Module {
    /// The part of a pass's argument that says where it leads: without the URI behind it, which may consist of what only
    /// a request tells.
    pub(super) fn without_uri<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let start = match memchr::memmem::find(text, b"://") {
            Some(at) if self.needs_scheme => at + 3,
            _ => return text,
        };
        let rest = text.get(start..).unwrap_or_default();
        let end = match rest.get(..5) {
            Some(unix) if unix.eq_ignore_ascii_case(b"unix:") => {
                memchr::memchr(b':', rest.get(5..).unwrap_or_default()).map(|colon| colon + 5)
            }
            _ => memchr::memchr2(b'/', b'?', rest),
        };
        end.and_then(|end| text.get(..start + end)).unwrap_or(text)
    }

    /// Takes a pass's argument apart: what is spoken, and where.
    ///
    /// # Errors
    /// nginx's words.
    pub(super) fn parse(&self, text: &[u8]) -> Result<(Protocol, Address), &'static str> {
        let with_uri = self.needs_scheme;
        for (scheme, protocol, port) in self.schemes {
            if let Some((start, address)) = text.split_at_checked(scheme.len())
                && start.eq_ignore_ascii_case(scheme.as_bytes())
            {
                return Ok((*protocol, parse(address, *port, with_uri)?));
            }
        }
        if self.needs_scheme {
            return Err("invalid URL prefix");
        }
        Ok((self.protocol, parse(text, None, with_uri)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn module(prefix: &str) -> Module {
        *HTTP_MODULES.iter().find(|module| module.prefix == prefix).unwrap()
    }

    #[test]
    fn peers_are_spelt_as_in_the_error_log() {
        for (prefix, text, expected) in [
            ("proxy", "http://127.0.0.1:8080/a?b", "http 127.0.0.1:8080"),
            ("proxy", "HTTP://127.0.0.1", "http 127.0.0.1:80"),
            ("proxy", "https://[2001:DB8:0:0::1]/x", "https [2001:db8::1]:443"),
            ("proxy", "http://[::1]:8080", "http [::1]:8080"),
            ("proxy", "http://010.0.0.1:81?x=/", "http 10.0.0.1:81"),
            ("proxy", "http://unix:/run/app.sock:/uri", "http unix:/run/app.sock"),
            ("proxy", "http://unix:///run/app.sock", "http unix:/run/app.sock"),
            ("proxy", "http://backend/uri", "http backend:80"),
            ("proxy", "https://app.example:8443", "https app.example:8443"),
            ("fastcgi", "unix:/run/php/php8.2-fpm.sock", "fastcgi unix:/run/php/php8.2-fpm.sock"),
            ("fastcgi", "127.0.0.1:9000", "fastcgi 127.0.0.1:9000"),
            ("fastcgi", "php", "fastcgi php"),
            ("uwsgi", "suwsgi://127.0.0.1:3031", "suwsgi 127.0.0.1:3031"),
            ("uwsgi", "127.0.0.1:3031", "uwsgi 127.0.0.1:3031"),
            ("grpc", "grpcs://a:443", "grpcs a:443"),
            ("grpc", "a:50051", "grpc a:50051"),
            ("memcached", "localhost:11211", "memcached localhost:11211"),
            ("scgi", "1.2.3:80", "scgi 1.2.3:80"),
        ] {
            let (protocol, address) = module(prefix).parse(text.as_bytes()).unwrap();
            assert_eq!(format!("{protocol} {}", address.label()), expected, "{text}");
        }
    }

    #[test]
    fn what_nginx_refuses_is_refused() {
        for (prefix, text, words) in [
            ("proxy", "127.0.0.1:80", "invalid URL prefix"),
            ("proxy", "http://", "no host"),
            ("proxy", "http://a:0", "invalid port"),
            ("proxy", "http://a:65536", "invalid port"),
            ("proxy", "http://[::1", "invalid host"),
            ("proxy", "http://[::g]", "invalid IPv6 address"),
            ("proxy", "http://[::1]x", "invalid host"),
            ("fastcgi", "fastcgi://127.0.0.1:9000", "invalid host"),
            ("fastcgi", "http://127.0.0.1:9000", "invalid host"),
            ("fastcgi", "unix:", "no path in the unix domain socket"),
            ("fastcgi", "127.0.0.1:9000/x", "invalid host"),
        ] {
            assert_eq!(module(prefix).parse(text.as_bytes()).unwrap_err(), words, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[a-z0-9.:/?\\[\\]]{0,40}") {
            for module in HTTP_MODULES {
                let _result = module.parse(text.as_bytes());
            }
        }
    }
}
