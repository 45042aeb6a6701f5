//! Values that variables can have, as far as the files tell: by `set`, `map`, `geo` and `split_clients`.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::tree::{Children, Directive};

/// More values than this are not told.
const MAX_VALUES: usize = 64;
/// Values that consist of variables are followed this deep.
const MAX_DEPTH: usize = 4;
/// Values are looked into so often for one expression.
const MAX_STEPS: usize = 200;
/// The same for all expressions of `http {}` or `stream {}` together.
const MAX_TOTAL_STEPS: usize = 100_000;
/// Longer values are not told: hardly an address is that long.
const MAX_LENGTH: usize = 256;
/// Variables of the request that an address ends before, and what of them matters for it.
const URI_VARIABLES: &[(&[u8], &[u8])] = &[
    (b"request_uri", b"/"),
    (b"uri", b"/"),
    (b"document_uri", b"/"),
    (b"is_args", b""),
    (b"args", b""),
    (b"query_string", b""),
];

/// What an expression can become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) literal: Vec<Vec<u8>>,
    /// Whether that is all: nothing in it comes from the request.
    pub(super) complete: bool,
}

/// Expressions by the variable they are assigned to.
#[derive(Debug)]
pub(super) struct Variables<'t, 'o> {
    values: HashMap<&'t [u8], Vec<&'t [u8]>>,
    /// Variables with more values than were read.
    cut: Vec<&'t [u8]>,
    /// Those of the block around.
    outer: Option<&'o Variables<'t, 'o>>,
    steps_left: Rc<Cell<usize>>,
}

impl Default for Variables<'_, '_> {
    fn default() -> Self {
        let steps_left = Rc::new(Cell::new(MAX_TOTAL_STEPS));
        Self { values: HashMap::new(), cut: Vec::new(), outer: None, steps_left }
    }
}

/// Whether nginx evaluates the text for each request.
pub(super) fn is_expression(text: &[u8]) -> bool {
    text.contains(&b'$')
}

impl<'t, 'o> Variables<'t, 'o> {
    /// Those of a block within: a server's.
    pub(super) fn inner(outer: &'o Variables<'t, 'o>) -> Self {
        Self { outer: Some(outer), steps_left: Rc::clone(&outer.steps_left), ..Self::default() }
    }

    /// Takes in the blocks of `http {}` or `stream {}`. `room`: how many entries of a block are read at most.
    pub(super) fn add_blocks(&mut self, context: Children<'t>) {
        for block in context.filter(|directive| directive.is_block()) {
            let (name, skipped): (_, &[&[u8]]) = match block.name() {
                b"map" => (block.arg(1), &[b"hostnames", b"volatile", b"include"]),
                b"geo" => (block.args().last(), &[b"ranges", b"delete", b"proxy", b"proxy_recursive", b"include"]),
                b"split_clients" => (block.arg(1), &[b"include"]),
                _ => continue,
            };
            let Some(name) = name.and_then(|name| name.strip_prefix(b"$")) else { continue };
            let entries = block.children().filter(|entry| !skipped.contains(&entry.name()));
            self.add(name, entries.filter_map(|entry| entry.args().last()));
            if block.children().count() >= super::read::MAX_ENTRIES {
                self.cut.push(name);
            }
        }
    }

    /// Takes in every `set` of a server, however deep.
    pub(super) fn add_sets(&mut self, block: Directive<'t>) {
        for directive in block.descendants().filter(|directive| directive.name() == b"set") {
            if let (Some(name), Some(value)) = (directive.arg(0), directive.arg(1)) {
                self.add(name.strip_prefix(b"$").unwrap_or(name), [value]);
            }
        }
    }

    fn add(&mut self, name: &'t [u8], values: impl IntoIterator<Item = &'t [u8]>) {
        let known = self.values.entry(name).or_default();
        for value in values {
            if known.len() > MAX_VALUES {
                self.cut.push(name);
                return;
            }
            if !known.contains(&value) {
                known.push(value);
            }
        }
    }

    /// What the expression can become.
    pub(super) fn expand(&self, expression: &[u8]) -> Values {
        let mut steps = MAX_STEPS.min(self.steps_left.get());
        let allowed = steps;
        let values = self.expand_to(expression, MAX_DEPTH, &mut steps);
        self.steps_left.set(self.steps_left.get().saturating_sub(allowed - steps));
        values
    }

    fn expand_to(&self, expression: &[u8], depth: usize, steps: &mut usize) -> Values {
        let mut values = Values { literal: vec![Vec::new()], complete: true };
        let mut rest = expression;
        while !rest.is_empty() && !values.literal.is_empty() {
            let plain = memchr::memchr(b'$', rest).unwrap_or(rest.len());
            let (literal, variable) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
            let (name, after) = split_name(variable);
            let choices = match variable {
                [] => Values { literal: vec![Vec::new()], complete: true },
                _ => self.of(name, depth, steps),
            };
            let longer = values
                .literal
                .iter()
                .flat_map(|start| choices.literal.iter().map(move |end| [&start[..], literal, &end[..]].concat()));
            let complete = values.complete && choices.complete;
            values = Values { literal: longer.take(MAX_VALUES + 1).collect(), complete }.capped();
            rest = after;
        }
        values
    }

    /// The expressions assigned to a variable, and whether there are more.
    fn get(&self, name: &[u8]) -> Option<(&[&'t [u8]], bool)> {
        match self.values.get(name) {
            Some(known) => Some((known, self.cut.contains(&name))),
            None => self.outer?.get(name),
        }
    }

    fn of(&self, name: &[u8], depth: usize, steps: &mut usize) -> Values {
        let unknown = Values { literal: Vec::new(), complete: false };
        if let Some((_, start)) = URI_VARIABLES.iter().find(|(known, _)| *known == name) {
            return Values { literal: vec![start.to_vec()], complete: true };
        }
        let (Some(depth), Some((known, is_cut))) = (depth.checked_sub(1), self.get(name)) else { return unknown };
        let mut all = Values { literal: Vec::new(), complete: !is_cut };
        for value in known {
            let Some(left) = steps.checked_sub(1) else { return unknown };
            *steps = left;
            let more = self.expand_to(value, depth, steps);
            all.complete &= more.complete;
            all.literal.extend(more.literal);
            all = all.capped();
        }
        all
    }
}

impl Values {
    fn capped(mut self) -> Self {
        let before = self.literal.len();
        self.literal.retain(|value| value.len() <= MAX_LENGTH);
        self.literal.truncate(MAX_VALUES);
        self.complete &= self.literal.len() == before;
        self
    }
}

/// The name of the variable that `text` begins with, and what follows it.
fn split_name(text: &[u8]) -> (&[u8], &[u8]) {
    let after_dollar = text.get(1..).unwrap_or_default();
    if let Some(inner) = after_dollar.strip_prefix(b"{")
        && let Some(end) = memchr::memchr(b'}', inner)
    {
        return (inner.get(..end).unwrap_or_default(), inner.get(end + 1..).unwrap_or_default());
    }
    let length = after_dollar.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    after_dollar.split_at_checked(length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::files::memory::Memory;
    use super::super::problems::Problems;
    use super::super::read::Reader;
    use super::*;

    fn expand(http: &str, expression: &str) -> (Vec<String>, bool) {
        let mut problems = Problems::default();
        let files = Memory::default();
        let mut reader = Reader::new(&files, b"/", &mut problems);
        reader.text("test", http.as_bytes());
        let tree = reader.finish().tree;
        let mut variables = Variables::default();
        variables.add_blocks(tree.top());
        tree.top().filter(|block| block.name() == b"server").for_each(|server| variables.add_sets(server));
        let values = variables.expand(expression.as_bytes());
        (values.literal.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect(), values.complete)
    }

    #[test]
    fn what_the_files_say_is_found() {
        let map = "map $cookie_x $to { hostnames; default a; ~*re b; *.x b; }";
        assert_eq!(expand(map, "http://${to}:80"), (vec!["http://a:80".into(), "http://b:80".into()], true));
        assert_eq!(
            expand("geo $x $to { ranges; default a; 10.0.0.0-10.0.0.9 b; }", "$to"),
            (vec!["a".into(), "b".into()], true)
        );
        assert_eq!(expand("split_clients $ip $to { 50% a; * b; }", "$to.x"), (vec!["a.x".into(), "b.x".into()], true));
        let sets = "server { set $a x; location / { if ($y) { set $a y; } set $b $a-$a; } }";
        assert_eq!(expand(sets, "$b").0, ["x-x", "x-y", "y-x", "y-y"]);
    }

    #[test]
    fn what_the_request_says_is_not() {
        assert_eq!(expand("", "http://$host"), (vec![], false));
        assert_eq!(expand("map $x $to { default a; ~(.*) $1; }", "$to"), (vec!["a".into()], false));
        assert_eq!(expand("server { set $a $a$a; }", "$a"), (vec![], false));
        assert_eq!(expand("", "plain"), (vec!["plain".into()], true));
    }

    #[test]
    fn many_values_are_cut() {
        let entries: String = (0..1000).map(|n| format!("k{n} v{n};")).collect();
        let (values, complete) = expand(&format!("map $x $to {{ {entries} }}"), "$to$to");
        assert_eq!((values.len(), complete), (MAX_VALUES, false));
        let sets: String = (0..60).map(|n| format!("set $a \"{n}{}\";", "$a".repeat(200))).collect();
        assert!(!expand(&format!("server {{ {sets} }}"), "$a").1);
    }
}
