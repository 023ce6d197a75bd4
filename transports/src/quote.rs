//! Turns a program and its arguments into one command line that survives any login shell; for Windows, see
//! [`windows_command_line`].
//!
//! An SSH server hands the command line to the user's login shell, which may be `sh`, `bash`, `dash`, `BusyBox`, `csh`,
//! `tcsh` or `fish`. Their quoting rules agree on little: within single quotes `csh` still sees `!` and ends at a
//! newline, `fish` still sees `\\` and `\'`. So only characters that every one of them leaves alone in single quotes
//! cross the login shell, and `/bin/sh` makes the arguments from them:
//!
//! ```text
//!   argv --inert?--> 'arg' 'arg'                                    (nothing to decode)
//!        --else----> '\047arg\047 ...' --printf %b, eval set ----> "$@"
//! ```
//!
//! - Happy path: [`command_line`] gives a line `exec /bin/sh -c '<script>' sh '...' ...`; the script finds the
//!   arguments in `"$@"` exactly as they were in `argv`.
//! - Failure: an empty `argv`, a NUL character, a program name that begins with `-` (`exec` would take it for an
//!   option), or a line that Linux would not take as one argument. All are [`Error::Invalid`], before anything is sent.

mod windows;

pub use windows::{WINDOWS_LINE_MAX_UNITS, cmd_command_line, windows_command_line};

use crate::{Error, Result};

/// The most bytes of a command line: Linux takes no longer single argument (`MAX_ARG_STRLEN`, 128 KiB less the NUL).
pub const COMMAND_LINE_MAX_BYTES: usize = 128 * 1024 - 1;

/// The most bytes of one encoded word; old `csh` takes no longer ones.
const WORD_MAX_BYTES: usize = 900;

/// Turns the encoded words back into the arguments. One fork, and only where there is something to decode.
const DECODE: &str = r#"IFS=; eval "set -- $(printf %b "$*")"; unset IFS; "#;

/// The command line that runs `script` in `/bin/sh` with `argv` as its `"$@"`, through whatever login shell.
///
/// `script` must itself be inert: no `'`, `!`, `\` and no newline. That is a property of this crate's constants, so
/// a violation is reported as [`Error::Invalid`] rather than quoted around.
pub fn command_line(script: &str, argv: &[String]) -> Result<String> {
    check(argv)?;
    if !inert(script) {
        return Err(Error::Invalid("the script holds a character that a login shell may change".into()));
    }
    let mut line = String::from("exec /bin/sh -c '");
    if argv.iter().all(|argument| inert(argument) && argument.len() <= WORD_MAX_BYTES) {
        line.push_str(script);
        line.push_str("' sh");
        for argument in argv {
            line.push_str(" '");
            line.push_str(argument);
            line.push('\'');
        }
    } else {
        line.push_str(DECODE);
        line.push_str(script);
        line.push_str("' sh");
        let encoded = encode(&posix(argv));
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            // The encoding is ASCII, so every index is a character's boundary.
            let (word, tail) = rest.split_at(rest.len().min(WORD_MAX_BYTES));
            line.push_str(" '");
            line.push_str(word);
            line.push('\'');
            rest = tail;
        }
    }
    bounded(line)
}

/// The command line that runs `script` with `argv` as its `"$@"` in a login shell that is known to be a POSIX one.
pub fn posix_command_line(script: &str, argv: &[String]) -> Result<String> {
    check(argv)?;
    bounded(format!("set -- {}; {script}", posix(argv)))
}

fn bounded(line: String) -> Result<String> {
    if line.len() > COMMAND_LINE_MAX_BYTES {
        return Err(Error::Invalid(format!(
            "the command line takes {} bytes where {COMMAND_LINE_MAX_BYTES} are possible: pass long input on standard \
             input instead",
            line.len()
        )));
    }
    Ok(line)
}

/// Quotes arguments for a POSIX shell, for scripts that are known to be read by one.
pub fn posix(argv: &[String]) -> String {
    let mut quoted = String::new();
    for argument in argv {
        if !quoted.is_empty() {
            quoted.push(' ');
        }
        quoted.push('\'');
        quoted.push_str(&argument.replace('\'', r"'\''"));
        quoted.push('\'');
    }
    quoted
}

/// Whether every login shell leaves the text alone within single quotes.
fn inert(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'!' | b'\\'))
}

/// The text for `printf %b`: letters, digits and a few harmless signs as they are, every other byte in octal.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'.' | b'/' | b',' | b':' | b'=' | b'+' | b' ')
        {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "\\0{byte:03o}").expect("writing to a String cannot fail");
        }
    }
    encoded
}

fn check(argv: &[String]) -> Result<()> {
    check_words(argv)?;
    if argv[0].starts_with('-') {
        return Err(Error::Invalid(format!(
            "the program {:?} begins with '-': write it with its path",
            argv[0]
        )));
    }
    Ok(())
}

/// What no system can carry.
fn check_words(argv: &[String]) -> Result<()> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(Error::Invalid("the command is empty: name a program".into()));
    }
    if let Some(argument) = argv.iter().find(|argument| argument.contains('\0')) {
        return Err(Error::Invalid(format!("the argument {argument:?} holds a NUL, which no argument can")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
