//! Where distributions put PHP-FPM, and the paths compiled into theirs.

use std::path::{Path, PathBuf};

use super::Version;

/// Where one kind of installation has its main file, and what its paths begin with when they are relative: FPM prepends
/// the prefix PHP was compiled with, or for its own log the folder of local state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The main file; one `*` stands for the version, with or without dot, and goes into the other fields as found.
    pub conf: &'static str,
    /// `PHP_PREFIX`.
    pub prefix: &'static str,
    /// `PHP_LOCALSTATEDIR`.
    pub state: &'static str,
}

const fn layout(conf: &'static str, prefix: &'static str, state: &'static str) -> Layout {
    Layout { conf, prefix, state }
}

/// Every place that is looked at.
pub static LAYOUTS: &[Layout] = &[
    // Debian, Ubuntu and the packages of deb.sury.org.
    layout("/etc/php/*/fpm/php-fpm.conf", "/usr", "/var"),
    // Debian and Ubuntu with PHP 5.
    layout("/etc/php5/fpm/php-fpm.conf", "/usr", "/var"),
    // Fedora, RHEL and their rebuilds; Arch uses /etc/php/php-fpm.conf.
    layout("/etc/php-fpm.conf", "/usr", "/var"),
    layout("/etc/php/php-fpm.conf", "/usr", "/var"),
    // Remi's parallel versions.
    layout("/etc/opt/remi/*/php-fpm.conf", "/opt/remi/*/root/usr", "/var/opt/remi/*"),
    // RHEL's software collections.
    layout("/etc/opt/rh/rh-*/php-fpm.conf", "/opt/rh/rh-*/root/usr", "/var/opt/rh/rh-*"),
    // The official container image, and what is built from source without options.
    layout("/usr/local/etc/php-fpm.conf", "/usr/local", "/usr/local/var"),
    // Alpine.
    layout("/etc/php*/php-fpm.conf", "/usr", "/var"),
    // SUSE.
    layout("/etc/php*/fpm/php-fpm.conf", "/usr", "/var"),
    // Bitnami's image.
    layout("/opt/bitnami/php/etc/php-fpm.conf", "/opt/bitnami/php", "/opt/bitnami/php/var"),
    // cPanel's parallel versions.
    layout("/opt/cpanel/ea-*/root/etc/php-fpm.conf", "/opt/cpanel/ea-*/root/usr", "/opt/cpanel/ea-*/root/var"),
    // Plesk's.
    layout("/opt/plesk/php/*/etc/php-fpm.conf", "/opt/plesk/php/*", "/opt/plesk/php/*/var"),
];

/// A layout as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    /// `PHP_PREFIX`.
    pub(super) prefix: PathBuf,
    /// `PHP_LOCALSTATEDIR`.
    pub(super) state: PathBuf,
    /// The version the path of the main file tells.
    pub(super) version: Option<Version>,
}

impl Paths {
    /// The paths that belong to a main file; those of the distributions' packages where it is in none of the known
    /// places.
    pub(super) fn of(conf: &Path) -> (Self, bool) {
        let text = conf.to_string_lossy();
        for Layout { conf, prefix, state } in LAYOUTS {
            let (before, after) = conf.split_once('*').unwrap_or((conf, ""));
            let middle = text.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            let Some(middle) =
                middle.filter(|middle| !middle.contains('/') && (conf.contains('*') || middle.is_empty()))
            else {
                continue;
            };
            let fill = |path: &str| PathBuf::from(path.replace('*', middle));
            let version =
                version(middle).or_else(|| conf.contains("php5").then_some(Version { major: 5, minor: None }));
            return (Self { prefix: fill(prefix), state: fill(state), version }, true);
        }
        (Self { prefix: "/usr".into(), state: "/var".into(), version: None }, false)
    }
}

/// The version in a word like `8.2`, `php82`, `php-fpm8.2`, `rh-php73` or `8`.
pub(super) fn version(word: &str) -> Option<Version> {
    let start = word.find(|c: char| c.is_ascii_digit())?;
    let digits = word.get(start..)?;
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let digits = digits.get(..end)?;
    let (major, minor) = match digits.split_once('.') {
        Some((major, minor)) => (major, minor.split('.').next().unwrap_or_default()),
        None => digits.split_at_checked(1)?,
    };
    let minor = if minor.is_empty() { None } else { Some(minor.parse().ok()?) };
    Some(Version { major: major.parse().ok()?, minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (word, expected) in [
            ("8.2", Some((8, Some(2)))),
            ("php82", Some((8, Some(2)))),
            ("php-fpm8.2", Some((8, Some(2)))),
            ("php7.4.33", Some((7, Some(4)))),
            ("ea-php74", Some((7, Some(4)))),
            ("8", Some((8, None))),
            ("php-fpm", None),
            ("8.x", Some((8, None))),
            ("9999999999", None),
            ("", None),
        ] {
            assert_eq!(version(word).map(|v| (v.major, v.minor)), expected, "{word}");
        }
    }

    #[test]
    fn the_paths_of_a_main_file_are_those_of_its_distribution() {
        for (conf, prefix, state, version, known) in [
            ("/etc/php/8.2/fpm/php-fpm.conf", "/usr", "/var", Some("8.2"), true),
            ("/etc/opt/remi/php81/php-fpm.conf", "/opt/remi/php81/root/usr", "/var/opt/remi/php81", Some("8.1"), true),
            ("/usr/local/etc/php-fpm.conf", "/usr/local", "/usr/local/var", None, true),
            ("/etc/php83/php-fpm.conf", "/usr", "/var", Some("8.3"), true),
            ("/etc/php-fpm.conf", "/usr", "/var", None, true),
            ("/srv/x/php-fpm.conf", "/usr", "/var", None, false),
            ("/etc/php/8.2/x/fpm/php-fpm.conf", "/usr", "/var", None, false),
        ] {
            let (paths, is_known) = Paths::of(Path::new(conf));
            assert_eq!((paths.prefix.to_str(), paths.state.to_str()), (Some(prefix), Some(state)), "{conf}");
            assert_eq!((paths.version.map(|v| v.to_string()).as_deref(), is_known), (version, known), "{conf}");
        }
    }
}
