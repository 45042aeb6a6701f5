//! The tree of directives to what nginx does with it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::address::{HTTP_MODULES, Module, STREAM_MODULE};
use super::built::TEMP_PATHS;
use super::layout::Layout;
use super::logs::Logs;
use super::passes::{self, Site};
use super::problems::Problems;
use super::scope::{Scope, text};
use super::targets::Found;
use super::tree::{Directive, Tree};
use super::units;
use super::variables::{Variables, is_expression};
use crate::observation::Protocol;
use crate::observation::nginx::{
    Context, Main, NginxConfig, Origin, Pass, PassTarget, Server, Setting, StoredPath, StubStatus, Zone,
};

/// More servers, and more passes, than this are not kept.
const MAX_LISTED: usize = 20_000;
/// Directives with a folder that nginx writes to.
const STORED: &[&str] = &[
    "client_body_temp_path",
    "proxy_temp_path",
    "fastcgi_temp_path",
    "uwsgi_temp_path",
    "scgi_temp_path",
    "proxy_cache_path",
    "fastcgi_cache_path",
    "uwsgi_cache_path",
    "scgi_cache_path",
];

/// What is being put together.
struct Model<'a> {
    layout: &'a Layout,
    targets: Found,
    logs: Logs,
    servers: Vec<Server>,
    passes: Vec<Pass>,
    zones: Vec<Zone>,
    stub_status: Vec<StubStatus>,
    stored: Vec<StoredPath>,
    known_stored: HashSet<(Arc<str>, PathBuf)>,
}

/// A server while its blocks are walked through.
struct Walk<'w> {
    context: Context,
    names: Arc<[Arc<str>]>,
    listen: Vec<Arc<str>>,
    variables: &'w Variables<'w, 'w>,
}

/// Makes the model. What is not as it has to be is told to `problems`.
pub(super) fn build(tree: &Tree, layout: &Layout, problems: &RefCell<Problems>) -> NginxConfig {
    let main = Scope::new(tree.top(), None, problems);
    let mut model = Model {
        layout,
        targets: Found::default(),
        logs: Logs::new(),
        servers: Vec::new(),
        passes: Vec::new(),
        zones: Vec::new(),
        stub_status: Vec::new(),
        stored: Vec::new(),
        known_stored: HashSet::new(),
    };
    if main.own("error_log").is_empty() {
        model.logs.add_default_error(layout);
    }
    model.logs.add(Context::Http, &main, layout);
    for block in tree.top().filter(|directive| directive.is_block()) {
        match block.name() {
            b"http" => model.context(Context::Http, block, &main),
            b"stream" => model.context(Context::Stream, block, &main),
            _ => {}
        }
    }
    NginxConfig {
        main: main_values(tree, &main, layout),
        servers: model.servers,
        passes: model.passes,
        targets: model.targets.finish(),
        access_logs: model.logs.access,
        error_logs: model.logs.error,
        log_formats: model.logs.formats,
        zones: model.zones,
        stub_status: model.stub_status,
        stored_paths: model.stored,
    }
}

fn main_values(tree: &Tree, main: &Scope<'_, '_>, layout: &Layout) -> Main {
    let events = tree.top().find(|block| block.name() == b"events" && block.is_block());
    let connections = match events {
        Some(events) => main.inner(events).number("worker_connections", 512),
        None => Setting::default_of(512),
    };
    let user = main.value("user", |user| user.arg(0).map(text));
    let built_user = layout.built.option("user").map(|user| Setting::default_of(text(user)));
    let pid = main.argument("pid", |path| Some(layout.full(path)));
    Main {
        worker_processes: main.text("worker_processes").unwrap_or(Setting::default_of("1".into())),
        worker_connections: connections,
        worker_rlimit_nofile: main.argument("worker_rlimit_nofile", units::number),
        user: user.or(built_user),
        pid: pid.unwrap_or_else(|| Setting::default_of(layout.full(layout.built.path("pid-path", "logs/nginx.pid")))),
    }
}

impl Model<'_> {
    /// `http {}` or `stream {}`.
    fn context<'t>(&mut self, context: Context, block: Directive<'t>, main: &Scope<'t, '_>) {
        let scope = main.inner(block);
        self.logs.add_formats(context, &scope);
        self.logs.add(context, &scope, self.layout);
        self.stored(&scope);
        let mut variables = Variables::default();
        variables.add_blocks(block.children());
        for upstream in block.children().filter(|child| child.name() == b"upstream" && child.is_block()) {
            self.targets.add_block(context, upstream, &scope, &self.layout.built);
        }
        if context == Context::Http {
            self.zones(&scope);
            self.default_stored(&scope);
        }
        for server in block.children().filter(|child| child.name() == b"server" && child.is_block()) {
            self.server(context, server, &scope, &variables);
        }
    }

    fn server<'t>(
        &mut self,
        context: Context,
        block: Directive<'t>,
        outer: &Scope<'t, '_>,
        shared: &Variables<'t, '_>,
    ) {
        if self.servers.len() >= MAX_LISTED {
            return outer.refuse(block, format!("more than {MAX_LISTED} servers: those from here on are not known"));
        }
        let scope = outer.inner(block);
        let mut variables = Variables::inner(shared);
        variables.add_sets(block);
        let names: Arc<[Arc<str>]> = scope.own("server_name").iter().flat_map(|names| names.args()).map(text).collect();
        let mut listen: Vec<Arc<str>> =
            scope.own("listen").iter().filter_map(|listen| listen.arg(0)).map(text).collect();
        if listen.is_empty() && context == Context::Http {
            listen.push("*:80".into());
        }
        self.servers.push(Server { context, names: names.to_vec(), listen: listen.clone(), place: block.place() });
        if context == Context::Http && scope.nearest("access_log").is_empty() {
            self.logs.add_default_access(self.layout);
        }
        let walk = Walk { context, names, listen, variables: &variables };
        self.level(&walk, block, &scope, "");
    }

    /// A server, location, `if` or `limit_except`. The last two take over the pass of the location around them with its
    /// values: hardly any directive of the upstream modules is allowed in them.
    fn level<'t>(&mut self, walk: &Walk<'_>, block: Directive<'t>, scope: &Scope<'t, '_>, location: &str) {
        self.logs.add(walk.context, scope, self.layout);
        self.stored(scope);
        for status in scope.own("stub_status") {
            self.stub_status.push(StubStatus {
                listen: walk.listen.clone(),
                names: walk.names.to_vec(),
                location: location.into(),
                place: status.place(),
            });
        }
        let site = Site { context: walk.context, server_names: &walk.names, location };
        let modules = match walk.context {
            Context::Http => HTTP_MODULES,
            Context::Stream => &[STREAM_MODULE],
        };
        for module in modules {
            for directive in scope.own(&format!("{}_pass", module.prefix)) {
                self.pass(module, *directive, walk, scope, &site);
            }
        }
        for inner in block.children().filter(|child| child.is_block()) {
            let keeps_outer = match inner.name() {
                b"location" => false,
                b"if" | b"limit_except" => true,
                _ => continue,
            };
            let label = label(location, inner, keeps_outer);
            self.level(walk, inner, &scope.inner(inner), &label);
        }
    }

    fn pass(
        &mut self,
        module: &Module,
        directive: Directive<'_>,
        walk: &Walk<'_>,
        scope: &Scope<'_, '_>,
        site: &Site<'_>,
    ) {
        if self.passes.len() >= MAX_LISTED {
            return scope.refuse(directive, format!("more than {MAX_LISTED} passes: those from here on are not known"));
        }
        let Some(argument) = directive.arg(0) else {
            return scope
                .refuse(directive, format!("invalid number of arguments in \"{}_pass\" directive", module.prefix));
        };
        let (protocol, target) = match is_expression(argument) {
            true => self.run_time(module, directive, argument, walk),
            false => self.fixed(module, directive, argument, walk.context, scope),
        };
        let mut pass = passes::pass(module, directive, protocol, scope, site, self.layout);
        pass.target = target;
        self.passes.push(pass);
    }

    fn fixed(
        &mut self,
        module: &Module,
        directive: Directive<'_>,
        argument: &[u8],
        context: Context,
        scope: &Scope<'_, '_>,
    ) -> (Protocol, PassTarget) {
        let reached =
            module.parse(argument).map_err(|words| format!("{words} in \"{}_pass {}\"", module.prefix, text(argument)));
        let reached = reached.and_then(|(protocol, address)| {
            self.targets.reach(context, protocol, address, &directive.place()).map(|name| (protocol, name))
        });
        match reached {
            Ok((protocol, name)) => (protocol, PassTarget::Fixed(name)),
            Err(words) => {
                scope.refuse(directive, words);
                (module.protocol, PassTarget::Invalid)
            }
        }
    }

    fn run_time(
        &mut self,
        module: &Module,
        directive: Directive<'_>,
        argument: &[u8],
        walk: &Walk<'_>,
    ) -> (Protocol, PassTarget) {
        let values = walk.variables.expand(module.without_uri(argument));
        let has_scheme = |scheme: &str| {
            argument
                .split_at_checked(scheme.len())
                .is_some_and(|(start, _)| start.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        let scheme = module.schemes.iter().find(|(scheme, ..)| has_scheme(scheme));
        let mut candidates = Vec::new();
        for value in &values.literal {
            // What is no address is an answer of 500 for those requests, and none for us.
            let Ok((protocol, address)) = module.parse(value) else { continue };
            if let Ok(name) = self.targets.reach(walk.context, protocol, address, &directive.place())
                && !candidates.contains(&name)
            {
                candidates.push(name);
            }
        }
        let protocol = scheme.map_or(module.protocol, |(_, protocol, _)| *protocol);
        (protocol, PassTarget::RunTime { candidates, complete: values.complete })
    }

    fn zones(&mut self, scope: &Scope<'_, '_>) {
        for directive in ["limit_req_zone", "limit_conn_zone"].iter().flat_map(|name| scope.own(name)) {
            let value = |name: &str| directive.args().find_map(|argument| argument.strip_prefix(name.as_bytes()));
            let zone = value("zone=").and_then(|zone| zone.split(|byte| *byte == b':').next());
            match (zone, directive.arg(0)) {
                (Some(zone), Some(key)) => self.zones.push(Zone {
                    name: text(zone),
                    key: text(key),
                    rate: value("rate=").map(text),
                    place: directive.place(),
                }),
                _ => scope.refuse(*directive, "the zone has no name"),
            }
        }
    }

    /// Folders named in this very block.
    fn stored(&mut self, scope: &Scope<'_, '_>) {
        for name in STORED {
            for directive in scope.own(name) {
                let Some(path) = directive.arg(0) else { continue };
                self.add_stored(name, path, Origin::At(directive.place()));
            }
        }
    }

    /// Folders nginx takes where `http {}` names none.
    fn default_stored(&mut self, scope: &Scope<'_, '_>) {
        for (module, option, otherwise) in TEMP_PATHS {
            let name = format!("{module}_temp_path");
            if scope.own(&name).is_empty() {
                self.add_stored(&name, self.layout.built.path(option, otherwise), Origin::Default);
            }
        }
    }

    fn add_stored(&mut self, directive: &str, path: &[u8], origin: Origin) {
        let path = self.layout.full(path);
        let directive: Arc<str> = directive.into();
        if self.stored.len() < MAX_LISTED && self.known_stored.insert((Arc::clone(&directive), path.clone())) {
            self.stored.push(StoredPath { directive, path, origin });
        }
    }
}

/// `/a`, `~ \.php$`, `@fallback`, `/a if ($x)`. What a location within another one is called says where it is.
fn label(outer: &str, block: Directive<'_>, keeps_outer: bool) -> String {
    let words = block.args().map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join(" ");
    if !keeps_outer {
        return words;
    }
    format!("{outer} {} {words}", text(block.name())).trim_start().to_owned()
}
