//! The text tables below `/proc/net`, for where netlink is refused. Formats: `unix_seq_show` in `net/unix/af_unix.c`,
//! `tcp4_seq_show` and `tcp6_seq_show` in `net/ipv4/tcp_ipv4.c` and `net/ipv6/tcp_ipv6.c`.
//!
//! Names of unix sockets are printed as they are, line feeds included: a local user can forge rows here, not in netlink.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use super::failure;
use super::row::{Role, TcpRow, UnixRow};
use super::wire::tcp_role;
use crate::observation::socket::{Overflows, SocketFailure, SocketFailureReason};

/// More than a million sockets fill less.
const MAX_BYTES: usize = 256 << 20;
const CHUNK: u64 = 256 << 10;
/// `__SO_ACCEPTCON`.
const LISTENS: u32 = 0x1_0000;
const SOCK_STREAM: u32 = 1;
/// `SS_CONNECTING` and `SS_CONNECTED` of `linux/net.h`.
const CONNECTING: u32 = 2;
const CONNECTED: u32 = 3;

/// A whole table.
pub(super) fn table(path: &Path, deadline: Instant) -> Result<Vec<u8>, SocketFailure> {
    let name = path.to_string_lossy();
    let fail = |error: std::io::Error| {
        let reason = match error.kind() {
            ErrorKind::NotFound => SocketFailureReason::Unsupported,
            ErrorKind::PermissionDenied => SocketFailureReason::Refused,
            _ => SocketFailureReason::Io,
        };
        failure(reason, &name, &error.to_string())
    };
    let mut file = File::open(path).map_err(fail)?;
    let mut content = Vec::new();
    loop {
        if Instant::now() > deadline {
            return Err(failure(SocketFailureReason::Timeout, &name, "the table is too long for the time"));
        }
        if content.len() > MAX_BYTES {
            return Err(failure(SocketFailureReason::Malformed, &name, "the table is too long"));
        }
        if file.by_ref().take(CHUNK).read_to_end(&mut content).map_err(fail)? == 0 {
            return Ok(content);
        }
    }
}

/// The lines of a table below its heading.
pub(super) fn lines(table: &[u8]) -> impl Iterator<Item = &[u8]> {
    table.split(|byte| *byte == b'\n').skip(1)
}

/// Reads a line of `/proc/net/unix`: `Num: RefCount Protocol Flags Type St Inode Path`.
pub(super) fn unix_row(line: &[u8]) -> Option<UnixRow<'_>> {
    let mut rest = line;
    let mut field = || {
        let (field, after) = split_field(rest)?;
        rest = after;
        std::str::from_utf8(field).ok()
    };
    let (_address, _references, _protocol) = (field()?, field()?, field()?);
    let (flags, kind, state) = (hex(field()?)?, hex(field()?)?, hex(field()?)?);
    let inode = field()?.parse().ok()?;
    let name = rest.strip_prefix(b" ").filter(|name| !name.is_empty())?;
    let role = match state {
        _ if kind != SOCK_STREAM => return None,
        _ if flags & LISTENS != 0 => Role::Listener { waiting: None, limit: None, only_v6: false },
        CONNECTING if inode == 0 => Role::Queued,
        CONNECTED => Role::Accepted,
        _ => return None,
    };
    Some(UnixRow { role, inode, name, file: None, peer: None })
}

/// Reads a line of `/proc/net/tcp` or `tcp6`: `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`.
pub(super) fn tcp_row(line: &[u8]) -> Option<TcpRow> {
    let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(1);
    let ((local, v6), (remote, _)) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (_, received) = fields.next()?.split_once(':')?;
    let inode = fields.nth(4)?.parse().ok()?;
    // `sk_ack_backlog` for a listener.
    let listener = Role::Listener { waiting: Some(hex(received)?), limit: None, only_v6: false };
    let (role, client_closed) = tcp_role(state, inode, listener)?;
    Some(TcpRow { role, client_closed, local, remote, v6, device: 0, inode })
}

/// `0100007F:2328`: words of the address as numbers of the host, the port as a number.
fn address(text: &str) -> Option<(SocketAddr, bool)> {
    let (ip, port) = text.split_once(':')?;
    let words = ip.as_bytes().chunks(8).map(|word| std::str::from_utf8(word).ok().and_then(hex).map(u32::to_ne_bytes));
    let words: Vec<[u8; 4]> = words.collect::<Option<_>>()?;
    let ip = match words.as_slice() {
        [v4] => IpAddr::from(*v4),
        v6 => IpAddr::from(<[u8; 16]>::try_from(v6.concat()).ok()?),
    };
    Some((SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?), ip.is_ipv6()))
}

/// The counters of `/proc/net/netstat`: pairs of lines, names above values.
pub(super) fn overflows(table: &[u8]) -> Option<Overflows> {
    let text = std::str::from_utf8(table).ok()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next()?.split(' '), lines.next()?.split(' '));
    let value = |wanted| names.clone().zip(values.clone()).find(|(name, _)| *name == wanted)?.1.parse().ok();
    Some(Overflows { overflows: value("ListenOverflows")?, drops: value("ListenDrops")? })
}

fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    line.split_at_checked(end).filter(|(field, _)| !field.is_empty())
}

fn hex(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}
