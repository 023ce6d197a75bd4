//! Guests with Windows, whose login shell is `cmd`.
//!
//! ```text
//!   connect: dial -> authenticate -> `set OS` says what only cmd says -> SshSession
//!   exec:    channel -> the line for cmd -> the server says that it runs -> Process
//!   kill:    the channel's own signal -> cmd is gone, and with it the job of all that it has started
//! ```
//!
//! Windows' own server starts `cmd /c "LINE"`, on a terminal `cmd /c LINE`.
//!
//! - Happy path: there is no preamble. Both streams are the program's from their first byte, and the exit status has 32 bits, as
//!   Windows' exit codes have: those of [`crate::Exit::Code`] are the same. PowerShell's errors become text, as over `WinRM`.
//! - Killed: any signal ends `cmd`, which holds the only handle of the job that its programs are in. What has left that job, as
//!   a program may, goes on.
//! - A server older than 7.9 knows no signals, and none ends anything when a channel is closed or the connection is lost: the
//!   program goes on until it reads its input, or ends by itself.
//! - Another login shell: [`crate::Error::Invalid`] with the remedy, when the session is made. PowerShell reads the input that is
//!   meant for its program, before that can, and tells no exit code but 0 and 1.

use std::time::Duration;

use super::session::SshSession;
use crate::{Bounds, Command, Error, Exit, Result, Stdin, capture, quote};

/// What is asked: a word of cmd's own, which shows the variables whose names begin so.
const QUESTION: [&str; 2] = ["set", "OS"];
/// What every Windows says, and no other shell.
const ANSWER: &str = "OS=Windows_NT";
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 4096;

/// The line that the server hands to `cmd`. What it begins with keeps the server from putting a program of its own in the place of
/// one whose name begins with `scp` or `sftp-server`, and `cmd` from taking all of the line for the name of one.
pub(super) fn line(argv: &[String]) -> Result<String> {
    let line = quote::cmd_command_line(argv)?;
    Ok(if line.starts_with('@') { line } else { format!("@{line}") })
}

/// Sees that the login shell is `cmd`.
pub(super) async fn check(session: &SshSession, limit: Duration) -> Result<()> {
    let command = Command { argv: QUESTION.map(str::to_owned).to_vec(), stdin: Stdin::Closed };
    let bounds = Bounds { timeout: Some(limit), limit_bytes: ANSWER_BYTES };
    let told = capture(session, command, bounds).await?;
    match told.exit {
        Exit::Lost(why) => Err(Error::Lost(why)),
        _ if String::from_utf8_lossy(&told.stdout).lines().any(|line| line == ANSWER) => Ok(()),
        _ => Err(Error::Invalid(
            "the guest's login shell is not the cmd of Windows: remove `DefaultShell` from HKLM\\SOFTWARE\\OpenSSH there; or it \
             is no Windows, and must not be called one"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(argv: &[&str]) -> String {
        line(&argv.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_line_is_one_for_cmd() {
        assert_eq!(of(&["reg.exe", "query", r"HKLM\a b"]), r#"@reg.exe query ^"HKLM\a b^""#);
        assert_eq!(of(&[r"C:\a b\c.exe", "50%"]), r#"@"C:\a b\c.exe" 50^%"#);
        assert_eq!(of(&["scpfoo"]), "@scpfoo", "which the server would take for its scp");
        assert!(line(&["echo".into(), "a\nb".into()]).unwrap_err().to_string().contains("line break"));
    }
}
