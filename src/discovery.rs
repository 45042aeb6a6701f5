//! What the host's own configuration says there is to look at: found, not listed by hand.
//!
//! Discovery reads files and procfs and says what stands there, each value with its file and line. It judges nothing,
//! connects to nothing and executes nothing.

pub mod fpm;
pub mod nginx;
