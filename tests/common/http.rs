//! A small blocking HTTP/1.1 client: one request per connection, over TCP or a unix socket.

use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for a single read or write.
const DEADLINE: Duration = Duration::from_secs(20);

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// On a unix socket.
    Unix(PathBuf),
}

impl Display for Address {
    /// As nginx and its log write it: `127.0.0.1:80`, `unix:/path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// A TCP port on 127.0.0.1.
    pub fn loopback(port: u16) -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// An open connection with deadlines.
#[derive(Debug)]
pub enum Connection {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, DEADLINE)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                stream.set_write_timeout(Some(DEADLINE))?;
                Self::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                stream.set_write_timeout(Some(DEADLINE))?;
                Self::Unix(stream)
            }
        })
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and target, as they go on the request line.
    pub line: Vec<u8>,
    /// Header lines besides `Host`, `Connection` and `Content-Length`.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty means none.
    pub body: Vec<u8>,
}

impl Request {
    /// `GET target`.
    pub fn get(target: impl AsRef<[u8]>) -> Self {
        Self { line: [b"GET ", target.as_ref()].concat(), headers: Vec::new(), body: Vec::new() }
    }

    /// `POST target` with a body of that many bytes.
    pub fn post(target: impl AsRef<[u8]>, length: usize) -> Self {
        Self { line: [b"POST ", target.as_ref()].concat(), headers: Vec::new(), body: vec![b'x'; length] }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The bytes on the wire, without the body.
    pub fn head(&self) -> Vec<u8> {
        let mut head = [&self.line, &b" HTTP/1.1\r\nConnection: close\r\n"[..]].concat();
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.extend_from_slice(b"Host: example.test\r\n");
        }
        for (name, value) in &self.headers {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if !self.body.is_empty() {
            head.extend(format!("Content-Length: {}\r\n", self.body.len()).into_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Sends it and reads the answer until the server closes.
    ///
    /// # Errors
    /// When no status line came at all.
    pub fn send(&self, address: &Address) -> io::Result<Response> {
        let mut connection = Connection::open(address)?;
        connection.write_all(&self.head())?;
        // A server that has answered already may stop reading; its answer counts.
        let _sent = connection.write_all(&self.body);
        Response::read(&mut connection)
    }
}

/// An answer, as far as it came.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and header, as received.
    pub head: String,
    /// The body, as far as it came; its chunks are undone.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads until the server closes or resets.
    ///
    /// # Errors
    /// When no status line came at all.
    pub fn read(connection: &mut impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let ended = connection.read_to_end(&mut bytes);
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = split.map_or((&bytes[..], &b""[..]), |at| (&bytes[..at], &bytes[at + 4..]));
        let head = String::from_utf8_lossy(head).into_owned();
        match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
            Some(status) => {
                let mut response = Self { status, body: body.to_vec(), head };
                if response.header("Transfer-Encoding") == Some("chunked") {
                    response.body = without_chunks(&response.body);
                }
                Ok(response)
            }
            None => Err(ended.err().unwrap_or_else(|| io::Error::other(format!("no HTTP answer: {head:?}")))),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The content of a chunked body (RFC 9112, section 7.1), up to its end or its first mistake.
fn without_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(line) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(chunk) = size.and_then(|size| body.get(line + 2..line + 2 + size)).filter(|chunk| !chunk.is_empty())
        else {
            break;
        };
        content.extend_from_slice(chunk);
        body = body.get(line + 2 + chunk.len() + 2..).unwrap_or_default();
    }
    content
}

/// `GET target`, for the usual case.
///
/// # Errors
/// As [`Request::send`].
pub fn get(address: &Address, target: &str) -> io::Result<Response> {
    Request::get(target).send(address)
}
