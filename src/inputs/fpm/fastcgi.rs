//! FastCGI 1.0, the client's half that a status page or a probe needs: one request, one response. Pure.
//!
//! Our own, because it is small and because of what the crates that were tried lack: a cap on what a server may send,
//! and a decoder without I/O that can be fed anything (their readers take a length from the wire and wait for it).
//! Records are those of the specification (FastCGI 1.0, §3.3): version, type, request id, length, padding length,
//! reserved; big-endian.

use crate::observation::fpm::StatusReason;

/// The one request id we use.
const REQUEST_ID: u16 = 1;
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const GET_VALUES: u8 = 9;

/// Bytes of a response that are accepted: a full page has less than 2 KB per worker.
pub const MAX_STDOUT: usize = 4 << 20;
/// Bytes of standard error that are kept.
const KEPT_STDERR: usize = 1_024;
/// Bytes on the wire, padding and standard error included.
const MAX_WIRE: usize = MAX_STDOUT + (1 << 20);

/// The bytes of a whole request without a body. Parameters that do not fit into one record (65,535 bytes) are left out.
#[must_use]
pub fn request(parameters: &[(&str, &str)]) -> Vec<u8> {
    let content = pairs(parameters);
    let mut wire = Vec::with_capacity(content.len() + 64);
    // Role: responder. Flags: none, so that the connection is closed afterwards.
    record(&mut wire, BEGIN_REQUEST, REQUEST_ID, &[0, 1, 0, 0, 0, 0, 0, 0]);
    record(&mut wire, PARAMS, REQUEST_ID, &content);
    record(&mut wire, PARAMS, REQUEST_ID, &[]);
    record(&mut wire, STDIN, REQUEST_ID, &[]);
    wire
}

/// The bytes of FCGI_GET_VALUES (§4.1), which belongs to no request.
#[must_use]
pub fn get_values(names: &[&str]) -> Vec<u8> {
    let mut wire = Vec::new();
    let asked: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
    record(&mut wire, GET_VALUES, 0, &pairs(&asked));
    wire
}

/// Name-value pairs (§3.4), as many of them as fit into one record.
fn pairs(list: &[(&str, &str)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (name, value) in list {
        let before = content.len();
        length(&mut content, name.len());
        length(&mut content, value.len());
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(value.as_bytes());
        if content.len() > usize::from(u16::MAX) {
            content.truncate(before);
        }
    }
    content
}

fn record(wire: &mut Vec<u8>, kind: u8, request: u16, content: &[u8]) {
    let [id_high, id_low] = request.to_be_bytes();
    let [high, low] = u16::try_from(content.len()).unwrap_or(0).to_be_bytes();
    wire.extend_from_slice(&[1, kind, id_high, id_low, high, low, 0, 0]);
    wire.extend_from_slice(content);
}

fn length(content: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short @ 0..=127) => content.push(short),
        _ => {
            let long = u32::try_from(length).unwrap_or(u32::MAX) | 1 << 31;
            content.extend_from_slice(&long.to_be_bytes());
        }
    }
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Headers and body.
    pub stdout: Vec<u8>,
    /// The beginning of what was said on standard error.
    pub stderr: Vec<u8>,
}

/// Why a stream of bytes is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not FastCGI, or not an answer to our request.
    #[error("not a FastCGI response")]
    Malformed,
    /// There is more of it than anybody needs.
    #[error("more than {MAX_STDOUT} bytes")]
    TooLarge,
    /// The server refused the request (`FCGI_CANT_MPX_CONN`, `FCGI_OVERLOADED`, `FCGI_UNKNOWN_ROLE`).
    #[error("the server refused the request, protocol status {0}")]
    Refused(u8),
}

impl DecodeError {
    /// The reason this is for a status page.
    #[must_use]
    pub fn reason(self) -> StatusReason {
        match self {
            Self::TooLarge => StatusReason::TooLarge,
            Self::Malformed | Self::Refused(_) => StatusReason::BadReply,
        }
    }
}

/// Takes a response apart as it arrives, in pieces of any size. Memory is bounded by [`MAX_STDOUT`].
#[derive(Debug, Default)]
pub struct Decoder {
    response: Response,
    /// The header of the record that is being read, as far as it has come.
    header: [u8; 8],
    header_len: usize,
    /// Of the current record: bytes of content and padding still to come.
    content: usize,
    padding: usize,
    /// The first bytes of `END_REQUEST`.
    end: Vec<u8>,
    wire: usize,
}

impl Decoder {
    /// Takes the next bytes. The response, once it is whole; what follows it is not looked at.
    ///
    /// # Errors
    /// When this can no longer become a response.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Response>, DecodeError> {
        self.wire = self.wire.saturating_add(bytes.len());
        if self.wire > MAX_WIRE {
            return Err(DecodeError::TooLarge);
        }
        let mut rest = bytes;
        loop {
            while let Some(place) = self.header.get_mut(self.header_len) {
                let Some((byte, after)) = rest.split_first() else { return Ok(None) };
                *place = *byte;
                rest = after;
                self.header_len += 1;
                if self.header_len == self.header.len() {
                    self.begin()?;
                }
            }
            let (content, after) = rest.split_at(rest.len().min(self.content));
            self.content -= content.len();
            self.take(content)?;
            let (padding, after) = after.split_at(after.len().min(self.padding));
            self.padding -= padding.len();
            rest = after;
            if self.content > 0 || self.padding > 0 {
                return Ok(None);
            }
            self.header_len = 0;
            if self.kind() == END_REQUEST {
                return self.finish().map(Some);
            }
        }
    }

    fn kind(&self) -> u8 {
        let [_, kind, ..] = self.header;
        kind
    }

    fn begin(&mut self) -> Result<(), DecodeError> {
        let [version, kind, id_high, id_low, high, low, padding, _] = self.header;
        let ours = u16::from_be_bytes([id_high, id_low]) == REQUEST_ID;
        if version != 1 || !ours || ![STDOUT, STDERR, END_REQUEST].contains(&kind) {
            return Err(DecodeError::Malformed);
        }
        self.content = u16::from_be_bytes([high, low]).into();
        self.padding = padding.into();
        if kind == END_REQUEST && self.content != 8 {
            return Err(DecodeError::Malformed);
        }
        Ok(())
    }

    fn take(&mut self, content: &[u8]) -> Result<(), DecodeError> {
        match self.kind() {
            STDOUT => {
                if self.response.stdout.len() + content.len() > MAX_STDOUT {
                    return Err(DecodeError::TooLarge);
                }
                self.response.stdout.extend_from_slice(content);
            }
            STDERR => {
                let room = KEPT_STDERR.saturating_sub(self.response.stderr.len());
                self.response.stderr.extend(content.iter().take(room));
            }
            _ => self.end.extend_from_slice(content),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Response, DecodeError> {
        // Application status, protocol status, reserved.
        match self.end.get(4) {
            Some(0) => Ok(std::mem::take(&mut self.response)),
            Some(status) => Err(DecodeError::Refused(*status)),
            None => Err(DecodeError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(records: &[(u8, &[u8], u8)]) -> Vec<u8> {
        let mut wire = Vec::new();
        for (kind, content, padding) in records {
            let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
            wire.extend_from_slice(&[1, *kind, 0, 1, high, low, *padding, 0]);
            wire.extend_from_slice(content);
            wire.extend(std::iter::repeat_n(0, usize::from(*padding)));
        }
        wire
    }

    const END: (u8, &[u8], u8) = (END_REQUEST, &[0; 8], 0);

    fn decoded(wire: &[u8], piece: usize) -> Result<Option<Response>, DecodeError> {
        let mut decoder = Decoder::default();
        for bytes in wire.chunks(piece) {
            if let Some(response) = decoder.push(bytes)? {
                return Ok(Some(response));
            }
        }
        Ok(None)
    }

    #[test]
    fn long_values_have_long_lengths() {
        let encoded = pairs(&[("a", &"x".repeat(200))]);
        assert_eq!(encoded[..6], [1, 0x80, 0, 0, 200, b'a']);
        assert_eq!(encoded.len(), 206);
    }

    #[test]
    fn a_request_is_what_the_specification_says() {
        let value = "v".repeat(200);
        let wire = request(&[("A", "b"), ("LONG", &value)]);
        let mut expected = vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 213, 0, 0];
        expected.extend_from_slice(b"\x01\x01Ab\x04\x80\x00\x00\xc8LONG");
        expected.extend_from_slice(value.as_bytes());
        expected.extend_from_slice(&[1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0]);
        assert_eq!(wire, expected);
    }

    #[test]
    fn a_response_is_put_together_from_pieces_of_any_size() {
        let wire = answer(&[
            (STDERR, b"oh", 6),
            (STDOUT, b"Status: 404\r\n", 3),
            (STDOUT, b"\r\nno", 0),
            (STDOUT, b"", 0),
            END,
        ]);
        for piece in 1..=wire.len() {
            let response = decoded(&wire, piece).unwrap().unwrap();
            assert_eq!(
                (response.stdout.as_slice(), response.stderr.as_slice()),
                (&b"Status: 404\r\n\r\nno"[..], &b"oh"[..])
            );
        }
        for cut in 0..wire.len() {
            assert_eq!(decoded(&wire[..cut], 7), Ok(None), "{cut}");
        }
    }

    #[test]
    fn what_is_no_response_is_refused_at_once() {
        for wire in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            &answer(&[(11, b"", 0)]),
            &answer(&[(END_REQUEST, b"1234", 0)]),
            &[1, STDOUT, 0, 2, 0, 0, 0, 0],
            &[2, STDOUT, 0, 1, 0, 0, 0, 0],
        ] {
            assert_eq!(decoded(wire, 3), Err(DecodeError::Malformed), "{wire:?}");
        }
        assert_eq!(decoded(&answer(&[(END_REQUEST, &[0, 0, 0, 0, 2, 0, 0, 0], 0)]), 9), Err(DecodeError::Refused(2)));
    }

    #[test]
    fn an_endless_response_is_refused() {
        let full = vec![b'x'; usize::from(u16::MAX)];
        for kind in [STDOUT, STDERR] {
            let one = answer(&[(kind, &full, 0)]);
            let mut decoder = Decoder::default();
            let refused = (0..100).find_map(|_| decoder.push(&one).err());
            assert_eq!(refused, Some(DecodeError::TooLarge));
            assert!(decoder.response.stderr.len() <= KEPT_STDERR);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..50) {
            drop(decoded(&bytes, piece));
        }

        #[test]
        fn records_are_the_same_in_pieces(
            contents in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0u8..9, any::<bool>()), 0..6),
            piece in 1usize..30,
        ) {
            let mut records: Vec<_> = contents
                .iter()
                .map(|(content, padding, out)| (if *out { STDOUT } else { STDERR }, content.as_slice(), *padding))
                .collect();
            records.push(END);
            let response = decoded(&answer(&records), piece).unwrap().unwrap();
            let all = |wanted: u8| records.iter().filter(move |(kind, ..)| *kind == wanted).flat_map(|(_, content, _)| content.to_vec());
            prop_assert_eq!(response.stdout, all(STDOUT).collect::<Vec<_>>());
            prop_assert_eq!(response.stderr, all(STDERR).collect::<Vec<_>>());
        }
    }
}
