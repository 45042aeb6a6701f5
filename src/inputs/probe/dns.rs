//! Asking one name server for addresses, as nginx's `resolver` does: RFC 1035, section 4.
//!
//! A resolver crate would bring its own cache, hosts file and search list (and 84 crates): nginx's resolver has none of
//! these, and the point is to see what nginx sees.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::round::failure;
use crate::observation::probe::{ProbeFailure, ProbeReason};

/// Answers over UDP are at most 512 bytes, because we announce no more (RFC 1035, section 4.2.1); some servers exceed it.
const MAX_DATAGRAM: usize = 4096;
/// More addresses of one name are not kept.
const MAX_ADDRESSES: usize = 256;

const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;
const NAME_ERROR: u8 = 3;

/// The addresses of a name according to a server.
pub(super) async fn ask(server: SocketAddr, host: &str, ipv6: bool) -> Result<Vec<IpAddr>, ProbeFailure> {
    let mut found = ask_for(server, host, A).await?;
    if ipv6 {
        match ask_for(server, host, AAAA).await {
            Ok(Answer { addresses, .. }) => found.addresses.extend(addresses),
            // nginx is content with one kind too.
            Err(error) if found.addresses.is_empty() => return Err(error),
            Err(_) => {}
        }
    }
    let Answer { code, addresses } = found;
    let told = |what: &str| format!("{host} at {server}: {what}");
    match code {
        _ if !addresses.is_empty() => Ok(addresses),
        0 => Err(failure(ProbeReason::DnsNotFound, told("no address"))),
        NAME_ERROR => Err(failure(ProbeReason::DnsNotFound, told("no such name"))),
        code => Err(failure(ProbeReason::DnsFailed, told(&format!("response code {code}")))),
    }
}

async fn ask_for(server: SocketAddr, host: &str, kind: u16) -> Result<Answer, ProbeFailure> {
    let failed =
        |error: &dyn std::fmt::Display| failure(ProbeReason::DnsFailed, format_args!("{host} at {server}: {error}"));
    let [high, low, ..] = RandomState::new().hash_one(host).to_be_bytes();
    let id = u16::from_be_bytes([high, low]);
    let question = question(id, host, kind).ok_or_else(|| failed(&"not a host name"))?;
    let message = over_udp(server, &question).await.map_err(|error| failed(&error))?;
    match parse(&message, id).ok_or_else(|| failed(&"malformed answer"))? {
        Parsed::Complete(answer) => Ok(answer),
        Parsed::Truncated => {
            let message = over_tcp(server, &question).await.map_err(|error| failed(&error))?;
            match parse(&message, id) {
                Some(Parsed::Complete(answer)) => Ok(answer),
                Some(Parsed::Truncated) | None => Err(failed(&"malformed answer over TCP")),
            }
        }
    }
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: only the server's datagrams arrive, and its host's "port unreachable" does too.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut message = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut message).await?;
        // Not the answer to this question: wait for that one.
        if message.get(..2) == question.get(..2) && length >= 2 {
            message.truncate(length);
            return Ok(message);
        }
    }
}

/// RFC 1035, section 4.2.2: each message is preceded by its length.
async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat()).await?;
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// A question with recursion desired. `None` where the host cannot be a name: labels of 1 to 63 bytes, 255 together.
fn question(id: u16, host: &str, kind: u16) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(host.len() + 18);
    message.extend(id.to_be_bytes());
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let name_at = message.len();
    for label in host.strip_suffix('.').unwrap_or(host).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    if message.len() - name_at > 255 {
        return None;
    }
    message.extend(kind.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    Some(message)
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    code: u8,
    addresses: Vec<IpAddr>,
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Complete(Answer),
    Truncated,
}

/// Reads an answer. Addresses count whatever name they stand under: recursion puts those of an alias there too.
fn parse(message: &[u8], id: u16) -> Option<Parsed> {
    let mut rest = Reader(message);
    let header = (rest.u16()?, rest.u8()?, rest.u8()?);
    let (echoed, flags, code) = (header.0, header.1, header.2 & 0x0f);
    let (questions, answers) = (rest.u16()?, rest.u16()?);
    rest.take(4)?;
    if echoed != id || flags & 0x80 == 0 {
        return None;
    }
    if flags & 0x02 != 0 {
        return Some(Parsed::Truncated);
    }
    for _ in 0..questions {
        rest.skip_name()?;
        rest.take(4)?;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        rest.skip_name()?;
        let (kind, class) = (rest.u16()?, rest.u16()?);
        rest.take(4)?;
        let length = usize::from(rest.u16()?);
        let data = rest.take(length)?;
        let address = match (class, kind) {
            (INTERNET, A) => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            (INTERNET, AAAA) => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
            _ => None,
        };
        addresses.extend(address.filter(|_| addresses.len() < MAX_ADDRESSES));
    }
    Some(Parsed::Complete(Answer { code, addresses }))
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A name ends with an empty label or a pointer (RFC 1035, section 4.1.4).
    fn skip_name(&mut self) -> Option<()> {
        loop {
            match self.u8()? {
                0 => return Some(()),
                length @ 1..=63 => self.take(usize::from(length))?,
                0xc0.. => return self.u8().map(drop),
                _ => return None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(records: &[&[u8]]) -> Vec<u8> {
        let mut message = question(7, "a.test", A).unwrap();
        message[2] = 0x81;
        message[7] = u8::try_from(records.len()).unwrap();
        for record in records {
            message.extend([0xc0, 12]);
            message.extend_from_slice(record);
        }
        message
    }

    #[test]
    fn addresses_are_read_past_aliases_and_other_records() {
        let alias = [0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12];
        let v4 = [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1];
        let v6 = [&[0, 28, 0, 1, 0, 0, 0, 9, 0, 16][..], &Ipv6Addr::LOCALHOST.octets()].concat();
        let short = [0, 1, 0, 1, 0, 0, 0, 9, 0, 3, 10, 0, 0];
        let parsed = parse(&answer(&[&alias, &v4, &v6, &short]), 7);
        let addresses = vec![IpAddr::from([10, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()];
        assert_eq!(parsed, Some(Parsed::Complete(Answer { code: 0, addresses })));
    }

    #[test]
    fn what_is_no_answer_to_us_is_none() {
        let good = answer(&[]);
        assert_eq!(parse(&good, 8), None);
        assert_eq!(parse(&question(7, "a.test", A).unwrap(), 7), None, "a question");
        let mut truncated = good.clone();
        truncated[2] |= 2;
        assert_eq!(parse(&truncated, 7), Some(Parsed::Truncated));
        for end in 0..good.len() {
            assert_eq!(parse(&good[..end], 7), None, "{end}");
        }
    }

    #[test]
    fn only_host_names_are_asked_for() {
        let long = [&"a".repeat(63), "."].concat().repeat(4);
        for (host, good) in [
            ("a", true),
            ("a.test.", true),
            ("", false),
            (".", false),
            ("a..b", false),
            (&*"a".repeat(63), true),
            (&*"a".repeat(64), false),
            (&*long, false),
        ] {
            assert_eq!(question(1, host, A).is_some(), good, "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(message in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&message, 0);
        }

        #[test]
        fn any_change_to_an_answer_is_read_without_panic(at in 0usize..60, byte: u8) {
            let mut message = answer(&[&[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1], &[0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]]);
            if let Some(changed) = message.get_mut(at) {
                *changed = byte;
            }
            let _ = parse(&message, 7);
        }
    }
}
