//! The only collector: walks the catalogue over one snapshot.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::catalogue::{FAMILIES, Kind};
use super::writer::Samples;
use crate::state::Snapshot;

/// Writes one snapshot. Does no I/O and reports no trouble of its own: an error would end the exposition in the middle.
#[derive(Debug)]
pub(super) struct SnapshotCollector(pub(super) Arc<Snapshot>);

impl Collector for SnapshotCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let metric_type = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let unit = family.unit();
            let metric = encoder.encode_descriptor(family.base(), family.help, unit.as_ref(), metric_type)?;
            (family.samples)(&self.0, &mut Samples::new(family, metric))?;
        }
        Ok(())
    }
}
