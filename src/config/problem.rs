//! Mistakes: where, in what, what is wrong and what to do. None repeats a value: it may be a secret.

use crate::text::Safe;
use std::fmt;
use std::path::PathBuf;

/// Where in a file, counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The configuration file.
    File(PathBuf),
    /// Nobody: it is the default.
    Default,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Who made it.
    pub place: Place,
    /// Where in the file, if that is known.
    pub position: Option<Position>,
    /// The flag, the variable or the path of keys; empty for the file as a whole.
    pub subject: String,
    /// What is wrong; what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Place::File(path) = &self.place {
            line.push_str(&path.to_string_lossy());
            if let Some(Position { line: number, column }) = self.position {
                line.push_str(&format!(":{number}:{column}"));
            }
            line.push_str(": ");
        }
        if !self.subject.is_empty() {
            line.push_str(&self.subject);
            line.push_str(": ");
        }
        line.push_str(&self.what);
        Safe::new(&line).fmt(f)
    }
}

/// Everything wrong with a configuration, one line each; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The problems: command line, environment, file from top to bottom.
    pub listed: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.listed.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}
