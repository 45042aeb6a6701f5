//! Bytes to directives, as `ngx_conf_read_token` reads them (nginx, `src/core/ngx_conf_file.c`): `server{` is a block,
//! `location/{` a word without an end, `a#b` a word, `${name}` no block.
//!
//! nginx stops at the first mistake. This reader says it with nginx's words and goes on behind it.

/// A word of this many bytes is refused: `NGX_CONF_BUFFER`.
const MAX_WORD: usize = 4096;

/// What ended the words just read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// `;`
    Simple,
    /// `{`: a block follows.
    BlockOpen,
    /// `}`: there are no words.
    BlockClose,
    /// The end of the file: there are no words.
    File,
    /// A `}` where a `;` was due: the words are whole, and the `}` is read next.
    Unended(Broken),
    /// Something nginx refuses. The words before it do not count, and reading goes on behind it.
    Broken(Broken),
}

/// A mistake, and the line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: u32,
    pub(super) what: String,
}

/// Receives the words of a directive.
pub(super) trait Words {
    /// Forgets the words received so far: a new directive begins.
    fn clear(&mut self);
    /// The next word, its escapes undone, and the line it begins in.
    fn push(&mut self, word: Word<'_>, line: u32);
    /// Whether there is none yet.
    fn is_empty(&self) -> bool;
}

/// A word as it stands in the file, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a>(&'a [u8]);

impl Word<'_> {
    /// Appends the word with its escapes undone: `\"`, `\'`, `\\`, `\t`, `\r`, `\n`. Every other backslash stays.
    pub(super) fn unescape_into(self, text: &mut Vec<u8>) {
        let mut rest = self.0;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            let (plain, escape) = rest.split_at(at);
            text.extend_from_slice(plain);
            let meant = match escape.get(1) {
                Some(quoted @ (b'"' | b'\'' | b'\\')) => *quoted,
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                _ => {
                    text.push(b'\\');
                    rest = escape.get(1..).unwrap_or_default();
                    continue;
                }
            };
            text.push(meant);
            rest = escape.get(2..).unwrap_or_default();
        }
        text.extend_from_slice(rest);
    }
}

/// Reads one file.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u32,
}

/// What kind of byte comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Between words.
    Space,
    /// Behind a closing quote, where only a blank, `;`, `{` or `)` may stand.
    AfterQuote,
    /// In a word, with the quote it began with.
    Word(Option<u8>),
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 1 }
    }

    /// The line that is read next.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, count: usize) {
        let skipped = self.rest().get(..count).unwrap_or(self.rest());
        self.line = self.line.saturating_add(line_feeds(skipped));
        self.at += skipped.len();
    }

    /// Reads the words of the next directive into `words`, and says what ended them.
    pub(super) fn read(&mut self, words: &mut impl Words) -> End {
        words.clear();
        let mut within = Within::Space;
        // Where the word, or the blank or comment before it, begins.
        let (mut start, mut start_line) = (self.at, self.line);
        let mut variable = false;
        loop {
            let Some(byte) = self.bytes.get(self.at).copied() else {
                if let Within::Word(Some(quote)) = within {
                    let what =
                        format!("unexpected end of file, the quote ({}) opened here is not closed", quote as char);
                    return self.resume_after_line_of(start, start_line, what);
                }
                if words.is_empty() && within == Within::Space {
                    return End::File;
                }
                let what = "unexpected end of file, expecting \";\" or \"}\"".to_owned();
                return End::Broken(Broken { line: self.line, what });
            };
            if self.at - start >= MAX_WORD {
                return self.too_long(start, start_line, within);
            }
            if within == Within::AfterQuote {
                within = Within::Space;
                match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    b';' | b'{' => {
                        self.at += 1;
                        return if byte == b';' { End::Simple } else { End::BlockOpen };
                    }
                    // `if ($a = "b")`
                    b')' => {}
                    _ => return self.refuse(byte),
                }
            }
            if within == Within::Space {
                (start, start_line) = (self.at, self.line);
                match byte {
                    b' ' | b'\t' | b'\r' => self.at += 1,
                    b'\n' => self.next_line(),
                    b';' | b'{' if words.is_empty() => return self.refuse(byte),
                    b';' | b'{' => {
                        self.at += 1;
                        return if byte == b';' { End::Simple } else { End::BlockOpen };
                    }
                    b'}' if words.is_empty() => {
                        self.at += 1;
                        return End::BlockClose;
                    }
                    // Left to be read again: the block does end here.
                    b'}' => return End::Unended(self.broken("unexpected \"}\", expecting \";\" before it".to_owned())),
                    b'#' => {
                        if let Some(refused) = self.comment(start_line) {
                            return refused;
                        }
                    }
                    b'"' | b'\'' => {
                        self.at += 1;
                        start = self.at;
                        within = Within::Word(Some(byte));
                        variable = false;
                    }
                    _ => {
                        within = Within::Word(None);
                        variable = byte == b'$';
                        self.at += 1;
                        if byte == b'\\' {
                            self.pass_one();
                        }
                    }
                }
                continue;
            }
            let Within::Word(quote) = within else { continue };
            if byte == b'{' && variable {
                // nginx keeps `variable` set: `${{` is no block either.
                self.at += 1;
                continue;
            }
            variable = byte == b'$';
            let ends = match quote {
                _ if byte == b'\\' || byte == b'$' => false,
                Some(quote) => byte == quote,
                None => matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{'),
            };
            if ends {
                words.push(Word(self.bytes.get(start..self.at).unwrap_or_default()), start_line);
                if quote.is_some() {
                    self.at += 1;
                    // Nothing is measured from here until the next word.
                    start = self.at;
                    within = Within::AfterQuote;
                } else {
                    // The byte that ended it is looked at again, between words.
                    start = self.at;
                    within = Within::Space;
                }
                continue;
            }
            match byte {
                b'\n' => self.next_line(),
                b'\\' => {
                    self.at += 1;
                    self.pass_one();
                }
                _ => self.at += 1,
            }
        }
    }

    fn next_line(&mut self) {
        self.at += 1;
        self.line = self.line.saturating_add(1);
    }

    /// Passes over the byte behind a backslash, whatever it is.
    fn pass_one(&mut self) {
        match self.bytes.get(self.at) {
            Some(b'\n') => self.next_line(),
            Some(_) => self.at += 1,
            None => {}
        }
    }

    /// To the end of a comment. One as long as a word may not be is refused as such, because nginx's buffer holds it too.
    fn comment(&mut self, line: u32) -> Option<End> {
        let length = memchr::memchr(b'\n', self.rest()).unwrap_or(self.rest().len());
        self.at += length;
        (length >= MAX_WORD && self.at < self.bytes.len()).then(|| {
            let what = "too long parameter \"##########...\" started: a comment of 4,096 bytes or more".to_owned();
            End::Broken(Broken { line, what })
        })
    }

    fn broken(&self, what: String) -> Broken {
        Broken { line: self.line, what }
    }

    fn refuse(&mut self, byte: u8) -> End {
        let broken =
            self.broken(format!("unexpected \"{}\"", char::from(byte).escape_default().to_string().replace('\\', "")));
        if matches!(byte, b';' | b'{') {
            self.at += 1;
        }
        End::Broken(broken)
    }

    fn too_long(&mut self, start: usize, line: u32, within: Within) -> End {
        let beginning = self.bytes.get(start..start + 10).unwrap_or_default().escape_ascii();
        let what = match within {
            Within::Word(Some(quote)) => {
                format!("too long parameter, probably missing terminating \"{}\" character", quote as char)
            }
            Within::Word(None) | Within::Space | Within::AfterQuote => {
                format!("too long parameter \"{beginning}...\" started")
            }
        };
        self.resume_after_line_of(start, line, what)
    }

    /// Gives up what began at `start`, and goes on in the line after it.
    fn resume_after_line_of(&mut self, start: usize, line: u32, what: String) -> End {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let (at, line_after) = match memchr::memchr(b'\n', rest) {
            Some(length) => (start + length + 1, line.saturating_add(1)),
            None => (self.bytes.len(), line),
        };
        (self.at, self.line) = (at, line_after);
        End::Broken(Broken { line, what })
    }
}

fn line_feeds(bytes: &[u8]) -> u32 {
    u32::try_from(memchr::memchr_iter(b'\n', bytes).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Heard(Vec<(String, u32)>);

    impl Words for Heard {
        fn clear(&mut self) {
            self.0.clear();
        }
        fn push(&mut self, word: Word<'_>, line: u32) {
            let mut text = Vec::new();
            word.unescape_into(&mut text);
            self.0.push((String::from_utf8_lossy(&text).into_owned(), line));
        }
        fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }

    /// The file in one line: words in `‹›`, ends as they are, mistakes in `!`.
    fn read(text: &[u8]) -> String {
        let (mut lexer, mut heard, mut said) = (Lexer::new(text), Heard::default(), String::new());
        loop {
            let end = lexer.read(&mut heard);
            let words: String = heard.0.iter().map(|(word, _)| format!("‹{word}›")).collect();
            match end {
                End::Simple => said += &format!("{words};"),
                End::BlockOpen => said += &format!("{words}{{"),
                End::BlockClose => said += "}",
                End::File => return said,
                End::Unended(Broken { line, what }) => said += &format!("{words}!{line}: {what}!"),
                End::Broken(Broken { line, what }) => said += &format!("!{line}: {what}!"),
            }
        }
    }

    #[test]
    fn words_are_nginxs() {
        for (text, expected) in [
            ("server{listen 80;}", "‹server›{‹listen›‹80›;}"),
            ("location /{x y;}", "‹location›‹/›{‹x›‹y›;}"),
            ("a#b c;#d\ne;", "‹a#b›‹c›;‹e›;"),
            ("a ${b}c \"${d}\" ${{;", "‹a›‹${b}c›‹${d}›‹${{›;"),
            ("a b$c{d;}", "‹a›‹b$c›{‹d›;}"),
            (r#"a "b\"c" 'd\'e' f\ g \;h;"#, r#"‹a›‹b"c›‹d'e›‹f\ g›‹\;h›;"#),
            (r"a \.php$ \t\n\r\\;", "‹a›‹\\.php$›‹\t\n\r\\›;"),
            ("if ($a = \"b\") {c;}", "‹if›‹($a›‹=›‹b›‹)›{‹c›;}"),
            ("a\n'b\nc'\nd;", "‹a›‹b\nc›‹d›;"),
            ("a it's;", "‹a›‹it's›;"),
            ("a \"\" '';", "‹a›‹›‹›;"),
            ("a \"b\";c\t\r\n{}", "‹a›‹b›;‹c›{}"),
            ("map $x $y { ~^(a|b){2} c; }", "‹map›‹$x›‹$y›{‹~^(a|b)›{‹2}›‹c›;}"),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_and_what_follows_is_read() {
        for (text, expected) in [
            ("a \"b\"c; d;", "!1: unexpected \"c\"!‹c›;‹d›;"),
            ("a;\n; b;", "‹a›;!2: unexpected \";\"!‹b›;"),
            ("{ b; }", "!1: unexpected \"{\"!‹b›;}"),
            ("a { b\n}\nc;", "‹a›{‹b›!2: unexpected \"}\", expecting \";\" before it!}‹c›;"),
            ("a;\nb c", "‹a›;!2: unexpected end of file, expecting \";\" or \"}\"!"),
            ("a 'b;\nc;\n", "!1: unexpected end of file, the quote (') opened here is not closed!‹c›;"),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_word_as_long_as_nginxs_buffer_is_refused() {
        let fits = format!("a {};b;", "x".repeat(4095));
        assert!(!read(fits.as_bytes()).contains('!'));
        let long = format!("a {};\nb;", "x".repeat(4096));
        assert_eq!(read(long.as_bytes()), "!1: too long parameter \"xxxxxxxxxx...\" started!‹b›;");
        let quote = format!("a 'b;\nc;\n{}", "d;\n".repeat(2000));
        let said = read(quote.as_bytes());
        assert!(
            said.starts_with("!1: too long parameter, probably missing terminating \"'\" character!‹c›;‹d›;"),
            "{said}"
        );
        let comment = format!("a;#{}\nb;", "x".repeat(5000));
        assert!(read(comment.as_bytes()).ends_with("bytes or more!‹b›;"));
    }

    #[test]
    fn words_know_their_line() {
        let (mut lexer, mut heard) = (Lexer::new(b"\n# c\nlog_format main 'a'\n  'b\nc'\n  d;\ne;"), Heard::default());
        assert_eq!(lexer.read(&mut heard), End::Simple);
        assert_eq!(heard.0.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [3, 3, 3, 4, 6]);
        lexer.read(&mut heard);
        assert_eq!(heard.0, [("e".to_owned(), 7)]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
        }

        #[test]
        fn any_syntax_ends(text in "[ab \n;{}\"'\\\\$#)]{0,300}") {
            read(text.as_bytes());
        }
    }
}
