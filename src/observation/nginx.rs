//! What nginx is configured to do, as far as it concerns upstreams: plain data that discovery fills and the diagnosis
//! quotes, each value with the file and line it comes from.

mod logs;
mod pass;
mod process;
mod target;

pub use logs::{AccessLog, Destination, ErrorLog, Escape, LogFormat};
pub use pass::{Buffers, Context, NextUpstream, Pass, PassTarget, Resolver, Tls};
pub use process::{Loaded, Main, Server, StoredPath, StubStatus, Zone};
pub use target::{Host, Origin as TargetOrigin, Peer, Target, Targets};

use std::fmt;
use std::sync::Arc;

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file as nginx names it; `-g` for what stands on nginx's command line.
    pub file: Arc<str>,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// No file says it: nginx's built-in value.
    Default,
    /// It is written there.
    At(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::At(place) => place.fmt(f),
        }
    }
}

/// A value in force, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// nginx's built-in value.
    #[must_use]
    pub fn default_of(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    /// A value that a file gives.
    #[must_use]
    pub fn at(value: T, place: Place) -> Self {
        Self { value, origin: Origin::At(place) }
    }
}

/// What is wrong with a configuration: told once per place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, in nginx's words where it has some.
    pub what: Arc<str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Everything understood of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxConfig {
    /// The values that concern the whole process.
    pub main: Main,
    /// Every `server {}` of `http {}` and `stream {}`.
    pub servers: Vec<Server>,
    /// Every `*_pass`, with the values in force there.
    pub passes: Vec<Pass>,
    /// What the passes lead to, and every `upstream {}`.
    pub targets: Targets,
    /// Every access log, once per destination and format.
    pub access_logs: Vec<AccessLog>,
    /// Every error log, once per destination and level.
    pub error_logs: Vec<ErrorLog>,
    /// Every `log_format`, nginx's own `combined` included.
    pub log_formats: Vec<LogFormat>,
    /// `limit_req_zone` and `limit_conn_zone`.
    pub zones: Vec<Zone>,
    /// Locations that serve `stub_status`.
    pub stub_status: Vec<StubStatus>,
    /// Where nginx stores what it buffers and caches.
    pub stored_paths: Vec<StoredPath>,
}

impl NginxConfig {
    /// The passes that lead to a target, always or for some requests.
    pub fn passes_to(&self, target: &Target) -> impl Iterator<Item = &Pass> {
        let (context, name) = (target.context, &target.name);
        let leads_there = move |pass: &&Pass| match &pass.target {
            PassTarget::Fixed(fixed) => fixed == name,
            PassTarget::RunTime { candidates, .. } => candidates.contains(name),
            PassTarget::Invalid => false,
        };
        self.passes.iter().filter(move |pass| pass.context() == context).filter(leads_there)
    }
}
