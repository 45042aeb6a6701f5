//! Include patterns to files, as `glob(3)` does it for nginx: `*`, `?` and `[…]` within one directory, no hidden names,
//! sorted by bytes.
//!
//! Own code because the patterns are bytes, because they are looked up under a root, and because the crate in use for
//! log patterns panics on names that are no UTF-8.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::files::Files;

/// With more paths than this no further directory is searched.
const MAX_PATHS: usize = 20_000;
/// More directories than this are not searched for one pattern.
const MAX_DIRECTORIES: usize = 5_000;

/// Whether nginx takes the argument of an `include` for a pattern.
pub(super) fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The files a pattern matches. Every directory that was looked into is told to `looked`, with what hindered it; what is
/// no directory is not. The second value: whether that is all, or there were too many.
pub(super) fn expand(
    pattern: &[u8],
    files: &dyn Files,
    mut looked: impl FnMut(&Path, Option<&io::Error>),
) -> (Vec<PathBuf>, bool) {
    let mut found: Vec<Vec<u8>> = vec![Vec::new()];
    let mut directories_left = MAX_DIRECTORIES;
    let mut is_all = true;
    let mut parts = pattern.split_inclusive(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let (name, slash) = match part.split_last() {
            Some((b'/', name)) => (name, &b"/"[..]),
            _ => (part, &b""[..]),
        };
        if !is_pattern(name) {
            let follows_pattern = is_pattern(pattern) && parts.peek().is_none();
            found.iter_mut().for_each(|path| path.extend_from_slice(part));
            if follows_pattern {
                found.retain(|path| files.stamp(as_path(path)).is_ok());
            }
            continue;
        }
        let mut next = Vec::new();
        for directory in found {
            if directories_left == 0 || next.len() >= MAX_PATHS {
                is_all = false;
                break;
            }
            directories_left -= 1;
            let names = match files.names(as_path(&directory)) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                names => names,
            };
            looked(as_path(&directory), names.as_ref().err());
            let matching = names.unwrap_or_default().into_iter().filter(|found| matches(name, found.as_bytes()));
            let paths = matching.map(|found| [&directory, found.as_bytes(), slash].concat());
            next.extend(paths);
        }
        found = next;
    }
    found.sort();
    (found.into_iter().map(|path| PathBuf::from(OsString::from_vec(path))).collect(), is_all)
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// One name against one part of a pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    // Where to go on when what follows the last `*` does not match: a byte further on.
    let mut star: Option<(&[u8], &[u8])> = None;
    let (mut pattern, mut name) = (pattern, name);
    loop {
        match (pattern.split_first(), name.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((rest, name));
                pattern = rest;
                continue;
            }
            (None, None) => return true,
            (Some(_), Some((byte, name_rest))) => {
                if let Some(pattern_rest) = one(pattern, *byte) {
                    (pattern, name) = (pattern_rest, name_rest);
                    continue;
                }
            }
            _ => {}
        }
        let Some((after_star, from)) = star else { return false };
        let Some((_, shorter)) = from.split_first() else { return false };
        star = Some((after_star, shorter));
        (pattern, name) = (after_star, shorter);
    }
}

/// What remains of the pattern if its beginning matches the byte.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => match class(rest, byte) {
            Some((true, rest)) => Some(rest),
            Some((false, _)) => None,
            // A bracket that does not close is itself.
            None => (byte == b'[').then_some(rest),
        },
        b'\\' => rest.split_first().filter(|(escaped, _)| **escaped == byte).map(|(_, rest)| rest),
        _ => (*first == byte).then_some(rest),
    }
}

/// Whether a bracket expression matches, and what follows it.
fn class(text: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match text.split_first()? {
        (b'!' | b'^', rest) => (true, rest),
        _ => (false, text),
    };
    let mut found = false;
    let mut first = true;
    loop {
        let (low, after) = rest.split_first()?;
        if *low == b']' && !first {
            return Some((found != negated, after));
        }
        first = false;
        match after {
            [b'-', high, after @ ..] if *high != b']' => {
                found |= (*low..=*high).contains(&byte);
                rest = after;
            }
            _ => {
                found |= *low == byte;
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::memory::Memory;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, yes, no) in [
            ("*.conf", &["a.conf", "a.b.conf"][..], &[".conf", ".a.conf", "a.conf~", "conf"][..]),
            (".*", &[".a"], &["a"]),
            ("a?c*", &["abc", "abcd"], &["ac", "bbc"]),
            ("[0-9][!a-c]*", &["1d", "1-x"], &["1a", "d1", "1"]),
            ("[^x]", &["a"], &["x"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[-a]", &["-", "a"], &["b"]),
            ("a[b", &["a[b"], &["ab"]),
            (r"a\*", &["a*"], &["ab"]),
            ("*a*b*", &["ab", "xaxbx"], &["ba"]),
            ("\u{ff}*", &["\u{ff}1"], &["1"]),
        ] {
            for name in yes {
                assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn files_come_sorted_from_every_matching_directory() {
        let files =
            Memory::new(["/e/b/n.conf", "/e/a/n.conf", "/e/a/.n.conf", "/e/c/x", "/e/n.conf"].map(|path| (path, "")));
        let mut looked = Vec::new();
        let mut expand = |pattern: &str| {
            let paths =
                expand(pattern.as_bytes(), &files, |path, error| looked.push((path.to_owned(), error.is_some())));
            paths.0.into_iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(expand("/e/*/n.conf"), ["/e/a/n.conf", "/e/b/n.conf"]);
        assert_eq!(expand("/e/[ab]//*"), ["/e/a//n.conf", "/e/b//n.conf"]);
        assert_eq!(expand("/missing/*"), Vec::<String>::new());
        assert_eq!(looked.first(), Some(&("/e/".into(), false)));
        assert_eq!(looked.last(), Some(&("/missing/".into(), true)));
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in proptest::collection::vec(any::<u8>(), 0..40), name in proptest::collection::vec(any::<u8>(), 0..40)) {
            matches(&pattern, &name);
        }

        #[test]
        fn a_name_matches_itself(name in "[a-z]{1,20}") {
            prop_assert!(matches(name.as_bytes(), name.as_bytes()));
            prop_assert!(matches(b"*", name.as_bytes()));
        }
    }
}
