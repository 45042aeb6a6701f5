//! The follower of log files against real files, a model, and the real nginx.
#![allow(clippy::disallowed_methods, reason = "the tests start nginx")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod behaviour;
mod model;
mod rotation;
mod scene;
