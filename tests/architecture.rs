//! The picture in `src/lib.rs`, checked: who may use whom, how files are laid out, what no file may do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a module may use, besides itself. Data flows from top to bottom; nothing points back up.
const ALLOWED: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("observation", &[]),
    ("config", &["text"]),
    ("discovery", &["observation", "config"]),
    ("inputs", &["observation", "config", "discovery"]),
    ("state", &["observation"]),
    ("diagnosis", &["observation"]),
    ("metrics", &["state"]),
    ("web", &["state", "metrics"]),
    ("app", &["observation", "config", "inputs", "state", "diagnosis", "metrics", "web"]),
    ("cli", &["text", "observation", "config", "inputs", "diagnosis", "app"]),
];

/// Files are split here; about 130 lines are usual.
const MAX_LINES: usize = 500;

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The code that is shipped: without comments, and without the tests at the end of the file.
    fn code(&self) -> String {
        let shipped = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = shipped.lines().map(|line| line.split("//").next().unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Name of the module at the top: `web` for `web/page.rs`.
    fn top(&self) -> &str {
        let first = self.path.components().next().unwrap();
        Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap()
    }

    fn is_tests(&self) -> bool {
        self.path.file_name().unwrap() == "tests.rs"
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root()).unwrap().into(), text });
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 10, "the sources were not found");
    found
}

/// The modules of this crate that a piece of code names: the word after `crate::`, also each of `crate::{a, b::c}`.
fn used(code: &str) -> BTreeSet<&str> {
    let mut modules = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let mut depth = 0;
        let mut expected = true;
        for (at, c) in after.char_indices() {
            match c {
                '{' => {
                    depth += 1;
                    expected = depth == 1;
                }
                '}' => depth -= 1,
                ',' => expected = depth == 1,
                c if c.is_alphanumeric() && expected => {
                    let rest = &after[at..];
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    modules.insert(&rest[..end]);
                    expected = false;
                }
                _ => {}
            }
            if depth == 0 && !expected {
                break;
            }
        }
    }
    modules
}

#[test]
fn modules_use_only_what_lies_before_them_in_the_flow() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_tests() && !["lib", "main"].contains(&source.top())) {
        let top = source.top();
        let may = allowed.get(top).unwrap_or_else(|| panic!("src/{top}: say in ALLOWED what it may use"));
        for module in used(&source.code()) {
            if allowed.contains_key(module) && module != top && !may.contains(&module) {
                wrong.push(format!("src/{} uses {module}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lib_declares_every_module_of_the_picture() {
    let lib = fs::read_to_string(root().join("lib.rs")).unwrap();
    let declared: BTreeSet<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, ALLOWED.iter().map(|(module, _)| *module).collect());
}

#[test]
fn every_file_is_a_module_of_the_file_named_like_its_folder() {
    for Source { path, .. } in sources() {
        assert!(path.file_name().unwrap() != "mod.rs", "src/{}: modules are foo.rs with foo/*.rs", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap();
        let parent = match path.parent().unwrap() {
            top if top == Path::new("") && ["lib", "main"].contains(&name) => continue,
            top if top == Path::new("") => PathBuf::from("lib.rs"),
            folder => folder.with_extension("rs"),
        };
        let text = fs::read_to_string(root().join(&parent)).unwrap_or_default();
        let declaration = format!("mod {name};");
        let declared = text.lines().any(|line| {
            line.strip_suffix(&declaration).is_some_and(|before| before.is_empty() || before.starts_with("pub"))
        });
        assert!(declared, "src/{} is declared nowhere in src/{}", path.display(), parent.display());
    }
}

#[test]
fn no_file_is_too_long() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= MAX_LINES, "src/{} has {lines} lines: split it", source.path.display());
    }
}

#[test]
fn no_program_is_executed() {
    for source in sources() {
        let code = source.code();
        for banned in ["process::Command", "libc::exec", "execve", "posix_spawn"] {
            assert!(!code.contains(banned), "src/{} has {banned}", source.path.display());
        }
    }
}

#[test]
fn the_reader_of_use_lines_reads_them() {
    let code = "use crate::web;\nuse crate::{state::{A, b::C}, metrics, config::D};\nfn f() -> crate::inputs::Sink";
    assert_eq!(used(code).into_iter().collect::<Vec<_>>(), ["config", "inputs", "metrics", "state", "web"]);
    assert_eq!(used("pub(crate) mod closed_set;").len(), 0);
}
