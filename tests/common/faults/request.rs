//! Where a request ends, by protocol: a peer that closes too early would reset the connection instead.

/// What nginx speaks to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.x without a body.
    Http,
    /// FastCGI: ends with an empty record of type STDIN.
    FastCgi,
    /// uwsgi: a header of four bytes with the length.
    Uwsgi,
    /// SCGI: a netstring.
    Scgi,
    /// HTTP/2, as nginx speaks it to gRPC servers.
    Http2,
    /// Anything at all.
    Raw,
}

impl Wire {
    /// Whether these bytes hold the whole request.
    pub fn is_complete(self, bytes: &[u8]) -> bool {
        match self {
            Self::Http => bytes.windows(4).any(|window| window == b"\r\n\r\n"),
            Self::FastCgi => bytes.ends_with(&[1, 5, 0, 1, 0, 0, 0, 0]),
            Self::Uwsgi => bytes.len() >= 4 && bytes.len() >= 4 + usize::from(u16::from_le_bytes([bytes[1], bytes[2]])),
            Self::Scgi => scgi_is_complete(bytes),
            Self::Http2 => http2_is_complete(bytes),
            Self::Raw => !bytes.is_empty(),
        }
    }
}

fn scgi_is_complete(bytes: &[u8]) -> bool {
    let Some(colon) = bytes.iter().position(|byte| *byte == b':') else { return false };
    let length = std::str::from_utf8(&bytes[..colon]).ok().and_then(|digits| digits.parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() > colon + 1 + length)
}

/// After the preface, until a frame carries END_STREAM: HEADERS (1) or DATA (0), flag 1 (RFC 9113, section 4.1).
fn http2_is_complete(bytes: &[u8]) -> bool {
    const PREFACE: usize = 24;
    let mut frames = bytes.get(PREFACE..).unwrap_or_default();
    while let [a, b, c, kind, flags, _, _, _, _, rest @ ..] = frames {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some(next) = rest.get(length..) else { return false };
        if *kind <= 1 && flags & 1 == 1 {
            return true;
        }
        frames = next;
    }
    false
}
