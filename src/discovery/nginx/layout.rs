//! Where nginx looks for things: its prefix and its configuration's folder, as `ngx_process_options` settles them
//! (`src/core/nginx.c`).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Options;
use super::built::Built;
use super::files::Files;

/// Settled paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) built: Built,
    /// The configuration file.
    pub(super) conf: PathBuf,
    /// What relative paths of logs and folders are relative to; ends with `/`.
    prefix: Vec<u8>,
    /// What relative includes and certificates are relative to; ends with `/`.
    pub(super) conf_prefix: Vec<u8>,
    /// `-e`.
    error_log: Option<PathBuf>,
}

impl Layout {
    pub(super) fn new(options: &Options, files: &dyn Files) -> Self {
        let built = Built::find(options.program.as_deref(), files);
        let prefix = match &options.prefix {
            Some(prefix) => prefix.as_os_str().as_bytes(),
            None => built.path("prefix", "/usr/local/nginx"),
        };
        let prefix = [prefix, if prefix.ends_with(b"/") { b"" } else { b"/" }].concat();
        let conf = match &options.conf {
            Some(conf) => full(&prefix, conf.as_os_str().as_bytes()),
            None => full(&prefix, built.path("conf-path", "conf/nginx.conf")),
        };
        let bytes = conf.as_os_str().as_bytes();
        let folder = memchr::memrchr(b'/', bytes).and_then(|slash| bytes.get(..=slash)).unwrap_or(&prefix);
        Self { conf_prefix: folder.to_vec(), conf: conf.clone(), error_log: options.error_log.clone(), prefix, built }
    }

    /// A path of a log or a folder.
    pub(super) fn full(&self, path: &[u8]) -> PathBuf {
        full(&self.prefix, path)
    }

    /// A path of a certificate.
    pub(super) fn beside_conf(&self, path: &[u8]) -> PathBuf {
        full(&self.conf_prefix, path)
    }

    /// The error log where no file names one; `None`: standard error.
    pub(super) fn default_error_log(&self) -> Option<PathBuf> {
        let path = match &self.error_log {
            Some(path) => path.as_os_str().as_bytes(),
            None => self.built.path("error-log-path", "logs/error.log"),
        };
        (path != b"stderr").then(|| self.full(path))
    }
}

/// What stands for a file elsewhere (`data:`, `engine:`, a variable) is left as it is.
fn full(prefix: &[u8], path: &[u8]) -> PathBuf {
    let is_complete = [&b"/"[..], b"data:", b"engine:", b"store:", b"$"].iter().any(|start| path.starts_with(start));
    if is_complete { as_path(path).to_owned() } else { as_path(&[prefix, path].concat()).to_owned() }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
