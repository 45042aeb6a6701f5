//! What transports put before nginx's entry: syslog (RFC 3164 and 5424), journald, docker compose, hosting platforms, klog.
//!
//! All of them leave nginx's own head in the line, so it is searched for rather than every transport's grammar spelled
//! out. That is safe only before an entry: inside one, the searched text could be the client's.

use super::head;

/// A transport's prefix is not longer than this: RFC 5424 with structured data and a long host name.
const LONGEST: usize = 400;

/// Where nginx's head begins in `line`, if a transport's prefix stands before it; 0 where none does.
pub(super) fn find_head(line: &[u8]) -> Option<usize> {
    let window = line.get(..line.len().min(LONGEST))?;
    // Every head has " [" 19 bytes after its first byte; brackets are rare in prefixes, digits are not.
    for bracket in memchr::memmem::find_iter(window, b" [") {
        let Some(start) = bracket.checked_sub(19) else { continue };
        if line.get(start..).is_some_and(|rest| head::read(rest).is_some()) && ends_prefix(line.get(..start)?) {
            return Some(start);
        }
    }
    None
}

/// Where a head without date begins behind a prefix that ends with a recognisable tag.
pub(super) fn find_undated_head(line: &[u8]) -> Option<usize> {
    if head::read_undated(line).is_some() {
        return Some(0);
    }
    let window = line.get(..line.len().min(LONGEST))?;
    memchr::memchr_iter(b'[', window).find(|&at| {
        let tagged = line.get(..at).is_some_and(|before| before.ends_with(b": ") || before.ends_with(b"| "));
        tagged && line.get(at..).is_some_and(|rest| head::read_undated(rest).is_some())
    })
}

/// Where `nginx: [emerg] …` begins: what nginx says on standard error before it has a log.
pub(super) fn find_start_up(line: &[u8]) -> Option<usize> {
    let window = line.get(..line.len().min(LONGEST))?;
    memchr::memmem::find_iter(window, b"nginx: [").find(|&at| {
        line.get(at + b"nginx: [".len()..).is_some_and(|rest| head::read_level(rest).is_some())
            && line.get(..at).is_some_and(ends_prefix)
    })
}

/// A prefix ends where a new word begins.
fn ends_prefix(prefix: &[u8]) -> bool {
    prefix.last().is_none_or(|b| matches!(b, b' ' | b'\t' | b'|' | b':' | b'>' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "2016/06/15 14:23:33 [error] 6#6: *222 connect() failed";

    #[test]
    fn the_head_is_found_behind_every_transport() {
        for prefix in [
            "",
            "nginx-proxy_1   | ",
            "web.1.abc@node1    | ",
            "<187>Nov 21 09:54:37 web1 nginx: ",
            "Nov  3 09:54:37 web1 nginx[46754]: ",
            "<187>1 2026-11-21T09:54:37.003Z web1 nginx 1234 - - ",
            "2011-01-31T16:42:35-08:00 10.122.131.19 local5.crit nginx - face64.45038@example.com - ",
            "2026-05-15T15:24:40.863274563Z [err]  ",
            "E0521 12:34:56.789012       7 proxy.go:123] ",
            "2026-11-21T09:54:37.000000001Z stderr F ",
            "[web] ",
        ] {
            let line = format!("{prefix}{ENTRY}");
            assert_eq!(find_head(line.as_bytes()), Some(prefix.len()), "{line}");
        }
    }

    #[test]
    fn text_without_a_head_has_none() {
        for line in ["", "PHP message: [error] x", "x2016/06/15 14:23:33 [error] 6#6: *222 glued"] {
            assert_eq!(find_head(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn start_up_lines_are_found() {
        assert_eq!(find_start_up(b"nginx: [emerg] bind() to 0.0.0.0:80 failed"), Some(0));
        assert_eq!(find_start_up(b"Nov 21 09:54:37 web nginx[1]: nginx: [warn] conflicting"), Some(30));
        assert_eq!(find_start_up(b"nginx: configuration file /etc/nginx/nginx.conf test failed"), None);
    }
}
