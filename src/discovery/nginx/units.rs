//! Times, sizes, numbers and flags, as nginx reads them (`src/core/ngx_parse.c`, `ngx_string.c`).

use std::time::Duration;

/// `ngx_atoi`: decimal digits and nothing else.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit).filter(|value| i64::try_from(*value).is_ok())
    })
}

/// `ngx_parse_size`: bytes, with `k` or `m` for more of them.
pub(super) fn size(text: &[u8]) -> Option<u64> {
    let (digits, scale) = match text.split_last()? {
        (b'k' | b'K', digits) => (digits, 1 << 10),
        (b'm' | b'M', digits) => (digits, 1 << 20),
        _ => (text, 1),
    };
    number(digits)?.checked_mul(scale).filter(|size| i64::try_from(*size).is_ok())
}

/// `ngx_parse_time` where milliseconds are meant: `1h 30m`, `500ms`, `60`; units from long to short, seconds where there
/// is none. Years and months only exist for [`seconds`].
pub(super) fn time(text: &[u8]) -> Option<Duration> {
    parse(text, false).map(Duration::from_millis)
}

/// `ngx_parse_time` where seconds are meant.
pub(super) fn seconds(text: &[u8]) -> Option<Duration> {
    parse(text, true).map(Duration::from_millis)
}

/// Units by rank, and their milliseconds.
fn unit(text: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (first, rest) = text.split_first()?;
    Some(match first {
        b'y' => (1, 365 * 86_400_000, rest),
        b'M' => (2, 30 * 86_400_000, rest),
        b'w' => (3, 7 * 86_400_000, rest),
        b'd' => (4, 86_400_000, rest),
        b'h' => (5, 3_600_000, rest),
        b'm' if rest.first() == Some(&b's') => (8, 1, rest.get(1..)?),
        b'm' => (6, 60_000, rest),
        b's' => (7, 1000, rest),
        // A bare number of seconds ends the value.
        b' ' => (9, 1000, rest),
        _ => return None,
    })
}

fn parse(text: &[u8], in_seconds: bool) -> Option<u64> {
    let mut last_rank = if in_seconds { 0 } else { 2 };
    let mut total = 0_u64;
    let mut rest = text;
    let mut is_number = false;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, after) = rest.split_at_checked(digits)?;
        // Units may follow each other without digits: `1h m` is an hour.
        let value = if digits.is_empty() { 0 } else { number(digits)? };
        is_number |= !digits.is_empty();
        let (rank, scale, after) = if after.is_empty() { (9, 1000, after) } else { unit(after)? };
        let is_blank = rank == 9;
        let in_order = if is_blank { last_rank < 7 || after.is_empty() } else { rank > last_rank };
        if !in_order || (in_seconds && rank == 8) {
            return None;
        }
        last_rank = rank;
        total = value.checked_mul(scale)?.checked_add(total)?;
        rest = after.trim_ascii_start();
    }
    is_number.then_some(total)
}

/// `on` or `off`.
pub(super) fn flag(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"on") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"off") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_nginxs() {
        for (text, milliseconds) in [
            ("60", Some(60_000)),
            ("60s", Some(60_000)),
            ("1m", Some(60_000)),
            ("200ms", Some(200)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m 5", Some(5_405_000)),
            ("1d12h", Some(129_600_000)),
            ("1s500ms", Some(1500)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("1m1h", None),
            ("1y", None),
            ("1M", None),
            ("1.5s", None),
            ("-1", None),
            ("99999999999999999999", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(time(text.as_bytes()), milliseconds.map(Duration::from_millis), "{text}");
        }
        assert_eq!(seconds(b"1y"), Some(Duration::from_secs(365 * 86_400)));
        assert_eq!(seconds(b"1M2w"), Some(Duration::from_secs(44 * 86_400)));
        assert_eq!(seconds(b"10"), Some(Duration::from_secs(10)));
        assert_eq!(seconds(b"10ms"), None);
    }

    #[test]
    fn sizes_are_nginxs() {
        for (text, bytes) in
            [("0", Some(0)), ("4k", Some(4096)), ("8K", Some(8192)), ("1m", Some(1 << 20)), ("2M", Some(2 << 20))]
        {
            assert_eq!(size(text.as_bytes()), bytes, "{text}");
        }
        for text in ["", "k", "4kb", "1g", "-1", "4 k", "9223372036854775807k"] {
            assert_eq!(size(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[0-9yMwdhms ]{0,30}") {
            time(text.as_bytes());
            seconds(text.as_bytes());
            size(text.as_bytes());
        }
    }
}
