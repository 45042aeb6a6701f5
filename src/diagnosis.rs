//! What the evidence means: the catalogue of [`Cause`]s, and a [`guide`] to every class of log entry.
//!
//! Knows only `observation`: no I/O, no configuration.

mod cause;
pub mod guide;

pub use cause::Cause;
