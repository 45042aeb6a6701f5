//! Probes of upstream peers: one connection per address and interval, made as nginx would make it.
//!
//! A probe says what it saw ([`ProbeReading`]), and asks nothing of an application unless the operator named a path. A
//! connection alone proves only that the kernel has room in a queue, even if the process behind it is stopped: a ping or a
//! path proves more. [`schedule::run`] keeps the probes of all peers going; [`Prober`] is one of them. Not spoken: gRPC's
//! health checks, uwsgi, SCGI and memcached; their peers are connected to.

mod background;
mod below;
mod connect;
mod dns;
mod fastcgi;
mod http;
mod resolve;
mod round;
pub mod schedule;
mod target;
mod tls;
mod wire;

pub use target::{Address, Ask, Identity, NoAddress, Resolver, Target, TlsOptions, TlsVersions, Verify};

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::observation::probe::{CertificateInfo, ProbeFailure, ProbePhase, ProbeReading, ProbeReason, Spoken};
use background::Background;
use connect::Stream;
use resolve::Lookup;
use round::{Round, failure};

/// Addresses of one name that are probed; nginx would use all of them.
const MAX_ADDRESSES: usize = 8;
/// Lookups by the system that may hang at once, and reads of certificate files: each holds a thread while it lasts.
const MAX_BLOCKING: usize = 16;

/// What all probes share.
#[derive(Debug)]
pub struct Shared {
    deadline: Duration,
    rootfs: Arc<Path>,
    procfs: Arc<Path>,
    lookups: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    setups: tls::Cache,
}

impl Shared {
    /// Probes that take at most `deadline`, with unix sockets and certificate files below `rootfs`.
    #[must_use]
    pub fn new(deadline: Duration, rootfs: &Path, procfs: &Path) -> Self {
        Self {
            deadline,
            rootfs: rootfs.into(),
            procfs: procfs.into(),
            lookups: Arc::new(Semaphore::new(MAX_BLOCKING)),
            reads: Arc::new(Semaphore::new(MAX_BLOCKING)),
            setups: tls::Cache::default(),
        }
    }
}

/// The probe of one peer. It can run once at a time.
#[derive(Debug)]
pub struct Prober {
    target: Target,
    shared: Arc<Shared>,
    lookup: Lookup,
    files: Background<Result<Arc<tls::Setup>, ProbeFailure>>,
    /// Keeps the certificate files of this peer in the cache.
    setup: Option<Arc<tls::Setup>>,
}

impl Prober {
    /// A probe that has not run yet.
    #[must_use]
    pub fn new(target: Target, shared: Arc<Shared>) -> Self {
        Self { target, shared, lookup: Lookup::new(), files: Background::new(), setup: None }
    }

    /// Who is probed.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Probes the peer now. Ends within the deadline.
    pub async fn probe(&mut self) -> ProbeReading {
        let mut round = Round::until(Instant::now() + self.shared.deadline);
        let mut found = Found::default();
        let up = self.go(&mut round, &mut found).await;
        let Found { chain, resolved } = found;
        ProbeReading {
            target: self.target.labels.clone(),
            up,
            phases: round.phases,
            chain,
            resolved,
            at: SystemTime::now(),
        }
    }

    /// What is said instead of a probe while the peer has no worker to spare.
    #[must_use]
    pub fn saturated(&self) -> ProbeReading {
        let up = Err(failure(ProbeReason::SkippedSaturated, "no worker to spare"));
        let target = self.target.labels.clone();
        ProbeReading { target, up, phases: <_>::default(), chain: Vec::new(), resolved: None, at: SystemTime::now() }
    }

    /// What the peer speaks, whatever nginx is configured to speak to it: worth asking once the log shows answers that
    /// make no sense. Two connections, with a TLS hello and a FastCGI management record: no application sees either.
    /// `None` where neither brings an answer that is known.
    pub async fn identify(&mut self) -> Option<Spoken> {
        let mut round = Round::until(Instant::now() + self.shared.deadline);
        let endpoint = self.endpoints(&mut round, &mut Found::default()).await.ok()?.into_iter().next()?;
        // TLS first: a TLS server may answer everything else in plain HTTP.
        let stream = self.connect(&endpoint, &mut round).await.ok()?;
        if round.phase(ProbePhase::Tls, tls::is_spoken(stream)).await.unwrap_or(false) {
            return Some(Spoken::Tls);
        }
        let mut stream = self.connect(&endpoint, &mut round).await.ok()?;
        round.phase(ProbePhase::Response, async { Ok(fastcgi::answer_to_values(&mut stream).await) }).await.ok()?
    }

    async fn go(&mut self, round: &mut Round, found: &mut Found) -> Result<(), ProbeFailure> {
        // nginx uses each in turn: the first one that fails is what some of its requests meet.
        for endpoint in self.endpoints(round, found).await? {
            let reached = self.reach(&endpoint, round, found).await;
            reached.map_err(|failed| failure(failed.reason, format_args!("{endpoint}: {}", failed.detail)))?;
        }
        Ok(())
    }

    async fn endpoints(&mut self, round: &mut Round, found: &mut Found) -> Result<Vec<Endpoint>, ProbeFailure> {
        let (host, port, resolver) = match &self.target.address {
            Address::Unix(path) => return Ok(vec![Endpoint::Unix(path.clone())]),
            Address::Ip(address) => return Ok(vec![Endpoint::Tcp(*address)]),
            Address::Name { host, port, resolver } => (host, *port, resolver),
        };
        let Shared { lookups, procfs, .. } = &*self.shared;
        let resolved = round.phase(ProbePhase::Dns, self.lookup.addresses(host, resolver, lookups, procfs)).await?;
        let addresses = resolved.iter().take(MAX_ADDRESSES);
        let endpoints = addresses.map(|address| Endpoint::Tcp(SocketAddr::new(*address, port))).collect();
        found.resolved = Some(resolved);
        Ok(endpoints)
    }

    async fn connect(&self, endpoint: &Endpoint, round: &mut Round) -> Result<Box<dyn Stream>, ProbeFailure> {
        match endpoint {
            Endpoint::Unix(path) => round.phase(ProbePhase::Connect, connect::unix(&self.shared.rootfs, path)).await,
            Endpoint::Tcp(address) => round.phase(ProbePhase::Connect, connect::tcp(*address)).await,
        }
    }

    async fn reach(&mut self, endpoint: &Endpoint, round: &mut Round, found: &mut Found) -> Result<(), ProbeFailure> {
        let mut stream = self.connect(endpoint, round).await?;
        let Some(options) = self.target.tls.clone() else {
            return ask_for(&self.target.ask, &mut stream, round).await;
        };
        let shaken = round.phase(ProbePhase::Tls, async {
            let setup = self.setup(&options).await?;
            let handshake = tls::handshake(stream, &options, &setup).await;
            found.chain = handshake.chain;
            handshake.outcome
        });
        let mut stream = shaken.await?;
        ask_for(&self.target.ask, &mut stream, round).await?;
        round.farewell(stream.shutdown()).await;
        Ok(())
    }

    async fn setup(&mut self, options: &Arc<TlsOptions>) -> Result<Arc<tls::Setup>, ProbeFailure> {
        let (options, shared) = (Arc::clone(options), Arc::clone(&self.shared));
        let read = move || tls::load(&options, &shared.rootfs, &shared.setups);
        let loaded = self.files.run(&self.shared.reads, read).await;
        let setup =
            loaded.unwrap_or_else(|| Err(failure(ProbeReason::Other, "reading the certificate files failed")))?;
        self.setup = Some(Arc::clone(&setup));
        Ok(setup)
    }
}

/// What a probe found besides its outcome.
#[derive(Debug, Default)]
struct Found {
    chain: Vec<CertificateInfo>,
    resolved: Option<Vec<IpAddr>>,
}

/// Where a connection goes.
#[derive(Debug)]
enum Endpoint {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

async fn ask_for(
    ask: &Ask,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    round: &mut Round,
) -> Result<(), ProbeFailure> {
    match ask {
        Ask::Nothing => Ok(()),
        Ask::Http { path, host } => round.phase(ProbePhase::Response, http::ask(stream, path, host)).await,
        Ask::FastCgi { ping: None } => round.phase(ProbePhase::Response, fastcgi::get_values(stream)).await,
        Ask::FastCgi { ping: Some(path) } => round.phase(ProbePhase::Response, fastcgi::ping(stream, path)).await,
    }
}
