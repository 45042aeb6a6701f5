//! The sockets of upstreams on this host, as the kernel sees them.

pub mod queue;
pub mod watch;
