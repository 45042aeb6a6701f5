//! The `upstream` field: scheme, peer and, for `proxy_pass`, the URI. nginx writes it from
//! `u->schema`, `peer.name`, a `:` for unix sockets, and `u->uri`.

use std::borrow::Cow;

use crate::observation::Protocol;

/// The protocol an `upstream` field names. A bare address is `stream {}`'s.
pub(super) fn protocol(upstream: &[u8]) -> Option<Protocol> {
    match scheme(upstream) {
        Some((protocol, _)) => protocol,
        None => Some(Protocol::Stream),
    }
}

/// `scheme://` at the beginning: the protocol it names, if it is one of nginx's, and its length.
#[inline]
fn scheme(upstream: &[u8]) -> Option<(Option<Protocol>, usize)> {
    let candidates: &[(&[u8], Protocol)] = match upstream.first()? {
        b'h' => &[(b"http://", Protocol::Http), (b"https://", Protocol::Https)],
        b'f' => &[(b"fastcgi://", Protocol::FastCgi)],
        b'u' => &[(b"uwsgi://", Protocol::Uwsgi)],
        b's' => &[(b"scgi://", Protocol::Scgi), (b"suwsgi://", Protocol::Suwsgi)],
        b'g' => &[(b"grpc://", Protocol::Grpc), (b"grpcs://", Protocol::Grpcs)],
        b'm' => &[(b"memcached://", Protocol::Memcached)],
        _ => &[],
    };
    if let Some((text, protocol)) = candidates.iter().find(|(text, _)| upstream.starts_with(text)) {
        return Some((Some(*protocol), text.len()));
    }
    // `unix://` is a path's beginning, not a scheme.
    let colon = memchr::memchr(b':', upstream)?;
    let is_scheme = upstream.get(colon..)?.starts_with(b"://") && !upstream.starts_with(b"unix:");
    is_scheme.then_some((None, colon + b"://".len()))
}

/// The address contacted, without scheme and URI: `127.0.0.1:9000`, `[::1]:80`, `unix:/run/php/php8.2-fpm.sock`. In an
/// entry about a group (`no live upstreams`) it is the group's name.
#[must_use]
pub fn address(upstream: &[u8]) -> Cow<'_, [u8]> {
    let raw = authority(upstream);
    let raw = match raw.strip_prefix(b"unix:") {
        Some(path) if path.starts_with(b"//") => {
            let path = path.get(path.iter().take_while(|b| **b == b'/').count() - 1..).unwrap_or_default();
            return Cow::Owned([b"unix:", without_wraps(path).as_ref()].concat());
        }
        _ => raw,
    };
    without_wraps(raw)
}

/// Whether the peer in a value that was cut is known to be whole, because something follows it.
pub(super) fn is_complete(cut: &[u8]) -> bool {
    let Some((_, scheme)) = scheme(cut) else { return false };
    let after_scheme = cut.get(scheme..).unwrap_or_default();
    let peer = authority(cut);
    // A unix path without its closing colon may go on.
    after_scheme.len() > peer.len() && (!peer.starts_with(b"unix:") || after_scheme.get(peer.len()) == Some(&b':'))
}

fn authority(upstream: &[u8]) -> &[u8] {
    let after_scheme = match scheme(upstream) {
        Some((_, length)) => upstream.get(length..).unwrap_or_default().trim_ascii_start(),
        None => upstream.trim_ascii(),
    };
    if let Some(path) = after_scheme.strip_prefix(b"unix:") {
        return after_scheme.get(..b"unix:".len() + unix_path_length(path)).unwrap_or(after_scheme);
    }
    let end = memchr::memchr2(b'/', b'?', after_scheme).unwrap_or(after_scheme.len());
    after_scheme.get(..end).unwrap_or_default()
}

/// A path ends at the colon nginx writes after it. Some versions and wrappers leave the colon out; then a socket's usual
/// ending separates it from the URI.
fn unix_path_length(path: &[u8]) -> usize {
    if let Some(colon) = memchr::memchr(b':', path) {
        return colon;
    }
    [&b".sock/"[..], b".socket/"]
        .iter()
        .filter_map(|ending| memchr::memmem::find(path, ending).map(|at| at + ending.len() - 1))
        .min()
        .unwrap_or(path.len())
}

/// Line feeds and the blanks after them, which a wrapping transport put in.
fn without_wraps(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', value).is_none() {
        return Cow::Borrowed(value);
    }
    let joined = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).collect::<Vec<_>>().concat();
    Cow::Owned(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_what_was_contacted() {
        for (upstream, expected) in [
            ("http://127.0.0.1:8080/a?b=c", "127.0.0.1:8080"),
            ("https://[::1]:8443/", "[::1]:8443"),
            ("fastcgi://127.0.0.1:9000", "127.0.0.1:9000"),
            ("fastcgi://unix:/run/php/php8.2-fpm.sock:", "unix:/run/php/php8.2-fpm.sock"),
            ("http://unix:/tmp/a.sock:/path:x", "unix:/tmp/a.sock"),
            ("http://unix:/run/app.sock/path", "unix:/run/app.sock"),
            ("unix:/run/a.sock:", "unix:/run/a.sock"),
            ("unix:///run/a.sock:", "unix:/run/a.sock"),
            ("http://unix:///run/a.sock:/x", "unix:/run/a.sock"),
            ("127.0.0.1:20001", "127.0.0.1:20001"),
            ("unix:/run/stream.sock", "unix:/run/stream.sock"),
            ("http://backend/favicon.ico", "backend"),
            ("http://backend?x", "backend"),
            ("fastcgi://\n    unix:/run/php.sock:", "unix:/run/php.sock"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&address(upstream.as_bytes())), expected, "{upstream}");
        }
    }

    #[test]
    fn the_scheme_tells_the_protocol() {
        assert_eq!(protocol(b"grpcs://10.0.0.1:50051"), Some(Protocol::Grpcs));
        assert_eq!(protocol(b"127.0.0.1:53"), Some(Protocol::Stream));
        assert_eq!(protocol(b"gopher://x"), None);
    }

    #[test]
    fn a_cut_peer_is_not_trusted() {
        assert!(is_complete(b"http://127.0.0.1:80/x"));
        assert!(is_complete(b"fastcgi://unix:/run/a.sock:"));
        assert!(!is_complete(b"http://127.0.0.1:8"));
        assert!(!is_complete(b"fastcgi://unix:/run/a.so"));
        assert!(!is_complete(b"127.0.0.1:8"));
    }
}
