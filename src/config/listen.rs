//! Addresses to listen on, written as for the Prometheus exporters.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host and a port to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Empty for all interfaces; an IPv6 address without its brackets.
    host: String,
    port: u16,
}

impl ListenAddress {
    /// Reads `:port`, `host:port` or `[ipv6]:port` (with a zone, `[fe80::1%eth0]:port`). Port 0 lets the kernel choose.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("no port; write :10502, 127.0.0.1:10502 or [::1]:10502".to_owned());
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or("not a port after the last colon; write 0 to 65535")?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inside)) if is_ipv6(inside) => inside,
            None if host.contains(':') => return Err("IPv6 addresses stand in brackets; write [::1]:10502".to_owned()),
            None if host.is_empty() || is_ipv4_or_name(host) => host,
            _ => return Err("not a host before the port; write a name, an IPv4 address, [IPv6] or nothing".to_owned()),
        };
        Ok(Self { host: host.to_owned(), port })
    }

    /// The host: an address or a name, an IPv6 address without brackets, empty for every address of this host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 lets the kernel choose.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, "zone"), |(address, zone)| (address, zone));
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_ipv4_or_name(host: &str) -> bool {
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.len() <= 253 && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exporters_accept_is_accepted_and_shown_as_written() {
        for text in [":10502", ":0", "127.0.0.1:80", "localhost:80", "[::]:80", "[::1]:65535", "[fe80::1%eth0]:80"] {
            assert_eq!(ListenAddress::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "10502", "host", ":", "a:b", "::1:80", "[::1]", "[::1:80", "[x]:80", "1.2.3:80", "a b:80", ":65536",
            ":+1",
        ] {
            assert!(ListenAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_host_means_every_address() {
        let all = ListenAddress::parse(":1").unwrap();
        assert_eq!((all.host(), all.port()), ("", 1));
    }
}
