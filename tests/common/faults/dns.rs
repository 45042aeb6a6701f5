//! A DNS server (RFC 1035, section 4) that gives every question the same answer, or none.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These addresses, each to those who ask for its kind.
    Addresses(Vec<IpAddr>),
    /// A response code and no record: 2 is SERVFAIL, 3 NXDOMAIN.
    Code(u8),
    /// Nothing at all.
    Silence,
}

/// A running server on a port of 127.0.0.1.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts it.
    pub fn start(reply: Reply) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port on the loopback");
        let (address, stopping) = (socket.local_addr().expect("bound"), Arc::new(AtomicBool::new(false)));
        let reply = Arc::new(Mutex::new(reply));
        let thread = std::thread::spawn({
            let (stopping, reply) = (stopping.clone(), reply.clone());
            move || {
                let mut question = [0; 512];
                while let Ok((length, client)) = socket.recv_from(&mut question) {
                    if stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    if let Some(answer) = answer(&question[..length], &reply.lock().expect("no panic while locked")) {
                        let _lost = socket.send_to(&answer, client);
                    }
                }
            }
        });
        Self { address, reply, stopping, thread: Some(thread) }
    }

    /// What it says from now on.
    pub fn change(&self, reply: Reply) {
        *self.reply.lock().expect("no panic while locked") = reply;
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

/// The question, made an answer.
fn answer(question: &[u8], reply: &Reply) -> Option<Vec<u8>> {
    let (code, addresses) = match reply {
        Reply::Code(code) => (*code, &[][..]),
        Reply::Addresses(addresses) => (0, &addresses[..]),
        Reply::Silence => return None,
    };
    // The question ends with the type and the class.
    let wants_v6 = question.len() > 12 && question[question.len() - 4..][..2] == [0, 28];
    let records: Vec<_> = addresses.iter().filter(|address| address.is_ipv6() == wants_v6).collect();
    let mut answer = (question.len() > 12).then(|| question.to_vec())?;
    answer[2] |= 0x80; // this is a response
    answer[3] = 0x80 | code; // recursion available
    answer[7] = u8::try_from(records.len()).expect("few addresses");
    for address in records {
        let (kind, bytes) = match address {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (28, v6.octets().to_vec()),
        };
        let length = u8::try_from(bytes.len()).expect("4 or 16");
        // The name asked for, type, class IN, ten seconds.
        answer.extend([&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 10, 0, length][..], &bytes].concat());
    }
    Some(answer)
}
