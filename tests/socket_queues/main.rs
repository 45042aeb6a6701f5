//! The socket tables against the real kernel, `ss` and the real PHP-FPM.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code: a failed expectation is the result, and starting programs is the point"
)]

#[path = "../common/mod.rs"]
mod common;

mod fpm;
mod isolation;
mod ours;
mod support;
mod tcp;
mod unix;
