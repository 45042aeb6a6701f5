//! What the integration tests and the demo share: real programs on loopback, in a temporary folder, ended with it.
//!
//! Everything starts from a [`Lab`]: it owns the folder, and whoever waits for something waits through it, so that a
//! failure shows the logs. Declare the lab first; programs declared after it are ended before the folder goes.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary, and the demo, uses its part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "test code: a failed expectation is the result, and starting programs is the point"
)]

pub mod exporter;
pub mod faults;
pub mod http;
pub mod lab;
pub mod nginx;
pub mod php_fpm;
pub mod process;
pub mod prometheus;
pub mod tls;

pub use exporter::Exporter;
pub use lab::Lab;
pub use nginx::{Nginx, NginxConfig};
pub use php_fpm::PhpFpm;
pub use prometheus::Prometheus;
