//! What there is to look at: from the configuration of nginx and PHP-FPM to the targets of every input. Blocks on files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Place};
use crate::discovery::fpm::{self, Installation, Pool};
use crate::discovery::nginx::{self, Disk};
use crate::inputs::fpm::Target as PoolTarget;
use crate::inputs::fpm::memory::Workers;
use crate::inputs::probe::{Address, Ask, Identity, Resolver, Target as ProbeTarget, TlsOptions, TlsVersions, Verify};
use crate::inputs::socket::queue::Target as Listener;
use crate::observation::nginx::{Destination, Host, Loaded, NginxConfig, Pass, PassTarget, Peer, Target, Tls};
use crate::observation::socket::ListenerKey;
use crate::observation::{Known, KnownPeer, KnownPool, PeerLabels, Protocol};

/// A port that `resolver` does not name.
const DNS_PORT: u16 = 53;

/// What a look at the configurations of this host gave.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The identities, for the state.
    pub(super) known: Known,
    /// What the kernel is asked for.
    pub(super) listeners: Vec<Listener>,
    /// Whose status pages are read.
    pub(super) pools: Vec<PoolTarget>,
    /// Whose workers are weighed.
    pub(super) workers: Vec<Workers>,
    /// Who is probed.
    pub(super) probes: Vec<ProbeTarget>,
    /// Error logs that nginx is configured to write to files.
    pub(super) error_logs: Vec<String>,
    /// What was not understood, as `file:line: what`.
    pub(super) problems: Vec<String>,
}

/// After so many looks without a change everything is read again: a version of FPM installed since has no file that
/// could have changed.
const LOOKS: u32 = 6;

/// What was there at the last look, so that a host on which nothing changes is not read again and again.
#[derive(Debug, Default)]
pub(super) struct Seen {
    last: Option<Last>,
    looks: u32,
}

#[derive(Debug)]
struct Last {
    pools: fpm::Discovery,
    nginx: Option<nginx::Discovery>,
    running: Option<Loaded>,
}

/// Looks at everything; `None` when nothing has changed. A host without nginx or FPM gives an empty survey, not an error.
pub(super) fn survey(config: &Config, seen: &mut Seen) -> Option<Survey> {
    let processes = fpm::Processes::read(&config.procfs);
    let running = running(config);
    let disk = Disk::new(&config.rootfs);
    seen.looks += 1;
    if let (Some(last), Ok(disk)) = (&seen.last, &disk)
        && seen.looks < LOOKS
        && last.running == running
        && !last.pools.changed(&processes)
        && !last.nginx.as_ref().is_none_or(|nginx| nginx.changed(disk))
    {
        return None;
    }
    seen.looks = 0;
    let mut survey = Survey::default();
    let sources =
        fpm::Sources { procfs: config.procfs.clone(), rootfs: config.rootfs.clone(), conf: config.fpm_confs.clone() };
    let pools = fpm::discover(&sources, &processes);
    survey.problems.extend(pools.problems.iter().map(|problem| match problem.line {
        Some(line) => format!("{}:{line}: {}", problem.file.display(), problem.what),
        None => format!("{}: {}", problem.file.display(), problem.what),
    }));
    let pings = survey.pools(&pools);
    let nginx = match disk {
        Ok(disk) => Some(nginx::discover(&options(config, running.as_ref()), &disk)),
        Err(error) => {
            survey.problems.push(format!("{}: {error}", config.rootfs.display()));
            None
        }
    };
    if let Some(nginx) = &nginx {
        let is_there = !nginx.config.servers.is_empty() || running.is_some() || config.nginx_conf.is_some();
        if is_there {
            survey.problems.extend(nginx.problems.iter().map(ToString::to_string));
        }
        survey.peers(&nginx.config, &pings);
        survey.error_logs(&nginx.config);
    }
    survey.known.nginx_loaded_at = running.as_ref().map(Loaded::configured_at);
    seen.last = Some(Last { pools, nginx, running });
    Some(survey)
}

/// The nginx that runs with the configuration meant. One in a container has paths of another root.
fn running(config: &Config) -> Option<Loaded> {
    let is_meant = |master: &Loaded| match &config.nginx_conf {
        Some(conf) => master.conf_path.as_ref() == Some(conf),
        None => true,
    };
    let masters = nginx::masters(&config.procfs).unwrap_or_default();
    masters.into_iter().find(|master| !master.in_container && is_meant(master))
}

/// The patterns to follow: those the operator named, or the usual ones and those nginx's configuration names.
pub(super) fn patterns(config: &Config, discovered: &[String]) -> Vec<String> {
    let said = config.effective().iter().find(|effective| effective.setting.name == "nginx.error-log");
    let mut patterns = config.error_logs.clone();
    if said.is_none_or(|effective| effective.place == Place::Default) {
        patterns.extend(discovered.iter().filter(|path| !is_covered(path, &config.error_logs)).cloned());
    }
    patterns
}

fn is_covered(path: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(path)))
}

fn options(config: &Config, running: Option<&Loaded>) -> nginx::Options {
    let options = running.map(nginx::Options::of).unwrap_or_default();
    match &config.nginx_conf {
        Some(conf) => nginx::Options { conf: Some(conf.clone()), ..options },
        None => options,
    }
}

impl Survey {
    /// Takes over the pools; returns the ping paths by peer, for the probes.
    fn pools(&mut self, found: &fpm::Discovery) -> HashMap<Arc<str>, Arc<str>> {
        let mut pings = HashMap::new();
        let labels = fpm::labels(found);
        for ((installation, pool), label) in found.pools().zip(&labels) {
            let Some(target) = PoolTarget::of(installation, pool, label) else { continue };
            if let Some(ping) = &pool.ping_path {
                pings.insert(Arc::clone(&target.peer), ping.value.as_str().into());
            }
            let listener = listener(&target.peer);
            self.listeners.extend(listener.clone().map(with_aliases));
            self.known.pools.push(KnownPool {
                pool: Arc::clone(label),
                listener,
                max_children: pool.max_children.as_ref().map(|stated| stated.value),
            });
            self.workers.extend(workers(installation, pool, label));
            self.pools.push(target);
        }
        pings
    }

    fn peers(&mut self, config: &NginxConfig, pings: &HashMap<Arc<str>, Arc<str>>) {
        let passes = first_passes(config);
        let mut seen = BTreeSet::new();
        for target in config.targets.iter() {
            for peer in &target.peers {
                let labels = PeerLabels { upstream: Arc::clone(&target.name), peer: Arc::clone(&peer.address) };
                if !seen.insert(labels.clone()) {
                    continue;
                }
                let listener = listener(&peer.address);
                self.listeners.extend(listener.clone().map(with_aliases));
                let host = match &peer.host {
                    Host::Name { name, .. } => Some(Arc::clone(name)),
                    Host::Unix(_) | Host::Ip(_) => None,
                };
                self.known.peers.push(KnownPeer { labels: labels.clone(), host, listener });
                // A block that no pass leads to is never asked by nginx, and neither by us.
                if !target.protocols.is_empty() && !peer.is_down {
                    let pass = passes.get(&target.name).copied();
                    self.probes.push(probe(labels, target, peer, pass, pings));
                }
            }
        }
    }

    fn error_logs(&mut self, config: &NginxConfig) {
        let files = config.error_logs.iter().filter_map(|log| match &log.destination {
            Destination::File(path) if path != Path::new("/dev/null") => path.to_str().map(str::to_owned),
            _ => None,
        });
        self.error_logs = files.collect::<BTreeSet<_>>().into_iter().collect();
    }
}

/// The first pass that leads to each target: its TLS values stand for all.
fn first_passes(config: &NginxConfig) -> BTreeMap<Arc<str>, &Pass> {
    let mut passes = BTreeMap::new();
    for pass in &config.passes {
        if let PassTarget::Fixed(name) = &pass.target {
            let known = passes.entry(Arc::clone(name)).or_insert(pass);
            if known.tls.is_none() && pass.tls.is_some() {
                *known = pass;
            }
        }
    }
    passes
}

/// The socket of this host that a peer is; `None` for a name, whose addresses are not known here.
fn listener(peer: &str) -> Option<ListenerKey> {
    if let Some(path) = peer.strip_prefix("unix:") {
        return Some(match path.strip_prefix('@') {
            Some(name) => ListenerKey::Abstract(name.as_bytes().into()),
            None => ListenerKey::Unix(Path::new(path).into()),
        });
    }
    let address = peer.parse::<SocketAddr>().ok();
    let local = || peer.strip_prefix("localhost:")?.parse().ok().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    address.or_else(local).map(ListenerKey::Tcp)
}

/// `/run` and `/var/run` are one directory on most hosts, and a process may have bound under either.
fn with_aliases(key: ListenerKey) -> Listener {
    let aliases = match &key {
        ListenerKey::Unix(path) => {
            let other = match path.strip_prefix("/var/run") {
                Ok(rest) => Some(Path::new("/run").join(rest)),
                Err(_) => path.strip_prefix("/run").ok().map(|rest| Path::new("/var/run").join(rest)),
            };
            other.into_iter().collect()
        }
        ListenerKey::Abstract(_) | ListenerKey::Tcp(_) => Vec::new(),
    };
    Listener { key, aliases }
}

fn workers(installation: &Installation, pool: &Pool, label: &Arc<str>) -> Option<Workers> {
    let master = installation.master.as_ref()?.pid;
    Some(Workers { pool: Arc::clone(label), name: Arc::clone(&pool.name), master })
}

fn probe(
    labels: PeerLabels,
    target: &Target,
    peer: &Peer,
    pass: Option<&Pass>,
    pings: &HashMap<Arc<str>, Arc<str>>,
) -> ProbeTarget {
    let address = match &peer.host {
        Host::Unix(path) => Address::Unix(PathBuf::from(&**path)),
        Host::Ip(address) => Address::Ip(*address),
        Host::Name { name, port } => {
            let servers = target.resolver.as_ref().or_else(|| pass?.resolver.as_ref()).filter(|_| peer.resolves);
            let resolver = servers.map_or(Resolver::System, |resolver| Resolver::Nameservers {
                servers: resolver.servers.value.iter().filter_map(|server| nameserver(server)).collect(),
                ipv6: resolver.families.1,
            });
            Address::Name { host: Arc::clone(name), port: *port, resolver }
        }
    };
    let speaks = |protocol| target.protocols.contains(&protocol);
    let tls =
        pass.and_then(|pass| pass.tls.as_ref()).map(|tls| tls_options(tls, &target.name, speaks(Protocol::Grpcs)));
    let ask =
        if speaks(Protocol::FastCgi) { Ask::FastCgi { ping: pings.get(&labels.peer).cloned() } } else { Ask::Nothing };
    ProbeTarget { labels, address, tls: tls.map(Arc::new), ask }
}

fn nameserver(text: &str) -> Option<SocketAddr> {
    let address = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    text.parse().ok().or_else(|| address().map(|address| SocketAddr::new(address, DNS_PORT)))
}

/// The handshake of a pass. Values with variables are decided per request, and left to nginx's defaults here.
fn tls_options(tls: &Tls, host: &str, http2: bool) -> TlsOptions {
    let name = tls.name.as_ref().map(|name| &*name.value).filter(|name| !name.contains('$')).unwrap_or(host);
    let path = |path: &PathBuf| (!path.to_string_lossy().contains('$')).then(|| path.clone());
    let trusted = tls.trusted_certificate.as_ref().and_then(|setting| path(&setting.value));
    let verify = trusted
        .filter(|_| tls.verify.value)
        .map(|trusted| Verify { trusted, depth: usize::try_from(tls.verify_depth.value).unwrap_or(usize::MAX) });
    let identity = || {
        let certificate = path(&tls.certificate.as_ref()?.value)?;
        Some(Identity { certificate, key: path(&tls.certificate_key.as_ref()?.value)? })
    };
    let speaks = |version: &str| tls.protocols.value.iter().any(|protocol| **protocol == *version);
    let versions = if tls.protocols.value.is_empty() {
        TlsVersions::default()
    } else {
        TlsVersions { v1_2: speaks("TLSv1.2"), v1_3: speaks("TLSv1.3") }
    };
    TlsOptions { sni: tls.sends_name.value, verify, identity: identity(), versions, http2, ..TlsOptions::new(name) }
}
