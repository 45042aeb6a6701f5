//! HTTP/2 frames (RFC 9113, section 4.1) as a gRPC server would send them, correct and not.

/// Frame types.
pub const DATA: u8 = 0;
/// Header block.
pub const HEADERS: u8 = 1;
/// Ends one stream.
pub const RST_STREAM: u8 = 3;
/// Connection parameters.
pub const SETTINGS: u8 = 4;
/// Ends the connection.
pub const GOAWAY: u8 = 7;

/// END_HEADERS, on a header block.
pub const END_HEADERS: u8 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The server's preface: an empty SETTINGS frame.
pub fn preface() -> Vec<u8> {
    frame(SETTINGS, 0, 0, b"")
}

/// The preface, then the header block of a 200 answer (static table entry 8, RFC 7541 appendix A).
pub fn ok_header() -> Vec<u8> {
    [preface(), frame(HEADERS, END_HEADERS, 1, &[0x88])].concat()
}

/// A header field without indexing and Huffman coding (RFC 7541, section 6.2.2).
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let short = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
    [&[0, short(name)], name.as_bytes(), &[short(value)], value.as_bytes()].concat()
}
