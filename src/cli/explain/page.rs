//! What an explanation looks like. Everything printed goes through [`Safe`]: guide and fields hold a log's own text.

use std::fmt::Display;
use std::io::{self, Write};

use super::Style;
use crate::diagnosis::guide::{self, Guide};
use crate::inputs::log::nginx_error::peer_address;
use crate::observation::{Entry, Level, Phase, Protocol, Verdict};
use crate::text::Safe;

/// Where lines are broken.
const WIDTH: usize = 100;
/// Where the text begins, behind the labels.
const INDENT: usize = 11;
/// The longest value shown of a field, in characters.
const LONGEST_VALUE: usize = 300;
/// As much of a line as can be worth showing, in bytes: a limit on what is kept, not on what is read.
const EXCERPT: usize = 4 * LONGEST_VALUE;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// The front of a line, as much as is ever shown.
pub(super) fn excerpt(line: &[u8]) -> &[u8] {
    line.get(..EXCERPT).unwrap_or(line)
}

/// The output, and whether something stands on it already.
pub(super) struct Page<'w, W> {
    out: &'w mut W,
    style: Style,
    begun: bool,
}

impl<'w, W: Write> Page<'w, W> {
    pub(super) fn new(out: &'w mut W, style: Style) -> Self {
        Self { out, style, begun: false }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Explains one entry.
    pub(super) fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let peer = entry.fields.upstream.map(peer_address);
        let peer = peer.as_deref().map(String::from_utf8_lossy);
        let guide = guide::guide(entry, peer.as_deref());

        self.head(entry)?;
        self.value("line", excerpt(entry.message))?;
        if let Some(errno) = entry.errno {
            let name = guide::errno_name(errno).unwrap_or("see errno(3)");
            self.text("errno", &format!("{errno} {name}"))?;
        }
        self.place(entry, peer.as_deref())?;
        self.php_messages(entry)?;
        self.guide(&guide)
    }

    /// Says that lines were not understood.
    pub(super) fn foreign(&mut self, first: &[u8], lines: u64) -> io::Result<()> {
        self.gap()?;
        let title = self.paint(YELLOW, "not understood");
        match lines {
            0 | 1 => writeln!(self.out, "{title}")?,
            _ => writeln!(self.out, "{title}  {lines} lines, the first of them:")?,
        }
        self.value("line", first)?;
        self.text(
            "means",
            "This is no entry of an nginx error log, or only a piece of one. An access log has the statuses, not the \
             reasons: those stand in the file that error_log names.",
        )
    }

    fn head(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.gap()?;
        let colour = match entry.verdict {
            Verdict::Upstream(_) | Verdict::Local(_) => RED,
            Verdict::Php(_) | Verdict::PeerDisabled => YELLOW,
            Verdict::Client | Verdict::Other => BOLD,
        };
        let title = match (entry.verdict, entry.verdict.class()) {
            (Verdict::PeerDisabled, _) => "upstream peer disabled".to_owned(),
            (verdict, Some(class)) => format!("{} {class}", verdict.kind()),
            (verdict, None) => verdict.kind().to_string(),
        };
        let mut line = self.paint(colour, &title);
        if let Some(level) = entry.level.map(Level::name) {
            line.push_str(&self.paint(DIM, &format!("  [{level}]")));
        }
        if let Some(time) = entry.time {
            line.push_str(&self.paint(DIM, &format!("  {time}")));
        }
        writeln!(self.out, "{line}")
    }

    /// Where it happened: peer, server, request.
    fn place(&mut self, entry: &Entry<'_>, peer: Option<&str>) -> io::Result<()> {
        let protocol = entry.protocol.map(Protocol::name);
        let phase = entry.phase.map(|phase| format!("while {}", doing(phase)));
        let parts = [peer, protocol, phase.as_deref()];
        let upstream = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let fields = &entry.fields;
        let server = fields.server.map(|server| if server.is_empty() { b"(no server_name)" } else { server });
        for (label, value) in [
            ("upstream", (!upstream.is_empty()).then_some(upstream.as_bytes())),
            ("server", server),
            ("request", fields.request),
            ("part", fields.subrequest),
        ] {
            if let Some(value) = value {
                self.value(label, value)?;
            }
        }
        Ok(())
    }

    /// How many PHP messages of which kind, where there are several.
    fn php_messages(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        if entry.php.iter().map(|(_, count)| u32::from(count)).sum::<u32>() < 2 {
            return Ok(());
        }
        let list = entry.php.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
        self.text("messages", &list.join(", "))
    }

    fn guide(&mut self, guide: &Guide) -> io::Result<()> {
        self.text("means", &guide.meaning)?;
        match &guide.caveat {
            Some(caveat) => self.text("client", &format!("{}; {caveat}", guide.client))?,
            None => self.text("client", &guide.client.to_string())?,
        }
        if let Some(cause) = guide.first {
            self.text("check", cause.name())?;
        }
        for (index, fix) in guide.fix.iter().enumerate() {
            self.text(if index == 0 { "fix" } else { "" }, &format!("- {fix}"))?;
        }
        for (index, command) in guide.confirm.iter().enumerate() {
            let command = self.paint(GREEN, &Safe::new(command).to_string());
            self.row(if index == 0 { "confirm" } else { "" }, command)?;
        }
        Ok(())
    }

    fn gap(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) { writeln!(self.out) } else { Ok(()) }
    }

    /// A value of the log, on one line.
    fn value(&mut self, label: &str, value: &[u8]) -> io::Result<()> {
        self.row(label, Safe::limited(value, LONGEST_VALUE))
    }

    /// Words of ours, which may quote the log, over as many lines as they need.
    fn text(&mut self, label: &str, text: &str) -> io::Result<()> {
        let safe = Safe::new(text).to_string();
        let hang = if safe.starts_with("- ") { "  " } else { "" };
        for (index, line) in wrap(&safe, WIDTH - INDENT - hang.len()).into_iter().enumerate() {
            if index == 0 { self.row(label, line)? } else { self.row("", format_args!("{hang}{line}"))? }
        }
        Ok(())
    }

    fn row(&mut self, label: &str, text: impl Display) -> io::Result<()> {
        let label = self.paint(DIM, &format!("  {label:<width$}", width = INDENT - 2));
        writeln!(self.out, "{label}{text}")
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.style {
            Style::Plain => text.to_owned(),
            Style::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// What nginx was doing, in words.
fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolving => "resolving its name",
        Phase::Connecting => "connecting",
        Phase::Handshaking => "shaking hands (TLS)",
        Phase::Sending => "sending the request",
        Phase::ReadingHeader => "reading the response header",
        Phase::ReadingBody => "reading the response body",
        Phase::SendingToClient => "sending to the client",
        Phase::ProxyingUpgraded => "proxying an upgraded connection (WebSocket)",
        Phase::Proxying => "proxying",
    }
}

/// `text` in lines of at most `width` characters, broken at spaces; a longer word has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn text_is_broken_at_spaces_and_a_long_word_stays_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a verylongword b", 4), ["a", "verylongword", "b"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
