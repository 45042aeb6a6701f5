//! Where the configuration comes from, kept for as long as the process runs: a reload asks the same source again.

use std::path::{Path, PathBuf};

use super::given::{At, Given, Mistake};
use super::problem::{Position, Problem, Problems};
use super::yaml::{Fault, Text};
use super::{Config, file, merge, parse, settings};

/// How many problems are listed; the rest is counted. A file with more is the wrong file.
const LISTED: usize = 50;

/// The command line and the environment, and through them the file.
#[derive(Debug, Clone, Default)]
pub struct Source {
    given: Given,
}

impl Source {
    /// A source that asks what was given first, then the file it names, then the defaults.
    #[must_use]
    pub fn new(given: Given) -> Self {
        Self { given }
    }

    /// Whether the configuration is only to be checked. A mistake in that is reported by [`Source::load`].
    #[must_use]
    pub fn check_only(&self) -> bool {
        self.text(settings::CONFIG_CHECK.name).is_some_and(|text| parse::switch(text) == Ok(true))
    }

    /// The configuration file, if one was named.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.text(settings::CONFIG_FILE.name).and_then(|text| parse::path(text).ok())
    }

    /// Reads the file, if there is one, and puts everything together. Blocks for as long as reading a file does.
    ///
    /// # Errors
    /// Every mistake anywhere.
    pub fn load(&self) -> Result<Config, Problems> {
        match self.file() {
            None => self.put_together(Path::new(""), Ok(&[])),
            Some(path) => match file::read(&path) {
                Ok(bytes) => self.put_together(&path, Ok(&bytes)),
                Err(what) => self.put_together(&path, Err(what)),
            },
        }
    }

    /// The same, for a file that was read already.
    ///
    /// # Errors
    /// Every mistake anywhere.
    pub fn load_bytes(&self, path: &Path, bytes: &[u8]) -> Result<Config, Problems> {
        self.put_together(path, Ok(bytes))
    }

    fn put_together(&self, path: &Path, bytes: Result<&[u8], String>) -> Result<Config, Problems> {
        let environment = |name: &str| std::env::var(name).ok();
        let text = bytes.map_err(|what| Fault { position: None, what }).and_then(Text::new);
        let file = match text.as_ref().map_err(Fault::clone).and_then(|text| text.tree()) {
            Ok(tree) => file::given(&tree, &environment),
            Err(fault) => {
                let mut nothing = Given::default();
                nothing.wrong(fault.position.map_or(At::File, At::Position), String::new(), fault.what);
                nothing
            }
        };
        merge::merge(&[&self.given, &file], path).map_err(|mut mistakes| {
            mistakes.sort_by_key(|mistake| mistake.at);
            let locate = |number| text.as_ref().ok().and_then(|text| text.locate(number));
            let more = mistakes.len().saturating_sub(LISTED);
            let listed = mistakes.into_iter().take(LISTED).map(|mistake| problem(mistake, path, &locate)).collect();
            Problems { listed, more }
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.given.said.get(name).and_then(|said| said.first()).map(|said| said.text.as_str())
    }
}

fn problem(mistake: Mistake, path: &Path, locate: &dyn Fn(usize) -> Option<Position>) -> Problem {
    let Mistake { at, subject, what } = mistake;
    let position = match at {
        At::Position(position) => Some(position),
        At::Node(number) => locate(number),
        At::Flag | At::Environment | At::File | At::Default => None,
    };
    Problem { place: at.place(path), position, subject, what }
}
