//! What nginx was built with: the paths and values that hold where no file says anything.
//!
//! `nginx -V` prints them from two texts in its binary, and those are read here: nothing is executed. Where no binary is
//! readable, packages are told apart by the folders they use:
//!
//! | layout | known by | prefix | error log | access log | temporary files |
//! |---|---|---|---|---|---|
//! | Debian, Ubuntu | `/var/lib/nginx/body` | `/usr/share/nginx` | standard error | `/var/log/nginx/access.log` | `/var/lib/nginx/body`, `…/proxy` |
//! | RHEL, Fedora | `/var/lib/nginx/tmp` | `/usr/share/nginx` | `/var/log/nginx/error.log` | `/var/log/nginx/access.log` | `/var/lib/nginx/tmp/client_body`, `…/proxy` |
//! | nginx.org packages and images, ingress | `/etc/nginx` | `/etc/nginx` | `/var/log/nginx/error.log` | `/var/log/nginx/access.log` | `/var/cache/nginx/client_temp`, `…/proxy_temp` |
//! | built from source | otherwise | `/usr/local/nginx` | `logs/error.log` | `logs/access.log` | `client_body_temp`, `proxy_temp` |

use std::collections::HashMap;
use std::path::Path;

use super::files::Files;

/// Where packages put the binary.
const BINARIES: &[&str] = &[
    "/usr/sbin/nginx",
    "/usr/local/sbin/nginx",
    "/usr/bin/nginx",
    "/usr/local/nginx/sbin/nginx",
    "/usr/local/openresty/nginx/sbin/nginx",
    "/opt/bitnami/nginx/sbin/nginx",
];
/// More bytes than this are not read of a binary.
const MAX_BINARY: u64 = 64 << 20;

/// nginx's temporary folders: module, option of `configure`, path below the prefix when it is not given.
pub(super) const TEMP_PATHS: &[(&str, &str, &str)] = &[
    ("client_body", "http-client-body-temp-path", "client_body_temp"),
    ("proxy", "http-proxy-temp-path", "proxy_temp"),
    ("fastcgi", "http-fastcgi-temp-path", "fastcgi_temp"),
    ("uwsgi", "http-uwsgi-temp-path", "uwsgi_temp"),
    ("scgi", "http-scgi-temp-path", "scgi_temp"),
];

/// A version: 1.22.1.
pub(super) type Version = (u16, u16, u16);

/// How nginx was built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Built {
    pub(super) version: Option<Version>,
    options: HashMap<Box<[u8]>, Box<[u8]>>,
}

impl Built {
    /// Reads the first binary there is, `program` before the usual ones; otherwise goes by the layout.
    pub(super) fn find(program: Option<&Path>, files: &dyn Files) -> Self {
        let known = BINARIES.iter().map(Path::new);
        let programs = program.filter(|path| path.is_absolute()).into_iter().chain(known);
        programs
            .filter_map(|path| files.read(path, MAX_BINARY).ok())
            .find_map(|content| Self::from_binary(&content.bytes))
            .unwrap_or_else(|| Self::from_layout(files))
    }

    /// From the texts of `ngx_show_version_info` (`src/core/nginx.c`).
    fn from_binary(bytes: &[u8]) -> Option<Self> {
        let arguments = text_after(bytes, b"configure arguments:")?;
        let version = text_after(bytes, b"nginx version: ").and_then(version);
        Some(Self { version, options: options(arguments) })
    }

    fn from_layout(files: &dyn Files) -> Self {
        let is_there = |path: &str| files.stamp(Path::new(path)).is_ok();
        let (prefix, error_log, temp) = if is_there("/var/lib/nginx/body") {
            (
                "/usr/share/nginx",
                "stderr",
                ["body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("/var/lib/nginx/{kind}")),
            )
        } else if is_there("/var/lib/nginx/tmp") {
            let temp =
                ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("/var/lib/nginx/tmp/{kind}"));
            ("/usr/share/nginx", "/var/log/nginx/error.log", temp)
        } else if is_there("/etc/nginx") {
            let temp =
                ["client", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("/var/cache/nginx/{kind}_temp"));
            ("/etc/nginx", "/var/log/nginx/error.log", temp)
        } else {
            return Self::default();
        };
        let paths = [
            ("prefix", prefix),
            ("conf-path", "/etc/nginx/nginx.conf"),
            ("error-log-path", error_log),
            ("http-log-path", "/var/log/nginx/access.log"),
            ("pid-path", "/run/nginx.pid"),
        ];
        let temp = TEMP_PATHS.iter().map(|(_, option, _)| *option).zip(temp.iter().map(String::as_str));
        let options =
            paths.into_iter().chain(temp).map(|(option, path)| (option.as_bytes().into(), path.as_bytes().into()));
        Self { version: None, options: options.collect() }
    }

    /// The value of an option of `configure`.
    pub(super) fn option(&self, name: &str) -> Option<&[u8]> {
        self.options.get(name.as_bytes()).map(|value| &**value)
    }

    /// The same, or what `configure` takes when it is not given.
    pub(super) fn path<'a>(&'a self, option: &str, otherwise: &'a str) -> &'a [u8] {
        self.option(option).unwrap_or(otherwise.as_bytes())
    }

    /// Whether nginx is at least that new; `None`: its version is not known.
    pub(super) fn is_at_least(&self, version: Version) -> Option<bool> {
        self.version.map(|own| own >= version)
    }
}

/// The text behind a label, up to the end of the string or line.
fn text_after<'a>(bytes: &'a [u8], label: &[u8]) -> Option<&'a [u8]> {
    let rest = bytes.get(memchr::memmem::find(bytes, label)? + label.len()..)?;
    rest.get(..memchr::memchr2(0, b'\n', rest)?)
}

/// `nginx/1.22.1`, `openresty/1.21.4.1`, `nginx/1.25.3 (Ubuntu)`.
fn version(text: &[u8]) -> Option<Version> {
    let numbers = text.split(|byte| *byte == b'/').nth(1)?;
    let mut parts = numbers.split(|byte| !byte.is_ascii_digit()).map(|part| {
        let part = super::units::number(part)?;
        u16::try_from(part).ok()
    });
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// `--name=value`, where quotes keep blanks together.
fn options(arguments: &[u8]) -> HashMap<Box<[u8]>, Box<[u8]>> {
    let mut words: Vec<Vec<u8>> = vec![Vec::new()];
    let mut quoted = false;
    for byte in arguments {
        match byte {
            b'\'' => quoted = !quoted,
            b' ' if !quoted => words.push(Vec::new()),
            _ => {
                if let Some(word) = words.last_mut() {
                    word.push(*byte);
                }
            }
        }
    }
    let pair = |word: &Vec<u8>| {
        let word = word.strip_prefix(b"--")?;
        let equals = memchr::memchr(b'=', word)?;
        Some((word.get(..equals)?.into(), word.get(equals + 1..)?.into()))
    };
    words.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::Disk;
    use super::super::files::memory::Memory;
    use super::*;

    #[test]
    fn the_binary_tells_how_it_was_built() {
        let binary = b"\x7fELF\0nginx version: nginx/1.22.1\n\0\0configure arguments: --with-cc-opt='-g -O2' --prefix=/p --http-log-path=/l\n\0more";
        let built = Built::find(None, &Memory::new([("/usr/local/nginx/sbin/nginx", binary)]));
        assert_eq!(built.version, Some((1, 22, 1)));
        assert_eq!((built.option("prefix"), built.option("with-cc-opt")), (Some(&b"/p"[..]), Some(&b"-g -O2"[..])));
        assert_eq!(built.path("pid-path", "logs/nginx.pid"), b"logs/nginx.pid");
        assert_eq!((built.is_at_least((1, 22, 0)), built.is_at_least((1, 29, 7))), (Some(true), Some(false)));
    }

    #[test]
    fn the_installed_binary_tells_it_too() {
        let built = Built::find(None, &Disk::new(Path::new("/")).unwrap());
        assert!(built.version > Some((1, 0, 0)), "{built:?}");
        assert!(built.option("conf-path").is_some(), "{built:?}");
    }

    #[test]
    fn without_a_binary_the_layout_tells() {
        for (file, prefix, body) in [
            ("/var/lib/nginx/body/1", "/usr/share/nginx", "/var/lib/nginx/body"),
            ("/var/lib/nginx/tmp/x", "/usr/share/nginx", "/var/lib/nginx/tmp/client_body"),
            ("/etc/nginx/nginx.conf", "/etc/nginx", "/var/cache/nginx/client_temp"),
        ] {
            let built = Built::find(None, &Memory::new([(file, "")]));
            assert_eq!(built.option("prefix"), Some(prefix.as_bytes()), "{file}");
            assert_eq!(built.option("http-client-body-temp-path"), Some(body.as_bytes()), "{file}");
        }
        assert_eq!(Built::find(None, &Memory::default()), Built::default());
    }
}
