//! The netlink socket: one request, every row of a table.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::failure;
use super::wire::request::request;
use super::wire::{Content, Malformed, Messages, Table};
use crate::observation::socket::{SocketFailure, SocketFailureReason};

/// The kernel fills at most 32 KiB per datagram of a dump (`netlink_dump` in `net/netlink/af_netlink.c`).
const BUFFER: usize = 64 << 10;

/// A way to ask the kernel. Opened for one reading: then no answer of an earlier one can be waiting in it.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Kernel {
    pub(super) fn open() -> Result<Self, SocketFailure> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(SOCK_DIAG))
            .map_err(|errno| from_errno("sock_diag", errno))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Hands over every row of a table.
    pub(super) fn dump(
        &mut self,
        table: Table<'_>,
        deadline: Instant,
        mut row: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), SocketFailure> {
        let fail = |errno| from_errno(table.name(), errno);
        let malformed = |Malformed| failure(SocketFailureReason::Malformed, table.name(), "a row is cut short");
        self.sequence += 1;
        let request = request(table, self.sequence);
        let kernel = SocketAddrNetlink::new(0, 0);
        retry_on_intr(|| sendto(&self.socket, &request, SendFlags::empty(), &kernel)).map_err(fail)?;
        let mut interrupted = false;
        loop {
            let length = self.receive(table, deadline)?;
            let datagram = self.buffer.get(..length).ok_or(Malformed).map_err(malformed)?;
            for message in Messages::new(datagram) {
                let message = message.map_err(malformed)?;
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.interrupted;
                match message.content {
                    Content::Row(bytes) => row(bytes).map_err(malformed)?,
                    Content::Error(errno) => return Err(fail(Errno::from_raw_os_error(errno))),
                    Content::Done if interrupted => {
                        let what = "the table changed while it was read";
                        return Err(failure(SocketFailureReason::Interrupted, table.name(), what));
                    }
                    Content::Done => return Ok(()),
                    Content::Nothing => {}
                }
            }
        }
    }

    /// Length of the next datagram. Longer than the buffer if it was truncated.
    fn receive(&mut self, table: Table<'_>, deadline: Instant) -> Result<usize, SocketFailure> {
        loop {
            let timeout = || failure(SocketFailureReason::Timeout, table.name(), "no answer from the kernel");
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC) {
                Ok((_, length)) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let left = deadline.checked_duration_since(Instant::now()).ok_or_else(timeout)?;
                    let left = Timespec::try_from(left).map_err(|_| timeout())?;
                    let mut answer = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
                    match poll(&mut answer, Some(&left)) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(errno) => return Err(from_errno(table.name(), errno)),
                    }
                }
                Err(errno) => return Err(from_errno(table.name(), errno)),
            }
            if Instant::now() > deadline {
                return Err(timeout());
            }
        }
    }
}

fn from_errno(what: &str, errno: Errno) -> SocketFailure {
    let reason = match errno {
        Errno::PERM | Errno::ACCESS | Errno::AFNOSUPPORT => SocketFailureReason::Refused,
        Errno::NOENT | Errno::PROTONOSUPPORT | Errno::OPNOTSUPP | Errno::NOSYS => SocketFailureReason::Unsupported,
        // Rows were lost on the way.
        Errno::NOBUFS => SocketFailureReason::Interrupted,
        _ => SocketFailureReason::Io,
    };
    failure(reason, what, &errno.to_string())
}
