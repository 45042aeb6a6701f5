//! One connection: a request out, a response in. The caller sets the deadline for all of it.

use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::fastcgi::{Decoder, Response};
use super::{Address, Failed};
use crate::observation::fpm::StatusReason;

/// Bytes read at once.
const PIECE: usize = 16 * 1024;

/// Sends a request and reads the response.
pub(super) async fn exchange(address: &Address, request: &[u8]) -> Result<Response, Failed> {
    match address {
        Address::Unix { root, path } => {
            let stream = connect_below(root, path).await.map_err(connecting)?;
            converse(stream, request).await
        }
        Address::Tcp(address) => converse(TcpStream::connect(&**address).await.map_err(connecting)?, request).await,
    }
}

/// Connects to a socket below a root. The kernel resolves the path there, links included, so that an absolute link of the
/// host does not lead into our own container; the descriptor's name in procfs is then what to connect to. That has room
/// for paths that are longer than an address may be, too.
async fn connect_below(root: &Path, path: &Path) -> std::io::Result<UnixStream> {
    if root == Path::new("/") {
        return UnixStream::connect(path).await;
    }
    let folder = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match rustix::fs::openat2(&folder, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(socket) => UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await,
        Err(Errno::NOSYS | Errno::PERM) => UnixStream::connect(root.join(path.strip_prefix("/").unwrap_or(path))).await,
        Err(error) => Err(error.into()),
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Result<Response, Failed> {
    // A server that refuses us closes without reading; what it said before that counts.
    let sent = stream.write_all(request).await;
    let mut decoder = Decoder::default();
    let mut piece = vec![0; PIECE];
    loop {
        let read = stream.read(&mut piece).await.map_err(talking)?;
        if read == 0 {
            sent.map_err(talking)?;
            return Err(Failed::new(StatusReason::Closed, "closed before the end of the response"));
        }
        let bytes = piece.get(..read).unwrap_or_default();
        match decoder.push(bytes) {
            Ok(Some(response)) => return Ok(response),
            Ok(None) => {}
            Err(error) => return Err(Failed::new(error.reason(), error.to_string())),
        }
    }
}

fn connecting(error: Error) -> Failed {
    let reason = match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR) => StatusReason::SocketMissing,
        Some(Errno::CONNREFUSED) => StatusReason::Refused,
        Some(Errno::ACCESS | Errno::PERM) => StatusReason::Permission,
        Some(Errno::AGAIN) => StatusReason::BacklogFull,
        Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN | Errno::HOSTDOWN) => StatusReason::Unreachable,
        Some(Errno::TIMEDOUT) => StatusReason::Timeout,
        Some(Errno::CONNRESET) => StatusReason::Closed,
        // A path that is longer than an address may be.
        None if error.kind() == ErrorKind::InvalidInput => StatusReason::Io,
        // The resolver's errors have no number.
        None => StatusReason::Unreachable,
        Some(_) => StatusReason::Io,
    };
    Failed::new(reason, error.to_string())
}

fn talking(error: Error) -> Failed {
    let reason = match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => StatusReason::Closed,
        _ => StatusReason::Io,
    };
    Failed::new(reason, error.to_string())
}
