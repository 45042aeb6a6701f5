//! What the application protocols share: bounded reading, and recognising a protocol by its first bytes.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::connect;
use super::round::failure;
use crate::observation::probe::{ProbeFailure, ProbeReason, Spoken};

/// No answer is read beyond this.
pub(super) const MAX_ANSWER: usize = 16 * 1024;

/// Sends a request. A peer that has already answered may refuse to read it: its answer counts.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), request: &[u8]) {
    if let Err(error) = stream.write_all(request).await {
        tracing::trace!(%error, "a probe's request was not taken");
    }
}

/// Reads on, up to [`MAX_ANSWER`]. An end is a failure: whoever asks for more needs more.
pub(super) async fn read_more(stream: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>) -> Result<(), ProbeFailure> {
    let mut piece = [0; 2048];
    let room = MAX_ANSWER.saturating_sub(answer.len()).min(piece.len());
    let Some(piece) = piece.get_mut(..room).filter(|piece| !piece.is_empty()) else {
        return Err(failure(ProbeReason::BadReply, format_args!("more than {MAX_ANSWER} bytes without an end")));
    };
    let length = match stream.read(piece).await {
        Ok(0) if answer.is_empty() => return Err(failure(ProbeReason::Closed, "closed without an answer")),
        Ok(0) => return Err(unfinished(answer)),
        Ok(length) => length,
        Err(error) => return Err(failure(connect::reason(&error, false), format_args!("reading: {error}"))),
    };
    answer.extend_from_slice(piece.get(..length).unwrap_or_default());
    Ok(())
}

fn unfinished(answer: &[u8]) -> ProbeFailure {
    match protocol_of(answer) {
        Some(_) => failure(ProbeReason::Closed, "closed in the middle of the answer"),
        None => unexpected(answer, "an answer"),
    }
}

/// The failure for an answer that is not of the protocol that was spoken.
pub(super) fn unexpected(answer: &[u8], expected: &str) -> ProbeFailure {
    match protocol_of(answer) {
        Some(protocol) => {
            failure(ProbeReason::ProtocolMismatch, format_args!("the peer speaks {protocol}, not {expected}"))
        }
        None => {
            let shown = answer.get(..40).unwrap_or(answer).escape_ascii();
            failure(ProbeReason::BadReply, format_args!("not {expected}: {shown}"))
        }
    }
}

/// Which protocol an answer is of. Servers that get bytes they do not understand mostly say so in their own.
pub(super) fn protocol_of(answer: &[u8]) -> Option<Spoken> {
    match answer {
        [b'H', b'T', b'T', b'P', b'/', ..] => Some(Spoken::Http),
        // Alert or handshake record, TLS 1.x (RFC 8446, section 5.1).
        [0x15 | 0x16, 3, 0..=4, ..] => Some(Spoken::Tls),
        // SETTINGS or GOAWAY frame on stream 0 (RFC 9113, section 4.1).
        [0, _, _, 4 | 7, _, 0, 0, 0, 0, ..] => Some(Spoken::Http2),
        // Version 1 and a type that an application sends (FastCGI specification, section 8).
        [1, 3 | 6 | 7 | 10 | 11, 0, ..] => Some(Spoken::FastCgi),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_known_by_their_first_bytes() {
        for (answer, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some(Spoken::Http)),
            (b"\x15\x03\x01\x00\x02\x02\x46", Some(Spoken::Tls)),
            (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00", Some(Spoken::Http2)),
            (b"\x01\x0a\x00\x00\x00\x12\x06\x00", Some(Spoken::FastCgi)),
            (b"SSH-2.0-OpenSSH", None),
            (b"", None),
        ] {
            assert_eq!(protocol_of(answer), expected, "{}", answer.escape_ascii());
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_read_to_the_limit_only() {
        let mut endless = tokio::io::repeat(b'x');
        let mut answer = Vec::new();
        let failed = loop {
            if let Err(failed) = read_more(&mut endless, &mut answer).await {
                break failed;
            }
        };
        assert_eq!((failed.reason, answer.len()), (ProbeReason::BadReply, MAX_ANSWER));
    }
}
