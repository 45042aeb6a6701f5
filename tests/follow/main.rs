//! The follower of log files against real files, a model, and the real nginx.
#![allow(clippy::disallowed_methods, reason = "the tests start nginx")]

mod behaviour;
mod model;
mod rotation;
mod scene;
