//! What is in force in a block: nginx merges nearly every directive alike: the nearest block that has it wins.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::address::HTTP_MODULES;
use super::problems::Problems;
use super::tree::{Children, Directive};
use super::units;
use crate::observation::nginx::Setting;

/// A block and the blocks around it.
#[derive(Debug)]
pub(super) struct Scope<'t, 'p> {
    own: HashMap<&'t [u8], Vec<Directive<'t>>>,
    outer: Option<&'p Scope<'t, 'p>>,
    problems: &'p RefCell<Problems>,
}

impl<'t, 'p> Scope<'t, 'p> {
    pub(super) fn new(
        directives: Children<'t>,
        outer: Option<&'p Scope<'t, 'p>>,
        problems: &'p RefCell<Problems>,
    ) -> Self {
        let mut own: HashMap<&[u8], Vec<Directive<'_>>> = HashMap::new();
        for directive in directives.filter(|directive| !directive.is_block()) {
            if takes_one(directive.name()) && directive.arg_count() != 1 {
                let what = format!("invalid number of arguments in \"{}\" directive", text(directive.name()));
                problems.borrow_mut().add(directive.place(), what);
            }
            own.entry(directive.name()).or_default().push(directive);
        }
        Self { own, outer, problems }
    }

    /// A block in this one.
    pub(super) fn inner<'s>(&'s self, block: Directive<'t>) -> Scope<'t, 's> {
        Scope::new(block.children(), Some(self), self.problems)
    }

    /// The directives of that name in this very block.
    pub(super) fn own(&self, name: &str) -> &[Directive<'t>] {
        self.own.get(name.as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// The directives of that name in the nearest block that has any.
    pub(super) fn nearest(&self, name: &str) -> &[Directive<'t>] {
        let mut scope = self;
        loop {
            match (scope.own(name), scope.outer) {
                ([], Some(outer)) => scope = outer,
                (found, _) => return found,
            }
        }
    }

    /// Says that a directive is not as it has to be.
    pub(super) fn refuse(&self, directive: Directive<'_>, what: impl Into<String>) {
        self.problems.borrow_mut().add(directive.place(), what);
    }

    /// The value of the directive in force, where `read` makes sense of it.
    pub(super) fn value<T>(&self, name: &str, read: impl Fn(Directive<'t>) -> Option<T>) -> Option<Setting<T>> {
        let (directive, others) = self.nearest(name).split_first()?;
        for other in others {
            self.refuse(*other, format!("\"{name}\" directive is duplicate"));
        }
        let value = read(*directive);
        if value.is_none() {
            self.refuse(*directive, format!("invalid value in \"{name}\" directive"));
        }
        Some(Setting::at(value?, directive.place()))
    }

    /// The same for a directive with one argument.
    pub(super) fn argument<T>(&self, name: &str, read: impl Fn(&'t [u8]) -> Option<T>) -> Option<Setting<T>> {
        self.value(name, |directive| (directive.arg_count() == 1).then(|| read(directive.arg(0)?))?)
    }

    pub(super) fn time(&self, name: &str, default: Duration) -> Setting<Duration> {
        self.argument(name, units::time).unwrap_or(Setting::default_of(default))
    }

    pub(super) fn size(&self, name: &str, default: u64) -> Setting<u64> {
        self.argument(name, units::size).unwrap_or(Setting::default_of(default))
    }

    pub(super) fn number(&self, name: &str, default: u64) -> Setting<u64> {
        self.argument(name, units::number).unwrap_or(Setting::default_of(default))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Setting<bool> {
        self.argument(name, units::flag).unwrap_or(Setting::default_of(default))
    }

    pub(super) fn text(&self, name: &str) -> Option<Setting<Arc<str>>> {
        self.argument(name, |value| Some(text(value)))
    }

    /// All arguments.
    pub(super) fn texts(&self, name: &str) -> Option<Setting<Vec<Arc<str>>>> {
        self.value(name, |directive| (directive.arg_count() > 0).then(|| directive.args().map(text).collect()))
    }
}

/// Whether it is a directive of an upstream module with exactly one argument: where there are more, a `;` is missing and
/// the directive after it is lost.
fn takes_one(name: &[u8]) -> bool {
    const REST: &[&[u8]] = &[
        b"pass",
        b"connect_timeout",
        b"send_timeout",
        b"read_timeout",
        b"timeout",
        b"buffer_size",
        b"busy_buffers_size",
        b"next_upstream_tries",
        b"next_upstream_timeout",
    ];
    let Some((module, rest)) = memchr::memchr(b'_', name).and_then(|at| name.split_at_checked(at)) else {
        return false;
    };
    HTTP_MODULES.iter().any(|known| known.prefix.as_bytes() == module)
        && REST.contains(&rest.get(1..).unwrap_or_default())
}

/// Bytes as text; what is no UTF-8 is replaced, as in what is read of logs.
pub(super) fn text(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}
