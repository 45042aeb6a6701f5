//! FastCGI records (the FastCGI specification 1.0, section 8), correct and not.

/// Type of the record that ends a request.
pub const END_REQUEST: u8 = 3;
/// Type of the records that carry the answer.
pub const STDOUT: u8 = 6;
/// Type of the records that carry error messages.
pub const STDERR: u8 = 7;

/// A record of that type for request 1.
pub fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    record_with(1, kind, 1, content)
}

/// A record with any version, type and request id.
pub fn record_with(version: u8, kind: u8, request: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("at most 65,535 bytes").to_be_bytes();
    [&[version, kind, 0, request, high, low, 0, 0][..], content].concat()
}

/// A correct answer with that body.
pub fn answer(body: &[u8]) -> Vec<u8> {
    let content = [&b"Content-Type: text/plain\r\n\r\n"[..], body].concat();
    [record(STDOUT, &content), record(STDOUT, b""), record(END_REQUEST, &[0; 8])].concat()
}
