//! The quoting against the real shells of this machine.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::process::Command;

const SHELLS: &[&[&str]] = &[
    &["sh", "-c"],
    &["dash", "-c"],
    &["bash", "-c"],
    &["bash", "--posix", "-c"],
    &["busybox", "sh", "-c"],
    &["tcsh", "-c"],
    &["csh", "-c"],
];

/// Runs a line as sshd would and returns what `printf '%s\0'` made of the arguments.
fn arguments_seen(shell: &[&str], line: &str) -> Vec<u8> {
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .arg(line)
        .env("HOME", "/nonexistent")
        .output()
        .unwrap_or_else(|error| {
            panic!("{shell:?} cannot run ({error}): apt-get install bash dash busybox tcsh")
        });
    assert!(output.status.success(), "{shell:?}: {line}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn assert_survives(arguments: &[String]) {
    let mut argv = vec!["printf".to_owned(), "%s\\0".to_owned()];
    argv.extend_from_slice(arguments);
    let line = command_line(r#"exec "$@""#, &argv).unwrap();
    let mut expected = Vec::new();
    for argument in arguments {
        expected.extend_from_slice(argument.as_bytes());
        expected.push(0);
    }
    for shell in SHELLS {
        let seen = arguments_seen(shell, &line);
        assert_eq!(
            seen.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{shell:?} with the line {line}"
        );
    }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn the_awkward_ones_survive_every_shell() {
    assert_survives(&strings(&[
        "plain",
        "two words",
        "",
        "  ",
        "~",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "#",
        "%1",
        "&",
        "|",
        ";",
    ]));
    assert_survives(&strings(&[
        "'", "\"", "`id`", "$HOME", "$(id)", "${x}", "\\", "\\\\", "\\n", "!", "!!", "!x", "^a^b",
    ]));
    assert_survives(&strings(&["\n", "a\nb\n", "\n\n", "\r", "\t", "end\n"]));
    assert_survives(&strings(&[
        "grüße",
        "日本語",
        "🦀",
        "-n",
        "--",
        "a=b",
        "\u{1}\u{7f}\u{1b}[31m",
        "\u{80}\u{81}\u{88}",
    ]));
    assert_survives(&strings(&["only inert text stays as it is (even these: $x \"y\" `z` | & ; < >)"]));
}

#[test]
fn long_arguments_survive_every_shell() {
    assert_survives(&["x".repeat(30_000), "é\n".repeat(2_000)]);
}

#[test]
fn random_arguments_survive_every_shell() {
    let seed = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..25 {
        let arguments: Vec<String> = (0..random.random_range(1..12))
            .map(|_| {
                (0..random.random_range(0..40))
                    .map(|_| match random.random_range(0..4) {
                        0 => char::from(random.random_range(1..=127_u8)),
                        1 => *b"'\"\\$`!\n *?~#&;|<>(){}[]^%=-"
                            .map(char::from)
                            .get(random.random_range(0..27))
                            .unwrap(),
                        2 => random.random_range('\u{80}'..='\u{7ff}'),
                        _ => char::from(random.random_range(b'a'..=b'z')),
                    })
                    .collect()
            })
            .collect();
        assert!(!arguments.is_empty(), "seed {seed} round {round}");
        assert_survives(&arguments);
    }
}

#[test]
fn a_posix_login_shell_gets_the_arguments_as_they_are() {
    let argv = strings(&[
        "printf",
        "%s\\0",
        "",
        "it's",
        "$HOME `id`",
        "\\n\\",
        "!!",
        "a\nb\n",
        "ü🦀\u{1}",
        "-n",
        "*",
    ]);
    let line = posix_command_line("exec \"$@\"", &argv).unwrap();
    let expected: Vec<u8> = argv[2..].iter().flat_map(|word| word.bytes().chain([0])).collect();
    for shell in ["/bin/sh", "/bin/dash", "/bin/bash"] {
        let output = std::process::Command::new(shell).args(["-c", &line]).output().unwrap();
        assert_eq!(output.stdout.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{shell}");
    }
    assert!(posix_command_line("exec", &strings(&["-x"])).is_err());
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_reason() {
    let text = |argv: &[&str]| command_line("exec", &strings(argv)).unwrap_err().to_string();
    assert_eq!(text(&[]), "the command is empty: name a program");
    assert_eq!(text(&[""]), "the command is empty: name a program");
    assert_eq!(text(&["a", "b\0c"]), "the argument \"b\\0c\" holds a NUL, which no argument can");
    assert!(text(&["-x"]).contains("begins with '-'"));
    assert!(text(&["a", &"x".repeat(200_000)]).contains("pass long input on standard input"));
    assert!(command_line("it's", &strings(&["a"])).is_err());
}
