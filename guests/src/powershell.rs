//! Scripts for Windows' own PowerShell.
//!
//! ```text
//!   powershell.exe -EncodedCommand READER      the same few words always
//!   standard input, a line of base64 each:     the script, how many arguments, the arguments, what it reads itself
//! ```
//!
//! So neither the length of a script is bounded by a command line, nor is anything pasted into it, nor does a secret stand in one.
//!
//! - Happy path: a script says `D` at its end ([`Said::done`]), and before that what it was asked for.
//! - It refuses, `U` and why: [`Error::Unsupported`]. It fails: [`Error::Ended`] with what PowerShell said.
//! - Nothing is said at all: a PowerShell that runs no scripts (a policy, or none of Windows'), [`Error::Unsupported`] as well.
//!
//! Scripts know what PowerShell 2.0 knows, so that Windows Server 2008 R2 runs them: a test looks at that.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use transports::{Bounds, Captured, Command, Exit, Session, Stdin, capture};

use crate::{Error, Result};

/// Reads the script and its arguments, and runs it. What follows on standard input is read by the script itself, by `text` or `bytes`.
const READER: &str = include_str!("ps/reader.ps1");
/// What every script begins with.
pub(crate) const COMMON: &str = include_str!("ps/common.ps1");
/// How much of what PowerShell complains is shown in bytes.
const COMPLAINT_LIMIT: usize = 512;

/// The command that runs a script with a standard input of its own, which begins with the bytes beside it.
pub(crate) fn piped(script: &str, arguments: &[&str]) -> Result<(Command, Bytes)> {
    Ok((transports::powershell(READER, Stdin::Piped)?, input(script, arguments, &[])))
}

/// What is written to standard input: the script, its arguments, then what it reads by itself.
fn input(script: &str, arguments: &[&str], rest: &[&[u8]]) -> Bytes {
    let (script, count) = (crate::script::compact(&format!("{COMMON}{script}")), arguments.len().to_string());
    let mut text = String::new();
    let head = [script.as_bytes(), count.as_bytes()];
    for line in
        head.into_iter().chain(arguments.iter().map(|word| word.as_bytes())).chain(rest.iter().copied())
    {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.into()
}

/// What a script has said: lines of ASCII before its last one.
#[derive(Debug)]
pub(crate) struct Said(Vec<u8>);

/// Runs a script to its end.
pub(crate) async fn run(
    session: &dyn Session,
    script: &str,
    arguments: &[&str],
    rest: &[&[u8]],
    bounds: Bounds,
) -> Result<Said> {
    let command = transports::powershell(READER, Stdin::Bytes(input(script, arguments, rest)))?;
    read(capture(session, command, bounds).await?)
}

/// [`Bounds`] as the scripts need them.
pub(crate) fn bounds(timeout: Duration, limit_bytes: usize) -> Bounds {
    Bounds { timeout: Some(timeout), limit_bytes }
}

fn read(captured: Captured) -> Result<Said> {
    let complaint = complaint(&captured.stderr);
    let text = || String::from_utf8_lossy(&captured.stdout);
    match captured.exit {
        Exit::Lost(why) => Err(transports::Error::Lost(why).into()),
        Exit::Code(127) => Err(Error::Unsupported(format!("the guest has no PowerShell: {complaint}"))),
        Exit::Code(0) if captured.stdout.is_empty() => Err(runs_nothing(&complaint)),
        Exit::Code(0) => {
            let refused = text().lines().find_map(|line| line.strip_prefix("U ").map(str::to_owned));
            match refused {
                Some(why) => Err(Error::Unsupported(one_line(&why))),
                None if captured.discarded > 0 => {
                    Err(Error::Malformed(format!("{} bytes more than a script says", captured.discarded)))
                }
                None => Ok(Said(captured.stdout)),
            }
        }
        exit => Err(Error::Ended(format!("the guest's PowerShell ended with {exit:?}: {complaint}"))),
    }
}

/// A script has said nothing, and has not failed.
pub(crate) fn runs_nothing(complaint: &str) -> Error {
    Error::Unsupported(format!(
        "the guest's PowerShell runs no scripts; let it run them for this user: {complaint}"
    ))
}

/// What a command complained of, in one line.
pub(crate) fn complaint(stderr: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(&stderr[..stderr.len().min(COMPLAINT_LIMIT)]))
}

/// A text in one line, bounded.
pub(crate) fn one_line(text: &str) -> String {
    let clean = text.trim().replace(|c: char| c.is_control(), " ");
    clean.chars().take(COMPLAINT_LIMIT).collect()
}

impl Said {
    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The lines before the last one, which has to be `D`.
    pub(crate) fn done(&self) -> Result<Vec<String>> {
        let text = String::from_utf8_lossy(&self.0);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match lines.pop() {
            Some(last) if last == "D" => Ok(lines),
            last => {
                Err(Error::Malformed(format!("a script of ours ended with {:?}", last.unwrap_or_default())))
            }
        }
    }
}

/// Text that a script has said in base64.
pub(crate) fn decoded(word: &str) -> Option<Vec<u8>> {
    STANDARD.decode(word).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that a command's standard input begins with.
    fn lines(input: &[u8]) -> Vec<String> {
        let text = std::str::from_utf8(input).unwrap();
        assert!(text.is_ascii() && text.ends_with('\n'));
        text.lines().map(|line| String::from_utf8(decoded(line).unwrap()).unwrap()).collect()
    }

    fn captured(stdout: &str, exit: Exit) -> Captured {
        Captured { stdout: stdout.into(), stderr: b"it said\r\nwhy".to_vec(), exit, discarded: 0 }
    }

    #[test]
    fn everything_travels_on_standard_input() {
        let odd = "a'b\n$(x) \"& \u{fc}";
        let input = input("# why\n  say 'D'\n", &[odd, ""], &[b"secret"]);
        let told = lines(&input);
        let script = told[0].as_str();
        assert!(script.ends_with("say 'D'\n") && script.contains("function refuse($why)"), "{script}");
        assert!(!script.contains("# why"), "comments stay here");
        assert_eq!(told[1..], ["2", odd, "", "secret"]);
        let (command, first) = piped("say 'D'\n", &["hunter2"]).unwrap();
        assert!(lines(&first).contains(&"hunter2".to_owned()));
        assert_eq!(command.argv, transports::powershell(READER, Stdin::Piped).unwrap().argv);
        assert!(!command.argv.concat().contains("hunter2"));
    }

    #[test]
    fn what_a_script_says_is_read() {
        let told = |stdout: &str, exit| read(captured(stdout, exit)).and_then(|said| said.done());
        assert_eq!(told("a b\nD\n", Exit::Code(0)).unwrap(), ["a b"]);
        // As `Console.Out` of an older .NET ends a line that is not ours.
        assert_eq!(told("D\r\n", Exit::Code(0)).unwrap(), [""; 0]);
        let why = told("x\nU no \u{7}such\n", Exit::Code(0)).unwrap_err();
        assert!(matches!(&why, Error::Unsupported(text) if text == "no  such"), "{why:?}");
        let why = told("", Exit::Code(0)).unwrap_err();
        assert!(matches!(&why, Error::Unsupported(text) if text.contains("runs no scripts")), "{why:?}");
        let why = told("", Exit::Code(127)).unwrap_err();
        assert!(!why.retryable() && why.to_string().contains("no PowerShell: it said  why"), "{why}");
        let why = told("D\n", Exit::Code(1)).unwrap_err();
        assert!(why.retryable() && why.to_string().contains("it said  why"), "{why}");
        assert!(matches!(told("a\n", Exit::Code(0)).unwrap_err(), Error::Malformed(_)));
        assert!(matches!(told("", Exit::Lost("x".into())).unwrap_err(), Error::Session(_)));
        assert!(matches!(
            read(Captured { discarded: 1, ..captured("D\n", Exit::Code(0)) }),
            Err(Error::Malformed(_))
        ));
    }
}
