//! A command line taken apart as Windows' `CommandLineToArgvW` does.
//!
//! The first word ends at its second quote where it begins with one, else at white space; backslashes mean nothing in it. In
//! all others a quote switches quoting, `2n` backslashes before one are `n`, and `2n + 1` are `n` and the quote itself. A third
//! quote in a row is a quote, too, and ends the quoting.

/// The words of a line.
pub(super) fn split(line: &str) -> Vec<String> {
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() {
        return Vec::new();
    }
    let (first, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
        None => line.split_once([' ', '\t']).unwrap_or((line, "")),
    };
    let mut words = vec![first.to_owned()];
    let mut characters = rest.chars().peekable();
    loop {
        while characters.next_if(|&c| c == ' ' || c == '\t').is_some() {}
        if characters.peek().is_none() {
            return words;
        }
        words.push(word(&mut characters));
    }
}

/// Takes one word.
fn word(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut word = String::new();
    let mut quotes = 0;
    while let Some(&next) = characters.peek() {
        match next {
            ' ' | '\t' if quotes == 0 => break,
            '\\' => {
                let mut backslashes = 0;
                while characters.next_if_eq(&'\\').is_some() {
                    backslashes += 1;
                }
                let quote = characters.peek() == Some(&'"');
                let kept = if quote { backslashes / 2 } else { backslashes };
                word.extend(std::iter::repeat_n('\\', kept));
                if quote && backslashes % 2 == 1 {
                    characters.next();
                    word.push('"');
                }
            }
            '"' => {
                while characters.next_if_eq(&'"').is_some() {
                    quotes += 1;
                    if quotes == 3 {
                        word.push('"');
                        quotes = 0;
                    }
                }
                // Opened and closed again.
                if quotes == 2 {
                    quotes = 0;
                }
            }
            other => {
                characters.next();
                word.push(other);
            }
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_those_of_windows() {
        // The examples of Microsoft's documentation, and what is known of the function's corners.
        for (line, words) in [
            (r#"x "a b c" d e"#, &["x", "a b c", "d", "e"][..]),
            (r#"x "ab\"c" "\\" d"#, &["x", "ab\"c", "\\", "d"]),
            (r#"x a\\\b d"e f"g h"#, &["x", r"a\\\b", "de fg", "h"]),
            (r#"x a\\\"b c d"#, &["x", r#"a\"b"#, "c", "d"]),
            (r#"x a\\\\"b c" d e"#, &["x", r"a\\b c", "d", "e"]),
            (r#""C:\Program Files\x.exe" a"#, &[r"C:\Program Files\x.exe", "a"]),
            (r#"C:\a\"b c"#, &["C:\\a\\\"b", "c"]),
            (r#"x "" y"#, &["x", "", "y"]),
            (r#"x """a""" b"#, &["x", "\"a\"", "b"]),
            (r#"x "a""b" c"#, &["x", "a\"b c"]),
            ("  x \t y  ", &["x", "y"]),
            ("", &[]),
        ] {
            assert_eq!(split(line), words, "{line}");
        }
    }
}
