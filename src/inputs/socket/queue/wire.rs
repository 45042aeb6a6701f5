//! Netlink messages and `sock_diag` rows as bytes. Pure: nothing here touches a socket.
//!
//! Formats: `struct nlmsghdr` and `struct nlattr` of `linux/netlink.h`, `linux/unix_diag.h`, `linux/inet_diag.h`.
//! Numbers are in the byte order of the host, except ports and addresses.

pub(super) mod request;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::row::{FileId, Role, TcpRow, UnixRow};

/// A row may be cut short by nothing but a broken sender: the kernel sends whole ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

const HEADER: usize = 16;
const ALIGNMENT: usize = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const SOCK_STREAM: u8 = 1;

const TCP_ESTABLISHED: u8 = 1;
const TCP_FIN_WAIT1: u8 = 4;
const TCP_FIN_WAIT2: u8 = 5;
const TCP_CLOSE_WAIT: u8 = 8;
const TCP_LAST_ACK: u8 = 9;
const TCP_LISTEN: u8 = 10;
const TCP_CLOSING: u8 = 11;

const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_MSG: usize = 16;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_MSG: usize = 72;

/// A request for rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table<'a> {
    Unix,
    /// Both families at once. The kernel leaves out what has none of these ports, unless there are too many of them.
    Tcp(&'a [u16]),
}

impl Table<'_> {
    /// For messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unix => "sock_diag unix",
            Self::Tcp(_) => "sock_diag tcp",
        }
    }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// A row.
    Row(&'a [u8]),
    /// The dump is complete.
    Done,
    /// The dump ended with this error number.
    Error(i32),
    /// Nothing.
    Nothing,
}

/// A message, and whether the table changed under the dump.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) sequence: u32,
    pub(super) interrupted: bool,
    pub(super) content: Content<'a>,
}

/// The messages of a datagram. Ends after the first malformed one.
#[derive(Debug)]
pub(super) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub(super) const fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }

    fn parse(&self) -> Option<(Message<'a>, &'a [u8])> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let (kind, flags) = (u16_at(self.0, 4)?, u16_at(self.0, 6)?);
        let sequence = u32_at(self.0, 8)?;
        let body = self.0.get(HEADER..length)?;
        let content = match kind {
            // The error number is missing from the end of a dump by old kernels only.
            NLMSG_DONE => match u32_at(body, 0).map_or(0, u32::cast_signed) {
                error if error < 0 => Content::Error(error.saturating_neg()),
                _ => Content::Done,
            },
            NLMSG_ERROR => Content::Error(u32_at(body, 0)?.cast_signed().saturating_neg()),
            NLMSG_NOOP => Content::Nothing,
            _ => Content::Row(body),
        };
        let interrupted = flags & NLM_F_DUMP_INTR != 0;
        Some((Message { sequence, interrupted, content }, after(self.0, length)))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let parsed = self.parse();
        self.0 = parsed.as_ref().map_or(&[], |(_, rest)| rest);
        Some(parsed.map(|(message, _)| message).ok_or(Malformed))
    }
}

/// Reads a `struct unix_diag_msg`. `Ok(None)` for a socket that is neither listener nor accepted.
pub(super) fn unix_row(row: &[u8]) -> Result<Option<UnixRow<'_>>, Malformed> {
    let [_, kind, state, _] = array(row, 0).ok_or(Malformed)?;
    let inode = u32_at(row, 4).ok_or(Malformed)?;
    let mut parsed = UnixRow { role: Role::Accepted, inode: inode.into(), name: &[], file: None, peer: Some(0) };
    let mut lengths = (0, 0);
    let mut attributes = Attributes(row.get(UNIX_DIAG_MSG..).ok_or(Malformed)?);
    for attribute in &mut attributes {
        let (kind, value) = attribute?;
        let pair = || u32_at(value, 0).zip(u32_at(value, 4)).ok_or(Malformed);
        match kind {
            UNIX_DIAG_NAME => parsed.name = name(value),
            UNIX_DIAG_VFS => parsed.file = Some(pair().map(|(inode, device)| FileId { device, inode })?),
            UNIX_DIAG_PEER => parsed.peer = Some(u32_at(value, 0).ok_or(Malformed)?.into()),
            UNIX_DIAG_RQLEN => lengths = pair()?,
            _ => {}
        }
    }
    parsed.role = match state {
        TCP_LISTEN if kind == SOCK_STREAM => {
            Role::Listener { waiting: Some(lengths.0), limit: Some(lengths.1), only_v6: false }
        }
        TCP_ESTABLISHED if kind == SOCK_STREAM => Role::Accepted,
        _ => return Ok(None),
    };
    Ok(Some(parsed))
}

/// A path ends with a NUL; a name in the abstract namespace begins with one, and every further NUL is part of it.
fn name(value: &[u8]) -> &[u8] {
    match value {
        [0, ..] => value,
        [path @ .., 0] => path,
        path => path,
    }
}

/// Reads a `struct inet_diag_msg`. `Ok(None)` for a socket in a state that nobody asked for.
pub(super) fn tcp_row(row: &[u8]) -> Result<Option<TcpRow>, Malformed> {
    parse_tcp_row(row).ok_or(Malformed)?
}

fn parse_tcp_row(row: &[u8]) -> Option<Result<Option<TcpRow>, Malformed>> {
    let (family, state) = (*row.first()?, *row.get(1)?);
    let v6 = match family {
        AF_INET => false,
        AF_INET6 => true,
        _ => return None,
    };
    let address = |port: usize, ip: usize| {
        let port = u16::from_be_bytes(array(row, port)?);
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(array::<16>(row, ip)?))
        } else {
            IpAddr::V4(Ipv4Addr::from(array::<4>(row, ip)?))
        };
        Some(SocketAddr::new(ip.to_canonical(), port))
    };
    let (local, remote) = (address(4, 8)?, address(6, 24)?);
    let (device, waiting, limit, inode) = (u32_at(row, 40)?, u32_at(row, 56)?, u32_at(row, 60)?, u32_at(row, 68)?);
    let mut attributes = Attributes(row.get(INET_DIAG_MSG..)?);
    let only_v6 = match attributes.find(|found| !matches!(found, Ok((kind, _)) if *kind != INET_DIAG_SKV6ONLY)) {
        Some(Ok((_, value))) => value.first().is_some_and(|only| *only != 0),
        Some(Err(malformed)) => return Some(Err(malformed)),
        None => false,
    };
    let listener = Role::Listener { waiting: Some(waiting), limit: Some(limit), only_v6 };
    let parsed = tcp_role(state, inode.into(), listener).map(|(role, client_closed)| TcpRow {
        role,
        client_closed,
        local,
        remote,
        v6,
        device,
        inode: inode.into(),
    });
    Some(Ok(parsed))
}

/// What a TCP socket in this state is to us, and whether the other end has closed: `include/net/tcp_states.h`, the same
/// numbers in netlink and procfs.
pub(super) fn tcp_role(state: u8, inode: u64, listener: Role) -> Option<(Role, bool)> {
    match state {
        TCP_LISTEN => Some((listener, false)),
        // Accepted connections belong to a file. One without waits in the queue, or its process has closed it and the
        // kernel alone finishes the conversation.
        _ if inode == 0 => None,
        TCP_ESTABLISHED | TCP_FIN_WAIT1 | TCP_FIN_WAIT2 => Some((Role::Accepted, false)),
        TCP_CLOSE_WAIT | TCP_LAST_ACK | TCP_CLOSING => Some((Role::Accepted, true)),
        _ => None,
    }
}

/// The attributes of a row: kind and value.
#[derive(Debug)]
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        /// `struct nlattr` has two flags above its kind.
        const KIND: u16 = 0x3fff;
        if self.0.is_empty() {
            return None;
        }
        let parsed = u16_at(self.0, 0).map(usize::from).zip(u16_at(self.0, 2)).and_then(|(length, kind)| {
            let value = self.0.get(4..length)?;
            self.0 = after(self.0, length);
            Some((kind & KIND, value))
        });
        if parsed.is_none() {
            self.0 = &[];
        }
        Some(parsed.ok_or(Malformed))
    }
}

/// What follows something of that length, which is padded.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or(&[])
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}
