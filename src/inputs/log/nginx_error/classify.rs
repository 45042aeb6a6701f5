//! What an entry says, from its message and what nginx was doing. Rules are grouped by who failed; each names the words
//! nginx's source prints. Numbers decide, never the words behind them.

use super::action::Action;
use super::errno::linux;
use super::upstream;
use crate::observation::{Level, LocalClass, Phase, PhpKinds, Verdict};

/// What is known about an entry besides its message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// Severity.
    pub(super) level: Option<Level>,
    /// What stood behind ` while `.
    pub(super) action: Option<Action>,
    /// The PHP messages it carries.
    pub(super) php: PhpKinds,
    /// The error number, as Linux counts them.
    pub(super) errno: Option<u16>,
    /// An `upstream:` field follows: a peer or group had been chosen.
    pub(super) has_upstream: bool,
    /// Fields follow: the entry is about a connection.
    pub(super) has_fields: bool,
    /// It comes from the mail proxy, whose upstreams are out of scope.
    pub(super) mail: bool,
}

impl Context {
    pub(super) fn phase(self) -> Option<Phase> {
        self.action.and_then(Action::phase)
    }

    /// Severe enough for an upstream's failure: nginx logs the client's side of a connection as info.
    pub(super) fn is_severe(self) -> bool {
        !matches!(self.level, Some(Level::Info | Level::Notice | Level::Debug))
    }
}

/// Decides what `message` (without ` while …` and fields) says.
pub(super) fn classify(message: &[u8], context: Context) -> Verdict {
    if let Some(kind) = context.php.worst() {
        return Verdict::Php(kind);
    }
    if message.first() == Some(&b'[') {
        // `[lua] …`, `[kong] …`: a module's own words, which may quote anything.
        return Verdict::Other;
    }
    if context.mail {
        return Verdict::Other;
    }
    let message = without_reporter(message);
    if let Some(class) = local(message, context) {
        return Verdict::Local(class);
    }
    if matches!(context.action, Some(Action::Aside)) {
        return Verdict::Other;
    }
    if context.level == Some(Level::Emerg) && !context.has_fields {
        return Verdict::Local(LocalClass::ConfigInvalid);
    }
    if let Some(verdict) = upstream::classify(message, context) {
        return verdict;
    }
    if is_clients(message, context) {
        return Verdict::Client;
    }
    Verdict::Other
}

/// Drops who told nginx: `kevent() reported that connect() failed`.
fn without_reporter(message: &[u8]) -> &[u8] {
    const REPORTERS: [&[u8]; 5] = [
        b"kevent() reported that ",
        b"epoll_wait() reported that ",
        b"epoll_wait() reported that\n",
        b"kevent() reported about an ",
        b"poll() reported that ",
    ];
    REPORTERS.iter().find_map(|reporter| message.strip_prefix(*reporter)).unwrap_or(message).trim_ascii_start()
}

/// nginx's own or its host's failures.
fn local(message: &[u8], context: Context) -> Option<LocalClass> {
    by_words(message, context).or_else(|| by_errno(message, context))
}

fn by_words(message: &[u8], context: Context) -> Option<LocalClass> {
    let starts = |words: &[u8]| message.starts_with(words);
    let ends = |words: &[u8]| message.ends_with(words);
    let has = |words: &[u8]| memchr::memmem::find(message, words).is_some();
    match message.first()? {
        b'0'..=b'9' if has(b" worker_connections are not enough for ") => Some(LocalClass::ConfigInvalid),
        b'0'..=b'9' if has(b" worker_connections are not enough") => Some(LocalClass::WorkerConnectionsExhausted),
        b'0'..=b'9' if has(b" worker_connections exceed ") || has(b" worker_connections are more than open file") => {
            Some(LocalClass::FileDescriptorLimitLow)
        }
        b'a' if starts(b"an upstream response is buffered to a temporary file") => {
            Some(LocalClass::ResponseBufferedToDisk)
        }
        b'a' if starts(b"a client request body is buffered to a temporary file") => {
            Some(LocalClass::RequestBufferedToDisk)
        }
        b'l' if starts(b"limiting requests, dry run") || starts(b"limiting connections, dry run") => None,
        b'l' if starts(b"limiting requests") => Some(LocalClass::RateLimited),
        b'l' if starts(b"limiting connections") => Some(LocalClass::ConnectionsLimited),
        b'd' if starts(b"delaying request, dry run") => None,
        b'd' if starts(b"delaying request") => Some(LocalClass::RateLimited),
        b't' if starts(b"the new socket has number ") => Some(LocalClass::FilesExhausted),
        b'b' if starts(b"bind() to ") => Some(LocalClass::BindFailed),
        b's' if starts(b"still could not bind()") => Some(LocalClass::BindFailed),
        b'l' if starts(b"listen() to ") && !ends(b"ignored") && !has(b"failed, ignored") => {
            Some(LocalClass::BindFailed)
        }
        b'n' if starts(b"ngx_slab_alloc() failed: no memory") => Some(LocalClass::SharedMemoryExhausted),
        b'c' if starts(b"could not allocate node")
            || starts(b"could not allocate new ")
            || starts(b"could not add new SSL session to the session cache") =>
        {
            Some(LocalClass::SharedMemoryExhausted)
        }
        b'c' if starts(b"cannot add new server to upstream ") && ends(b"memory exhausted") => {
            Some(LocalClass::SharedMemoryExhausted)
        }
        b'm' if starts(b"malloc(") => Some(LocalClass::MemoryExhausted),
        b'p' if starts(b"posix_memalign(") => Some(LocalClass::MemoryExhausted),
        b'c' if starts(b"could not respawn ") || starts(b"can not respawn ") => Some(LocalClass::WorkerCrashed),
        b'w' if (starts(b"write() to ") || starts(b"write() has written only "))
            && (has(b" was incomplete") || has(b" written only ")) =>
        {
            Some(LocalClass::LogNoSpace)
        }
        b'w' | b'p' if has(b"\" has written only ") => Some(LocalClass::TempFileNoSpace),
        _ if !context.has_fields && context.is_severe() => by_exit(message),
        _ => None,
    }
}

/// `worker process 5654 exited on signal 11`, `… exited with fatal code 2 and cannot be respawned`.
fn by_exit(message: &[u8]) -> Option<LocalClass> {
    let at = memchr::memmem::find(message, b" exited ")?;
    let how = message.get(at + b" exited ".len()..)?;
    match how.strip_prefix(b"on signal ") {
        Some([b'9']) => Some(LocalClass::WorkerKilled),
        Some([b'9', next, ..]) if !next.is_ascii_digit() => Some(LocalClass::WorkerKilled),
        Some(_) => Some(LocalClass::WorkerCrashed),
        None => how.starts_with(b"with fatal code ").then_some(LocalClass::WorkerCrashed),
    }
}

fn by_errno(message: &[u8], context: Context) -> Option<LocalClass> {
    let number = context.errno?;
    let resolving = context.phase() == Some(Phase::Resolving);
    let is_telling = matches!(
        number,
        linux::EMFILE
            | linux::ENFILE
            | linux::ENOMEM
            | linux::ENOSPC
            | linux::EDQUOT
            | linux::EACCES
            | linux::EPERM
            | linux::EROFS
    );
    if !(is_telling || resolving) || !is_call(message) {
        return None;
    }
    match number {
        linux::EMFILE | linux::ENFILE => Some(LocalClass::FilesExhausted),
        linux::ENOMEM => Some(LocalClass::MemoryExhausted),
        _ if resolving => Some(LocalClass::ResolverUnreachable),
        linux::ENOSPC | linux::EDQUOT => {
            let to_log = message.starts_with(b"write() to ");
            Some(if to_log { LocalClass::LogNoSpace } else { LocalClass::TempFileNoSpace })
        }
        linux::EACCES | linux::EPERM | linux::EROFS if is_temp_file(message, context) => {
            Some(LocalClass::TempFileDenied)
        }
        _ => None,
    }
}

/// Whether a system call is named: `open() "…" failed (24: …)`.
fn is_call(message: &[u8]) -> bool {
    [&b") failed"[..], b"\" failed", b"() to "].iter().any(|words| memchr::memmem::find(message, words).is_some())
}

/// A temporary or cache file: written on an upstream's behalf, or named as `ngx_create_temp_path()` and the cache name
/// them. Files that nginx serves or reads for itself (`auth_basic_user_file`) can be denied just so, and are not meant.
fn is_temp_file(message: &[u8], context: Context) -> bool {
    const WRITING: [&[u8]; 7] =
        [b"open() \"", b"mkdir() \"", b"pwrite() \"", b"pwritev() \"", b"write() \"", b"writev() \"", b"rename() "];
    if context.level == Some(Level::Emerg) || !WRITING.iter().any(|call| message.starts_with(call)) {
        return false;
    }
    let for_upstream = matches!(context.phase(), Some(Phase::ReadingBody | Phase::ReadingHeader | Phase::Sending));
    let path = message.splitn(3, |b| *b == b'"').nth(1).unwrap_or_default();
    for_upstream || message.starts_with(b"mkdir() ") || is_temp_name(path)
}

/// `…/body/0000000001`, `…/1/00/0000000001`, `…/c/29/b7f54b2df7773722d382f4809d65029c.0000000003`.
fn is_temp_name(path: &[u8]) -> bool {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let (key, number) = match name.iter().rposition(|b| *b == b'.') {
        Some(dot) => (name.get(..dot).unwrap_or_default(), name.get(dot + 1..).unwrap_or_default()),
        None => (&b""[..], name),
    };
    let numbered = number.len() == 10 && number.iter().all(u8::is_ascii_digit);
    let keyed = |text: &[u8]| text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit);
    (numbered && (key.is_empty() || keyed(key))) || keyed(name)
}

/// What the client did, or what was done to it on purpose.
fn is_clients(message: &[u8], context: Context) -> bool {
    if context.action == Some(Action::Client) {
        return true;
    }
    if context.phase() == Some(Phase::SendingToClient) {
        return message.starts_with(b"shutdown() ") || message.starts_with(b"setsockopt(");
    }
    const BEGINNINGS: [&[u8]; 12] = [
        b"client ",
        b"access forbidden by rule",
        b"no user/password was provided",
        b"user \"",
        b"peer closed connection in SSL handshake",
        b"SSL_do_handshake() failed",
        b"broken header: \"",
        b"too long http2 ",
        b"ModSecurity: ",
        b"directory index of ",
        b"upstream disconnected",
        b"PAM: ",
    ];
    BEGINNINGS.iter().any(|beginning| message.starts_with(beginning))
}
