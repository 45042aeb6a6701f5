//! The files a handshake needs, read once for all peers that need the same, and again when they change.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::OFlags;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto, version};

use super::judge::Trust;
use crate::inputs::probe::below::open_below;
use crate::inputs::probe::round::failure;
use crate::inputs::probe::target::TlsOptions;
use crate::observation::probe::{ProbeFailure, ProbeReason};

/// A bundle of all public authorities has a quarter of this.
const MAX_FILE: u64 = 1 << 20;

/// What peers with the same [`TlsOptions`] share.
pub(in crate::inputs::probe) struct Setup {
    pub(super) config: ClientConfig,
    /// Present where certificates are verified.
    pub(super) trust: Option<Trust>,
    stamps: Vec<Stamp>,
}

impl Setup {
    /// For a handshake with anybody.
    pub(super) fn undemanding() -> Result<Self, ProbeFailure> {
        let config = config(&TlsOptions::new(""), None).map_err(|error| failure(ProbeReason::Other, error))?;
        Ok(Self { config, trust: None, stamps: Vec::new() })
    }
}

impl Debug for Setup {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("stamps", &self.stamps).finish_non_exhaustive()
    }
}

/// Setups in use. Whoever uses one keeps it alive.
#[derive(Debug, Default)]
pub(in crate::inputs::probe) struct Cache(Mutex<HashMap<Arc<TlsOptions>, Weak<Setup>>>);

impl Cache {
    fn get(&self, options: &TlsOptions, stamps: &[Stamp]) -> Option<Arc<Setup>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(options).and_then(Weak::upgrade).filter(|setup| setup.stamps == stamps)
    }

    fn keep(&self, options: &Arc<TlsOptions>, setup: Setup) -> Arc<Setup> {
        if let Some(kept) = self.get(options, &setup.stamps) {
            return kept;
        }
        let setup = Arc::new(setup);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, setup| setup.strong_count() > 0);
        known.insert(Arc::clone(options), Arc::downgrade(&setup));
        setup
    }
}

/// What tells a changed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The setup for these options, from the cache unless a file has changed. Blocks.
///
/// # Errors
/// [`ProbeReason::SkippedUnreadable`]: what this process cannot read says nothing about the peer.
pub(in crate::inputs::probe) fn load(
    options: &Arc<TlsOptions>,
    rootfs: &Path,
    cache: &Cache,
) -> Result<Arc<Setup>, ProbeFailure> {
    let mut files = Files { opened: Vec::new() };
    let mut open = |path: &Path| {
        files
            .open(rootfs, path)
            .map_err(|error| failure(ProbeReason::SkippedUnreadable, format_args!("{}: {error}", path.display())))
    };
    if let Some(verify) = &options.verify {
        open(&verify.trusted)?;
    }
    if let Some(identity) = &options.identity {
        open(&identity.certificate)?;
        open(&identity.key)?;
    }
    let stamps: Vec<Stamp> = files.opened.iter().map(|(_, stamp)| *stamp).collect();
    if let Some(setup) = cache.get(options, &stamps) {
        return Ok(setup);
    }
    // Not under the lock: a file system may hang. Of several who read at the same time, the first one's is kept.
    let setup = files
        .into_setup(options, stamps)
        .map_err(|error| failure(ProbeReason::SkippedUnreadable, format_args!("certificate files: {error}")))?;
    Ok(cache.keep(options, setup))
}

struct Files {
    opened: Vec<(File, Stamp)>,
}

impl Files {
    fn open(&mut self, rootfs: &Path, path: &Path) -> io::Result<()> {
        // A FIFO must not hold us up.
        let file = File::from(open_below(rootfs, path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(io::Error::other("not a file of at most 1 MiB"));
        }
        self.opened.push((file, Stamp::of(&metadata)));
        Ok(())
    }

    fn into_setup(self, options: &TlsOptions, stamps: Vec<Stamp>) -> io::Result<Setup> {
        let mut contents = Vec::new();
        for (file, _) in self.opened {
            let mut content = Vec::new();
            file.take(MAX_FILE).read_to_end(&mut content)?;
            contents.push(content);
        }
        let mut contents = contents.into_iter();
        let trust = match (&options.verify, options.verify.as_ref().and_then(|_| contents.next())) {
            (Some(verify), Some(pem)) => {
                let trust = Trust::new(&certificates(&pem)?, verify.depth);
                Some(trust.ok_or_else(|| io::Error::other("no readable certificate in the trusted file"))?)
            }
            _ => None,
        };
        let identity = match (contents.next(), contents.next()) {
            (Some(chain), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(&key).map_err(io::Error::other)?;
                Some((certificates(&chain)?, key))
            }
            _ => None,
        };
        Ok(Setup { config: config(options, identity)?, trust, stamps })
    }
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(io::Error::other)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The verifier is set for each handshake; the roots here are never asked.
fn config(options: &TlsOptions, identity: Option<Identity>) -> io::Result<ClientConfig> {
    let versions: Vec<_> = [(options.versions.v1_2, &version::TLS12), (options.versions.v1_3, &version::TLS13)]
        .into_iter()
        .filter_map(|(spoken, version)| spoken.then_some(version))
        .collect();
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&versions)
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty());
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(io::Error::other)?,
        None => builder.with_no_client_auth(),
    };
    if options.http2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    // A resumed session presents no certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}
