//! What was said, as text, before anybody asks whether it makes sense.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::problem::{Place, Position};
use super::settings::{Setting, Takes};

/// Where something was said. Positions of nodes are looked up only once there is a mistake: see [`super::yaml`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In the file, as a whole.
    File,
    /// In the file, there.
    Position(Position),
    /// In the file, at the node of that number.
    Node(usize),
    /// Nowhere: it is the default.
    Default,
}

impl At {
    /// The same for the reader; `file` is the configuration file.
    pub(super) fn place(self, file: &Path) -> Place {
        match self {
            Self::Flag => Place::Flag,
            Self::Environment => Place::Environment,
            Self::File | Self::Position(_) | Self::Node(_) => Place::File(file.to_owned()),
            Self::Default => Place::Default,
        }
    }
}

/// One text for one setting.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) at: At,
    /// What a mistake in it is reported under: a flag, a variable, a path of keys.
    pub(super) subject: String,
}

/// Something wrong, before its position is looked up.
#[derive(Debug, Clone)]
pub(super) struct Mistake {
    pub(super) at: At,
    pub(super) subject: String,
    pub(super) what: String,
}

/// What one origin says, setting by setting: the file, or command line and environment together, where a flag hides
/// the variable of the same setting.
#[derive(Debug, Clone, Default)]
pub struct Given {
    pub(super) said: BTreeMap<&'static str, Vec<Said>>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Given {
    /// Takes the values of a flag, in order.
    pub fn flag<'v>(&mut self, setting: &'static Setting, values: impl Iterator<Item = &'v OsStr>) {
        let values: Vec<_> = values.map(OsStr::to_str).collect();
        let several = values.len() > 1;
        for (index, value) in values.into_iter().enumerate() {
            let subject = if several { format!("{}[{index}]", setting.flag()) } else { setting.flag() };
            self.text(setting, value, At::Flag, subject);
        }
    }

    /// Takes the value of an environment variable. Empty means not set, as with other exporters; a setting that takes
    /// several values has them separated by commas.
    pub fn environment(&mut self, setting: &'static Setting, value: &OsStr) {
        let subject = setting.environment();
        match value.to_str() {
            Some("") => {}
            Some(list) if setting.takes == Takes::Many => {
                for (index, item) in list.split(',').map(str::trim).filter(|item| !item.is_empty()).enumerate() {
                    self.text(setting, Some(item), At::Environment, format!("{subject}[{index}]"));
                }
            }
            text => self.text(setting, text, At::Environment, subject),
        }
    }

    fn text(&mut self, setting: &'static Setting, text: Option<&str>, at: At, subject: String) {
        match text {
            Some(text) => self.say(setting, Said { text: text.to_owned(), at, subject }),
            None => self.wrong(at, subject, "not UTF-8 text; write it in UTF-8"),
        }
    }

    pub(super) fn say(&mut self, setting: &'static Setting, said: Said) {
        self.said.entry(setting.name).or_default().push(said);
    }

    pub(super) fn wrong(&mut self, at: At, subject: String, what: impl Into<String>) {
        self.mistakes.push(Mistake { at, subject, what: what.into() });
    }
}
