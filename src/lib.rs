//! nginx-502-exporter tells why nginx answers 502, 503 or 504, while it happens.
//!
//! ```text
//!    outside world            vocabulary             one writer                renderings of one snapshot
//!  nginx error log  ─┐
//!  kernel's sockets ─┼─► inputs/ ──► Observation ──► state/ ──► Arc<Snapshot>
//!  FPM status pages ─┤    read +      (typed, no      applies       ├─ metrics/ + web/  /metrics, /
//!  probes           ─┘    parse        I/O)           counts        └─ (diagnosis/ explains single entries)
//!                           ▲
//!                        config/ + discovery/ say what to look at
//! ```
//!
//! An arrow is a Rust type, and nothing points left: `inputs` know `observation`, `config` and `discovery`; `state` and `diagnosis`
//! know only `observation`; `metrics` and `web` know only the snapshot. `tests/architecture.rs` checks the `use` lines.
//! The commands that read logs by themselves (`explain`, `replay`) call the parsers of `inputs::log` directly: those are
//! pure functions.

pub mod app;
pub mod cli;
pub mod config;
pub mod diagnosis;
pub mod discovery;
pub mod inputs;
pub mod metrics;
pub mod observation;
pub mod state;
pub mod text;
pub mod web;
