//! The quoting against readers that follow the published rules, written apart from it.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a program of Windows finds in its line, by the rules of `CommandLineToArgvW`.
fn taken_apart(line: &str) -> Vec<String> {
    let mut rest = line;
    // The program: to the next quotation mark where it begins with one, else to the first space; no escapes.
    let program = if let Some(quoted) = rest.strip_prefix('"') {
        let (name, after) = quoted.split_once('"').expect("a closing mark");
        rest = after;
        name
    } else {
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        name
    };
    let mut words = vec![program.to_owned()];
    let bytes: Vec<char> = rest.chars().collect();
    let mut at = 0;
    loop {
        while at < bytes.len() && matches!(bytes[at], ' ' | '\t') {
            at += 1;
        }
        if at == bytes.len() {
            return words;
        }
        let (mut word, mut quoted) = (String::new(), false);
        while at < bytes.len() && (quoted || !matches!(bytes[at], ' ' | '\t')) {
            let backslashes = bytes[at..].iter().take_while(|&&c| c == '\\').count();
            at += backslashes;
            if bytes.get(at) == Some(&'"') {
                word.push_str(&"\\".repeat(backslashes / 2));
                if backslashes % 2 == 1 {
                    word.push('"');
                    at += 1;
                } else if quoted && bytes.get(at + 1) == Some(&'"') {
                    // Two within quotation are one mark.
                    word.push('"');
                    at += 2;
                } else {
                    quoted = !quoted;
                    at += 1;
                }
            } else {
                word.push_str(&"\\".repeat(backslashes));
                if at < bytes.len() && (quoted || !matches!(bytes[at], ' ' | '\t')) {
                    word.push(bytes[at]);
                    at += 1;
                }
            }
        }
        words.push(word);
    }
}

/// The variable that `cmd` takes for meant by what is after a percent sign: `NAME%`, `NAME:~1,2%`, `NAME:a=b%`.
fn variable(after: &str) -> Option<&str> {
    let (name, rest) = after.split_at(after.find(['%', ':'])?);
    let change = rest.strip_prefix(':').map(|change| change.split_once('%'));
    let meant = match change {
        None => true,
        Some(Some((change, _))) => change.starts_with('~') || change.contains('='),
        Some(None) => false,
    };
    // No one has a caret in its name.
    (meant && !name.is_empty() && !name.contains('^')).then_some(name)
}

/// The program that `cmd /c` looks for, and the line that it hands to it: variables first, then carets and quotation marks. An
/// error names what it would have done besides.
///
/// Wine's `cmd` cannot be asked: it takes carets away before it looks for variables.
fn through_cmd(line: &str) -> Result<(String, String), String> {
    for (at, _) in line.match_indices('%') {
        if let Some(name) = variable(&line[at + 1..]) {
            return Err(format!("the variable {name:?}"));
        }
    }
    if line.starts_with('"') {
        return Err("the line without its first and its last quotation mark".into());
    }
    let (mut handed, mut quoted, mut name_ends) = (String::new(), false, None);
    let mut characters = line.strip_prefix('@').unwrap_or(line).chars();
    while let Some(mut c) = characters.next() {
        let escaped = c == '^' && !quoted;
        if escaped {
            let Some(next) = characters.next() else { break };
            c = next;
        }
        // A caret makes an operator a plain sign. To a space it does nothing.
        if !quoted && matches!(c, ' ' | '\t' | ',' | ';' | '=') {
            name_ends = name_ends.or(Some(handed.len()));
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            '&' | '|' | '<' | '>' | '(' | ')' if !quoted && !escaped => {
                return Err(format!("the operator {c}"));
            }
            _ => {}
        }
        handed.push(c);
    }
    let program = handed[..name_ends.unwrap_or(handed.len())].replace('"', "");
    Ok((program, handed))
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn assert_survives(argv: &[String]) {
    let (program, arguments) = windows_command_line(argv).unwrap();
    let line = format!("{program} {arguments}");
    assert_eq!(taken_apart(&line), argv, "{line}");
    if !argv.iter().any(|word| word.contains(['\n', '\r'])) {
        let line = cmd_command_line(argv).unwrap();
        let (program, handed) = through_cmd(&line).unwrap_or_else(|what| panic!("{line}: {what}"));
        assert_eq!((&program, taken_apart(&handed)), (&argv[0], argv.to_vec()), "{line}");
    }
}

#[test]
fn the_published_examples_come_out() {
    for (line, words) in [
        (r#"x "a b c" d e"#, &["x", "a b c", "d", "e"][..]),
        (r#"x "ab\"c" "\\" d"#, &["x", "ab\"c", "\\", "d"]),
        (r#"x a\\\b d"e f"g h"#, &["x", r"a\\\b", "de fg", "h"]),
        (r#"x a\\\"b c d"#, &["x", r#"a\"b"#, "c", "d"]),
        (r#"x a\\\\"b c" d e"#, &["x", r"a\\b c", "d", "e"]),
        (r#""C:\a b\" x"#, &[r"C:\a b\", "x"]),
    ] {
        assert_eq!(taken_apart(line), words, "{line}");
    }
    let echo = |handed: &str| Ok(("echo".to_owned(), handed.to_owned()));
    assert_eq!(through_cmd("echo ^%^PATH^% ^\"a^&b^\""), echo("echo %PATH% \"a&b\""));
    assert_eq!(through_cmd("echo %a:b%"), echo("echo %a:b%"));
    for (line, program) in
        [(r#"^"C:\a b^" x"#, r"C:\a"), (r#"@"C:\a b" x"#, r"C:\a b"), (r#"@"a,b""#, "a,b"), ("a^,b", "a")]
    {
        assert_eq!(through_cmd(line).unwrap().0, program, "{line}");
    }
    for meant in [
        "echo %PATH%",
        "echo ^%PATH:a=b^%",
        "echo ^%PATH:~0,1^%",
        "echo ^%PATH:~-3^%",
        "echo a&b",
        "echo \"a\"|x",
        "\"a b\" \"x\"",
    ] {
        assert!(through_cmd(meant).is_err(), "{meant}");
    }
}

#[test]
fn the_awkward_ones_survive() {
    assert_survives(&strings(&["x"]));
    assert_survives(&strings(&[
        "C:\\Program Files\\x y\\z.exe",
        "",
        " ",
        "\t",
        "a b",
        "\"",
        "\"\"",
        "a\"b\"c",
    ]));
    assert_survives(&strings(&[
        "x",
        "\\",
        "\\\\",
        "a\\",
        "a b\\",
        "\\\"",
        "a\\\\\"",
        "C:\\dir\\ ",
        "\\\\host\\share",
    ]));
    assert_survives(&strings(&[
        "x", "%PATH%", "%", "%%", "a%b%c", "!x!", "^", "^^", "&", "a|b", "<>", "(", ")", "\"&\"",
    ]));
    assert_survives(&strings(&[
        "x",
        "%PATH:a=b%",
        "%PATH:~0,1%",
        "%PATH:~-3%",
        "%PATH:%",
        "%:a=b%",
        "a%%PATH:a=%%",
        "50%",
        "% PATH%",
    ]));
    assert_survives(&strings(&["x", "a\nb", "\r\n", "ü🦀", "\u{1}", "/?", "-n", "*"]));
}

#[test]
fn random_words_survive() {
    let seed = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..20_000 {
        let program =
            ["program", "a program's name", "C:\\x(86)&y", "a,b", "a;^b=!c"][random.random_range(0..5)];
        let mut argv = strings(&[program]);
        argv.extend((0..random.random_range(0..6)).map(|_| {
            (0..random.random_range(0..12))
                .map(|_| match random.random_range(0..4) {
                    0 => ['"', '\\', ' ', '%', '^', ':', '=', '~'][random.random_range(0..8)],
                    1 => ['&', '|', '<', '>', '(', ')', '!', '\t', '\'', ';'][random.random_range(0..10)],
                    2 => random.random_range('\u{80}'..='\u{7ff}'),
                    _ => char::from(random.random_range(b'a'..=b'c')),
                })
                .collect::<String>()
        }));
        assert_survives(&argv);
    }
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_reason() {
    let text = |argv: &[&str]| windows_command_line(&strings(argv)).unwrap_err().to_string();
    assert_eq!(text(&[]), "the command is empty: name a program");
    assert_eq!(text(&[""]), "the command is empty: name a program");
    assert_eq!(text(&["a", "b\0c"]), "the argument \"b\\0c\" holds a NUL, which no argument can");
    assert!(text(&["a\"b"]).contains("quotation mark"));
    assert!(text(&["a", &"x".repeat(9000)]).contains("pass long input on standard input"));
    assert!(windows_command_line(&strings(&["a", &"x".repeat(8189)])).is_ok());
    assert!(windows_command_line(&strings(&["a", &"x".repeat(8190)])).is_err());
    let text = cmd_command_line(&strings(&["a", "b\nc"])).unwrap_err().to_string();
    assert!(text.contains("line break"), "{text}");
    let text = cmd_command_line(&strings(&["100% sure.exe"])).unwrap_err().to_string();
    assert!(text.contains("run \"100% sure.exe\" without cmd"), "{text}");
    assert!(cmd_command_line(&strings(&["a", &"&".repeat(5000)])).is_err(), "longer by its carets");
}
