//! `${NAME}` in the values of the file.
//!
//! `${NAME}` is replaced by the environment variable, `$$` by one `$`; any other `$` is itself. Values are replaced
//! after YAML was read, so a variable cannot add keys, and what it holds is not looked at for further `${…}`.

/// Looks up an environment variable; `None` when it is not set, or is not UTF-8.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Replaces variables.
///
/// # Errors
/// What is wrong and what to do, all unset variables by name.
pub(super) fn expand(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut unset = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (name, after) = after
                .split_once('}')
                .filter(|(name, _)| is_name(name))
                .ok_or("`${` begins no variable; write ${NAME}, or $${ for the characters themselves")?;
            match environment(name) {
                Some(value) => expanded.push_str(&value),
                None => unset.push(name),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    if unset.is_empty() {
        Ok(expanded)
    } else {
        Err(format!("not set in the environment: {}; set it, or write the value itself", unset.join(", ")))
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_home(text: &str) -> Result<String, String> {
        expand(text, &|name| (name == "HOME").then(|| "/root/${HOME}".to_owned()))
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(with_home("a${HOME}b").unwrap(), "a/root/${HOME}b");
    }

    #[test]
    fn a_dollar_that_begins_nothing_is_itself() {
        assert_eq!(with_home("$HOME $$ $ 5$ $${HOME}").unwrap(), "$HOME $ $ 5$ ${HOME}");
    }

    #[test]
    fn all_unset_variables_are_named() {
        assert!(with_home("${A}${HOME}${B}").unwrap_err().starts_with("not set in the environment: A, B;"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["${", "${}", "${A", "${1A}", "${A-b}", "${A:-b}", "x${ A }"] {
            assert!(with_home(text).unwrap_err().contains("begins no variable"), "{text}");
        }
    }
}
