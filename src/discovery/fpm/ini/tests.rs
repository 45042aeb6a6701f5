use proptest::prelude::*;

use super::{Line, Malformed, Variable, statements};

fn environment(name: &str) -> Variable {
    match name {
        "NAME" => Variable::Set("foo".to_owned()),
        "QUOTED" => Variable::Set("a\"b;c".to_owned()),
        "SECRET" => Variable::Unknown,
        _ => Variable::Unset,
    }
}

fn value(text: &str) -> Result<String, Malformed> {
    match statements(format!("key = {text}").as_bytes(), &environment).as_slice() {
        [Ok(Line::Entry { key, sub: None, value })] if key == "key" => Ok(value.text.clone()),
        [Err(Malformed)] => Err(Malformed),
        other => panic!("{text}: {other:?}"),
    }
}

/// Left the value as it stands in the file, right what `php-fpm8.2 -tt` shows for it.
#[test]
fn values_are_what_fpm_makes_of_them() {
    for (written, shown) in [
        (r#""a;b" ; c"#, "a;b"),
        ("a;b", "a"),
        ("'a;b' x", "a;b x"),
        (r#""a" b "c""#, "abc"),
        (r#"a "b" c"#, "abc"),
        (r#""b" c d"#, "bc d"),
        (r#""a\"b""#, "a\"b"),
        (r#""a\nb\\c""#, r"a\nb\c"),
        (r#""a\$b""#, "a$b"),
        (r#""a\'b""#, r"a\'b"),
        (r"a\b", r"a\b"),
        (r"a\;b", r"a\"),
        (r"'a\'b'", r"a\b"),
        (r#""x $pool ${NAME} y""#, "x $pool foo y"),
        ("$pool-${NAME}-z", "$pool-foo-z"),
        ("x${NOPE}y", "xy"),
        (r#""${NOPE}""#, ""),
        ("${QUOTED}", "a\"b;c"),
        ("'${NAME}'", "${NAME}"),
        ("${ NAME }", "foo"),
        ("${NAME} ${NAME}", "foo foo"),
        (r#"${NAME} c "d" ${NAME}"#, "foo cdfoo"),
        ("$NAME", "$NAME"),
        ("a$", "a$"),
        ("a#b", "a#b"),
        (r#""a=b""#, "a=b"),
        ("yes", "1"),
        ("YES", "1"),
        ("On ; comment", "1"),
        ("none", ""),
        ("null", ""),
        (r#""yes""#, "yes"),
        ("", ""),
        (r#""""#, ""),
        ("it's", "it"),
        ("a'b c' d", "ab c d"),
        ("x ' y ' z", "x  y  z"),
        ("'a' 'b'", "a b"),
        ("[b]", "[b]"),
        ("a b   c  ", "a b   c"),
        ("{a}", "{a}"),
        ("256M", "256M"),
        ("a,b:c@d%e*f?g<h>i", "a,b:c@d%e*f?g<h>i"),
    ] {
        assert_eq!(value(written).as_deref(), Ok(shown), "{written}");
    }
}

#[test]
fn a_default_of_a_variable_is_that_of_php_8_3() {
    assert_eq!(value("${NOPE:-a b}").as_deref(), Ok("a b"));
    assert_eq!(value("\"${NAME:-bar}\"").as_deref(), Ok("foo"));
}

#[test]
fn a_variable_that_cannot_be_known_is_named() {
    let found = statements(b"pm.max_children = ${SECRET}", &environment);
    let [Ok(Line::Entry { value, .. })] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(value.unknown.as_deref(), Some("SECRET"));
}

#[test]
fn lines_that_make_fpm_refuse_the_file_are_malformed() {
    for line in [
        "key",
        "# comment",
        "= 1",
        "key = a=b",
        "key = \"a",
        "key = 'a",
        "key = a\"",
        "key = ${A",
        "[www",
        "  [www]",
        "[www]x",
        "[w]x]",
        "a[b = 1",
        "a[b]\" = 1",
    ] {
        let found = statements(line.as_bytes(), &environment);
        assert!(found.contains(&Err(Malformed)), "{line}: {found:?}");
    }
}

fn section(name: &str) -> Result<Line, Malformed> {
    Ok(Line::Section(name.to_owned()))
}

#[test]
fn sections_are_read_with_what_follows_them() {
    for (line, name) in [
        ("[www]", "www"),
        ("[ www ]", " www "),
        ("[\"w w\"]", "w w"),
        ("[www];c", "www"),
        ("[www] ; c", "www"),
        ("[]", ""),
    ] {
        assert_eq!(statements(line.as_bytes(), &environment), [section(name)], "{line}");
    }
    let found = statements(b"[www]user=www-data", &environment);
    assert!(matches!(found.as_slice(), [Ok(Line::Section(_)), Ok(Line::Entry { .. })]), "{found:?}");
}

#[test]
fn blanks_comments_and_brackets_are_read() {
    for nothing in ["", "   ", "\t", "; comment", " ;x = 1", "\r"] {
        assert_eq!(statements(nothing.as_bytes(), &environment), [], "{nothing:?}");
    }
    for (line, expected) in [
        ("php_value[a] = 1", ("php_value", "a", "1")),
        (" php_value [a b]=1\r", ("php_value", "a b", "1")),
        ("php_value[\"z\"]=1;x", ("php_value", "z", "1")),
        ("php_value[ c ] = 3", ("php_value", "c", "3")),
        ("php_value[${NAME}]=on", ("php_value", "foo", "1")),
    ] {
        let found = statements(line.as_bytes(), &environment);
        let [Ok(Line::Entry { key, sub: Some(sub), value })] = found.as_slice() else { panic!("{line}: {found:?}") };
        assert_eq!((key.as_str(), sub.trim(), value.text.as_str()), expected, "{line}");
    }
    assert_eq!(statements(b"a=1\rb=2", &environment).len(), 2);
}

proptest! {
    #[test]
    fn any_line_is_read_and_none_grows(line in prop::collection::vec(any::<u8>(), 0..300)) {
        for statement in statements(&line, &environment).into_iter().flatten() {
            let length = match statement {
                Line::Section(name) => name.len(),
                Line::Entry { key, sub, value } => key.len() + sub.map_or(0, |sub| sub.len()) + value.text.len(),
            };
            // A byte that is not UTF-8 becomes three; the environment above says at most five.
            prop_assert!(length <= line.len() * 5);
        }
    }

    #[test]
    fn lines_made_of_what_matters_are_read(line in r#"[\[\]="';$\{\}\\a \r]{0,40}"#) {
        statements(line.as_bytes(), &environment);
    }
}
