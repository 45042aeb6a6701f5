//! Upstreams that go wrong on purpose. A fault is a script of [`Step`]s, the same over TCP and unix sockets; the
//! submodules hold the bytes of each protocol and the addresses at which nobody serves.

pub mod address;
pub mod dns;
pub mod fastcgi;
pub mod http2;
pub mod peer;
pub mod request;

pub use peer::{Peer, Step};
pub use request::Wire;

/// A complete, correct HTTP answer.
pub const HTTP_OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
