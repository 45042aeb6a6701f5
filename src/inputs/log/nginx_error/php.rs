//! PHP messages inside `FastCGI sent in stderr: "…"`. One record may hold several, glued by `; ` (PHP 8.2.2 on), by nothing
//! (7.3 to 8.2.1) or by line feeds (up to 7.2), each `PHP message: ` and the text of one log call.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use crate::observation::{PhpKind, PhpKinds};

/// What nginx writes before the record (`ngx_http_fastcgi_module.c`).
pub(super) const OPENER: &[u8] = b"FastCGI sent in stderr: \"";

const MESSAGE: &[u8] = b"PHP message: ";

static MESSAGES: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(MESSAGE));

/// The messages of a record by kind. A record always counts: text of another FastCGI program is one message.
pub(super) fn kinds(record: &[u8]) -> PhpKinds {
    each(record).collect()
}

/// The kind of each message of a record, in order.
fn each(record: &[u8]) -> impl Iterator<Item = PhpKind> {
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
    let Some(php) = text.strip_prefix(b"PHP ") else { return or_dependency(text, PhpKind::Application) };
    let starts = |words: &[u8]| php.starts_with(words);
    match php.first() {
        Some(b'W') if starts(b"Warning:") => or_dependency(php, PhpKind::Warning),
        Some(b'N') if starts(b"Notice:") => PhpKind::Notice,
        Some(b'D') if starts(b"Deprecated:") => PhpKind::Deprecated,
        Some(b'F') if starts(b"Fatal error:") => fatal(php),
        Some(b'R') if starts(b"Recoverable fatal error:") => fatal(php),
        Some(b'P') if starts(b"Parse error:") => PhpKind::ParseError,
        Some(b'S') if starts(b"Strict Standards:") => PhpKind::Notice,
        Some(b'C') if starts(b"Catchable fatal error:") => fatal(php),
        Some(b'C') if starts(b"Core Warning:") || starts(b"Core warning:") || starts(b"Compile warning:") => {
            PhpKind::Warning
        }
        Some(b'C') if starts(b"Core Error:") || starts(b"Core error:") || starts(b"Compile error:") => {
            PhpKind::FatalOther
        }
        _ => or_dependency(php, PhpKind::Application),
    }
}

fn or_dependency(text: &[u8], otherwise: PhpKind) -> PhpKind {
    if Words::of(text).names_dependency() { PhpKind::DependencyUnreachable } else { otherwise }
}

fn fatal(text: &[u8]) -> PhpKind {
    let words = Words::of(text);
    if words.has(Word::Memory) {
        PhpKind::MemoryExhausted
    } else if words.has(Word::Time) {
        PhpKind::TimeExceeded
    } else if words.names_dependency() {
        PhpKind::DependencyUnreachable
    } else if words.has(Word::Undefined) || has_missing_class(text) {
        PhpKind::UndefinedSymbol
    } else if words.has(Word::Uncaught) {
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

/// What a word in a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Memory,
    Time,
    Undefined,
    Uncaught,
    /// A server could not be reached, is full, refused the login or went away.
    Code,
    /// A client of a database or cache, as its messages name themselves.
    Service,
    /// Why such a client got no answer.
    Reason,
    /// The message is about a script's file, whatever the path to it is called.
    File,
}

const WORDS: [(Word, &str); 46] = [
    (Word::Memory, "Allowed memory size of "),
    (Word::Memory, "Out of memory (allocated "),
    (Word::Time, "Maximum execution time of "),
    (Word::Undefined, "Call to undefined "),
    (Word::Undefined, "Undefined constant "),
    (Word::Uncaught, "Uncaught "),
    (Word::File, "ailed to open stream"),
    (Word::File, "ailed opening "),
    (Word::Code, "SQLSTATE[HY000] [2002]"),
    (Word::Code, "SQLSTATE[HY000] [2003]"),
    (Word::Code, "SQLSTATE[HY000] [2006]"),
    (Word::Code, "SQLSTATE[HY000] [1040]"),
    (Word::Code, "SQLSTATE[HY000] [1045]"),
    (Word::Code, "SQLSTATE[08"),
    (Word::Code, "SQLSTATE[HY000]: General error: 2006"),
    (Word::Code, "SQLSTATE[HY000]: General error: 2013"),
    (Word::Code, "(HY000/2002)"),
    (Word::Code, "(HY000/2003)"),
    (Word::Code, "(HY000/2006)"),
    (Word::Code, "(HY000/1040)"),
    (Word::Code, "(HY000/1045)"),
    (Word::Code, "server has gone away"),
    (Word::Code, "Lost connection to MySQL server"),
    (Word::Code, "Too many connections"),
    (Word::Service, "Redis"),
    (Word::Service, "redis"),
    (Word::Service, "Memcache"),
    (Word::Service, "mysqli"),
    (Word::Service, "mysql_connect"),
    (Word::Service, "pg_connect"),
    (Word::Service, "pg_pconnect"),
    (Word::Service, "MongoDB"),
    (Word::Service, "AMQP"),
    (Word::Reason, "Connection refused"),
    (Word::Reason, "timed out"),
    (Word::Reason, "went away"),
    (Word::Reason, "No such file or directory"),
    (Word::Reason, "nable to connect"),
    (Word::Reason, "ould not connect"),
    (Word::Reason, "an't connect"),
    (Word::Reason, "read error on connection"),
    (Word::Reason, "No route to host"),
    (Word::Reason, "Name or service not known"),
    (Word::Reason, "getaddrinfo"),
    (Word::Reason, "Connection lost"),
    (Word::Reason, "Connection closed"),
];

/// All of [`WORDS`] in one automaton. It would fail to build only by outgrowing its limits, which the tests would notice.
static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let words = WORDS.iter().map(|(_, text)| text);
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(words).ok()
});

/// The words of a message, found in one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Words(u8);

impl Words {
    fn of(text: &[u8]) -> Self {
        let found = AUTOMATON.iter().flat_map(|automaton| automaton.find_iter(text));
        let words = found.filter_map(|found| WORDS.get(found.pattern().as_usize()));
        Self(words.fold(0, |words, (word, _)| words | 1 << *word as u8))
    }

    const fn has(self, word: Word) -> bool {
        self.0 & 1 << word as u8 != 0
    }

    /// A database or cache that could not be reached, in the words of PDO, mysqli, pgsql, phpredis, Predis and memcached.
    const fn names_dependency(self) -> bool {
        self.has(Word::Code) || (self.has(Word::Service) && self.has(Word::Reason) && !self.has(Word::File))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, expected: &[PhpKind]) {
        assert_eq!(each(record.as_bytes()).collect::<Vec<_>>(), expected, "{record}");
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
        assert_eq!(kinds(record).worst(), Some(PhpKind::MemoryExhausted));
    }
}
