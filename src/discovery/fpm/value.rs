//! The values of FPM's directives: `fpm_conf_set_integer`, `fpm_conf_set_time`, `fpm_conf_set_boolean`, and addresses.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Where FPM listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listen {
    /// A unix socket, by its absolute path as FPM sees it.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// An address or a name, IPv6 without brackets; `None` for every address of the host.
        host: Option<Arc<str>>,
        /// The port.
        port: u16,
    },
}

impl Listen {
    /// `fpm_sockets_domain_from_address`: with a colon or of digits only it is TCP, otherwise a path, relative ones below
    /// `prefix`.
    pub(super) fn parse(text: &str, prefix: &Path) -> Option<Self> {
        if text.is_empty() || text.contains('\0') {
            return None;
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (Some(host), port),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => (None, text),
            None => return Some(Self::Unix(prefix.join(text))),
        };
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = host.map(|host| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host));
        let host = host.filter(|host| !["", "*", "::", "0.0.0.0"].contains(host)).map(Arc::from);
        Some(Self::Tcp { host, port })
    }

    /// The address as nginx would write a peer: `unix:/run/php/php8.2-fpm.sock`, `127.0.0.1:9000`, `[::1]:9000`;
    /// `127.0.0.1:9000` where FPM listens on every address, since that is how it is reached from here.
    #[must_use]
    pub fn peer(&self) -> String {
        self.to_string()
    }
}

/// An address said by hand: `unix:/run/app.sock`, an absolute path, `127.0.0.1:9000` or a port alone.
impl FromStr for Listen {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        Self::parse(text, Path::new("")).filter(|listen| matches!(listen, Self::Tcp { .. })).ok_or(NoAddress)
    }
}

/// A text is no address of a [`Listen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write unix:/path, host:port or [ipv6]:port")]
pub struct NoAddress;

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host: None, port } => write!(f, "127.0.0.1:{port}"),
            Self::Tcp { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host: Some(host), port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A whole number, of which FPM takes a leading `-` too.
pub(super) fn integer(text: &str) -> Option<i32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // An empty value is 0, as atoi has it.
    if digits.is_empty() { Some(0) } else { text.parse().ok() }
}

/// A number that makes no sense below 0; what FPM would refuse is `None`.
pub(super) fn count(text: &str) -> Option<u32> {
    u32::try_from(integer(text)?).ok()
}

/// Seconds, or minutes, hours, days by suffix. Never more than `i32` seconds.
pub(super) fn time(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.bytes().last()),
        None => (text, None),
    };
    // FPM's atoi would read 1 from `1x0s`; that is no reason to believe in it.
    let number: u64 = number.trim().parse().ok()?;
    let unit = match unit {
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => 1,
    };
    let seconds = number.checked_mul(unit).filter(|seconds| i32::try_from(*seconds).is_ok())?;
    Some(Duration::from_secs(seconds))
}

/// `1` or nothing, which the scanner makes of `yes`, `no` and their like. `0` is what PHP 8 refuses in newer versions and
/// takes in older ones: no.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Listen::parse(text, Path::new("/usr")).map(|listen| listen.to_string())
    }

    #[test]
    fn addresses_are_written_as_nginx_writes_peers() {
        for (text, expected) in [
            ("/run/php/php8.2-fpm.sock", Some("unix:/run/php/php8.2-fpm.sock")),
            ("var/run/fpm.sock", Some("unix:/usr/var/run/fpm.sock")),
            ("9000", Some("127.0.0.1:9000")),
            ("[::]:9000", Some("127.0.0.1:9000")),
            ("0.0.0.0:9000", Some("127.0.0.1:9000")),
            ("127.0.0.1:9000", Some("127.0.0.1:9000")),
            ("[::1]:9000", Some("[::1]:9000")),
            ("php:9000", Some("php:9000")),
            ("9000x", Some("unix:/usr/9000x")),
            ("/run/a:b.sock", None),
            ("localhost:", None),
            ("a:0", None),
            ("70000", None),
            ("", None),
        ] {
            assert_eq!(parsed(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn addresses_said_by_hand_are_those_of_peers() {
        for text in ["unix:/run/a.sock", "127.0.0.1:9000", "[::1]:9000", "php:9000"] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("/run/a:b.sock".parse(), Ok(Listen::Unix("/run/a:b.sock".into())));
        for text in ["", "unix:", "unix:a.sock", "a.sock", "php:", "php:x"] {
            assert_eq!(text.parse::<Listen>(), Err(NoAddress), "{text}");
        }
    }

    #[test]
    fn numbers_times_and_switches_are_those_of_fpm() {
        for (text, expected) in [("5", Some(5)), ("-1", Some(-1)), ("", Some(0)), ("3x", None), ("1 0", None)] {
            assert_eq!(integer(text), expected, "{text}");
        }
        assert_eq!(integer("99999999999"), None);
        assert_eq!(count("-5"), None);
        for (text, expected) in [
            ("30", Some(30)),
            ("30s", Some(30)),
            ("2m", Some(120)),
            ("1h", Some(3_600)),
            ("1d", Some(86_400)),
            ("0", Some(0)),
            ("10min", None),
            ("", None),
            ("s", None),
            ("99999999999d", None),
        ] {
            assert_eq!(time(text), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!([switch("1"), switch(""), switch("maybe")], [Some(true), Some(false), None]);
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_is_not(text in ".{0,40}") {
            let _ = (parsed(&text), integer(&text), count(&text), time(&text), switch(&text));
        }
    }
}
