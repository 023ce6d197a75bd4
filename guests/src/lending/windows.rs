//! A guest with Windows, lent to a pod.
//!
//! ```text
//!   C:\Windows\Infranetes\lent: the holder in base64     names.before: how names were resolved     volumes\, processes\
//! ```
//!
//! What takes nothing but a note is done by `cmd`, which starts in a tenth of the time of PowerShell: to lend, to give back a guest
//! that nothing was put into, to shut down. A line for it holds nothing that is told: the holder stands on standard input.
//!
//! - The note lies on the disk, and so does all that is put into the guest: a reboot takes nothing away.
//! - The host name stays as it is, for Windows takes another one at its next boot only.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use transports::{Captured, Command, Exit, Session, Stdin, capture};

use super::{Holder, Lent};
use crate::names::{self, Names};
use crate::powershell::{bounds, complaint, decoded, one_line, run};
use crate::{Error, Result, process, volume};

/// How long a script may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 1024;
/// The file that says how names were resolved before.
const NAMES: &str = "names.before";
/// The exit code of a line that finds the guest lent.
const LENT: i32 = 75;

const HELD: &str = include_str!("ps/held.ps1");

/// Notes the holder, whom it reads, but where one is noted, and says whom: a link is made once. Both names are one file then, so
/// what a claim that was broken off has left is removed first, and who writes beside another adds a line: the first one counts.
const CLAIM: &str = r"set /p h=&set d=%SystemRoot%\Infranetes&md !d! 2>nul &del !d!\lent.new 2>nul &>>!d!\lent.new echo !h!&mklink /h !d!\lent !d!\lent.new >nul 2>nul &del !d!\lent.new 2>nul &type !d!\lent";
/// Says what was put into it.
const LEFT: &str = r"set d=%SystemRoot%\Infranetes&(if exist !d!\processes echo processes)&(if exist !d!\volumes echo volumes)&(if exist !d!\names.before echo names)&echo D";
/// Forgets the holder.
const FORGET: &str =
    r"set d=%SystemRoot%\Infranetes&del !d!\lent&rd !d! 2>nul &if exist !d!\lent (exit 1) else exit 0";
/// Shuts down, but where it is lent.
const SHUT_DOWN: &str = r"if exist %SystemRoot%\Infranetes\lent (exit 75) else shutdown.exe /s /f /t 0";

/// Lends it, or tells to whom it is lent.
pub(super) async fn lend(session: &dyn Session, holder: &Holder) -> Result<Lent> {
    let text = STANDARD.encode(&holder.0);
    let Captured { stdout, stderr, exit, .. } = line(session, CLAIM, &format!("{text}\r\n")).await?;
    let noted = String::from_utf8_lossy(&stdout).lines().next().unwrap_or_default().trim().to_owned();
    if noted == text {
        return Ok(Lent::Done);
    }
    match decoded(&noted).map(|other| one_line(&String::from_utf8_lossy(&other))) {
        Some(other) if !other.is_empty() => Ok(Lent::Another(other)),
        _ => Err(Error::Unsupported(format!(
            "a machine can only be lent by an administrator; nothing can be noted in its C:\\Windows\\Infranetes ({exit:?}): {}",
            complaint(&stderr)
        ))),
    }
}

/// Lays names over it.
pub(super) async fn set_names(session: &dyn Session, holder: &Holder, names: &Names) -> Result<Lent> {
    if let Lent::Another(other) = lend(session, holder).await? {
        return Ok(Lent::Another(other));
    }
    names::windows::lay(session, names, NAMES).await.map(|()| Lent::Done)
}

/// Takes away whatever was put into it.
pub(super) async fn give_back(session: &dyn Session, holder: &Holder) -> Result<Lent> {
    if let Lent::Another(other) = lend(session, holder).await? {
        return Ok(Lent::Another(other));
    }
    let said = line(session, LEFT, "").await?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let left = |what: &str| said.lines().any(|line| line.trim() == what);
    if !left("D") {
        return Err(Error::Ended("the guest does not tell what was put into it".into()));
    }
    let holder = STANDARD.encode(&holder.0);
    let arguments = [holder.as_str()];
    let mut taken = Ok(());
    // Processes first: they may use the volumes.
    if left("processes") {
        taken = taken.and(process::remove_all_of_windows(session, HELD, &arguments).await);
    }
    if left("volumes") {
        taken = taken.and(volume::windows::clear(session, HELD, &arguments).await);
    }
    if left("names") {
        let text = format!("{HELD}{}restore_names \"$root\\{NAMES}\"\nsay 'D'\n", names::windows::SCRIPT);
        let named = run(session, &text, &arguments, &[], bounds(DEADLINE, ANSWER_BYTES)).await;
        taken = taken.and(named.and_then(|said| said.done()).map(drop));
    }
    taken?;
    let forgotten = line(session, FORGET, "").await?;
    match forgotten.exit {
        Exit::Code(0) => Ok(Lent::Done),
        exit => Err(Error::Ended(format!(
            "the note to whom the machine is lent cannot be removed ({exit:?}): {}",
            complaint(&forgotten.stderr)
        ))),
    }
}

/// Has it shut itself down, but where it is lent.
pub(super) async fn shut_down(session: &dyn Session) -> Result<()> {
    let captured = line(session, SHUT_DOWN, "").await;
    match captured {
        Ok(Captured { exit: Exit::Code(0), .. }) | Err(Error::Session(transports::Error::Lost(_))) => Ok(()),
        Ok(Captured { exit: Exit::Code(LENT), .. }) => {
            Err(Error::Ended("the machine is lent to somebody by now, and is not shut down".into()))
        }
        Ok(Captured { exit, stderr, .. }) => {
            Err(Error::Ended(format!("the guest refused to shut down ({exit:?}): {}", complaint(&stderr))))
        }
        Err(error) => Err(error),
    }
}

/// Runs a line of `cmd`, in which `!NAME!` is a variable whose value is not read as a part of the line.
async fn line(session: &dyn Session, line: &str, stdin: &str) -> Result<Captured> {
    let argv = ["cmd.exe", "/d", "/v:on", "/c", line].map(str::to_owned).to_vec();
    let command = Command { argv, stdin: Stdin::Bytes(stdin.to_owned().into()) };
    let captured = capture(session, command, bounds(DEADLINE, ANSWER_BYTES)).await?;
    if let Exit::Lost(why) = captured.exit {
        return Err(transports::Error::Lost(why).into());
    }
    Ok(captured)
}
