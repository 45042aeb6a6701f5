//! Asking a FastCGI application whether it is there (FastCGI specification 1.0).
//!
//! FPM's ping page answers from a worker, like every page. Without one, FCGI_GET_VALUES (section 4.1) is asked: a worker
//! answers it too, but neither PHP nor the application sees it. FPM 8.2 counts two accepted connections for each, and
//! keeps the worker until the connection is closed: so it is closed at once.

use tokio::io::{AsyncRead, AsyncWrite};

use super::round::failure;
use super::wire::{MAX_ANSWER, protocol_of, read_more, send, unexpected};
use crate::inputs::fpm::fastcgi;
use crate::observation::probe::{ProbeFailure, ProbeReason, Spoken};

const END_REQUEST: u8 = 3;
const STDOUT: u8 = 6;
const GET_VALUES_RESULT: u8 = 10;
const UNKNOWN_TYPE: u8 = 11;

/// Asks for the management values; any answer to that will do.
pub(super) async fn get_values(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), ProbeFailure> {
    send(stream, &fastcgi::get_values(&["FCGI_MPXS_CONNS"])).await;
    let mut answer = Vec::new();
    loop {
        read_more(stream, &mut answer).await?;
        match Record::first(&answer)? {
            Some((Record { kind: GET_VALUES_RESULT | UNKNOWN_TYPE, .. }, _)) => return Ok(()),
            Some(_) => return Err(unexpected(&answer, "an answer to FCGI_GET_VALUES")),
            None => {}
        }
    }
}

/// What the answer to the same question is written in.
pub(super) async fn answer_to_values(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<Spoken> {
    send(stream, &fastcgi::get_values(&["FCGI_MPXS_CONNS"])).await;
    let mut answer = Vec::new();
    loop {
        let read = read_more(stream, &mut answer).await;
        match protocol_of(&answer) {
            None if read.is_ok() => {}
            spoken => return spoken,
        }
    }
}

/// Asks for FPM's ping page.
pub(super) async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> Result<(), ProbeFailure> {
    let request = fastcgi::request(&[("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", path), ("SCRIPT_FILENAME", path)]);
    send(stream, &request).await;
    let (mut answer, mut output) = (Vec::new(), Vec::new());
    loop {
        read_more(stream, &mut answer).await?;
        let mut rest = answer.as_slice();
        output.clear();
        while let Some((record, after)) = Record::first(rest)? {
            match record.kind {
                STDOUT => output.extend_from_slice(record.content),
                END_REQUEST => return verdict(&output),
                _ => {}
            }
            rest = after;
        }
        if answer.len() >= MAX_ANSWER {
            return verdict(&output);
        }
    }
}

/// A CGI answer without a `Status` header is a 200 (RFC 3875, section 6.3.3).
fn verdict(output: &[u8]) -> Result<(), ProbeFailure> {
    if output.is_empty() {
        return Err(failure(ProbeReason::BadReply, "an answer without content"));
    }
    let mut lines = output.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty());
    let status = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(7)?;
        name.eq_ignore_ascii_case(b"status:").then(|| value.trim_ascii_start())
    });
    match status {
        None | Some([b'1'..=b'3', ..]) => Ok(()),
        Some(status) => Err(failure(ProbeReason::BadStatus, format_args!("status {}", status.escape_ascii()))),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Record<'a> {
    kind: u8,
    content: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record and what follows it; `None` while it is incomplete.
    fn first(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, ProbeFailure> {
        let (kind, length, padding, rest) = match bytes {
            [1, kind, _, _, high, low, padding, _, rest @ ..] => {
                (*kind, usize::from(u16::from_be_bytes([*high, *low])), usize::from(*padding), rest)
            }
            [] | [1, ..] => return Ok(None),
            other => return Err(unexpected(other, "FastCGI")),
        };
        let Some((content, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        Ok(rest.get(padding..).map(|rest| (Self { kind, content }, rest)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_read_once_it_is_complete() {
        let whole = [&[1, STDOUT, 0, 1, 0, 2, 3, 0][..], b"ab", b"pad", b"rest"].concat();
        let read = Record { kind: STDOUT, content: b"ab" };
        assert_eq!(Record::first(&whole), Ok(Some((read, &b"rest"[..]))));
        for end in 0..13 {
            assert_eq!(Record::first(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(Record::first(b"HTTP/1.1 400").unwrap_err().reason, ProbeReason::ProtocolMismatch);
        assert_eq!(Record::first(b"nonsense").unwrap_err().reason, ProbeReason::BadReply);
    }

    #[test]
    fn the_status_header_decides() {
        assert_eq!(verdict(b"Content-type: text/plain\r\n\r\npong"), Ok(()));
        assert_eq!(verdict(b"Status: 204 No Content\r\n\r\n"), Ok(()));
        let failed = verdict(b"Status: 404 Not Found\r\nContent-type: text/html\r\n\r\nFile not found.\n").unwrap_err();
        assert_eq!((failed.reason, &*failed.detail), (ProbeReason::BadStatus, "status 404 Not Found"));
        assert_eq!(verdict(b"").unwrap_err().reason, ProbeReason::BadReply);
        assert_eq!(verdict(b"X: y\r\n\r\nStatus: 500"), Ok(()), "the body is no header");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(Some((record, rest))) = Record::first(&bytes) {
                prop_assert!(record.content.len() + rest.len() + 8 <= bytes.len());
            }
            drop(verdict(&bytes));
        }
    }
}
