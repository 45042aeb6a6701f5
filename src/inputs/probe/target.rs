//! What is probed, and how: made from nginx's configuration or by hand.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::observation::PeerLabels;
use crate::observation::probe::ProbeKind;

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its identity in every reading.
    pub labels: PeerLabels,
    /// Where it listens.
    pub address: Address,
    /// Present where nginx speaks TLS to it.
    pub tls: Option<Arc<TlsOptions>>,
    /// What is asked of it once connected.
    pub ask: Ask,
}

impl Target {
    /// The kinds of probe this takes.
    pub fn kinds(&self) -> impl Iterator<Item = ProbeKind> {
        let (transport, dns) = match self.address {
            Address::Unix(_) => (ProbeKind::Unix, None),
            Address::Ip(_) => (ProbeKind::Tcp, None),
            Address::Name { .. } => (ProbeKind::Tcp, Some(ProbeKind::Dns)),
        };
        let ask = match self.ask {
            Ask::Nothing => None,
            Ask::Http { .. } => Some(ProbeKind::Http),
            Ask::FastCgi { .. } => Some(ProbeKind::FastCgi),
        };
        let tls = self.tls.is_some().then_some(ProbeKind::Tls);
        [Some(transport), dns, tls, ask].into_iter().flatten()
    }
}

/// Where a peer listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix socket, as nginx's configuration names it: below the root of the file system given to the probes.
    Unix(PathBuf),
    /// An address that needs no lookup.
    Ip(SocketAddr),
    /// A name: nginx uses each of its addresses, and so do the probes.
    Name {
        /// The host name.
        host: Arc<str>,
        /// The TCP port.
        port: u16,
        /// Who is asked for the addresses.
        resolver: Resolver,
    },
}

/// Why a text is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: expected unix:/path, host:port or [IPv6 address]:port")]
pub struct NoAddress(String);

impl FromStr for Address {
    type Err = NoAddress;

    /// Reads a peer as nginx writes it: `unix:/run/a.sock`, `127.0.0.1:80`, `[::1]:80`, `backend:80`. Names are looked up
    /// by the system.
    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let wrong = || NoAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || host.contains([':', '[', ']', '/', ' ']) {
            return Err(wrong());
        }
        Ok(Self::Name { host: host.into(), port, resolver: Resolver::System })
    }
}

/// Who turns names into addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resolver {
    /// The system's resolver, hosts file included: what nginx uses for every name when it loads its configuration.
    System,
    /// nginx's `resolver`, used for names with variables and for `server … resolve`. It knows no hosts file.
    Nameservers {
        /// The name servers, in nginx's order.
        servers: Arc<[SocketAddr]>,
        /// Whether IPv6 addresses are asked for: off with `ipv6=off`.
        ipv6: bool,
    },
}

/// What is asked of a peer once the connection stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Nothing: the connection is closed again. Never an application's concern.
    Nothing,
    /// `GET path`: only where the operator named a path, because the application has to answer it.
    Http {
        /// The request target.
        path: Arc<str>,
        /// The `Host` header.
        host: Arc<str>,
    },
    /// FastCGI: the ping page where FPM has one, otherwise the management record FCGI_GET_VALUES, which no application
    /// sees. A bare connect would take an FPM worker until it has found out that nothing comes.
    FastCgi {
        /// FPM's `ping.path`.
        ping: Option<Arc<str>>,
    },
}

/// A TLS handshake as nginx would do it: the `proxy_ssl_*` directives and their namesakes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    /// `proxy_ssl_name`: the name the certificate must be for, and the one sent as SNI. By default the host of the
    /// `*_pass`, which is the group's name where it passes to an `upstream {}` block.
    pub name: Arc<str>,
    /// `proxy_ssl_server_name`: whether the name is sent; off by default.
    pub sni: bool,
    /// `proxy_ssl_verify`; `None` is nginx's default, off: any certificate is accepted.
    pub verify: Option<Verify>,
    /// `proxy_ssl_certificate` and `proxy_ssl_certificate_key`.
    pub identity: Option<Identity>,
    /// `proxy_ssl_protocols`, as far as they are still spoken.
    pub versions: TlsVersions,
    /// Whether HTTP/2 is negotiated, as nginx does for gRPC.
    pub http2: bool,
}

impl TlsOptions {
    /// nginx's defaults for a host.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            sni: false,
            verify: None,
            identity: None,
            versions: TlsVersions::default(),
            http2: false,
        }
    }

    /// The name without a port, cut as in `ngx_http_upstream_ssl_name`.
    #[must_use]
    pub fn host(&self) -> &str {
        let after_brackets = if self.name.starts_with('[') { self.name.find(']').unwrap_or(0) } else { 0 };
        let rest = self.name.get(after_brackets..).unwrap_or_default();
        let end = rest.find(':').map_or(self.name.len(), |colon| after_brackets + colon);
        self.name.get(..end).unwrap_or_default()
    }

    /// What goes into SNI: never an IP address (RFC 6066, section 3).
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        let host = self.host();
        let is_name = !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
        (self.sni && is_name).then_some(host)
    }
}

/// What it takes to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Verify {
    /// `proxy_ssl_trusted_certificate`: a PEM file.
    pub trusted: PathBuf,
    /// `proxy_ssl_verify_depth`: how many certificates may stand between the peer's own and the trusted one.
    pub depth: usize,
}

/// Our certificate, for peers that ask for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// PEM file of the certificate with its chain.
    pub certificate: PathBuf,
    /// PEM file of its key, without a password.
    pub key: PathBuf,
}

/// The TLS versions nginx may speak. Older ones than 1.2 are not probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlsVersions {
    /// TLS 1.2.
    pub v1_2: bool,
    /// TLS 1.3.
    pub v1_3: bool,
}

impl Default for TlsVersions {
    fn default() -> Self {
        Self { v1_2: true, v1_3: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_as_nginx_writes_them() {
        assert_eq!("unix:/run/a b.sock".parse(), Ok(Address::Unix("/run/a b.sock".into())));
        assert_eq!("127.0.0.1:80".parse(), Ok(Address::Ip(([127, 0, 0, 1], 80).into())));
        assert_eq!("[::1]:8080".parse(), Ok(Address::Ip((IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 8080).into())));
        let name = Address::Name { host: "app".into(), port: 80, resolver: Resolver::System };
        assert_eq!("app:80".parse(), Ok(name));
        for wrong in ["", "unix:", "app", "app:", "app:x", "app:70000", ":80", "::1:80x", "a/b:80", "[::1:80"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_not_part_of_the_name() {
        for (name, host) in [
            ("app:8443", "app"),
            ("app", "app"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]:443", "[::1]"),
            ("[::1", "["),
            ("", ""),
        ] {
            assert_eq!(TlsOptions::new(name).host(), host, "{name}");
        }
    }

    #[test]
    fn only_names_are_sent_as_server_name() {
        let sent = |name: &str, sni| TlsOptions { sni, ..TlsOptions::new(name) }.server_name().map(str::to_owned);
        assert_eq!(sent("app.test", true).as_deref(), Some("app.test"));
        assert_eq!(sent("app.test:8443", true).as_deref(), Some("app.test"));
        for silent in ["127.0.0.1", "127.0.0.1:443", "::1", "[::1]:443", ""] {
            assert_eq!(sent(silent, true), None, "{silent}");
        }
        assert_eq!(sent("app.test", false), None);
    }
}
