//! `upstream {}` blocks, and the literal addresses of passes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::address::{self, Address};
use super::built::Built;
use super::passes;
use super::scope::{Scope, text};
use super::tree::Directive;
use super::units;
use crate::observation::Protocol;
use crate::observation::nginx::{Context, Host, Peer, Place, Setting, Target, TargetOrigin, Targets};

/// More targets than this are not kept.
const MAX_TARGETS: usize = 10_000;
/// Balancing methods: directives of other modules that may stand in an `upstream {}`.
const METHODS: &[&str] = &["least_conn", "ip_hash", "hash", "random", "least_time", "sticky"];

/// Targets while they are being found.
#[derive(Debug, Default)]
pub(super) struct Found {
    list: Vec<Target>,
    blocks: HashMap<(Context, String), usize>,
    literals: HashMap<(Context, Arc<str>), usize>,
}

impl Found {
    /// Takes in an `upstream {}`.
    pub(super) fn add_block<'t>(
        &mut self,
        context: Context,
        block: Directive<'t>,
        outer: &Scope<'t, '_>,
        built: &Built,
    ) {
        let Some(name) = block.arg(0).filter(|_| block.arg_count() == 1) else {
            return outer.refuse(block, "invalid number of arguments in \"upstream\" directive");
        };
        let key = (context, text(name).to_lowercase());
        if self.blocks.contains_key(&key) {
            return outer.refuse(block, format!("duplicate upstream \"{}\"", text(name)));
        }
        if self.list.len() >= MAX_TARGETS {
            return outer.refuse(block, format!("more than {MAX_TARGETS} upstreams: those from here on are not known"));
        }
        let scope = outer.inner(block);
        let peers: Vec<Peer> = scope.own("server").iter().filter_map(|server| peer(context, *server, &scope)).collect();
        if peers.is_empty() {
            scope.refuse(block, format!("no servers are inside upstream \"{}\"", text(name)));
        }
        let keepalive = scope.own("keepalive").first().and_then(|_| {
            scope
                .value("keepalive", |directive| units::number(directive.arg(0)?).filter(|_| directive.arg_count() <= 2))
        });
        let since_1_29_7 = built.is_at_least((1, 29, 7)) == Some(true) && context == Context::Http;
        let method = METHODS.iter().find_map(|method| scope.own(method).first().map(|directive| (*method, directive)));
        self.blocks.insert(key, self.list.len());
        self.list.push(Target {
            name: text(name),
            context,
            origin: TargetOrigin::Block(block.place()),
            protocols: Vec::new(),
            peers,
            keepalive: keepalive.or(since_1_29_7.then_some(Setting::default_of(32))),
            zone: scope.own("zone").first().and_then(|zone| Some(Setting::at(text(zone.arg(0)?), zone.place()))),
            method: method.map(|(method, directive)| Setting::at(method.into(), directive.place())),
            resolver: (!scope.own("resolver").is_empty()).then(|| passes::resolver(&scope)).flatten(),
        });
    }

    /// The name of the target a pass leads to. A new address becomes a target.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub(super) fn reach(
        &mut self,
        context: Context,
        protocol: Protocol,
        address: Address,
        place: &Place,
    ) -> Result<Arc<str>, String> {
        let block = self.blocks.get(&(context, address.name.to_lowercase())).copied();
        if let Some(at) = block.filter(|_| !matches!(address.host, Host::Unix(_))) {
            if address.has_port {
                return Err(format!("upstream \"{}\" may not have a port", address.name));
            }
            return Ok(self.used(at, protocol).unwrap_or(address.name));
        }
        let port = match &address.host {
            Host::Unix(_) => None,
            Host::Ip(ip) => Some(ip.port()),
            Host::Name { port, .. } => Some(*port),
        };
        if port == Some(0) {
            return Err(format!("no port in upstream \"{}\"", address.name));
        }
        let label = address.label();
        let key = (context, Arc::clone(&label));
        if let Some(at) = self.literals.get(&key).copied() {
            return Ok(self.used(at, protocol).unwrap_or(label));
        }
        if self.list.len() >= MAX_TARGETS {
            return Err(format!("more than {MAX_TARGETS} upstreams: \"{label}\" is not known"));
        }
        self.literals.insert(key, self.list.len());
        self.list.push(Target {
            name: Arc::clone(&label),
            context,
            origin: TargetOrigin::Pass(place.clone()),
            protocols: vec![protocol],
            peers: vec![literal(address.host, place.clone())],
            keepalive: None,
            zone: None,
            method: None,
            resolver: None,
        });
        Ok(label)
    }

    fn used(&mut self, at: usize, protocol: Protocol) -> Option<Arc<str>> {
        let target = self.list.get_mut(at)?;
        if !target.protocols.contains(&protocol) {
            target.protocols.push(protocol);
        }
        Some(Arc::clone(&target.name))
    }

    pub(super) fn finish(self) -> Targets {
        Targets::new(self.list)
    }
}

/// A peer with the values of a `server` without parameters.
fn literal(host: Host, place: Place) -> Peer {
    Peer {
        address: address::label(&host),
        host,
        weight: 1,
        max_conns: 0,
        max_fails: 1,
        fail_timeout: Duration::from_secs(10),
        is_backup: false,
        is_down: false,
        resolves: false,
        service: None,
        place,
    }
}

/// A `server` of an `upstream {}`, with what is understood of its parameters.
fn peer(context: Context, server: Directive<'_>, scope: &Scope<'_, '_>) -> Option<Peer> {
    let written = server.arg(0);
    let default_port = match context {
        Context::Http => Some(80),
        Context::Stream => None,
    };
    let Some(written) = written else {
        scope.refuse(server, "invalid number of arguments in \"server\" directive");
        return None;
    };
    let parsed = address::parse(written, default_port, false).and_then(|address| {
        let needs_port = matches!(&address.host, Host::Name { port: 0, .. });
        let has_service = server.args().any(|parameter| parameter.starts_with(b"service="));
        let needs_port = needs_port || matches!(&address.host, Host::Ip(ip) if ip.port() == 0);
        if needs_port && !has_service { Err("no port") } else { Ok(address) }
    });
    let address = match parsed {
        Ok(address) => address,
        Err(words) => {
            scope.refuse(server, format!("{words} in upstream \"{}\"", text(written)));
            return None;
        }
    };
    let mut peer = literal(address.host, server.place());
    for parameter in server.args().skip(1) {
        if !apply(&mut peer, parameter) {
            scope.refuse(server, format!("invalid parameter \"{}\"", text(parameter)));
        }
    }
    Some(peer)
}

/// Whether the parameter is understood. Those of the commercial build are, and of no interest.
fn apply(peer: &mut Peer, parameter: &[u8]) -> bool {
    let (name, value) = match memchr::memchr(b'=', parameter) {
        Some(equals) => (parameter.get(..equals).unwrap_or_default(), parameter.get(equals + 1..)),
        None => (parameter, None),
    };
    let set = |target: &mut u64, least: u64| {
        value.and_then(units::number).filter(|number| *number >= least).map(|number| *target = number).is_some()
    };
    match (name, value) {
        (b"weight", _) => set(&mut peer.weight, 1),
        (b"max_conns", _) => set(&mut peer.max_conns, 0),
        (b"max_fails", _) => set(&mut peer.max_fails, 0),
        (b"fail_timeout", Some(value)) => units::seconds(value).map(|time| peer.fail_timeout = time).is_some(),
        (b"service", Some(value)) => {
            peer.service = Some(text(value));
            true
        }
        (b"backup", None) => {
            peer.is_backup = true;
            true
        }
        (b"down", None) => {
            peer.is_down = true;
            true
        }
        (b"resolve", None) => {
            peer.resolves = true;
            true
        }
        (b"drain", None) | (b"route" | b"slow_start" | b"id", Some(_)) => true,
        _ => false,
    }
}
