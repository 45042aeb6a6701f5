//! A deterministic nginx error log of an outage: what a busy proxy writes while several of its upstreams are down.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use nginx_502_exporter::observation::{LocalClass, PhpKind, UpstreamClass};

const SERVERS: usize = 20;
const URIS: usize = 8_192;
const WORDS: &[&str] = &[
    "shop",
    "cart",
    "checkout",
    "api",
    "v1",
    "v2",
    "users",
    "orders",
    "search",
    "images",
    "products",
    "category",
    "login",
    "account",
    "blog",
    "static",
    "wp-admin",
    "wp-content",
    "plugins",
    "feed",
    "items",
    "reviews",
    "graphql",
    "export",
];

/// What was written, by name of class or kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Entries; one may have several lines.
    pub(crate) entries: u64,
    /// Failed upstream attempts.
    pub(crate) upstream: BTreeMap<&'static str, u64>,
    /// Local failures.
    pub(crate) local: BTreeMap<&'static str, u64>,
    /// PHP messages; an entry may have several.
    pub(crate) php: BTreeMap<&'static str, u64>,
}

/// xorshift64* (Vigna 2016): small, and the same on every machine.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator whose numbers `seed` determines.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// One address behind nginx, as nginx writes it.
struct Peer {
    /// `http://10.0.3.7:8080`, `fastcgi://unix:/run/php/php8.2-fpm.sock:`.
    upstream: String,
    /// `unix:/run/php/php8.2-fpm.sock`, where it is a socket.
    socket: Option<String>,
    /// Whether nginx appends the URI.
    has_uri: bool,
    fastcgi: bool,
}

/// The generator.
pub(crate) struct Log {
    random: Random,
    peers: Vec<Peer>,
    servers: Vec<String>,
    uris: Vec<String>,
    connection: u64,
    second: u64,
}

impl Log {
    /// A generator that writes the same log every time.
    pub(crate) fn new() -> Self {
        let mut random = Random::new(502);
        let uris = (0..URIS).map(|_| uri(&mut random)).collect();
        let servers = (0..SERVERS).map(|n| format!("{}{n}.example.com", random.pick(WORDS))).collect();
        Self { random, peers: peers(), servers, uris, connection: 1_000_000, second: 0 }
    }

    /// Writes entries until `bytes` are reached.
    pub(crate) fn write(&mut self, out: impl Write, bytes: u64) -> io::Result<Written> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let mut written = Written::default();
        let mut entry = Vec::with_capacity(4096);
        while written.bytes < bytes {
            entry.clear();
            self.entry(&mut entry, &mut written)?;
            out.write_all(&entry)?;
            written.bytes += entry.len() as u64;
            written.entries += 1;
        }
        out.flush()?;
        Ok(written)
    }

    fn entry(&mut self, out: &mut Vec<u8>, written: &mut Written) -> io::Result<()> {
        use UpstreamClass as U;
        match self.random.below(100) {
            0..25 => {
                let peer = self.tcp_peer();
                self.failed_attempt(out, written, U::ConnectRefused, peer)
            }
            25..33 => {
                let peer = self.socket_peer();
                self.failed_attempt(out, written, U::ConnectSocketMissing, peer)
            }
            33..45 => {
                let peer = self.socket_peer();
                self.failed_attempt(out, written, U::ConnectBacklogFull, peer)
            }
            45..57 => self.any_failed_attempt(out, written, U::ReadHeaderTimeout),
            57..63 => self.any_failed_attempt(out, written, U::ClosedBeforeHeader),
            63..69 => self.any_failed_attempt(out, written, U::ResetBeforeHeader),
            69..79 => self.no_live_upstreams(out, written),
            79..81 => {
                let peer = self.tcp_peer();
                self.failed_attempt(out, written, U::ConnectTimeout, peer)
            }
            81..82 => self.any_failed_attempt(out, written, U::HeaderTooBig),
            82..83 => self.any_failed_attempt(out, written, U::ReadBodyTimeout),
            83..91 => self.php(out, written),
            91..95 => self.missing_file(out),
            95..98 => self.limited(out, written),
            98..99 => self.buffered(out, written),
            _ => self.peer_disabled(out),
        }
    }

    fn any_failed_attempt(&mut self, out: &mut Vec<u8>, written: &mut Written, class: UpstreamClass) -> io::Result<()> {
        let peer = self.random.below(self.peers.len());
        self.failed_attempt(out, written, class, peer)
    }

    fn failed_attempt(
        &mut self,
        out: &mut Vec<u8>,
        written: &mut Written,
        class: UpstreamClass,
        peer: usize,
    ) -> io::Result<()> {
        let level = if class == UpstreamClass::ConnectSocketMissing { "crit" } else { "error" };
        self.head(out, level)?;
        let socket = self.peers[peer].socket.as_deref().unwrap_or("");
        let header = "while reading response header from upstream";
        match class {
            UpstreamClass::ConnectRefused => {
                write!(out, "connect() failed (111: Connection refused) while connecting to upstream")?;
            }
            UpstreamClass::ConnectSocketMissing => {
                write!(
                    out,
                    "connect() to {socket} failed (2: No such file or directory) while connecting to upstream"
                )?;
            }
            UpstreamClass::ConnectBacklogFull => write!(
                out,
                "connect() to {socket} failed (11: Resource temporarily unavailable) while connecting to upstream"
            )?,
            UpstreamClass::ConnectTimeout => {
                write!(out, "upstream timed out (110: Connection timed out) while connecting to upstream")?;
            }
            UpstreamClass::ReadHeaderTimeout => {
                write!(out, "upstream timed out (110: Connection timed out) {header}")?;
            }
            UpstreamClass::ReadBodyTimeout => {
                write!(out, "upstream timed out (110: Connection timed out) while reading upstream")?;
            }
            UpstreamClass::ClosedBeforeHeader => write!(out, "upstream prematurely closed connection {header}")?,
            UpstreamClass::ResetBeforeHeader => write!(out, "recv() failed (104: Connection reset by peer) {header}")?,
            UpstreamClass::HeaderTooBig => write!(out, "upstream sent too big header {header}")?,
            other => unreachable!("{other} is not in the mix"),
        }
        *written.upstream.entry(class.name()).or_default() += 1;
        self.fields(out, Some(peer))
    }

    fn no_live_upstreams(&mut self, out: &mut Vec<u8>, written: &mut Written) -> io::Result<()> {
        self.head(out, "error")?;
        write!(out, "no live upstreams while connecting to upstream")?;
        *written.upstream.entry(UpstreamClass::NoLiveUpstreams.name()).or_default() += 1;
        let group = self.random.below(10);
        let uri = self.random.below(URIS);
        self.request(out, uri)?;
        write!(out, ", upstream: \"http://backend{group}{}\"", self.uris[uri])?;
        self.host(out)
    }

    fn php(&mut self, out: &mut Vec<u8>, written: &mut Written) -> io::Result<()> {
        self.head(out, "error")?;
        let id = self.random.below(100_000);
        let script = format!("/srv/www/site{}/public/index.php", id % SERVERS);
        let mut count = |kind: PhpKind| *written.php.entry(kind.name()).or_default() += 1;
        write!(out, "FastCGI sent in stderr: \"PHP message: ")?;
        match self.random.below(8) {
            0..2 => {
                count(PhpKind::MemoryExhausted);
                write!(
                    out,
                    "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate {id} bytes) in \
                     {script} on line 214"
                )?;
            }
            2..5 => {
                count(PhpKind::Warning);
                write!(out, "PHP Warning:  Undefined array key \"item{id}\" in {script} on line 77")?;
            }
            5 => {
                for line in 0..3 {
                    count(PhpKind::Warning);
                    let separator = if line == 0 { "" } else { "; PHP message: " };
                    write!(out, "{separator}PHP Warning:  Undefined variable $row{id} in {script} on line {line}")?;
                }
            }
            // One entry on several lines: only the last has the fields.
            _ => {
                count(PhpKind::UncaughtException);
                write!(
                    out,
                    "PHP Fatal error:  Uncaught RuntimeException: no price for item {id} in {script}:31\nStack trace:\n\
                     #0 /srv/www/lib/Price.php(12): Price->load({id})\n#1 {script}(9): Shop->run()\n#2 {{main}}\n  thrown in \
                     {script} on line 31"
                )?;
            }
        }
        write!(out, "\" while reading response header from upstream")?;
        let peer = self.fastcgi_peer();
        self.fields(out, Some(peer))
    }

    fn missing_file(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.head(out, "error")?;
        let uri = self.random.below(URIS);
        let path = self.uris[uri].split('?').next().unwrap_or_default();
        write!(out, "open() \"/srv/www/static{path}\" failed (2: No such file or directory)")?;
        self.request(out, uri)?;
        self.host(out)
    }

    fn limited(&mut self, out: &mut Vec<u8>, written: &mut Written) -> io::Result<()> {
        self.head(out, "error")?;
        let excess = self.random.below(50_000);
        write!(out, "limiting requests, excess: {}.{:03} by zone \"perip\"", excess / 1000, excess % 1000)?;
        *written.local.entry(LocalClass::RateLimited.name()).or_default() += 1;
        self.fields(out, None)
    }

    fn buffered(&mut self, out: &mut Vec<u8>, written: &mut Written) -> io::Result<()> {
        self.head(out, "warn")?;
        let file = self.random.below(1 << 30);
        write!(
            out,
            "an upstream response is buffered to a temporary file /var/lib/nginx/proxy/{}/{:02}/{file:010} while reading \
             upstream",
            file % 10,
            file / 10 % 100
        )?;
        *written.local.entry(LocalClass::ResponseBufferedToDisk.name()).or_default() += 1;
        let peer = self.random.below(self.peers.len());
        self.fields(out, Some(peer))
    }

    fn peer_disabled(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.head(out, "warn")?;
        write!(out, "upstream server temporarily disabled while connecting to upstream")?;
        let peer = self.tcp_peer();
        self.fields(out, Some(peer))
    }

    fn head(&mut self, out: &mut Vec<u8>, level: &str) -> io::Result<()> {
        self.connection += 1;
        // About 30,000 entries a second.
        self.second = self.connection / 30_000;
        let (hour, minute, second) = (9 + self.second / 3600, self.second / 60 % 60, self.second % 60);
        let worker = 5_650 + self.random.below(8);
        let connection = self.connection;
        write!(out, "2026/11/21 {hour:02}:{minute:02}:{second:02} [{level}] {worker}#{worker}: *{connection} ")
    }

    fn fields(&mut self, out: &mut Vec<u8>, peer: Option<usize>) -> io::Result<()> {
        let uri = self.random.below(URIS);
        self.request(out, uri)?;
        if let Some(peer) = peer.and_then(|peer| self.peers.get(peer)) {
            let uri = if peer.has_uri { self.uris[uri].as_str() } else { "" };
            write!(out, ", upstream: \"{}{uri}\"", peer.upstream)?;
        }
        self.host(out)
    }

    fn request(&mut self, out: &mut Vec<u8>, uri: usize) -> io::Result<()> {
        let (a, b, c) = (self.random.below(223), self.random.below(256), self.random.below(256));
        let server = self.random.below(SERVERS);
        let method = self.random.pick(&["GET", "GET", "GET", "POST", "HEAD"]);
        write!(
            out,
            ", client: {}.{b}.{c}.17, server: {}, request: \"{method} {} HTTP/1.1\"",
            a + 1,
            self.servers[server],
            self.uris[uri]
        )
    }

    fn host(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let host = self.random.below(SERVERS);
        write!(out, ", host: \"{}\"", self.servers[host])?;
        if self.random.below(10) < 3 {
            let from = self.random.below(URIS);
            write!(out, ", referrer: \"https://{}{}\"", self.servers[host], self.uris[from])?;
        }
        out.push(b'\n');
        Ok(())
    }

    fn peer_that(&mut self, fits: impl Fn(&Peer) -> bool) -> usize {
        loop {
            let peer = self.random.below(self.peers.len());
            if fits(&self.peers[peer]) {
                return peer;
            }
        }
    }

    fn tcp_peer(&mut self) -> usize {
        self.peer_that(|peer| peer.socket.is_none())
    }

    fn socket_peer(&mut self) -> usize {
        self.peer_that(|peer| peer.socket.is_some())
    }

    fn fastcgi_peer(&mut self) -> usize {
        self.peer_that(|peer| peer.fastcgi)
    }
}

/// 50 of them: HTTP and HTTPS by address, FastCGI by socket and address, uWSGI by socket, gRPC.
fn peers() -> Vec<Peer> {
    let tcp = |scheme: &str, n: usize, port: u16, has_uri: bool| Peer {
        upstream: format!("{scheme}://10.0.{}.{}:{port}", n % 4, n + 10),
        socket: None,
        has_uri,
        fastcgi: scheme == "fastcgi",
    };
    let socket = |scheme: &str, path: String| Peer {
        upstream: format!("{scheme}://unix:{path}:"),
        socket: Some(format!("unix:{path}")),
        has_uri: false,
        fastcgi: scheme == "fastcgi",
    };
    let mut peers = Vec::new();
    peers.extend((0..20).map(|n| tcp("http", n, 8080, true)));
    peers.extend((0..4).map(|n| tcp("https", n, 8443, true)));
    peers.extend((0..14).map(|n| socket("fastcgi", format!("/run/php/php8.2-fpm-site{n}.sock"))));
    peers.extend((0..4).map(|n| tcp("fastcgi", n, 9000, false)));
    peers.extend((0..6).map(|n| socket("uwsgi", format!("/run/uwsgi/app{n}.sock"))));
    peers.extend((0..2).map(|n| tcp("grpc", n, 50051, false)));
    peers
}

fn uri(random: &mut Random) -> String {
    let mut uri = String::new();
    for _ in 0..=random.below(4) {
        uri.push('/');
        uri.push_str(random.pick(WORDS));
    }
    uri.push_str(&format!("/{}", random.below(1_000_000)));
    if random.below(3) == 0 {
        uri.push_str(&format!(
            "?utm_source={}&utm_campaign={}&session={:016x}",
            random.pick(WORDS),
            random.below(1000),
            random.next() * random.next()
        ));
    }
    uri
}
