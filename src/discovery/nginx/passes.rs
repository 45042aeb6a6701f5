//! A `*_pass` with the values in force where it stands. Names and built-in values are those of nginx's modules
//! (`ngx_http_*_merge_loc_conf`, `ngx_stream_proxy_merge_srv_conf`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address::Module;
use super::layout::Layout;
use super::scope::{Scope, text};
use super::tree::Directive;
use super::units;
use crate::observation::Protocol;
use crate::observation::nginx::{Buffers, Context, NextUpstream, Pass, PassTarget, Resolver, Setting, Tls};

const MINUTE: Duration = Duration::from_secs(60);

/// Where a pass stands.
#[derive(Debug)]
pub(super) struct Site<'s> {
    pub(super) context: Context,
    pub(super) server_names: &'s Arc<[Arc<str>]>,
    pub(super) location: &'s str,
}

/// The pass with its values; its target is still to be found.
pub(super) fn pass(
    module: &Module,
    directive: Directive<'_>,
    protocol: Protocol,
    scope: &Scope<'_, '_>,
    site: &Site<'_>,
    layout: &Layout,
) -> Pass {
    let named = |rest: &str| format!("{}_{rest}", module.prefix);
    let is_stream = site.context == Context::Stream;
    let exchange = |rest: &str| match is_stream {
        true => scope.time(&named("timeout"), 10 * MINUTE),
        false => scope.time(&named(rest), MINUTE),
    };
    // `ngx_pagesize`: 4 KiB but on some ARM and POWER kernels.
    let page = procfs::page_size();
    let buffer_size = scope.size(&named("buffer_size"), if is_stream { 16 << 10 } else { page });
    let has_buffers = matches!(module.prefix, "proxy" | "fastcgi" | "uwsgi" | "scgi") && !is_stream;
    let buffers = has_buffers.then(|| {
        let default = Buffers { count: 8, size: page };
        scope.value(&named("buffers"), read_buffers).unwrap_or(Setting::default_of(default))
    });
    let busy_buffers_size = buffers.as_ref().map(|buffers| {
        scope.size(&named("busy_buffers_size"), buffer_size.value.max(buffers.value.size).saturating_mul(2))
    });
    let speaks_http = module.prefix == "proxy" && !is_stream;
    let http_version = speaks_http.then(|| scope.text("proxy_http_version").or_else(|| default_http_version(layout)));
    let connection =
        |header: &Directive<'_>| header.arg(0).is_some_and(|name| name.eq_ignore_ascii_case(b"connection"));
    let connection_header = scope.nearest(&named("set_header")).iter().find(|header| connection(header));
    Pass {
        protocol,
        target: PassTarget::Invalid,
        written: text(directive.arg(0).unwrap_or_default()),
        place: directive.place(),
        server_names: Arc::clone(site.server_names),
        location: site.location.into(),
        connect_timeout: scope.time(&named("connect_timeout"), MINUTE),
        send_timeout: exchange("send_timeout"),
        read_timeout: exchange("read_timeout"),
        buffer_size,
        buffers,
        busy_buffers_size,
        next_upstream: next_upstream(&named("next_upstream"), scope, is_stream),
        http_version: http_version.flatten(),
        connection_header: connection_header.and_then(|header| Some(Setting::at(text(header.arg(1)?), header.place()))),
        tls: speaks_tls(module, protocol, directive, scope).then(|| tls(module.prefix, scope, layout)),
        resolver: resolver(scope),
    }
}

fn read_buffers(directive: Directive<'_>) -> Option<Buffers> {
    let count = units::number(directive.arg(0)?)?;
    let size = units::size(directive.arg(1)?)?;
    (directive.arg_count() == 2).then_some(Buffers { count, size })
}

fn default_http_version(layout: &Layout) -> Option<Setting<Arc<str>>> {
    let is_new = layout.built.is_at_least((1, 29, 7))?;
    Some(Setting::default_of(if is_new { "1.1" } else { "1.0" }.into()))
}

fn next_upstream(name: &str, scope: &Scope<'_, '_>, is_stream: bool) -> NextUpstream {
    let default: &[&str] = if is_stream { &["on"] } else { &["error", "timeout"] };
    NextUpstream {
        on: scope
            .texts(name)
            .unwrap_or_else(|| Setting::default_of(default.iter().map(|word| (*word).into()).collect())),
        tries: scope.number(&format!("{name}_tries"), 0),
        timeout: scope.time(&format!("{name}_timeout"), Duration::ZERO),
    }
}

/// With the scheme in a variable nginx is ready for both.
fn speaks_tls(module: &Module, protocol: Protocol, directive: Directive<'_>, scope: &Scope<'_, '_>) -> bool {
    match protocol {
        Protocol::Https | Protocol::Grpcs | Protocol::Suwsgi => true,
        Protocol::Stream => scope.flag("proxy_ssl", false).value,
        _ => module.schemes.len() > 1 && directive.arg(0).is_some_and(|argument| argument.starts_with(b"$")),
    }
}

fn tls(prefix: &str, scope: &Scope<'_, '_>, layout: &Layout) -> Tls {
    let named = |rest: &str| format!("{prefix}_ssl_{rest}");
    let path = |rest: &str| -> Option<Setting<PathBuf>> {
        scope.argument(&named(rest), |value| Some(layout.beside_conf(value)))
    };
    Tls {
        verify: scope.flag(&named("verify"), false),
        verify_depth: scope.number(&named("verify_depth"), 1),
        trusted_certificate: path("trusted_certificate"),
        sends_name: scope.flag(&named("server_name"), false),
        name: scope.text(&named("name")),
        certificate: path("certificate"),
        certificate_key: path("certificate_key"),
        protocols: scope.texts(&named("protocols")).unwrap_or(Setting::default_of(Vec::new())),
        ciphers: scope.text(&named("ciphers")).unwrap_or(Setting::default_of("DEFAULT".into())),
    }
}

/// `resolver` with its timeout.
pub(super) fn resolver(scope: &Scope<'_, '_>) -> Option<Resolver> {
    let parameter = |directive: Directive<'_>, name: &str| {
        directive.args().find_map(|argument| argument.strip_prefix(name.as_bytes())).map(<[u8]>::to_vec)
    };
    let is_server = |argument: &[u8]| {
        ![&b"valid="[..], b"ipv4=", b"ipv6=", b"status_zone="].iter().any(|name| argument.starts_with(name))
    };
    let directive = *scope.nearest("resolver").first()?;
    let family = |name: &str| parameter(directive, name).and_then(|value| units::flag(&value)).unwrap_or(true);
    Some(Resolver {
        servers: Setting::at(
            directive.args().filter(|argument| is_server(argument)).map(text).collect(),
            directive.place(),
        ),
        valid: parameter(directive, "valid=").and_then(|value| units::seconds(&value)),
        families: (family("ipv4="), family("ipv6=")),
        timeout: scope.time("resolver_timeout", Duration::from_secs(30)),
    })
}
