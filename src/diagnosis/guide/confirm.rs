//! Commands that look and change nothing, with this entry's values where a shell takes them literally.
//!
//! The values come from a log, and somebody will paste the command: one with a space, a quote or a `$` in it is replaced
//! by a word in capitals.

use super::subject::{Subject, Target};

/// `value`, if it is nothing but itself to a shell; otherwise `placeholder`.
pub(super) fn literal<'a>(value: &'a str, placeholder: &'a str) -> &'a str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:[]@+%".contains(&b);
    // Of the brackets around an IPv6 address, those outside quotes are taken off before.
    if !value.is_empty() && !value.starts_with('-') && value.bytes().all(plain) { value } else { placeholder }
}

/// Does anything listen on the address, and how full is its queue?
pub(super) fn listener(subject: &Subject<'_>) -> Vec<String> {
    match subject.target {
        Target::Unix(path) => {
            let path = literal(path, "SOCKET");
            vec![format!("ss -xlp src {path}"), format!("ls -l {path}")]
        }
        Target::Tcp(host, port) if !subject.target.is_loopback() => {
            let host = literal(host, "HOST");
            vec![format!("ss -ltnp 'sport = :{port}'   # on {host}")]
        }
        Target::Tcp(_, port) => vec![format!("ss -ltnp 'sport = :{port}'")],
        Target::Name(_) | Target::Unknown => vec![configured(&subject.names.pass())],
    }
}

/// The state of the service behind the address.
pub(super) fn service(subject: &Subject<'_>) -> Vec<String> {
    if !subject.is_fastcgi() {
        return vec!["systemctl --failed".to_owned()];
    }
    match php_version(subject.target) {
        Some(version) => vec![format!("systemctl status php{version}-fpm"), format!("php-fpm{version} -t")],
        None => vec!["systemctl status 'php*fpm*'".to_owned(), "php-fpm -t".to_owned()],
    }
}

/// Where the kernel has, and has not, a path to the address.
pub(super) fn route(subject: &Subject<'_>) -> Vec<String> {
    match subject.target {
        Target::Tcp(host, _) => {
            let host = literal(host.trim_matches(['[', ']']), "HOST");
            vec![format!("ip route get {host}"), format!("ss -tn state syn-sent dst {host}")]
        }
        Target::Unix(_) | Target::Name(_) | Target::Unknown => vec!["ss -tn state syn-sent".to_owned()],
    }
}

/// Where a directive stands in the configuration nginx would load now.
pub(super) fn configured(directive: &str) -> String {
    match directive.strip_prefix('*') {
        Some(suffix) => format!("nginx -T 2>/dev/null | grep -n '{suffix}'"),
        None => format!("nginx -T 2>/dev/null | grep -nw '{directive}'"),
    }
}

/// The version in Debian's name for a pool's socket, `/run/php/php8.2-fpm.sock`.
fn php_version(target: Target<'_>) -> Option<&str> {
    let Target::Unix(path) = target else { return None };
    let (_, file) = path.rsplit_once('/')?;
    let (version, _) = file.strip_prefix("php")?.split_once("-fpm")?;
    let (major, minor) = version.split_once('.')?;
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    (digits(major) && digits(minor)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::{Target, literal, php_version};

    #[test]
    fn what_a_shell_would_interpret_never_gets_into_a_command() {
        for hostile in ["/run/a.sock; reboot", "$(id)", "`id`", "a b", "-rf", "", "a\nb", "a'b", "*", "~root", "é"] {
            assert_eq!(literal(hostile, "SOCKET"), "SOCKET", "{hostile:?}");
        }
        assert_eq!(literal("/run/php/php8.2-fpm.sock", "SOCKET"), "/run/php/php8.2-fpm.sock");
        assert_eq!(literal("[::1]", "HOST"), "[::1]");
    }

    #[test]
    fn the_php_version_is_taken_from_a_debian_socket_name_only() {
        assert_eq!(php_version(Target::Unix("/run/php/php8.2-fpm.sock")), Some("8.2"));
        assert_eq!(php_version(Target::Unix("/run/php/php8.2-fpm-shop.sock")), Some("8.2"));
        for other in ["/run/php/php-fpm.sock", "/run/php/php;id.2-fpm.sock", "/srv/www.sock", "php8.2-fpm.sock"] {
            assert_eq!(php_version(Target::Unix(other)), None, "{other}");
        }
    }
}
