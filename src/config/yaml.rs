//! YAML text to a tree, and from a node of the tree back to its place in the text. Nothing else knows YAML.
//!
//! `serde_yaml` gives positions with errors only, never with values. So nodes are numbered in the order they are read,
//! and to locate one, the text is read again up to that node and given up there: the error has the position.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, IgnoredAny, VariantAccess};

use super::problem::Position;

/// The largest file. No configuration comes near, every problem costs another reading, and the time libyaml takes for
/// brackets in brackets grows with the square of their number.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// What a file may grow to in memory, in nodes and bytes of text: aliases can make much of little, and nothing else can.
const BUDGET: usize = 64 * MAX_BYTES;

/// A value and its number.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) number: usize,
    pub(super) value: Value,
}

/// What can stand in a YAML file, as far as the configuration is concerned.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, or `null`.
    Null,
    /// A string, number or boolean, as text.
    Scalar(String),
    List(Vec<Node>),
    /// Keys and values in order; keys may repeat.
    Map(Vec<(Node, Node)>),
    /// Anything with a tag of its own (`!name`).
    Tagged,
}

/// Why the text is no tree.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) position: Option<Position>,
    pub(super) what: String,
}

/// Text in UTF-8 without byte order mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    /// Checks what YAML asks of the characters.
    pub(super) fn new(bytes: &'t [u8]) -> Result<Self, Fault> {
        if bytes.len() > MAX_BYTES {
            let what = format!("larger than {} KiB; this is not a configuration file", MAX_BYTES / 1024);
            return Err(Fault { position: None, what });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| Fault {
            position: bytes
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .map(|valid| Position::after(valid.trim_start_matches('\u{feff}'))),
            what: "not UTF-8 text; save the file as UTF-8".to_owned(),
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.split_once(is_forbidden) {
            None => Ok(Self(text)),
            Some((before, _)) => Err(Fault {
                position: Some(Position::after(before)),
                what: "a control character; remove it".to_owned(),
            }),
        }
    }

    /// The tree.
    pub(super) fn tree(self) -> Result<Node, Fault> {
        let walk = Walk::default();
        walk.deserialize(serde_yaml::Deserializer::from_str(self.0)).map_err(|error| {
            let position = position(&error);
            Fault { position, what: self.explain(&error.to_string(), position, walk.exceeded()) }
        })
    }

    /// Where the node of that number stands.
    pub(super) fn locate(self, number: usize) -> Option<Position> {
        let walk = Walk { stop_at: Some(number), ..Walk::default() };
        let error = walk.deserialize(serde_yaml::Deserializer::from_str(self.0)).err()?;
        position(&error)
    }

    fn explain(self, error: &str, position: Option<Position>, exceeded: bool) -> String {
        if exceeded || error.starts_with("repetition limit") {
            return "too much in it, counting what aliases repeat; write it without aliases".to_owned();
        }
        if error.starts_with("recursion limit") {
            return "nested too deeply; the deepest key has two levels".to_owned();
        }
        if error.contains("more than one document") {
            return "more than one YAML document; keep one, without `---` between".to_owned();
        }
        if error.contains("invalid value") || error.contains("invalid type") {
            return "a YAML tag that its value does not fit; remove the tag".to_owned();
        }
        let Some(position) = position else { return format!("not YAML: {error}") };
        let line = self.0.lines().nth(position.line.saturating_sub(1)).unwrap_or_default();
        if line.chars().take_while(|character| character.is_whitespace()).any(|character| character == '\t') {
            return "indented with a tab, which YAML does not allow; use spaces".to_owned();
        }
        let here = format!(" at line {} column {}", position.line, position.column);
        format!("not YAML: {}; check quotes, brackets and indentation there", error.replacen(&here, "", 1))
    }
}

impl Position {
    fn after(text: &str) -> Self {
        let last = text.rsplit('\n').next().unwrap_or_default();
        Self { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
    }
}

fn position(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|location| Position { line: location.line(), column: location.column() })
}

/// What YAML 1.2 §5.1 does not allow in a file.
fn is_forbidden(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{fffe}' | '\u{ffff}' => true,
        other => other.is_control(),
    }
}

/// One reading of the text.
#[derive(Debug, Default)]
struct Walk {
    nodes: Cell<usize>,
    spent: Cell<usize>,
    stop_at: Option<usize>,
}

impl Walk {
    fn exceeded(&self) -> bool {
        self.spent.get() > BUDGET
    }

    fn deserialize(&self, from: serde_yaml::Deserializer<'_>) -> Result<Node, serde_yaml::Error> {
        Seed(self).deserialize(from)
    }

    /// The number of the next node, which takes `bytes`.
    fn enter<E: de::Error>(&self, bytes: usize) -> Result<usize, E> {
        let number = self.nodes.replace(self.nodes.get() + 1);
        self.spent.set(self.spent.get().saturating_add(bytes).saturating_add(size_of::<Node>()));
        if self.exceeded() || self.stop_at == Some(number) { Err(E::custom("stop")) } else { Ok(number) }
    }
}

#[derive(Clone, Copy)]
struct Seed<'w>(&'w Walk);

impl Seed<'_> {
    fn scalar<E: de::Error>(self, text: impl fmt::Display + AsRef<str>) -> Result<Node, E> {
        let number = self.0.enter(text.as_ref().len())?;
        Ok(Node { number, value: Value::Scalar(text.to_string()) })
    }

    fn number<E: de::Error>(self, number: impl fmt::Display) -> Result<Node, E> {
        self.scalar(number.to_string())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node { number: self.0.enter(0)?, value: Value::Null })
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.number(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.number(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.number(value)
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.number(value)
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.number(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.number(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.scalar(value)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let number = self.0.enter(0)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node { number, value: Value::List(list) })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let number = self.0.enter(0)?;
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry_seed(self, self)? {
            map.push(entry);
        }
        Ok(Node { number, value: Value::Map(map) })
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let number = self.0.enter(0)?;
        let (IgnoredAny, content) = tagged.variant()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(Node { number, value: Value::Tagged })
    }
}
