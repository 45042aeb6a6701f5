//! Prometheus metrics: a rendering of one snapshot, without I/O and without memory of its own.
//!
//! [`catalogue`] names every family once, with the function that writes its samples; the collector walks the catalogue,
//! so nothing can be exposed that is not in it.

pub mod catalogue;
mod collector;
mod exposition;
mod samples;
mod writer;

pub use exposition::{Format, Renderer};
