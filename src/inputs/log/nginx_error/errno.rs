//! The operating system's error number in a message: `(111: Connection refused)`. Its words differ between libcs and
//! are sometimes missing, so only the number counts.

/// Linux numbers this crate decides by (`include/uapi/asm-generic/errno*.h`).
pub(super) mod linux {
    pub(in super::super) const EPERM: u16 = 1;
    pub(in super::super) const ENOENT: u16 = 2;
    pub(in super::super) const EAGAIN: u16 = 11;
    pub(in super::super) const ENOMEM: u16 = 12;
    pub(in super::super) const EACCES: u16 = 13;
    pub(in super::super) const ENFILE: u16 = 23;
    pub(in super::super) const EMFILE: u16 = 24;
    pub(in super::super) const ENOSPC: u16 = 28;
    pub(in super::super) const EROFS: u16 = 30;
    pub(in super::super) const EPIPE: u16 = 32;
    pub(in super::super) const EADDRINUSE: u16 = 98;
    pub(in super::super) const EADDRNOTAVAIL: u16 = 99;
    pub(in super::super) const ENETDOWN: u16 = 100;
    pub(in super::super) const ENETUNREACH: u16 = 101;
    pub(in super::super) const ECONNABORTED: u16 = 103;
    pub(in super::super) const ECONNRESET: u16 = 104;
    pub(in super::super) const ETIMEDOUT: u16 = 110;
    pub(in super::super) const ECONNREFUSED: u16 = 111;
    pub(in super::super) const EHOSTDOWN: u16 = 112;
    pub(in super::super) const EHOSTUNREACH: u16 = 113;
    pub(in super::super) const EDQUOT: u16 = 122;
}

/// The last `(NUMBER:` of the message, as logged. A path or header quoted earlier in the message cannot forge it: nginx
/// appends the number last.
#[inline]
pub(super) fn find(message: &[u8]) -> Option<u16> {
    if message.last() != Some(&b')') {
        return None;
    }
    for open in memchr::memrchr_iter(b'(', message) {
        let digits = message.get(open + 1..)?;
        let length = digits.iter().take(6).take_while(|b| b.is_ascii_digit()).count();
        if length > 0 && digits.get(length) == Some(&b':') {
            return digits
                .get(..length)?
                .iter()
                .try_fold(0u16, |n, b| n.checked_mul(10)?.checked_add(u16::from(b - b'0')));
        }
    }
    None
}

/// The Linux number that means what a BSD, macOS or Windows number says. No number is lost by this: what BSD uses for
/// sockets, Linux uses for STREAMS and the like, which never fail a socket call.
pub(super) fn to_linux(logged: u16) -> u16 {
    match logged {
        35 => linux::EAGAIN,
        48 | 10048 => linux::EADDRINUSE,
        49 | 10049 => linux::EADDRNOTAVAIL,
        50 | 10050 => linux::ENETDOWN,
        51 | 10051 => linux::ENETUNREACH,
        53 | 10053 => linux::ECONNABORTED,
        54 | 10054 => linux::ECONNRESET,
        60 | 10060 => linux::ETIMEDOUT,
        61 | 10061 => linux::ECONNREFUSED,
        64 | 10064 => linux::EHOSTDOWN,
        65 | 10065 => linux::EHOSTUNREACH,
        10013 => linux::EACCES,
        10024 => linux::EMFILE,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_counts_and_not_the_words() {
        for (message, errno) in [
            ("connect() failed (111: Connection refused)", Some(111)),
            ("connect() failed (111: Unknown error)", Some(111)),
            ("upstream timed out (110:Connection timed out)", Some(110)),
            ("WSARecv() failed (10054: FormatMessage() error:(15105))", Some(10054)),
            ("SSL_read() failed (SSL: error:0A00010B:SSL routines::x) (104: Connection reset by peer)", Some(104)),
            ("open() \"/srv/a (24: b)\" failed (2: No such file or directory)", Some(2)),
            ("SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number)", None),
            ("no live upstreams", None),
            ("x (99999999: y)", None),
            ("x (", None),
        ] {
            assert_eq!(find(message.as_bytes()), errno, "{message}");
        }
    }

    #[test]
    fn other_systems_numbers_are_translated() {
        assert_eq!([61, 60, 54, 10061, 111].map(to_linux), [111, 110, 104, 111, 111]);
    }
}
