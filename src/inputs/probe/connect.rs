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
        Err(error) => Err(failure(reason(&error, false), format_args!("connect to {address}: {error}"))),
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
        Err(error) => Err(failure(reason(&error, true), format_args!("connect to unix:{}: {error}", path.display()))),
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
