//! Text from logs, made safe to show.
//!
//! No byte of a log field is escaped by nginx: a request line can hold terminal escapes that clear the screen, line feeds
//! that forge a line of ours, and marks that turn the reading direction around. [`Safe`] shows each of them as an escape
//! and everything else as it is. It is for eyes: a literal backslash stays one, so the way back is not unique.

use std::fmt::{self, Write};

/// Bytes of unknown origin, displayed without control characters, invisible or direction-changing marks and invalid
/// UTF-8, and never longer than a limit.
#[derive(Debug, Clone, Copy)]
pub struct Safe<'a> {
    bytes: &'a [u8],
    limit: usize,
}

impl<'a> Safe<'a> {
    /// All of `text`.
    #[must_use]
    pub fn new(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { bytes: text.as_ref(), limit: usize::MAX }
    }

    /// At most `limit` characters of `text` (an escape counts as one), then `…`.
    #[must_use]
    pub fn limited(text: &'a (impl AsRef<[u8]> + ?Sized), limit: usize) -> Self {
        Self { bytes: text.as_ref(), limit }
    }
}

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.limit;
        let mut take = || left.checked_sub(1).map(|rest| left = rest).is_some();
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if !take() {
                    return f.write_char('…');
                }
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c if is_deceptive(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                if !take() {
                    return f.write_char('…');
                }
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters beyond ASCII that a terminal obeys or does not show: C1 controls, marks of direction, separators of lines,
/// format characters without a shape, and the private areas, whose look is up to the font.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Safe;

    fn safe(bytes: &[u8]) -> String {
        Safe::new(bytes).to_string()
    }

    #[test]
    fn ordinary_text_of_any_script_is_shown_as_it_is() {
        for text in ["GET /índex?q=a%20b HTTP/1.1", "/логи/ошибка", "日本語 🚀", r"C:\php\x1b", "unix:/run/a.sock"]
        {
            assert_eq!(safe(text.as_bytes()), text);
        }
    }

    #[test]
    fn terminal_escapes_are_shown_and_not_obeyed() {
        assert_eq!(safe(b"\x1b[2J\x1b]0;owned\x07"), r"\x1b[2J\x1b]0;owned\x07");
        assert_eq!(safe("\u{9b}31m".as_bytes()), r"\u{9b}31m");
        assert_eq!(safe(b"a\nb\rc\td\0e\x7f"), r"a\nb\rc\td\x00e\x7f");
    }

    #[test]
    fn marks_that_reorder_or_hide_text_are_shown() {
        assert_eq!(safe("evil\u{202e}gpj.exe".as_bytes()), r"evil\u{202e}gpj.exe");
        assert_eq!(safe("\u{2066}a\u{200b}b\u{feff}\u{e0041}".as_bytes()), r"\u{2066}a\u{200b}b\u{feff}\u{e0041}");
    }

    #[test]
    fn invalid_utf8_is_shown_byte_by_byte() {
        assert_eq!(safe(b"\x16\x03\x01\xff\xfeok\xe2\x82"), r"\x16\x03\x01\xff\xfeok\xe2\x82");
    }

    #[test]
    fn a_limit_counts_characters_and_marks_the_cut() {
        assert_eq!(Safe::limited("abc", 3).to_string(), "abc");
        assert_eq!(Safe::limited("äöüß", 3).to_string(), "äöü…");
        assert_eq!(Safe::limited(b"\xff\xff\xff", 2).to_string(), r"\xff\xff…");
    }

    proptest! {
        #[test]
        fn whatever_goes_in_no_control_character_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!safe(&bytes).chars().any(|c| c.is_control() || super::is_deceptive(c)));
        }
    }
}
