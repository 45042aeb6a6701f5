//! The fuzz targets' checks as plain tests: over the corpus, and over a bounded number of its mutations, the same ones on
//! every machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

/// Mutations tried of each seed.
const MUTATIONS: usize = 150;

/// Words that mean something to one of the parsers.
const WORDS: &[&[u8]] = &[
    b", client: ",
    b", server: ",
    b", upstream: \"",
    b"\", host: \"",
    b" while ",
    b"\n",
    b"\0",
    b"\xff\xfe",
    b"2026/11/21 09:54:37 [error] 1#1: *1 ",
    b"FastCGI sent in stderr: \"",
    b"PHP message: ",
    b" (111: ",
    b"unix:",
    b"://",
    b"\x1b[2J",
    b": ",
    b"- ",
    b"${X}",
    b"\t",
    b"&a [*a]",
];

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % limit.max(1)
    }

    /// One to four small changes.
    fn mutate(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = at + self.below(bytes.len() + 1 - at);
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let word = WORDS[self.below(WORDS.len())];
                    drop(bytes.splice(at..at, word.iter().copied()));
                }
                3 => {
                    let copy = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
                4 => {
                    let from = self.below(other.len() + 1);
                    drop(bytes.splice(at.., other[from..].iter().copied()));
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = u8::try_from(self.below(256)).unwrap();
                    }
                }
            }
        }
        bytes
    }
}

fn seeds(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for folder in folders {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            seeds.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    seeds.sort();
    assert!(!seeds.is_empty());
    seeds
}

/// Names the bytes that a check failed on.
struct Trying<'a>(&'a str, &'a [u8]);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed on a mutation of {}: b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

fn check(folders: &[&str], check: fn(&[u8])) {
    let seeds = seeds(folders);
    let mut random = Random(502);
    for (name, seed) in &seeds {
        let trying = Trying(name, seed);
        check(seed);
        drop(trying);
        for _ in 0..MUTATIONS {
            let other = &seeds[random.below(seeds.len())].1;
            let bytes = random.mutate(seed, other);
            let _trying = Trying(name, &bytes);
            check(&bytes);
        }
    }
}

#[test]
fn entries_lose_nothing_and_invent_nothing() {
    check(&["fuzz/corpus/nginx_entry"], checks::nginx_entry);
}

#[test]
fn a_prefix_changes_nothing() {
    check(&["fuzz/corpus/prefix"], checks::prefix);
}

#[test]
fn explanations_are_safe_to_print() {
    check(&["fuzz/corpus/nginx_entry", "tests/fixtures/explain"], checks::explain);
}

#[test]
fn configuration_files_are_accepted_or_refused_with_reasons() {
    check(&["tests/fixtures/config/good", "tests/fixtures/config/bad"], checks::config);
}
