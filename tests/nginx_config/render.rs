//! A discovery as text: one fact per line, each with its place.

use std::fmt::{Debug, Write};

use nginx_502_exporter::discovery::nginx::Discovery;
use nginx_502_exporter::observation::nginx::{
    Context, Destination, NginxConfig, Origin, Pass, PassTarget, Resolver, Setting, Target, TargetOrigin,
};

macro_rules! line {
    ($text:expr, $($argument:tt)*) => {{ writeln!($text, $($argument)*).expect("a string takes anything"); }};
}

/// Everything that is not nginx's default, with the folder's name left out.
pub fn render(discovery: &Discovery, folder: &str) -> String {
    let mut text = String::new();
    let config = &discovery.config;
    main(&mut text, config);
    config.passes.iter().for_each(|found| pass(&mut text, found));
    config.targets.iter().for_each(|found| target(&mut text, found));
    logs(&mut text, config);
    rest(&mut text, config);
    for file in &discovery.files {
        line!(text, "file {}", file.display());
    }
    for problem in &discovery.problems {
        line!(text, "problem {problem}");
    }
    text.replace(folder, "")
}

fn context(context: Context) -> &'static str {
    match context {
        Context::Http => "http",
        Context::Stream => "stream",
    }
}

/// A setting that a file gives.
fn written<T: Debug>(text: &mut String, name: &str, setting: &Setting<T>) {
    if let Origin::At(place) = &setting.origin {
        line!(text, "    {name} {:?} at {place}", setting.value);
    }
}

fn main(text: &mut String, config: &NginxConfig) {
    let main = &config.main;
    written(text, "worker_processes", &main.worker_processes);
    written(text, "worker_connections", &main.worker_connections);
    main.worker_rlimit_nofile.iter().for_each(|limit| written(text, "worker_rlimit_nofile", limit));
    main.user.iter().for_each(|user| written(text, "user", user));
    written(text, "pid", &main.pid);
    for server in &config.servers {
        line!(
            text,
            "server {} {} listens {} at {}",
            context(server.context),
            server.names.join(" "),
            server.listen.join(" "),
            server.place
        );
    }
}

fn pass(text: &mut String, pass: &Pass) {
    let target = match &pass.target {
        PassTarget::Fixed(name) => name.to_string(),
        PassTarget::RunTime { candidates, complete } => {
            format!("[{}]{}", candidates.join(" "), if *complete { "" } else { " and more" })
        }
        PassTarget::Invalid => "nowhere".to_owned(),
    };
    line!(
        text,
        "pass {} to {target} from {:?} of {:?} at {}: {}",
        pass.protocol,
        &*pass.location,
        pass.server_names.join(" "),
        pass.place,
        pass.written
    );
    written(text, "connect_timeout", &pass.connect_timeout);
    written(text, "send_timeout", &pass.send_timeout);
    written(text, "read_timeout", &pass.read_timeout);
    written(text, "buffer_size", &pass.buffer_size);
    pass.buffers.iter().for_each(|buffers| written(text, "buffers", buffers));
    pass.busy_buffers_size.iter().for_each(|size| written(text, "busy_buffers_size", size));
    written(text, "next_upstream", &pass.next_upstream.on);
    written(text, "next_upstream_tries", &pass.next_upstream.tries);
    written(text, "next_upstream_timeout", &pass.next_upstream.timeout);
    pass.http_version.iter().for_each(|version| written(text, "http_version", version));
    pass.connection_header.iter().for_each(|header| written(text, "Connection", header));
    if let Some(tls) = &pass.tls {
        line!(text, "    speaks TLS");
        written(text, "verify", &tls.verify);
        written(text, "verify_depth", &tls.verify_depth);
        tls.trusted_certificate.iter().for_each(|path| written(text, "trusted_certificate", path));
        written(text, "sends_name", &tls.sends_name);
        tls.name.iter().for_each(|name| written(text, "name", name));
        written(text, "protocols", &tls.protocols);
        written(text, "ciphers", &tls.ciphers);
    }
    pass.resolver.iter().for_each(|found| resolver(text, found));
}

fn resolver(text: &mut String, resolver: &Resolver) {
    written(text, "resolver", &resolver.servers);
    line!(text, "    valid {:?}, IPv4 and IPv6 {:?}", resolver.valid, resolver.families);
    written(text, "resolver_timeout", &resolver.timeout);
}

fn target(text: &mut String, target: &Target) {
    let origin = match &target.origin {
        TargetOrigin::Block(_) => "block",
        TargetOrigin::Pass(_) => "address",
    };
    let protocols: Vec<_> = target.protocols.iter().map(|protocol| protocol.name()).collect();
    line!(
        text,
        "target {} {} ({origin}) at {} by {}",
        context(target.context),
        target.name,
        target.origin.place(),
        protocols.join(" ")
    );
    target.keepalive.iter().for_each(|keepalive| written(text, "keepalive", keepalive));
    target.zone.iter().for_each(|zone| written(text, "zone", zone));
    target.method.iter().for_each(|method| written(text, "method", method));
    for peer in &target.peers {
        let flags = [(peer.is_backup, " backup"), (peer.is_down, " down"), (peer.resolves, " resolve")];
        let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
        let limits = (peer.weight, peer.max_conns, peer.max_fails, peer.fail_timeout.as_secs());
        let limits = if limits == (1, 0, 1, 10) { String::new() } else { format!(" {limits:?}") };
        line!(text, "    peer {}{limits}{flags} at {}", peer.address, peer.place);
    }
}

fn destination(destination: &Destination) -> String {
    match destination {
        Destination::File(path) => path.display().to_string(),
        Destination::Variable(path) => format!("variable {path}"),
        Destination::Syslog(server) => format!("syslog {server}"),
        Destination::Stderr => "stderr".to_owned(),
        Destination::Memory => "memory".to_owned(),
        Destination::Off => "off".to_owned(),
    }
}

fn logs(text: &mut String, config: &NginxConfig) {
    for log in &config.error_logs {
        line!(text, "error_log {} {} at {}", destination(&log.destination), log.level, log.origin);
    }
    for log in &config.access_logs {
        let buffer = log.buffer.map(|bytes| format!(" buffer {bytes}")).unwrap_or_default();
        let flush = log.flush.map(|time| format!(" flush {time:?}")).unwrap_or_default();
        let condition = log.condition.as_ref().map(|condition| format!(" if {condition}")).unwrap_or_default();
        let gzip = if log.is_compressed { " gzip" } else { "" };
        line!(
            text,
            "access_log {} {} {}{buffer}{flush}{gzip}{condition} at {}",
            context(log.context),
            destination(&log.destination),
            log.format,
            log.origin
        );
    }
    for format in config.log_formats.iter().filter(|format| format.origin != Origin::Default) {
        line!(
            text,
            "log_format {} {} {:?} {:?} at {}",
            context(format.context),
            format.name,
            format.escape,
            format.text,
            format.origin
        );
    }
}

fn rest(text: &mut String, config: &NginxConfig) {
    for zone in &config.zones {
        line!(text, "zone {} by {} {:?} at {}", zone.name, zone.key, zone.rate, zone.place);
    }
    for status in &config.stub_status {
        line!(
            text,
            "stub_status {:?} of {} on {} at {}",
            &*status.location,
            status.names.join(" "),
            status.listen.join(" "),
            status.place
        );
    }
    for stored in config.stored_paths.iter().filter(|stored| stored.origin != Origin::Default) {
        line!(text, "{} {} at {}", stored.directive, stored.path.display(), stored.origin);
    }
}
