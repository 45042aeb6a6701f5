//! The beginning of an entry: `2026/11/21 09:54:37 [error] 5654#5654: *80 ` (`ngx_log_error_core`, `src/core/ngx_log.c`).

use crate::observation::{CivilTime, Level};

/// What stands before the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Local time; absent in entries that lost it on the way here.
    pub(super) time: Option<CivilTime>,
    /// Severity.
    pub(super) level: Option<Level>,
    /// Whether a connection number `*N` stands before the message: such entries usually end with fields.
    pub(super) connection: bool,
    /// Where the message begins, counted from the head's first byte.
    pub(super) length: usize,
}

/// Bytes from the date to the opening bracket of the level: `2026/11/21 09:54:37 [`.
const STAMP: usize = 21;

/// Whether `line` begins with nginx's date, time and the bracket of the level.
#[inline]
pub(super) fn is_head(line: &[u8]) -> bool {
    let Some(s) = line.first_chunk::<STAMP>() else { return false };
    let marks = (s[4] == b'/')
        & (s[7] == b'/')
        & (s[10] == b' ')
        & (s[13] == b':')
        & (s[16] == b':')
        & (s[19] == b' ')
        & (s[20] == b'[');
    let digits = s[0].is_ascii_digit()
        & s[1].is_ascii_digit()
        & s[2].is_ascii_digit()
        & s[3].is_ascii_digit()
        & s[5].is_ascii_digit()
        & s[6].is_ascii_digit()
        & s[8].is_ascii_digit()
        & s[9].is_ascii_digit()
        & s[11].is_ascii_digit()
        & s[12].is_ascii_digit()
        & s[14].is_ascii_digit()
        & s[15].is_ascii_digit()
        & s[17].is_ascii_digit()
        & s[18].is_ascii_digit();
    marks && digits
}

/// Reads the head at the beginning of `line`.
#[inline]
pub(super) fn read(line: &[u8]) -> Option<Head> {
    if !is_head(line) {
        return None;
    }
    let stamp = line.first_chunk::<STAMP>()?;
    let time = civil_time(stamp);
    let (level, after_level) = read_level(line.get(STAMP..)?)?;
    let (connection, after_process) = read_process(line.get(STAMP + after_level..)?)?;
    Some(Head { time, level: Some(level), connection, length: STAMP + after_level + after_process })
}

/// Reads a head that lost its date: `[error] 3383#3383: *74 `, or part of it (`015/07/24 …`).
pub(super) fn read_undated(line: &[u8]) -> Option<Head> {
    let bracket = memchr::memchr(b'[', line.get(..line.len().min(STAMP))?)?;
    let before = line.get(..bracket)?;
    if !before.iter().all(|b| b.is_ascii_digit() || matches!(b, b'/' | b':' | b' ')) {
        return None;
    }
    let (level, after_level) = read_level(line.get(bracket + 1..)?)?;
    let (connection, after_process) = read_process(line.get(bracket + 1 + after_level..)?)?;
    Some(Head { time: None, level: Some(level), connection, length: bracket + 1 + after_level + after_process })
}

/// `error] ` → the level and the bytes it took.
pub(super) fn read_level(text: &[u8]) -> Option<(Level, usize)> {
    let level = match text.first()? {
        b'e' if text.get(1) == Some(&b'r') => Level::Error,
        b'e' => Level::Emerg,
        b'w' => Level::Warn,
        b'c' => Level::Crit,
        b'a' => Level::Alert,
        b'i' => Level::Info,
        b'n' => Level::Notice,
        b'd' => Level::Debug,
        _ => return None,
    };
    let rest = text.strip_prefix(level.name().as_bytes())?.strip_prefix(b"]")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Some((level, text.len() - rest.len()))
}

/// `5654#5654: *80 ` → whether a connection is named, and the bytes it took. `#1776:*114` without a space occurs too.
fn read_process(text: &[u8]) -> Option<(bool, usize)> {
    let after_pid = skip_digits(text, 0);
    if after_pid == 0 || text.get(after_pid) != Some(&b'#') {
        return None;
    }
    let after_tid = skip_digits(text, after_pid + 1);
    if text.get(after_tid) != Some(&b':') {
        return None;
    }
    let mut at = after_tid + 1;
    if text.get(at) == Some(&b' ') {
        at += 1;
    }
    if text.get(at) == Some(&b'*') {
        let after_number = skip_digits(text, at + 1);
        if after_number > at + 1 && text.get(after_number) == Some(&b' ') {
            return Some((true, after_number + 1));
        }
    }
    Some((false, at))
}

#[inline]
fn skip_digits(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

fn civil_time(stamp: &[u8; STAMP]) -> Option<CivilTime> {
    let two = |i: usize| -> u8 {
        let digit = |j: usize| stamp.get(j).map_or(0, |b| b.wrapping_sub(b'0'));
        digit(i) * 10 + digit(i + 1)
    };
    let time = CivilTime {
        year: u16::from(two(0)) * 100 + u16::from(two(2)),
        month: two(5),
        day: two(8),
        hour: two(11),
        minute: two(14),
        second: two(17),
    };
    let valid = (1..=12).contains(&time.month)
        && (1..=31).contains(&time.day)
        && time.hour < 24
        && time.minute < 60
        && time.second <= 60;
    valid.then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_head_is_read() {
        let line = b"2026/11/21 09:54:37 [error] 5654#5655: *80 connect() failed";
        let head = read(line).unwrap();
        assert_eq!(head.time.unwrap().to_string(), "2026-11-21 09:54:37");
        assert_eq!((head.level, head.connection), (Some(Level::Error), true));
        assert_eq!(&line[head.length..], b"connect() failed");
    }

    #[test]
    fn heads_as_they_occur_are_read() {
        for (line, message) in [
            ("2026/11/21 09:54:37 [emerg] 1#0: bind() to", "bind() to"),
            ("2026/11/21 09:54:37 [warn] 1776#1776:*114 text", "text"),
            ("2026/11/21 09:54:37 [alert] 1#0: *241 open socket", "open socket"),
            ("2026/11/21 09:54:37 [alert] 1#0: *uA open", "*uA open"),
            ("1970/01/01 00:00:00 [notice] 1#1: x", "x"),
        ] {
            let head = read(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(line.get(head.length..), Some(message));
        }
        for line in ["[error] 3383#3383: *74 upstream", "015/07/24 10:00:00 [error] 1#1: *74 upstream"] {
            let head = read_undated(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((line.get(head.length..), head.connection), (Some("upstream"), true));
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for line in [
            "",
            "2026/11/21 09:54:37",
            "2026/11/21 09:54:37 [",
            "2026/11/21 09:54:37 [fatal] 1#1: x",
            "2026/11/21 09:54:37 [error] x",
            "2026-11-21 09:54:37 [error] 1#1: x",
            "2026/1x/21 09:54:37 [error] 1#1: x",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
        assert_eq!(read(b"2026/13/21 09:54:37 [error] 1#1: x").unwrap().time, None);
    }
}
