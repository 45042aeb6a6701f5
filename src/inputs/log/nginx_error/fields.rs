//! The fields nginx appends to a message: `, client: A, server: S, request: "R", …` (`ngx_http_log_error_handler` and
//! `ngx_stream_log_error`).
//!
//! No value is escaped, so a request, a host or a referrer can hold text that looks like another field. What tells them
//! apart is what nginx guarantees: the fields have one order, a request that was understood ends in its protocol
//! version, a host holds no blank, and the last quote ends the line. A reading is accepted when the whole tail agrees with
//! it; of several, the first one, because a request line cannot hold the blank a forged field needs (nginx 1.21.1 on).

use memchr::{memchr, memchr2, memmem};

use crate::observation::Fields;

/// How well a reading of the tail agrees with what nginx writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agreement {
    /// Something stands where no field can.
    Broken,
    /// The text ends inside a value: nginx cut it at 2,048 bytes, or it goes on in the next line.
    Cut,
    /// Every byte is accounted for.
    Whole,
}

/// The fields after `client: `, and how well they agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) agreement: Agreement,
    /// Byte counters stand at the end: the entry is `stream {}`'s.
    pub(super) stream: bool,
    /// The entry is the mail proxy's, whose upstreams are out of scope.
    pub(super) mail: bool,
}

/// Fields in the order nginx writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Server,
    Request,
    Subrequest,
    Upstream,
    Host,
    Referrer,
    /// A quoted field some distribution adds at the end: `request_id`.
    Extra,
}

/// Readings tried before the tail is given up as ambiguous: hostile text must not buy more time than that.
const READINGS: u32 = 128;

/// How much a request has to look like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// `METHOD URI HTTP/x.y` with two blanks, as all that nginx 1.21.1 and later passes on.
    Strict,
    /// Ends in its version; older versions of nginx took blanks in a URI.
    Versioned,
    /// Whatever a client sent that nginx could not parse.
    Any,
}

impl Request {
    /// From the reading that trusts least to the one that takes all.
    pub(super) const ALL: [Self; 3] = [Self::Strict, Self::Versioned, Self::Any];
}

/// Reads the fields of `text`, which begins with the client's address.
#[inline]
pub(super) fn read(text: &[u8], request: Request) -> Tail<'_> {
    if let Some(fields) = usual(text) {
        return Tail { fields, agreement: Agreement::Whole, stream: false, mail: false };
    }
    let mut reader = Reader { text, fields: Fields::default(), stream: false, request, readings: READINGS };
    let agreement = reader.client();
    let mail = is_mail(text, reader.fields.server, agreement);
    Tail { fields: reader.fields, agreement, stream: reader.stream, mail }
}

/// The mail proxy writes its upstream without quotes, after the login if there was one (`ngx_mail_log_error`).
fn is_mail(text: &[u8], server: Option<&[u8]>, agreement: Agreement) -> bool {
    (agreement != Agreement::Whole && memmem::find(text, b", login: \"").is_some())
        || server.is_some_and(|server| memmem::find(server, b", upstream: ").is_some())
}

/// What nearly every entry ends in, read in one go: client, server, a request in its strict form, perhaps an upstream, host,
/// perhaps a referrer, none of which holds a quote or a blank that could be another field's. [`Reader`] reads it the same.
#[inline]
fn usual(text: &[u8]) -> Option<Fields<'_>> {
    let (client, rest) = before(text, b',')?;
    let (server, rest) = before(rest.strip_prefix(b", server: ")?, b',')?;
    let (request, rest) = before(rest.strip_prefix(b", request: \"")?, b'"')?;
    if !(ends_in_version(request) && has_two_blanks(request)) {
        return None;
    }
    let rest = rest.strip_prefix(b"\", ")?;
    let (upstream, rest) = match rest.strip_prefix(b"upstream: \"") {
        Some(value) => {
            let (upstream, rest) = before(value, b'"')?;
            (Some(upstream), rest.strip_prefix(b"\", ")?)
        }
        None => (None, rest),
    };
    // A blank in the host would come first.
    let host = rest.strip_prefix(b"host: \"")?;
    let (host, rest) = host.split_at_checked(memchr2(b'"', b' ', host)?)?;
    let referrer = match rest {
        b"\"" => None,
        _ => {
            let (referrer, end) = before(rest.strip_prefix(b"\", referrer: \"")?, b'"')?;
            (end == b"\"").then_some(Some(referrer))?
        }
    };
    Some(Fields {
        client: Some(client),
        server: Some(server),
        request: Some(request),
        subrequest: None,
        upstream,
        host: Some(host),
        referrer,
    })
}

/// What stands before the first `byte`, and the rest from it on.
#[inline]
fn before(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    text.split_at_checked(memchr(byte, text)?)
}

struct Reader<'a> {
    text: &'a [u8],
    fields: Fields<'a>,
    stream: bool,
    request: Request,
    readings: u32,
}

impl<'a> Reader<'a> {
    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.text.get(from..to).unwrap_or_default()
    }

    fn rest(&self, from: usize) -> &'a [u8] {
        self.text.get(from..).unwrap_or_default()
    }

    fn client(&mut self) -> Agreement {
        let end = memchr(b',', self.text).unwrap_or(self.text.len());
        self.fields.client = Some(self.slice(0, end).trim_ascii());
        self.after(end, None)
    }

    /// `server_name` is the operator's and unquoted: it may hold a comma, and ends where a known field begins.
    fn server(&mut self, start: usize) -> Agreement {
        let mut from = start;
        loop {
            let Some(comma) = memchr(b',', self.rest(from)) else {
                self.fields.server = Some(self.slice(start, self.text.len()).trim_ascii());
                return Agreement::Whole;
            };
            let end = from + comma;
            if self.next_field(end, Key::Server) != Next::Nothing {
                self.fields.server = Some(self.slice(start, end).trim_ascii());
                return self.after(end, Some(Key::Server));
            }
            from = end + 1;
        }
    }

    /// A quoted value from `start` on: each quote that could close it is tried until the rest of the line agrees.
    fn quoted(&mut self, start: usize, key: Key) -> Agreement {
        let mut best = Agreement::Broken;
        let mut from = start;
        while let Some(quote) = memchr(b'"', self.rest(from)) {
            let end = from + quote;
            if self.may_end(key, start, end) {
                let Some(left) = self.readings.checked_sub(1) else { break };
                self.readings = left;
                let before = self.fields;
                self.set(key, self.slice(start, end));
                match self.after(end + 1, Some(key)) {
                    Agreement::Whole => return Agreement::Whole,
                    Agreement::Cut if best < Agreement::Cut => best = Agreement::Cut,
                    _ => self.fields = before,
                }
                if best == Agreement::Cut {
                    break;
                }
            }
            from = end + 1;
        }
        if best == Agreement::Broken && !self.text.ends_with(b"\"") {
            self.set_cut(key, self.rest(start));
            best = Agreement::Cut;
        }
        best
    }

    /// Whether a quote at `end` may close the value of `key`, by the value alone.
    fn may_end(&self, key: Key, start: usize, end: usize) -> bool {
        if !matches!(self.text.get(end + 1), None | Some(b',')) {
            return false;
        }
        let value = self.slice(start, end);
        match key {
            Key::Request => match self.request {
                Request::Strict => ends_in_version(value) && has_two_blanks(value),
                Request::Versioned => ends_in_version(value),
                Request::Any => true,
            },
            // A URI and a host hold no blank, so neither reaches over the beginning of another field.
            Key::Subrequest | Key::Upstream => memchr(b'"', value).is_none() || memmem::find(value, b"\", ").is_none(),
            Key::Host => !value.contains(&b' '),
            Key::Server | Key::Referrer | Key::Extra => true,
        }
    }

    fn set(&mut self, key: Key, value: &'a [u8]) {
        let field = match key {
            Key::Request => &mut self.fields.request,
            Key::Subrequest => &mut self.fields.subrequest,
            Key::Upstream => &mut self.fields.upstream,
            Key::Host => &mut self.fields.host,
            Key::Referrer => &mut self.fields.referrer,
            Key::Server | Key::Extra => return,
        };
        *field = Some(value);
    }

    /// A value without its end. Of an upstream only the part that is certainly complete counts.
    fn set_cut(&mut self, key: Key, value: &'a [u8]) {
        if key != Key::Upstream || super::peer::is_complete(value) {
            self.set(key, value);
        }
    }

    /// Goes on after a value that ended at `at`.
    fn after(&mut self, at: usize, key: Option<Key>) -> Agreement {
        match self.next_field(at, key.unwrap_or(Key::Server)) {
            Next::End => Agreement::Whole,
            Next::Counters => {
                self.stream = true;
                Agreement::Whole
            }
            Next::Cut => Agreement::Cut,
            Next::Field(Key::Server, start) if key.is_none() => self.server(start),
            Next::Field(next, start) if next != Key::Server => self.quoted(start, next),
            Next::Field(..) | Next::Nothing => Agreement::Broken,
        }
    }

    /// What begins at `at`, if it may follow `after`.
    fn next_field(&self, at: usize, after: Key) -> Next {
        let rest = self.rest(at);
        let Some(named) = rest.strip_prefix(b",") else {
            return if rest.trim_ascii_start().is_empty() { Next::End } else { Next::Nothing };
        };
        // Usually one blank; a wrapping transport leaves more.
        let named = match named {
            [b' ', first, ..] if !first.is_ascii_whitespace() => named.get(1..).unwrap_or_default(),
            _ => named.trim_ascii_start(),
        };
        let start = self.text.len() - named.len();
        if named.is_empty() {
            return Next::Cut;
        }
        if let Some((key, name)) = known(named) {
            let follows = key > after || (key == Key::Server && after == Key::Server);
            return if follows { Next::Field(key, start + name.len()) } else { Next::Nothing };
        }
        if named.starts_with(b"bytes from/to ") {
            return Next::Counters;
        }
        if NAMES.iter().any(|name| name.starts_with(named)) {
            return Next::Cut;
        }
        let word = named.iter().take_while(|b| b.is_ascii_lowercase() || **b == b'_').count();
        if word > 0 && self.rest(start + word).starts_with(b": \"") {
            return Next::Field(Key::Extra, start + word + b": \"".len());
        }
        Next::Nothing
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    End,
    Cut,
    Counters,
    Field(Key, usize),
    Nothing,
}

/// The fields by name, up to where their values begin.
const NAMES: [&[u8]; 6] =
    [b"server:", b"request: \"", b"subrequest: \"", b"upstream: \"", b"host: \"", b"referrer: \""];

/// The field whose name `text` begins with.
#[inline]
fn known(text: &[u8]) -> Option<(Key, &'static [u8])> {
    let [server, request, subrequest, upstream, host, referrer] = NAMES;
    let (key, name) = match text.first()? {
        b'u' => (Key::Upstream, upstream),
        b'h' => (Key::Host, host),
        b's' if text.get(1) == Some(&b'e') => (Key::Server, server),
        b's' => (Key::Subrequest, subrequest),
        b'r' if text.get(2) == Some(&b'q') => (Key::Request, request),
        b'r' => (Key::Referrer, referrer),
        _ => return None,
    };
    text.starts_with(name).then_some((key, name))
}

/// ` HTTP/1.1`, ` HTTP/2.0`, ` HTTP/3.0`.
fn ends_in_version(request: &[u8]) -> bool {
    let Some((_, [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor])) = request.split_last_chunk::<9>() else {
        return false;
    };
    major.is_ascii_digit() && minor.is_ascii_digit()
}

/// `GET / HTTP/1.1`: between method and version stands one word.
#[inline]
fn has_two_blanks(request: &[u8]) -> bool {
    let version = request.len().saturating_sub(b" HTTP/1.1".len());
    // Methods are short: looked at byte by byte, they are done before a search is set up.
    let Some(method) = request.iter().take(version).position(|b| *b == b' ') else { return false };
    let after_method = request.get(method + 1..).unwrap_or_default();
    memchr(b' ', after_method).is_some_and(|blank| method + 1 + blank == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first reading that agrees, or else the one that agrees best.
    fn read_str(text: &str) -> Tail<'_> {
        let readings = Request::ALL.map(|request| super::read(text.as_bytes(), request));
        let best = readings.iter().map(|tail| tail.agreement).max().unwrap();
        *readings.iter().find(|tail| tail.agreement == best).unwrap()
    }

    #[track_caller]
    fn upstream_of(text: &str) -> Option<&str> {
        read_str(text).fields.upstream.map(|u| std::str::from_utf8(u).unwrap())
    }

    #[test]
    fn all_fields_are_taken_apart() {
        let tail = read_str(
            r#"127.0.0.1, server: example.com, request: "GET /a HTTP/1.1", subrequest: "/auth", upstream: "http://127.0.0.1:1/auth", host: "example.com", referrer: "https://example.com/""#,
        );
        assert_eq!(tail.agreement, Agreement::Whole);
        assert_eq!(
            tail.fields,
            Fields {
                client: Some(b"127.0.0.1"),
                server: Some(b"example.com"),
                request: Some(b"GET /a HTTP/1.1"),
                subrequest: Some(b"/auth"),
                upstream: Some(b"http://127.0.0.1:1/auth"),
                host: Some(b"example.com"),
                referrer: Some(b"https://example.com/"),
            }
        );
    }

    #[test]
    fn servers_are_what_the_operator_wrote() {
        for server in ["", "_", "*", "www.example.org,example.org", "<192.168.204.125>", "0.0.0.0:443"] {
            let text = format!(r#"::1, server: {server}, request: "GET / HTTP/1.1", host: "h""#);
            let tail = read_str(&text);
            assert_eq!((tail.fields.server, tail.agreement), (Some(server.as_bytes()), Agreement::Whole));
            assert_eq!(tail.fields.host, Some(&b"h"[..]));
        }
        assert_eq!(read_str("203.0.113.50, server: _").fields.server, Some(&b"_"[..]));
        assert_eq!(read_str("127.0.0.1").agreement, Agreement::Whole);
    }

    #[test]
    fn a_stream_entry_ends_in_counters() {
        let tail = read_str(
            r#"203.0.113.63, server: 0.0.0.0:443, upstream: "127.0.0.1:20001", bytes from/to client:0/0, bytes from/to upstream:0/0"#,
        );
        assert_eq!((tail.agreement, tail.stream), (Agreement::Whole, true));
        assert_eq!(tail.fields.upstream, Some(&b"127.0.0.1:20001"[..]));
    }

    #[test]
    fn a_request_cannot_forge_the_upstream() {
        let forged = r#"1.1.1.1, server: s, request: "GET /x", upstream: "http://fake/", host: "h HTTP/1.1", upstream: "http://real/", host: "e""#;
        assert_eq!(upstream_of(forged), Some("http://real/"));
        let old_nginx = r#"1.1.1.1, server: s, request: "GET /x HTTP/1.1", upstream: "http://fake/", host: "h" HTTP/1.1", upstream: "http://real/", host: "e""#;
        assert_eq!(upstream_of(old_nginx), Some("http://real/"));
        let unparsed = r#"1.1.1.1, server: s, request: "GET /x, upstream: "http://fake/", host: "h" HTTP/1.1""#;
        assert_eq!(upstream_of(unparsed), None);
    }

    #[test]
    fn a_host_or_referrer_cannot_forge_the_upstream() {
        let by_referrer = r#"1.1.1.1, server: s, request: "GET /x HTTP/1.1", upstream: "http://real/", host: "e", referrer: "a", upstream: "http://fake/", host: "h""#;
        assert_eq!(upstream_of(by_referrer), Some("http://real/"));
        let by_version = r#"1.1.1.1, server: s, request: "GET /x HTTP/1.1", host: "e", referrer: "a HTTP/1.1", upstream: "http://fake/", host: "h""#;
        assert_eq!(upstream_of(by_version), None);
        let quote_in_host = r#"1.1.1.1, server: s, request: "GET /x HTTP/1.1", upstream: "http://real/", host: "a"b""#;
        assert_eq!(read_str(quote_in_host).fields.host, Some(&b"a\"b"[..]));
    }

    #[test]
    fn a_cut_entry_keeps_what_is_certain() {
        let tail = read_str(r#"1.1.1.1, server: s, request: "GET /aaaaaaaaaaaaaaaaaaaa"#);
        assert_eq!((tail.agreement, tail.fields.upstream), (Agreement::Cut, None));
        assert_eq!(
            upstream_of(r#"1.1.1.1, server: s, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:1/aaa"#),
            Some("http://127.0.0.1:1/aaa")
        );
        assert_eq!(upstream_of(r#"1.1.1.1, server: s, request: "GET / HTTP/1.1", upstream: "fastcgi://127.0"#), None);
        assert_eq!(read_str(r#"1.1.1.1, server: s, request: "GET / HTTP/1.1", upst"#).agreement, Agreement::Cut);
    }

    #[test]
    fn fields_added_by_distributions_are_passed_over() {
        let tail = read_str(
            r#"1.1.1.1, server: kong, request: "GET / HTTP/1.1", upstream: "http://172.18.0.6:80/get", host: "localhost:19000", request_id: "2ca9""#,
        );
        assert_eq!((tail.agreement, tail.fields.host), (Agreement::Whole, Some(&b"localhost:19000"[..])));
    }

    #[test]
    fn hostile_quotes_cost_bounded_time() {
        let text = format!("1.1.1.1, server: s, request: \"{}", "\", host: \"".repeat(200));
        assert_ne!(read_str(&text).agreement, Agreement::Whole);
    }
}
