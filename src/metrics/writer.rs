//! Writing one family's samples: label names and type come from the catalogue, only values from the snapshot.

use std::fmt;

use prometheus_client::encoding::{
    CounterValueEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabel, EncodeLabelSet, GaugeValueEncoder,
    LabelSetEncoder, MetricEncoder, NoLabelSet,
};

use super::catalogue::{Family, Kind, Label};

/// Takes the samples of one family.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    family: &'static Family,
    encoder: MetricEncoder<'a>,
}

impl<'a> Samples<'a> {
    pub(super) fn new(family: &'static Family, encoder: MetricEncoder<'a>) -> Self {
        Self { family, encoder }
    }

    /// Writes a sample; one value per label of the family, in its order.
    pub(super) fn add(&mut self, values: &[&str], number: impl Into<Number>) -> fmt::Result {
        let Family { labels, kind, .. } = self.family;
        debug_assert_eq!(labels.len(), values.len(), "{}", self.family.name);
        let number = number.into();
        if labels.is_empty() {
            return write(&mut self.encoder, *kind, number);
        }
        let labels = LabelSet { labels, values };
        write(&mut self.encoder.encode_family(&labels)?, *kind, number)
    }
}

fn write(encoder: &mut MetricEncoder<'_>, kind: Kind, number: Number) -> fmt::Result {
    match kind {
        Kind::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(&number, None),
        Kind::Gauge => encoder.encode_gauge(&number),
    }
}

/// A sample's value: whole numbers are written exactly.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(n: u64) -> Self {
        Self::Whole(n)
    }
}

impl From<bool> for Number {
    fn from(yes: bool) -> Self {
        Self::Whole(yes.into())
    }
}

impl From<f64> for Number {
    fn from(x: f64) -> Self {
        Self::Real(x)
    }
}

impl EncodeCounterValue for Number {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match *self {
            Self::Whole(n) => EncodeCounterValue::encode(&n, encoder),
            Self::Real(x) => EncodeCounterValue::encode(&x, encoder),
        }
    }
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match *self {
            Self::Whole(n) => EncodeGaugeValue::encode(&n, encoder),
            Self::Real(x) => EncodeGaugeValue::encode(&x, encoder),
        }
    }
}

struct LabelSet<'a> {
    labels: &'static [Label],
    values: &'a [&'a str],
}

impl EncodeLabelSet for LabelSet<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.labels
            .iter()
            .zip(self.values)
            .try_for_each(|(label, value)| (label.name, *value).encode(encoder.encode_label()))
    }
}
