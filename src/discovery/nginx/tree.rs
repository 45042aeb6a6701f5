//! Directives with their blocks, of all files together: what `include` brings stands where it was included.
//!
//! The directives lie one after the other as they are written, each knowing where its block ends. So a tree of any depth
//! is made, walked and dropped without recursion, and a directive costs 24 bytes and its words.

use std::sync::Arc;

use super::lexer::{Word, Words};
use crate::observation::nginx::Place;

/// More directives than this are not kept.
pub(super) const MAX_DIRECTIVES: usize = 500_000;

/// All directives.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Ends of the words in `text`; a word begins where the one before it ends.
    word_ends: Vec<u32>,
    text: Vec<u8>,
    files: Vec<Arc<str>>,
    /// Words from here on belong to the directive that is being read, and the line it begins in.
    pending: usize,
    pending_line: u32,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    file: u32,
    line: u32,
    first_word: u32,
    words: u32,
    /// The node after this one and its block.
    end: u32,
    is_block: bool,
}

impl Words for Tree {
    fn clear(&mut self) {
        self.word_ends.truncate(self.pending);
        self.text.truncate(self.word_ends.last().map_or(0, |end| *end as usize));
        self.pending_line = 0;
    }

    fn push(&mut self, word: Word<'_>, line: u32) {
        if self.word_ends.len() == self.pending {
            self.pending_line = line;
        }
        word.unescape_into(&mut self.text);
        self.word_ends.push(small(self.text.len()));
    }

    fn is_empty(&self) -> bool {
        self.word_ends.len() == self.pending
    }
}

impl Tree {
    /// A number for a file.
    pub(super) fn add_file(&mut self, name: &str) -> u32 {
        // Most files are included once; the last one is the likely other case.
        if self.files.last().is_none_or(|last| **last != *name) {
            self.files.push(name.into());
        }
        small(self.files.len() - 1)
    }

    /// Where a line of a file is.
    pub(super) fn place(&self, file: u32, line: u32) -> Place {
        Place { file: self.files.get(file as usize).cloned().unwrap_or_default(), line }
    }

    /// The first of the words that have come in, and how many there are.
    pub(super) fn pending(&self) -> (&[u8], usize) {
        (self.word(self.pending), self.word_ends.len() - self.pending)
    }

    /// The second of the words that have come in.
    pub(super) fn pending_arg(&self) -> &[u8] {
        self.word(self.pending + 1)
    }

    /// The line the directive that is being read begins in.
    pub(super) fn pending_line(&self) -> u32 {
        self.pending_line
    }

    /// The words that have come in become a directive. `None`: there are too many already, and they are dropped.
    pub(super) fn add(&mut self, file: u32, is_block: bool) -> Option<usize> {
        if self.nodes.len() >= MAX_DIRECTIVES {
            self.clear();
            return None;
        }
        let at = self.nodes.len();
        self.nodes.push(Node {
            file,
            line: self.pending_line,
            first_word: small(self.pending),
            words: small(self.word_ends.len() - self.pending),
            end: small(at + 1),
            is_block,
        });
        self.pending = self.word_ends.len();
        Some(at)
    }

    /// The block of a directive ends here.
    pub(super) fn end_block(&mut self, at: usize) {
        let end = small(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(at) {
            node.end = end;
        }
    }

    fn word(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.word_ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.word_ends.get(at).map_or(start, |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    pub(super) fn directive(&self, at: usize) -> Directive<'_> {
        Directive { tree: self, at }
    }

    /// The directives of the main context.
    pub(super) fn top(&self) -> Children<'_> {
        Children { tree: self, next: 0, end: self.nodes.len() }
    }
}

fn small(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// A directive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directive<'t> {
    tree: &'t Tree,
    at: usize,
}

impl<'t> Directive<'t> {
    fn node(self) -> Option<&'t Node> {
        self.tree.nodes.get(self.at)
    }

    /// Its first word.
    pub(super) fn name(self) -> &'t [u8] {
        self.node().map_or(&[], |node| self.tree.word(node.first_word as usize))
    }

    /// How many words follow the name.
    pub(super) fn arg_count(self) -> usize {
        self.node().map_or(0, |node| (node.words as usize).saturating_sub(1))
    }

    /// The words after the name, from 0.
    pub(super) fn arg(self, at: usize) -> Option<&'t [u8]> {
        let node = self.node()?;
        (at < self.arg_count()).then(|| self.tree.word(node.first_word as usize + 1 + at))
    }

    /// All words after the name.
    pub(super) fn args(self) -> impl Iterator<Item = &'t [u8]> {
        (0..self.arg_count()).filter_map(move |at| self.arg(at))
    }

    /// Where it begins.
    pub(super) fn place(self) -> Place {
        self.node().map_or_else(|| self.tree.place(u32::MAX, 0), |node| self.tree.place(node.file, node.line))
    }

    /// Whether it has a block.
    pub(super) fn is_block(self) -> bool {
        self.node().is_some_and(|node| node.is_block)
    }

    /// The directives of its block, and of the blocks in it.
    pub(super) fn descendants(self) -> impl Iterator<Item = Directive<'t>> {
        let end = self.node().map_or(0, |node| node.end as usize);
        (self.at + 1..end).map(|at| self.tree.directive(at))
    }

    /// The directives of its block.
    pub(super) fn children(self) -> Children<'t> {
        let end = self.node().map_or(0, |node| node.end as usize);
        Children { tree: self.tree, next: self.at + 1, end }
    }
}

/// The directives of one block.
#[derive(Debug, Clone)]
pub(super) struct Children<'t> {
    tree: &'t Tree,
    next: usize,
    end: usize,
}

impl<'t> Iterator for Children<'t> {
    type Item = Directive<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let directive = self.tree.directive(self.next);
        self.next = directive.node().map_or(self.end, |node| node.end as usize);
        Some(directive)
    }
}
