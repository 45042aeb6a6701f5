//! One HTTP request, where the operator named a path. Only the status line is needed, so no client is.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::round::failure;
use super::wire::{read_more, send, unexpected};
use crate::observation::probe::{ProbeFailure, ProbeReason};

/// How long the rest of a refusal may take to come.
const REST: Duration = Duration::from_millis(200);

/// What servers say, with status 400, to plain HTTP on their TLS port: nginx, Apache, Go.
const PLAIN_TO_TLS: [&str; 3] = [
    "plain HTTP request was sent to HTTPS port",
    "speaking plain HTTP to an SSL-enabled server port",
    "HTTP request to an HTTPS server",
];

/// Asks for a path. Any status below 400 is well.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
    host: &str,
) -> Result<(), ProbeFailure> {
    let agent = concat!("nginx-502-exporter/", env!("CARGO_PKG_VERSION"));
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    send(stream, request.as_bytes()).await;
    let mut answer = Vec::new();
    loop {
        read_more(stream, &mut answer).await?;
        match status(&answer) {
            Status::Unknown => {}
            Status::Is(code) if code < 400 => return Ok(()),
            Status::Is(400) if is_meant_for_tls(stream, &mut answer).await => {
                return Err(failure(ProbeReason::ProtocolMismatch, "the peer speaks TLS, not HTTP"));
            }
            Status::Is(code) => return Err(failure(ProbeReason::BadStatus, format_args!("status {code}"))),
            Status::None => return Err(unexpected(&answer, "HTTP")),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Status {
    Is(u16),
    /// Too little has come yet.
    Unknown,
    /// These are no status line's beginnings.
    None,
}

/// Reads the status line (RFC 9112, section 4).
fn status(answer: &[u8]) -> Status {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let compared = answer.len().min(BEGINNING.len());
    if answer.get(..compared) != BEGINNING.get(..compared) {
        return Status::None;
    }
    let Some(line_feed) = memchr::memchr(b'\n', answer) else { return Status::Unknown };
    let code = answer.get(..line_feed).and_then(|line| line.get(BEGINNING.len()..)).and_then(|rest| match rest {
        [b'0'..=b'9', b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Some(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => None,
    });
    code.map_or(Status::None, Status::Is)
}

/// Reads the rest of a refusal to see whether TLS was expected.
async fn is_meant_for_tls(stream: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>) -> bool {
    let rest = async { while read_more(stream, answer).await.is_ok() {} };
    if timeout(REST, rest).await.is_err() {
        tracing::trace!("a peer keeps the connection after its refusal");
    }
    PLAIN_TO_TLS.iter().any(|text| memchr::memmem::find(answer, text.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_once_its_line_is_complete() {
        for (answer, expected) in [
            ("", Status::Unknown),
            ("HTT", Status::Unknown),
            ("HTTP/1.1 20", Status::Unknown),
            ("HTTP/1.1 204 No Content\r\n", Status::Is(204)),
            ("HTTP/1.0 503\n", Status::Is(503)),
            ("HTTP/1.1 2\r\n", Status::None),
            ("HTTP/2 200\r\n", Status::None),
            ("FTP", Status::None),
            ("\u{1}\n", Status::None),
        ] {
            assert_eq!(status(answer.as_bytes()), expected, "{answer:?}");
        }
    }
}
