//! The configuration file: from a path to bytes, and from its tree to what it says.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::expand::{Environment, expand};
use super::given::{At, Given, Said};
use super::settings::{self, Setting, Takes};
use super::yaml::{MAX_BYTES, Node, Value};

/// How much of an unknown key is repeated.
const KEY_CHARACTERS: usize = 64;

/// The bytes of the file. Only a regular file: a pipe could make us wait.
///
/// # Errors
/// What is wrong and what to do.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}; check --config.file");
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    if kind.is_dir() {
        return Err("a directory; name the file in it".to_owned());
    }
    if !kind.is_file() {
        return Err("not a regular file; name one".to_owned());
    }
    let mut bytes = Vec::new();
    // One byte more, for [`super::yaml`] to see that it is too large.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// What the tree says.
pub(super) fn given(root: &Node, environment: Environment<'_>) -> Given {
    let mut reader = Reader { environment, given: Given::default() };
    reader.section(root, "");
    reader.given
}

struct Reader<'e> {
    environment: Environment<'e>,
    given: Given,
}

impl Reader<'_> {
    /// A level of keys; `path` is the one above, empty at the top.
    fn section(&mut self, node: &Node, path: &str) {
        let known = known_below(path);
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => return,
            Value::Scalar(_) | Value::List(_) | Value::Tagged => {
                return self.wrong(node, path, format!("not keys with values; known here: {}", known.join(", ")));
            }
        };
        let mut seen = Vec::new();
        for (key, value) in entries {
            let Value::Scalar(name) = &key.value else {
                self.wrong(key, path, format!("a key that is not a word; known here: {}", known.join(", ")));
                continue;
            };
            let path = join(path, name);
            if !known.contains(name) {
                self.wrong(key, &path, format!("unknown key; known here: {}", known.join(", ")));
            } else if seen.contains(&name) {
                self.wrong(key, &path, "stands here twice; remove one");
            } else if let Some(setting) = settings::ALL.iter().find(|setting| setting.key() == path) {
                self.setting(setting, value, &path);
            } else {
                self.section(value, &path);
            }
            seen.push(name);
        }
    }

    fn setting(&mut self, setting: &'static Setting, node: &Node, path: &str) {
        match &node.value {
            Value::List(items) if setting.takes == Takes::Many && !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    self.value(setting, item, &format!("{path}[{index}]"));
                }
            }
            Value::List(_) if setting.takes == Takes::Many => {
                self.wrong(node, path, "an empty list; write a value, or remove the key");
            }
            _ => self.value(setting, node, path),
        }
    }

    fn value(&mut self, setting: &'static Setting, node: &Node, path: &str) {
        let text = match &node.value {
            Value::Scalar(text) => text,
            Value::Null => return self.wrong(node, path, "has no value; write one, or remove the key"),
            Value::List(_) => return self.wrong(node, path, "a list; write a single value"),
            Value::Map(_) => return self.wrong(node, path, "has keys below it; write a single value"),
            Value::Tagged => return self.wrong(node, path, "has a YAML tag; remove the tag"),
        };
        match expand(text, self.environment) {
            Ok(text) => self.given.say(setting, Said { text, at: At::Node(node.number), subject: path.to_owned() }),
            Err(what) => self.wrong(node, path, what),
        }
    }

    fn wrong(&mut self, node: &Node, path: &str, what: impl Into<String>) {
        self.given.wrong(At::Node(node.number), path.to_owned(), what);
    }
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(KEY_CHARACTERS).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The keys one level below `path`, in the order of [`settings::ALL`].
fn known_below(path: &str) -> Vec<String> {
    let mut known = Vec::new();
    for setting in settings::ALL {
        let key = setting.key();
        let below =
            if path.is_empty() { Some(key.as_str()) } else { key.strip_prefix(path).and_then(|k| k.strip_prefix('.')) };
        let Some(name) = below.and_then(|below| below.split('.').next()).map(str::to_owned) else { continue };
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}
