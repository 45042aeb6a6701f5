//! What a row of the catalogue is made of.

use std::fmt;

use prometheus_client::registry::Unit;

use super::super::writer::Samples;
use crate::state::Snapshot;

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// The name of its series, in both formats.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it means, in one line.
    pub help: &'static str,
    /// Its labels, in order.
    pub labels: &'static [Label],
    /// Writes its samples.
    pub(in crate::metrics) samples: Write,
    /// For a family whose open labels are capped: what was counted under `other`.
    pub(in crate::metrics) overflow: Option<fn(&Snapshot) -> u64>,
}

type Write = fn(&Snapshot, &mut Samples<'_>) -> fmt::Result;

/// Type of a [`Family`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A label of a [`Family`].
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// The values it can have.
    pub values: Values,
}

/// The values a [`Label`] can have.
#[derive(Debug)]
pub enum Values {
    /// Named by configuration, file names or logs; capped.
    Open,
    /// These and no others. In a family without open label each of them is there from the start.
    Closed(fn() -> Vec<&'static str>),
}

impl Family {
    pub(super) const fn counter(
        name: &'static str,
        labels: &'static [Label],
        help: &'static str,
        samples: Write,
    ) -> Self {
        Self { name, kind: Kind::Counter, help, labels, samples, overflow: None }
    }

    pub(super) const fn gauge(
        name: &'static str,
        labels: &'static [Label],
        help: &'static str,
        samples: Write,
    ) -> Self {
        Self { name, kind: Kind::Gauge, help, labels, samples, overflow: None }
    }

    pub(super) const fn capped(mut self, overflow: fn(&Snapshot) -> u64) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// The unit, which is the last word of the name before `_total`.
    #[must_use]
    pub fn unit(&self) -> Option<Unit> {
        let name = self.without_total();
        [Unit::Bytes, Unit::Seconds].into_iter().find(|unit| strip_unit(name, unit).is_some())
    }

    /// The name as prometheus-client wants it: it appends the unit and `_total` by itself.
    pub(in crate::metrics) fn base(&self) -> &'static str {
        let name = self.without_total();
        self.unit().and_then(|unit| strip_unit(name, &unit)).unwrap_or(name)
    }

    fn without_total(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge => self.name,
        }
    }
}

fn strip_unit(name: &'static str, unit: &Unit) -> Option<&'static str> {
    name.strip_suffix(unit.as_str())?.strip_suffix('_')
}

impl Kind {
    /// The type's name, the same in both formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}
