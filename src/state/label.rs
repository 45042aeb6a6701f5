//! Label values from outside: capped in length, without control characters.

use std::sync::Arc;

use crate::observation::PeerLabels;

/// The longest label value that is kept, in bytes of UTF-8; a longer one is cut and ends with `…`.
pub const MAX_LABEL_BYTES: usize = 256;

/// Stands for every label value past the cap of its family.
const OTHER: &str = "other";
const ELLIPSIS: char = '…';

/// The open part of a label set: values from configuration, file names and logs.
pub trait OpenLabels: Ord + Sized {
    /// The same, with every value fit for a label.
    #[must_use]
    fn cleaned(self) -> Self;

    /// What stands for all label sets past the cap.
    #[must_use]
    fn other() -> Self;
}

impl OpenLabels for Arc<str> {
    fn cleaned(self) -> Self {
        cleaned(self)
    }

    fn other() -> Self {
        OTHER.into()
    }
}

impl OpenLabels for PeerLabels {
    fn cleaned(self) -> Self {
        Self { upstream: cleaned(self.upstream), peer: cleaned(self.peer) }
    }

    fn other() -> Self {
        Self { upstream: OTHER.into(), peer: OTHER.into() }
    }
}

/// The value as a label: at most [`MAX_LABEL_BYTES`], control characters replaced. A clean value is not copied.
pub(super) fn cleaned(value: Arc<str>) -> Arc<str> {
    if value.len() <= MAX_LABEL_BYTES && !value.chars().any(char::is_control) {
        return value;
    }
    let mut clean = String::with_capacity(MAX_LABEL_BYTES);
    let mut cut = 0;
    for c in value.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }) {
        if clean.len() + c.len_utf8() > MAX_LABEL_BYTES {
            clean.truncate(cut);
            clean.push(ELLIPSIS);
            break;
        }
        clean.push(c);
        if clean.len() + ELLIPSIS.len_utf8() <= MAX_LABEL_BYTES {
            cut = clean.len();
        }
    }
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clean_value_is_kept_as_it_is() {
        let value: Arc<str> = "unix:/run/php \"ö\" \\ 🦀".into();
        assert!(Arc::ptr_eq(&value, &cleaned(Arc::clone(&value))));
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(&*cleaned("a\nb\u{1b}[31m\0c\u{85}".into()), "a\u{fffd}b\u{fffd}[31m\u{fffd}c\u{fffd}");
    }

    #[test]
    fn a_long_value_is_cut_between_characters_and_says_so() {
        let exact = "x".repeat(MAX_LABEL_BYTES);
        assert_eq!(&*cleaned(exact.as_str().into()), exact);
        let long = cleaned("🦀".repeat(10_000).into());
        assert_eq!(&*long, format!("{}…", "🦀".repeat(63)));
    }

    proptest! {
        #[test]
        fn any_value_becomes_short_and_printable_and_stays_so(value in ".{0,400}|[\\x00-\\x20é🦀]{0,400}") {
            let once = cleaned(value.into());
            prop_assert!(once.len() <= MAX_LABEL_BYTES);
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert!(Arc::ptr_eq(&once, &cleaned(Arc::clone(&once))));
        }
    }
}
