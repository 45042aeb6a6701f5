//! Connecting, and what the error numbers of it mean: the same as in nginx's log.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::below::open_below;
use super::round::failure;
use crate::observation::probe::{ProbeFailure, ProbeReason};

/// A connection, whatever carries it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(super) async fn tcp(address: SocketAddr) -> Result<Box<dyn Stream>, ProbeFailure> {
    match TcpStream::connect(address).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(failure(reason(&error, false), error)),
    }
}

/// Connects to a unix socket below a root of the file system. Below a root that is not ours the socket is named by a
/// descriptor, so that neither links nor the limit of 107 bytes on longer paths are in the way.
pub(super) async fn unix(rootfs: &Path, path: &Path) -> Result<Box<dyn Stream>, ProbeFailure> {
    let connected = if rootfs == Path::new("/") {
        UnixStream::connect(path).await
    } else {
        match open_below(rootfs, path, OFlags::PATH) {
            Ok(socket) => UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await,
            Err(error) => Err(error),
        }
    };
    match connected {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(failure(reason(&error, true), error)),
    }
}

/// What an error of a connection means. A full queue and a lack of ports have the same number.
pub(super) fn reason(error: &io::Error, is_unix: bool) -> ProbeReason {
    let Some(number) = Errno::from_io_error(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => ProbeReason::Closed,
            _ => ProbeReason::Other,
        };
    };
    match number {
        Errno::CONNREFUSED => ProbeReason::Refused,
        Errno::NOENT if is_unix => ProbeReason::SocketMissing,
        Errno::ACCESS | Errno::PERM => ProbeReason::Permission,
        Errno::AGAIN if is_unix => ProbeReason::BacklogFull,
        Errno::AGAIN | Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => ProbeReason::NoLocalPort,
        Errno::TIMEDOUT => ProbeReason::ConnectTimeout,
        Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN | Errno::HOSTDOWN => ProbeReason::Unreachable,
        Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE => ProbeReason::Reset,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => ProbeReason::SkippedExhausted,
        _ => ProbeReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_mean_what_they_mean_in_the_log() {
        use ProbeReason::{
            BacklogFull, ConnectTimeout, NoLocalPort, Other, Permission, Refused, Reset, SkippedExhausted,
            SocketMissing, Unreachable,
        };
        for (number, is_unix, expected) in [
            (111, true, Refused),
            (111, false, Refused),
            (2, true, SocketMissing),
            (2, false, Other),
            (13, true, Permission),
            (1, false, Permission),
            (11, true, BacklogFull),
            (11, false, NoLocalPort),
            (99, false, NoLocalPort),
            (98, false, NoLocalPort),
            (110, false, ConnectTimeout),
            (113, false, Unreachable),
            (112, false, Unreachable),
            (101, false, Unreachable),
            (100, false, Unreachable),
            (103, false, Reset),
            (104, false, Reset),
            (32, true, Reset),
            (24, true, SkippedExhausted),
            (23, true, SkippedExhausted),
            (12, true, SkippedExhausted),
            (91, true, Other),
        ] {
            assert_eq!(reason(&io::Error::from_raw_os_error(number), is_unix), expected, "{number}");
        }
    }
}
