//! A DNS server (RFC 1035, section 4) that gives every question the same answer, or none.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// A response code and no record: 2 is SERVFAIL, 3 NXDOMAIN.
    Code(u8),
    /// Nothing at all.
    Silence,
}

/// A running server on a port of 127.0.0.1.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts it.
    pub fn start(reply: Reply) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
        let (address, stopping) = (socket.local_addr().expect("bound"), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let stopping = stopping.clone();
            move || {
                let mut question = [0; 512];
                while let Ok((length, client)) = socket.recv_from(&mut question) {
                    if stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    if let (Reply::Code(code), true) = (reply, length > 12) {
                        question[2] |= 0x80; // this is a response
                        question[3] = 0x80 | code; // recursion available
                        let _lost = socket.send_to(&question[..length], client);
                    }
                }
            }
        });
        Self { address, stopping, thread: Some(thread) }
    }

    /// For nginx's `resolver`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let woken = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"", self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ended = thread.join();
        }
    }
}
