//! The addresses to look for, indexed so that a foreign socket costs one lookup and no allocation.

use hashbrown::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::observation::socket::ListenerKey;

/// An address to look for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address.
    pub key: ListenerKey,
    /// Further paths the process may have bound a unix socket under (`/var/run/…` for `/run/…`). They matter only where
    /// the file cannot be compared: to a process that may not search its folder, and in procfs.
    pub aliases: Vec<PathBuf>,
}

impl From<ListenerKey> for Target {
    fn from(key: ListenerKey) -> Self {
        Self { key, aliases: Vec::new() }
    }
}

/// What to look for in the socket tables. Made once whenever discovery or the configuration changes.
#[derive(Debug, Default)]
pub struct Wanted {
    pub(super) targets: Vec<(ListenerKey, Place)>,
    names: HashMap<Box<[u8]>, NameId>,
    ports: HashSet<u16>,
    /// The same, to be handed to the kernel.
    port_list: Vec<u16>,
}

/// Position of a name among the wanted ones.
pub(super) type NameId = u32;

/// Where a target is found.
#[derive(Debug)]
pub(super) enum Place {
    Unix { path: Option<Arc<Path>>, names: Vec<NameId> },
    Tcp(SocketAddr),
}

impl Wanted {
    /// Looks for all of these; an address may be there more than once.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let mut wanted = Self::default();
        for Target { key, aliases } in targets {
            let place = match &key {
                ListenerKey::Unix(path) => {
                    let paths = std::iter::once(&**path).chain(aliases.iter().map(|alias| &**alias));
                    let names = paths.map(|path| wanted.intern(path.as_os_str().as_bytes())).collect();
                    Place::Unix { path: Some(Arc::clone(path)), names }
                }
                ListenerKey::Abstract(name) => {
                    let name = [b"\0", &**name].concat();
                    let in_procfs: Vec<u8> = name.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }).collect();
                    Place::Unix { path: None, names: vec![wanted.intern(&name), wanted.intern(&in_procfs)] }
                }
                ListenerKey::Tcp(address) => {
                    if wanted.ports.insert(address.port()) {
                        wanted.port_list.push(address.port());
                    }
                    Place::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
                }
            };
            wanted.targets.push((key, place));
        }
        wanted
    }

    fn intern(&mut self, name: &[u8]) -> NameId {
        let next = NameId::try_from(self.names.len()).unwrap_or(NameId::MAX);
        *self.names.entry(name.into()).or_insert(next)
    }

    pub(super) fn name(&self, name: &[u8]) -> Option<NameId> {
        self.names.get(name).copied()
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.targets.iter().filter_map(|(_, place)| match place {
            Place::Unix { path, .. } => path.as_deref(),
            Place::Tcp(_) => None,
        })
    }

    pub(super) fn has_unix(&self) -> bool {
        !self.names.is_empty()
    }

    pub(super) fn ports(&self) -> &[u16] {
        &self.port_list
    }

    pub(super) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.targets.iter().filter_map(|(_, place)| match place {
            Place::Tcp(address) => Some(address.ip()),
            Place::Unix { .. } => None,
        })
    }
}
