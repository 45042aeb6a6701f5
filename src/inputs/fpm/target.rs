//! What to ask, derived from discovery or said by hand.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::discovery::fpm::{Installation, Listen, Place, Pool};

/// A pool to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The pool's label.
    pub pool: Arc<str>,
    /// The peer's label.
    pub peer: Arc<str>,
    /// Where the status page answers; `None` where the pool has none.
    pub page: Option<Page>,
    /// The limit of workers, if known: no page with more of them is believed.
    pub max_children: Option<u32>,
    /// Where the pool is configured, for hints.
    pub place: Option<Place>,
}

/// A status page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    /// Where to connect.
    pub address: Address,
    /// `pm.status_path`.
    pub path: Arc<str>,
    /// Whether it has a listener of its own (`pm.status_listen`), and so answers while the pool is saturated.
    pub separate: bool,
}

/// Where to connect, as seen from this process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix socket.
    Unix {
        /// Where the root of the host or container is seen that the path belongs to; `/` for our own.
        root: PathBuf,
        /// The path there. Links in it are followed as they are there.
        path: PathBuf,
    },
    /// `host:port`; a name is resolved each time.
    Tcp(Arc<str>),
}

impl Target {
    /// The target that a discovered pool makes; `None` where nobody said where it listens.
    #[must_use]
    pub fn of(installation: &Installation, pool: &Pool, label: &Arc<str>) -> Option<Self> {
        let stated = pool.status_listen.as_ref().and_then(|stated| stated.at.as_ref());
        let stated = stated.or_else(|| pool.status_path.as_ref()?.at.as_ref());
        Some(Self {
            pool: Arc::clone(label),
            peer: pool.peer()?.into(),
            page: pool.status().map(|(listen, path)| Page {
                address: Address::of(&installation.root, listen),
                path: path.into(),
                separate: pool.status_listen.is_some(),
            }),
            max_children: pool.max_children.as_ref().map(|stated| stated.value),
            place: Some(stated.unwrap_or(&pool.at).clone()),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { root: _, path } => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

impl Address {
    /// Where FPM listens, as seen from here.
    #[must_use]
    pub fn of(root: &Path, listen: &Listen) -> Self {
        match listen {
            Listen::Unix(path) => Self::Unix { root: root.to_owned(), path: path.clone() },
            Listen::Tcp { .. } => Self::Tcp(listen.peer().into()),
        }
    }
}
