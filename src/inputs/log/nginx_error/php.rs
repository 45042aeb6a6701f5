//! PHP messages inside `FastCGI sent in stderr: "…"`. One record may hold several, glued by `; ` (PHP 8.2.2 on), by nothing
//! (7.3 to 8.2.1) or by line feeds (up to 7.2), each `PHP message: ` and the text of one log call.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::memmem;

use crate::observation::PhpKind;

/// What nginx writes before the record (`ngx_http_fastcgi_module.c`).
pub(super) const OPENER: &[u8] = b"FastCGI sent in stderr: \"";

const MESSAGE: &[u8] = b"PHP message: ";

static MESSAGES: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(MESSAGE));

/// The kind of each message of a record, in order.
pub(super) fn kinds(record: &[u8]) -> impl Iterator<Item = PhpKind> {
    let record = record.strip_suffix(b"\"").unwrap_or(record);
    let mut glued = MESSAGES.find_iter(record);
    let first = glued.next();
    let leading = record.get(..first.unwrap_or(record.len())).unwrap_or_default();
    // Before the first message stands FPM's own word, the text of another FastCGI program, or the rest of a message that
    // was cut: the last is no message of its own.
    let own = leading_kind(leading, first.is_some());
    let starts = first.into_iter().chain(glued);
    let bounds = starts.clone().skip(1).chain(std::iter::once(record.len()));
    let messages = starts.zip(bounds);
    own.into_iter().chain(messages.map(move |(start, end)| {
        let text = record.get(start + MESSAGE.len()..end).unwrap_or_default();
        kind(text)
    }))
}

/// The most telling kind of a record.
pub(super) fn worst(record: &[u8]) -> PhpKind {
    kinds(record).min().unwrap_or(PhpKind::Application)
}

fn leading_kind(text: &[u8], messages_follow: bool) -> Option<PhpKind> {
    let text = text.trim_ascii();
    let has = |words: &[u8]| memmem::find(text, words).is_some();
    if text.is_empty() {
        return (!messages_follow).then_some(PhpKind::Application);
    }
    if has(b"Primary script unknown") || has(b"Unable to open primary script") || has(b"No input file specified") {
        return Some(PhpKind::ScriptNotFound);
    }
    if text.starts_with(b"Access to the script ") && has(b" has been denied") {
        return Some(PhpKind::AccessDenied);
    }
    (!messages_follow).then(|| kind(text))
}

/// The kind of one message, by the severity PHP writes (`php_error_cb`, `main/main.c`) and then by its text.
fn kind(text: &[u8]) -> PhpKind {
    let text = text.trim_ascii_start();
    let Some(php) = text.strip_prefix(b"PHP ") else {
        return if names_dependency(text) { PhpKind::DependencyUnreachable } else { PhpKind::Application };
    };
    let starts = |words: &[u8]| php.starts_with(words);
    if starts(b"Parse error:") {
        PhpKind::ParseError
    } else if starts(b"Fatal error:") || starts(b"Recoverable fatal error:") || starts(b"Catchable fatal error:") {
        fatal(php)
    } else if starts(b"Core Error:") || starts(b"Core error:") || starts(b"Compile error:") {
        PhpKind::FatalOther
    } else if starts(b"Warning:") || starts(b"Core Warning:") || starts(b"Core warning:") || starts(b"Compile warning:")
    {
        if names_dependency(php) { PhpKind::DependencyUnreachable } else { PhpKind::Warning }
    } else if starts(b"Notice:") || starts(b"Strict Standards:") {
        PhpKind::Notice
    } else if starts(b"Deprecated:") {
        PhpKind::Deprecated
    } else if names_dependency(php) {
        PhpKind::DependencyUnreachable
    } else {
        PhpKind::Application
    }
}

fn fatal(text: &[u8]) -> PhpKind {
    let has = |words: &[u8]| memmem::find(text, words).is_some();
    if has(b"Allowed memory size of ") || has(b"Out of memory (allocated ") {
        PhpKind::MemoryExhausted
    } else if has(b"Maximum execution time of ") {
        PhpKind::TimeExceeded
    } else if names_dependency(text) {
        PhpKind::DependencyUnreachable
    } else if has(b"Call to undefined ") || has(b"Undefined constant ") || has_missing_class(text) {
        PhpKind::UndefinedSymbol
    } else if has(b"Uncaught ") {
        PhpKind::UncaughtException
    } else {
        PhpKind::FatalOther
    }
}

/// `Class "A" not found` (8.0 on), `Class 'A' not found` (before), and the same of interfaces, traits and enums.
fn has_missing_class(text: &[u8]) -> bool {
    [&b"Class "[..], b"Interface ", b"Trait ", b"Enum "].iter().any(|word| {
        memmem::find_iter(text, word).any(|at| {
            let name = text.get(at + word.len()..).unwrap_or_default();
            matches!(name.first(), Some(b'"' | b'\'')) && {
                let near = name.get(..name.len().min(300)).unwrap_or_default();
                memmem::find(near, b"\" not found").is_some() || memmem::find(near, b"' not found").is_some()
            }
        })
    })
}

/// A database or cache that could not be reached, in the words of PDO, mysqli, pgsql, phpredis, Predis and memcached.
fn names_dependency(text: &[u8]) -> bool {
    let Some(words) = dependency_words() else { return false };
    let mut service = false;
    let mut reason = false;
    for found in words.find_overlapping_iter(text) {
        match found.pattern().as_usize() {
            pattern if pattern < CODES.len() => return true,
            pattern if pattern < CODES.len() + SERVICES.len() => service = true,
            _ => reason = true,
        }
        if service && reason {
            return true;
        }
    }
    false
}

/// Each says by itself that a server could not be reached, is full, refused the login, or went away.
const CODES: [&str; 17] = [
    "SQLSTATE[HY000] [2002]",
    "SQLSTATE[HY000] [2003]",
    "SQLSTATE[HY000] [2006]",
    "SQLSTATE[HY000] [1040]",
    "SQLSTATE[HY000] [1045]",
    "SQLSTATE[08",
    "SQLSTATE[HY000]: General error: 2006",
    "SQLSTATE[HY000]: General error: 2013",
    "[1045] Access denied for user",
    "(HY000/2002)",
    "(HY000/2003)",
    "(HY000/2006)",
    "(HY000/1040)",
    "(HY000/1045)",
    "server has gone away",
    "Lost connection to MySQL server",
    "Too many connections",
];

/// Clients of databases and caches, as their messages name themselves.
const SERVICES: [&str; 10] =
    ["Redis", "redis", "Predis", "Memcache", "mysqli", "mysql_connect", "pg_connect", "pg_pconnect", "MongoDB", "AMQP"];

/// Why a client of [`SERVICES`] got no answer.
const REASONS: [&str; 13] = [
    "Connection refused",
    "timed out",
    "went away",
    "No such file or directory",
    "nable to connect",
    "ould not connect",
    "an't connect",
    "read error on connection",
    "No route to host",
    "Name or service not known",
    "getaddrinfo",
    "Connection lost",
    "Connection closed",
];

/// All of them in one automaton; it fails to build only when it would outgrow its limits, which a test would notice.
fn dependency_words() -> Option<&'static AhoCorasick> {
    static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let words = CODES.iter().chain(&SERVICES).chain(&REASONS);
        AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(words).ok()
    });
    WORDS.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, expected: &[PhpKind]) {
        assert_eq!(kinds(record.as_bytes()).collect::<Vec<_>>(), expected, "{record}");
    }

    #[test]
    fn glued_messages_count_each() {
        use PhpKind::{Application, Notice, Warning};
        let expected = [Notice, Warning, Application];
        for glue in ["; ", "", "\n"] {
            check(
                &[
                    "PHP message: PHP Notice:  Undefined variable: u in /a.php on line 1",
                    "PHP message: PHP Warning:  second warning in /a.php on line 1",
                    "PHP message: custom line 1\ncustom line 2\"",
                ]
                .join(glue),
                &expected,
            );
        }
    }

    #[test]
    fn a_cut_beginning_is_no_message_of_its_own() {
        check(" message: warning number 65PHP message: PHP Warning:  x", &[PhpKind::Warning]);
        check("warning number 65 some text", &[PhpKind::Application]);
        check("", &[PhpKind::Application]);
    }

    #[test]
    fn fatal_errors_are_told_apart() {
        for (text, kind) in [
            (
                "PHP Fatal error:  Allowed memory size of 8388608 bytes exhausted (tried to allocate 2 bytes) in /m.php on line 1",
                PhpKind::MemoryExhausted,
            ),
            (
                "PHP Fatal error:  Out of memory (allocated 2097152) (tried to allocate 20480 bytes) in /m.php",
                PhpKind::MemoryExhausted,
            ),
            (
                "PHP Fatal error:  Maximum execution time of 30 seconds exceeded in /t.php on line 3",
                PhpKind::TimeExceeded,
            ),
            (
                "PHP Fatal error:  Uncaught Error: Call to undefined function f() in /u.php:1\nStack trace:\n#0 {main}",
                PhpKind::UndefinedSymbol,
            ),
            ("PHP Fatal error:  Uncaught Error: Class \"App\\A\" not found in /u.php:1", PhpKind::UndefinedSymbol),
            ("PHP Fatal error:  Class 'A' not found in /u.php on line 1", PhpKind::UndefinedSymbol),
            ("PHP Fatal error:  Uncaught Error: Undefined constant \"A\" in /u.php:1", PhpKind::UndefinedSymbol),
            ("PHP Fatal error:  Uncaught RuntimeException: no in /u.php:1", PhpKind::UncaughtException),
            (
                "PHP Fatal error:  Uncaught PDOException: SQLSTATE[HY000] [2002] Connection refused in /d.php:3",
                PhpKind::DependencyUnreachable,
            ),
            (
                "PHP Fatal error:  Uncaught RedisException: Connection refused in /r.php:3",
                PhpKind::DependencyUnreachable,
            ),
            ("PHP Fatal error:  Cannot use [] for reading in /a.php on line 14", PhpKind::FatalOther),
            ("PHP Parse error:  syntax error, unexpected '}' in /p.php on line 2", PhpKind::ParseError),
            (
                "PHP Warning:  mysqli_connect(): (HY000/2002): Connection refused in /d.php on line 2",
                PhpKind::DependencyUnreachable,
            ),
            (
                "PHP Warning:  fopen(/x): failed to open stream: No such file or directory in /d.php on line 2",
                PhpKind::Warning,
            ),
            ("PHP Deprecated:  Function x() is deprecated in /d.php on line 2", PhpKind::Deprecated),
            ("WordPress database error MySQL server has gone away for query", PhpKind::DependencyUnreachable),
            ("login failed (username: admin@example.com)", PhpKind::Application),
        ] {
            check(&format!("PHP message: {text}\""), &[kind]);
        }
    }

    #[test]
    fn what_fpm_itself_says_is_known() {
        check("Primary script unknown\"", &[PhpKind::ScriptNotFound]);
        check("Unable to open primary script: /a.php (No such file or directory)\"", &[PhpKind::ScriptNotFound]);
        check(
            "Access to the script '/a.txt' has been denied (see security.limit_extensions)\"",
            &[PhpKind::AccessDenied],
        );
    }

    #[test]
    fn the_most_telling_kind_leads() {
        let record = b"PHP message: PHP Warning:  a; PHP message: PHP Fatal error:  Allowed memory size of 1 bytes\"";
        assert_eq!(worst(record), PhpKind::MemoryExhausted);
    }
}
