//! The end of a `*_by_lua_block { … }`, whose content is Lua and no configuration.
//!
//! As in OpenResty's `ngx_http_lua_conf_lua_block_parse`: braces are counted, except in strings, in comments and in long
//! brackets (`[[ … ]]`, `[==[ … ]==]`).

/// Whether a block of that name holds Lua.
pub(super) fn is_lua_block(name: &[u8]) -> bool {
    name.ends_with(b"_by_lua_block")
}

/// How many bytes of `code`, which begins behind the opening brace, belong to the block, its closing brace included.
/// `None`: it does not end.
pub(super) fn block_length(code: &[u8]) -> Option<usize> {
    let mut open_braces = 1_usize;
    let mut at = 0;
    while let Some(byte) = code.get(at) {
        let rest = code.get(at..).unwrap_or_default();
        at += match byte {
            b'{' => {
                open_braces += 1;
                1
            }
            b'}' => {
                open_braces -= 1;
                if open_braces == 0 {
                    return Some(at + 1);
                }
                1
            }
            b'"' | b'\'' => string_length(rest)?,
            b'-' if rest.starts_with(b"--") => comment_length(rest)?,
            b'[' => long_bracket_length(rest)?,
            _ => 1,
        };
    }
    None
}

/// A string ends at its quote, or unfinished at the end of its line.
fn string_length(code: &[u8]) -> Option<usize> {
    let quote = *code.first()?;
    let mut at = 1;
    loop {
        match *code.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote || byte == b'\n' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn comment_length(code: &[u8]) -> Option<usize> {
    let text = code.get(2..)?;
    match long_bracket_length(text)? {
        1 => memchr::memchr(b'\n', text).map(|end| end + 3),
        long if text.starts_with(b"[") => Some(2 + long),
        _ => memchr::memchr(b'\n', text).map(|end| end + 3),
    }
}

/// The length of `[[ … ]]` or `[=[ … ]=]`, or 1 where no long bracket opens.
fn long_bracket_length(code: &[u8]) -> Option<usize> {
    let level = code.iter().skip(1).take_while(|byte| **byte == b'=').count();
    if code.first() != Some(&b'[') || code.get(level + 1) != Some(&b'[') {
        return Some(1);
    }
    let closing: Vec<u8> = [&b"]"[..], &vec![b'='; level], b"]"].concat();
    let body = code.get(level + 2..)?;
    memchr::memmem::find(body, &closing).map(|end| level + 2 + end + closing.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_braces_of_code_count() {
        for code in [
            "}",
            " local t = { a = { 1 } } }",
            " ngx.say(\"}\") ngx.say('}\\'}') }",
            " -- it's a } here\n }",
            " --[[ } \n } ]] }",
            " --[==[ ]] } ]==] }",
            " local s = [[ } \" ]] .. [=[ ]] } ]=] }",
            " t[1] = a[t[2]] }",
            " s = \"unfinished }\n }",
        ] {
            let text = format!("{code} listen 80; }}");
            assert_eq!(block_length(text.as_bytes()), Some(code.len()), "{code}");
        }
        for code in ["", " {", " \"", " [[ }", " --[[ }", " -- }", " '\\"] {
            assert_eq!(block_length(code.as_bytes()), None, "{code}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(code in "[a{}\"'\\[\\]=\\-\\\\\n]{0,200}") {
            if let Some(length) = block_length(code.as_bytes()) {
                prop_assert!(length <= code.len());
            }
        }
    }
}
