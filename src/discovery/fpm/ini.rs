//! One line of an FPM configuration, as PHP's own scanner reads it. Pure.
//!
//! FPM hands its file to PHP's ini parser line by line (`fpm_conf_load_ini_file`), so nothing spans lines. What PHP 8.2
//! makes of odd lines was tried with `php-fpm -tt`:
//!
//! * `;` begins a comment, except between quotes; `#` does not. A lone carriage return ends a line too.
//! * `"…"` knows the escapes `\"`, `\\` and `\$`; `'…'` knows none. Pieces are joined: `"a" b "c"` is `abc`, because
//!   blanks beside a double-quoted piece are dropped; other blanks inside a value are kept.
//! * Outside quotes `true`, `on`, `yes` are `1`, and `false`, `off`, `no`, `none`, `null` are nothing at all.
//! * `${NAME}` is the environment of FPM, not ours; PHP 8.3 adds `${NAME:-default}`. `$NAME` is just text.
//! * A bare `key`, an unquoted `=` in a value and an open quote make FPM refuse the whole file.
//!
//! Left out: constants and arithmetic (`E_ALL & ~E_NOTICE`), which stay as text; no directive we read uses them.

/// What stands in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// `[name]`.
    Section(String),
    /// `key = value`, or `key[sub] = value`.
    Entry {
        /// The key, as written.
        key: String,
        /// What stands between brackets.
        sub: Option<String>,
        /// The value.
        value: Value,
    },
}

/// The value of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Its text, with what the environment gave.
    pub(super) text: String,
    /// A variable it needs whose content cannot be known.
    pub(super) unknown: Option<String>,
}

/// What the environment of FPM says of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    /// It is set.
    Set(String),
    /// It is not set.
    Unset,
    /// The environment cannot be read.
    Unknown,
}

/// What the environment may put into one value: more than any path or number.
const MAX_VALUE: usize = 64 * 1024;

/// Looks up a variable in the environment of FPM.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Variable;

/// PHP would refuse the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the statements of one line (without its line feed): usually none or one, more where `[section]key = value` or a
/// carriage return puts several into it.
pub(super) fn statements(line: &[u8], environment: Environment<'_>) -> Vec<Result<Line, Malformed>> {
    let mut found = Vec::new();
    for part in line.split(|byte| *byte == b'\r') {
        let text = String::from_utf8_lossy(part);
        let mut rest = text.as_ref();
        if let Some(after) = rest.strip_prefix('[') {
            match section(after) {
                Ok((name, after)) => {
                    found.push(Ok(Line::Section(name)));
                    rest = after;
                }
                Err(Malformed) => {
                    found.push(Err(Malformed));
                    continue;
                }
            }
        }
        found.extend(entry(rest.trim_matches(BLANKS), environment).transpose());
    }
    found
}

const BLANKS: [char; 2] = [' ', '\t'];

fn section(text: &str) -> Result<(String, &str), Malformed> {
    let (name, rest) = text.split_once(']').ok_or(Malformed)?;
    Ok((name.chars().filter(|c| !matches!(c, '"' | '\'')).collect(), rest))
}

fn entry(text: &str, environment: Environment<'_>) -> Result<Option<Line>, Malformed> {
    if text.is_empty() || text.starts_with(';') {
        return Ok(None);
    }
    // Neither quotes nor comments can stand before the `=`, except in brackets.
    let (key, value) = match text.find(['=', '[', ';', '"']).map(|at| text.split_at(at)) {
        Some((key, rest)) if rest.starts_with('[') => {
            let (sub, rest) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or(Malformed)?;
            let value = rest.trim_start_matches(BLANKS).strip_prefix('=').ok_or(Malformed)?;
            let sub = self::value(sub.trim_start_matches(BLANKS), environment)?;
            return finish(key, Some(sub.text), value, environment);
        }
        Some((key, rest)) => (key, rest.strip_prefix('=').ok_or(Malformed)?),
        None => return Err(Malformed),
    };
    finish(key, None, value, environment)
}

fn finish(
    key: &str,
    sub: Option<String>,
    value: &str,
    environment: Environment<'_>,
) -> Result<Option<Line>, Malformed> {
    let key = key.trim_matches(BLANKS);
    if key.is_empty() {
        return Err(Malformed);
    }
    Ok(Some(Line::Entry { key: key.to_owned(), sub, value: self::value(value, environment)? }))
}

fn value(text: &str, environment: Environment<'_>) -> Result<Value, Malformed> {
    let mut value = Value { text: String::new(), unknown: None };
    let mut rest = text.trim_matches(BLANKS);
    if let Some(boolean) = boolean(rest.split(';').next().unwrap_or_default().trim_matches(BLANKS)) {
        value.text.push_str(boolean);
        return Ok(value);
    }
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            ';' => break,
            '=' => return Err(Malformed),
            '"' => {
                trim_end(&mut value.text);
                value.double_quoted(after, environment)?.trim_start_matches(BLANKS)
            }
            '\'' => match after.split_once('\'') {
                Some((quoted, after)) => {
                    value.text.push_str(quoted);
                    after
                }
                // PHP cuts the value here if there is one.
                None if value.text.is_empty() => return Err(Malformed),
                None => break,
            },
            '$' if after.starts_with('{') => value.variable(after, environment)?,
            c => {
                value.text.push(c);
                after
            }
        };
    }
    trim_end(&mut value.text);
    Ok(value)
}

impl Value {
    /// Takes a double-quoted piece; returns what follows the closing quote.
    fn double_quoted<'t>(&mut self, text: &'t str, environment: Environment<'_>) -> Result<&'t str, Malformed> {
        let mut rest = text;
        loop {
            let c = rest.chars().next().ok_or(Malformed)?;
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            rest = match c {
                '"' => return Ok(after),
                '$' if after.starts_with('{') => self.variable(after, environment)?,
                '\\' => match after.chars().next() {
                    Some(escaped @ ('"' | '\\' | '$')) => {
                        self.text.push(escaped);
                        after.get(1..).unwrap_or_default()
                    }
                    _ => {
                        self.text.push('\\');
                        after
                    }
                },
                c => {
                    self.text.push(c);
                    after
                }
            };
        }
    }

    /// Takes `{NAME}`; returns what follows.
    fn variable<'t>(&mut self, text: &'t str, environment: Environment<'_>) -> Result<&'t str, Malformed> {
        let (inside, rest) = text.strip_prefix('{').and_then(|text| text.split_once('}')).ok_or(Malformed)?;
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        let name = name.trim_matches(BLANKS);
        match environment(name) {
            Variable::Set(content) if self.text.len() + content.len() > MAX_VALUE => return Err(Malformed),
            Variable::Set(content) => self.text.push_str(&content),
            Variable::Unset => self.text.push_str(default),
            Variable::Unknown => self.unknown = Some(name.to_owned()),
        }
        Ok(rest)
    }
}

fn trim_end(text: &mut String) {
    text.truncate(text.trim_end_matches(BLANKS).len());
}

fn boolean(word: &str) -> Option<&'static str> {
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if is(&["true", "on", "yes"]) {
        Some("1")
    } else if is(&["false", "off", "no", "none", "null"]) {
        Some("")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
