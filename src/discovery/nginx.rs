//! nginx's configuration, read as nginx reads it: which upstreams there are, with which timeouts and buffers, which logs,
//! and where each of it is written.
//!
//! ```text
//!  Files ─► read (include, glob) ─► Tree ─► model ─► NginxConfig
//!            └─ lexer, lua           flat     └─ scope: the nearest block wins
//!  procfs ─► running ─► Loaded
//! ```
//!
//! Reading and understanding are apart: what is understood never touches a file. nginx refuses a configuration with a
//! mistake as a whole and runs on with the one before; here what is understood is kept and every mistake told once.
//! Nothing is executed: what nginx was built with is read from its binary.

mod address;
mod built;
mod files;
mod glob;
mod layout;
mod lexer;
mod logs;
mod lua;
mod model;
mod passes;
mod problems;
mod read;
mod running;
mod scope;
mod targets;
mod tree;
mod units;
mod variables;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use files::{Content, Disk, Files, Stamp};
pub use running::masters;

use crate::observation::nginx::{Loaded, NginxConfig, Place, Problem};
use layout::Layout;
use problems::Problems;
use read::Reader;

/// A file's time and that of a reload are compared this coarsely: the kernel tells the time of the boot in seconds.
const CLOCK_GRAIN: Duration = Duration::from_secs(1);

/// Which configuration to read: nginx's own options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `-c`; relative to the prefix. `None`: the one nginx was built with.
    pub conf: Option<PathBuf>,
    /// `-p`.
    pub prefix: Option<PathBuf>,
    /// `-e`.
    pub error_log: Option<PathBuf>,
    /// `-g`.
    pub directives: Option<Box<str>>,
    /// The binary, which knows the built-in paths; the usual places are tried as well.
    pub program: Option<PathBuf>,
}

impl Options {
    /// Those of an nginx that runs.
    #[must_use]
    pub fn of(running: &Loaded) -> Self {
        Self {
            conf: running.conf_path.clone(),
            prefix: running.prefix.clone(),
            error_log: running.error_log.clone(),
            directives: running.directives.clone(),
            program: Some(running.program.to_path_buf()),
        }
    }
}

/// What the files said when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// What is understood.
    pub config: NginxConfig,
    /// What is not, the first hundred.
    pub problems: Vec<Problem>,
    /// How many problems more there are.
    pub untold_problems: u64,
    /// The configuration files, in the order nginx reads them.
    pub files: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Option<Stamp>>,
}

/// Reads the configuration. Never fails: what cannot be read is a problem of the result. Blocks for as long as the file
/// system does; not for the async runtime's threads.
#[must_use]
pub fn discover(options: &Options, files: &dyn Files) -> Discovery {
    let layout = Layout::new(options, files);
    let mut problems = Problems::default();
    let mut reader = Reader::new(files, &layout.conf_prefix, &mut problems);
    if let Some(directives) = &options.directives {
        reader.text("-g", directives.as_bytes());
    }
    reader.file(&layout.conf);
    let read = reader.finish();
    if read.directive_count() == 0 && read.files.contains(&layout.conf) {
        problems.add(Place { file: layout.conf.to_string_lossy().into(), line: 0 }, "no directive is in it");
    }
    let problems = RefCell::new(problems);
    let config = model::build(&read.tree, &layout, &problems);
    let (problems, untold_problems) = problems.into_inner().into_parts();
    Discovery { config, problems, untold_problems, files: read.files, seen: read.seen }
}

impl Discovery {
    /// Whether a file, or a folder that patterns of includes search, is not what it was.
    #[must_use]
    pub fn changed(&self, files: &dyn Files) -> bool {
        self.seen.iter().any(|(path, stamp)| files.stamp(path).ok() != *stamp)
    }

    /// The files that were modified after that time, when nginx loaded its configuration: what they say is not what nginx
    /// does. A file that was removed, or put in place with an old time, is not among them.
    pub fn newer_than(&self, loaded: SystemTime) -> impl Iterator<Item = &Path> {
        let limit = loaded.checked_add(CLOCK_GRAIN).unwrap_or(loaded);
        let is_newer = move |path: &&PathBuf| {
            self.seen.get(*path).is_some_and(|stamp| stamp.is_some_and(|stamp| stamp.modified > limit))
        };
        self.files.iter().filter(is_newer).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::files::memory::Memory;
    use super::*;
    use proptest::prelude::*;

    fn discover_text(text: impl AsRef<[u8]>) -> Discovery {
        let files = Memory::new([("/etc/nginx/nginx.conf", text.as_ref()), ("/etc/nginx/a.conf", b"listen 1;\n}")]);
        discover(&Options::default(), &files)
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_where_they_matter() {
        let text = b"http { server { # \xe9t\xe9\n server_name \xff.test; location / { fastcgi_pass unix:/run/\xe9.sock; } } }";
        let discovery = discover_text(text);
        assert_eq!(discovery.problems, []);
        assert_eq!(&*discovery.config.servers[0].names[0], "\u{fffd}.test");
        assert_eq!(
            discovery.config.targets.iter().map(|target| &*target.name).collect::<Vec<_>>(),
            ["unix:/run/\u{fffd}.sock"]
        );
    }

    #[test]
    fn a_missing_configuration_is_a_problem() {
        let discovery = discover(&Options::default(), &Memory::default());
        let told: Vec<_> = discovery.problems.iter().map(ToString::to_string).collect();
        let file = "/usr/local/nginx/conf/nginx.conf";
        assert_eq!(told, [format!("{file}: open() \"{file}\" failed (2: No such file or directory)")]);
        assert!(!discovery.changed(&Memory::default()));
        let appeared = Memory::new([("/usr/local/nginx/conf/nginx.conf", "")]);
        assert!(discovery.changed(&appeared));
        assert_eq!(discover(&Options::default(), &appeared).problems.len(), 1, "an empty one is a problem too");
    }

    /// Separated by blanks.
    const WORDS: &str = "http stream server location upstream map if set include a.conf * proxy_pass fastcgi_pass http:// unix: $a ${a} $a$b a / 1 proxy_buffers proxy_read_timeout proxy_set_header Connection access_log error_log log_format off resolver keepalive zone limit_req_zone zone= events user pid init_by_lua_block listen server_name split_clients geo { } ; ' # ; ; \"";

    proptest! {
        #[test]
        fn any_file_is_read_to_its_end(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
            discover_text(text);
        }

        #[test]
        fn any_words_are_understood_or_told(words in proptest::collection::vec(proptest::sample::select(WORDS.split(' ').collect::<Vec<_>>()), 0..400)) {
            let discovery = discover_text(words.join("\n"));
            prop_assert!(discovery.problems.len() <= 100);
        }
    }
}
