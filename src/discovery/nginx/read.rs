//! Files to one [`Tree`]: what `include` names is read where it stands.
//!
//! nginx would stop at the first mistake and run on with what it has; here everything that is understood is kept, and
//! every mistake told. Whatever the files hold, the work is bounded: in bytes, in files, in depth, in directives.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::files::{Files, Stamp};
use super::glob;
use super::lexer::{End, Lexer, Words};
use super::lua;
use super::problems::Problems;
use super::tree::{MAX_DIRECTIVES, Tree};
use crate::observation::nginx::Place;

/// More bytes than this are not read of a file.
const MAX_FILE: u64 = 16 << 20;
/// More bytes than this are not read in total, a file included twice counting twice.
const MAX_TOTAL: u64 = 64 << 20;
/// More files than this are not read, a file included twice counting twice.
const MAX_FILES: usize = 20_000;
/// Includes are not followed deeper than this.
const MAX_INCLUDE_DEPTH: usize = 32;
/// Blocks are not kept deeper than this.
const MAX_BLOCK_DEPTH: usize = 64;
/// With more mistakes than this a file is no configuration.
const MAX_MISTAKES: usize = 20;
/// Where a NUL byte shows that a file is no text.
const BINARY_PROBE: usize = 8192;
/// Entries kept of each block that holds data.
pub(super) const MAX_ENTRIES: usize = 64;

/// Blocks that hold data instead of directives. The few entries kept tell what values a variable can have.
const DATA_BLOCKS: &[&[u8]] = &[b"map", b"geo", b"split_clients", b"types", b"charset_map"];

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) tree: Tree,
    /// Every file and directory that was looked at, as it was then; `None`: it was not to be had.
    pub(super) seen: BTreeMap<PathBuf, Option<Stamp>>,
    /// The files, in the order nginx reads them, each once.
    pub(super) files: Vec<PathBuf>,
}

impl Read {
    /// How many directives there are.
    pub(super) fn directive_count(&self) -> usize {
        self.tree.top().count()
    }
}

/// Reads configurations.
pub(super) struct Reader<'a> {
    files: &'a dyn Files,
    /// What relative includes are relative to: nginx's `conf_prefix`, ending with `/`.
    prefix: Vec<u8>,
    problems: &'a mut Problems,
    read: Read,
    /// The files that are being read, outermost first.
    within: Vec<PathBuf>,
    bytes_left: u64,
    files_left: usize,
    /// How many blocks are open, over all files.
    depth: usize,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("within", &self.within).finish_non_exhaustive()
    }
}

/// A block that is being read.
#[derive(Debug)]
struct Open {
    /// The directive; `None` where it is not kept.
    node: Option<usize>,
    line: u32,
    /// How many of its directives may still be kept.
    room: usize,
    is_data: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(files: &'a dyn Files, prefix: &[u8], problems: &'a mut Problems) -> Self {
        let read = Read { tree: Tree::default(), seen: BTreeMap::new(), files: Vec::new() };
        Self {
            files,
            prefix: prefix.to_vec(),
            problems,
            read,
            within: Vec::new(),
            bytes_left: MAX_TOTAL,
            files_left: MAX_FILES,
            depth: 0,
        }
    }

    /// Reads directives that stand on nginx's command line.
    pub(super) fn text(&mut self, name: &str, text: &[u8]) {
        let file = self.read.tree.add_file(name);
        self.parse(file, text, &mut Open::root());
    }

    /// Reads a file with everything it includes.
    pub(super) fn file(&mut self, path: &Path) {
        self.include_file(path, &Place { file: path.to_string_lossy().into(), line: 0 }, &mut Open::root());
    }

    pub(super) fn finish(self) -> Read {
        self.read
    }

    fn include_file(&mut self, path: &Path, from: &Place, open: &mut Open) {
        let name = path.to_string_lossy();
        if self.within.iter().any(|outer| outer == path) {
            return self.problems.add(from.clone(), format!("\"{name}\" includes itself"));
        }
        if self.within.len() >= MAX_INCLUDE_DEPTH {
            let what = format!("\"{name}\" is not read: more than {MAX_INCLUDE_DEPTH} files include each other");
            return self.problems.add(from.clone(), what);
        }
        if self.files_left == 0 || self.bytes_left == 0 {
            let what = format!("not all files are read: there are more than {MAX_FILES}, or {} MB", MAX_TOTAL >> 20);
            return self.problems.add(from.clone(), what);
        }
        self.files_left -= 1;
        let content = match self.files.read(path, MAX_FILE.min(self.bytes_left)) {
            Ok(content) => content,
            Err(error) => {
                self.read.seen.insert(path.to_owned(), None);
                return self.problems.add(from.clone(), format!("open() \"{name}\" failed ({})", told(&error)));
            }
        };
        self.bytes_left = self.bytes_left.saturating_sub(content.bytes.len() as u64);
        if self.read.seen.insert(path.to_owned(), Some(content.stamp)).is_none() {
            self.read.files.push(path.to_owned());
        }
        let file = self.read.tree.add_file(&name);
        let whole_file = self.read.tree.place(file, 0);
        if content.is_cut {
            self.problems.add(whole_file.clone(), "the file is too large: only its beginning is read");
        }
        let mut bytes = &content.bytes[..];
        if bytes.iter().take(BINARY_PROBE).any(|byte| *byte == 0) {
            return self.problems.add(whole_file, "the file is binary and no configuration");
        }
        if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
            self.problems.add(self.read.tree.place(file, 1), "a byte order mark, which nginx refuses");
            bytes = rest;
        }
        self.within.push(path.to_owned());
        self.parse(file, bytes, open);
        self.within.pop();
    }

    /// Reads the directives of one file into the block `outer`, where the file is included.
    fn parse(&mut self, file: u32, bytes: &[u8], outer: &mut Open) {
        let mut lexer = Lexer::new(bytes);
        let mut blocks: Vec<Open> = Vec::new();
        let mut mistakes = 0;
        loop {
            let end = lexer.read(&mut self.read.tree);
            let block = blocks.last_mut().unwrap_or(outer);
            match end {
                End::Simple => self.simple(file, block),
                End::Unended(broken) => {
                    self.problems.add(self.read.tree.place(file, broken.line), broken.what);
                    mistakes += 1;
                    self.simple(file, block);
                }
                End::BlockOpen => {
                    let block = if block.is_data { self.end_data(file, &mut blocks, outer) } else { block };
                    let is_lua = lua::is_lua_block(self.read.tree.pending().0);
                    let opened = self.open(file, block);
                    if is_lua {
                        self.skip_lua(file, &mut lexer, &opened);
                    } else {
                        self.depth += 1;
                        blocks.push(opened);
                    }
                }
                End::BlockClose => match blocks.pop() {
                    Some(block) => self.close(&block),
                    None => {
                        self.problems.add(self.read.tree.place(file, lexer.line()), "unexpected \"}\"");
                        mistakes += 1;
                    }
                },
                End::Broken(broken) => {
                    self.problems.add(self.read.tree.place(file, broken.line), broken.what);
                    mistakes += 1;
                }
                End::File => break,
            }
            if mistakes > MAX_MISTAKES {
                let what = "more mistakes than a configuration has: the rest of the file is not read";
                self.problems.add(self.read.tree.place(file, lexer.line()), what);
                break;
            }
        }
        self.read.tree.clear();
        while let Some(block) = blocks.pop() {
            if mistakes <= MAX_MISTAKES {
                let what = format!("unexpected end of file, expecting \"}}\" for the block of line {}", block.line);
                self.problems.add(self.read.tree.place(file, lexer.line()), what);
            }
            self.close(&block);
        }
    }

    /// Data has no blocks: its closing brace is missing, and what opens here stands beside it.
    fn end_data<'o>(&mut self, file: u32, blocks: &'o mut Vec<Open>, outer: &'o mut Open) -> &'o mut Open {
        let place = self.read.tree.place(file, self.read.tree.pending_line());
        self.problems.add(place, "unexpected \"{\"");
        if let Some(data) = blocks.pop() {
            self.close(&data);
        }
        blocks.last_mut().unwrap_or(outer)
    }

    fn close(&mut self, block: &Open) {
        self.depth -= 1;
        if let Some(node) = block.node {
            self.read.tree.end_block(node);
        }
    }

    fn simple(&mut self, file: u32, block: &mut Open) {
        let (name, words) = self.read.tree.pending();
        let pattern = (name == b"include" && words == 2).then(|| self.read.tree.pending_arg().to_vec());
        let line = self.read.tree.pending_line();
        self.keep(file, line, block, false);
        if let Some(pattern) = pattern {
            let from = self.read.tree.place(file, line);
            self.include(&pattern, &from, block);
        }
    }

    /// The words that have come in become a directive of `block`, if it has room.
    fn keep(&mut self, file: u32, line: u32, block: &mut Open, is_block: bool) -> Option<usize> {
        if block.room == 0 {
            self.read.tree.clear();
            return None;
        }
        block.room -= 1;
        let added = self.read.tree.add(file, is_block);
        if added.is_none() {
            let what = format!("more than {MAX_DIRECTIVES} directives: those from here on are not kept");
            self.problems.add(self.read.tree.place(file, line), what);
            block.room = 0;
        }
        added
    }

    fn open(&mut self, file: u32, outer: &mut Open) -> Open {
        let is_data = DATA_BLOCKS.contains(&self.read.tree.pending().0);
        let line = self.read.tree.pending_line();
        if self.depth >= MAX_BLOCK_DEPTH && outer.room > 0 {
            let what = format!("more than {MAX_BLOCK_DEPTH} blocks within each other: those deeper are not kept");
            self.problems.add(self.read.tree.place(file, line), what);
            outer.room = 0;
        }
        let node = self.keep(file, line, outer, true);
        self.read.tree.clear();
        let room = match (node, is_data) {
            (None, _) => 0,
            (Some(_), true) => MAX_ENTRIES,
            (Some(_), false) => usize::MAX,
        };
        Open { node, line, room, is_data }
    }

    fn skip_lua(&mut self, file: u32, lexer: &mut Lexer<'_>, block: &Open) {
        match lua::block_length(lexer.rest()) {
            Some(length) => lexer.skip(length),
            None => {
                let what = "the Lua block does not end: the rest of the file is not read";
                self.problems.add(self.read.tree.place(file, block.line), what);
                lexer.skip(lexer.rest().len());
            }
        }
    }

    fn include(&mut self, argument: &[u8], from: &Place, block: &mut Open) {
        let full = match argument.first() {
            Some(b'/') => argument.to_vec(),
            _ => [&self.prefix, argument].concat(),
        };
        if !glob::is_pattern(&full) {
            return self.include_file(Path::new(OsStr::from_bytes(&full)), from, block);
        }
        let (files, seen, problems) = (self.files, &mut self.read.seen, &mut *self.problems);
        let (paths, is_all) = glob::expand(&full, files, |directory, error| {
            seen.insert(directory.to_owned(), files.stamp(directory).ok());
            // A directory that is missing is nothing to nginx. One that cannot be read hides files, maybe from us alone.
            if let Some(error) = error.filter(|error| error.kind() != io::ErrorKind::NotFound) {
                let what = format!("\"{}\" cannot be searched ({})", directory.display(), told(error));
                problems.add(from.clone(), what);
            }
        });
        if !is_all {
            let what = format!("too many files match \"{}\": not all are read", String::from_utf8_lossy(&full));
            problems.add(from.clone(), what);
        }
        for path in paths {
            self.include_file(&path, from, block);
        }
    }
}

impl Open {
    /// What is no block: the main context.
    const fn root() -> Self {
        Self { node: None, line: 0, room: usize::MAX, is_data: false }
    }
}

/// An error as nginx tells it: `2: No such file or directory`.
fn told(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.rfind(" (os error")) {
        (Some(number), Some(end)) => format!("{number}: {}", text.get(..end).unwrap_or(&text)),
        _ => text,
    }
}
