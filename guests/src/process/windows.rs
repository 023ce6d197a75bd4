//! Guests with Windows.
//!
//! ```text
//!   start --one exec--> Win32_Process.Create: supervisor (PowerShell, of no session) --> the program
//!                          `- pumps o, e -> segments o.N, e.N; feeds its input from `in`; writes down how it ended
//!   follow, state, signal, remove: as elsewhere, by ps/*.ps1      C:\Windows\Infranetes\processes\BOOT\ID
//! ```
//!
//! The layout and what is said are those of the POSIX scripts, so the same decoder reads them.
//!
//! - A signal: `KILL` ends the process and all that it has started; any other is Ctrl+C, as somebody at its console would press it.
//! - An exit code has 32 bits and tells no signal; 137 is what we write down of a process whose supervisor was killed.
//! - What it started and left behind is ended after it, but for what such a program has started in its turn.
//! - Refused, by name: another user than the one who logs in, limits, capabilities, a terminal.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use transports::{Command, Session, Stdin, quote};

use super::control;
use super::spec::{Limits, ProcessId, ProcessSpec, StdinMode};
use super::{Capabilities, Guest, Offset, OutputStream, ProcessState, stream};
use crate::drive::path;
use crate::powershell::{bounds, piped, run};
use crate::{Family, Result, script};

/// How long a script may take: a start waits for a minute, a removal for what does not end.
const DEADLINE: Duration = Duration::from_secs(100);
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 16 * 1024;

const PLACE: &str = include_str!("ps/place.ps1");
const START: &str = include_str!("ps/start.ps1");
const SUPERVISE: &str = include_str!("ps/supervise.ps1");
const FOLLOW: &str = include_str!("ps/follow.ps1");
const SIGNAL: &str = include_str!("ps/signal.ps1");
const REMOVE: &str = include_str!("ps/remove.ps1");
const STDIN: &str = include_str!("ps/stdin.ps1");

/// A guest with Windows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Windows;

#[async_trait]
impl Guest for Windows {
    fn name(&self) -> &'static str {
        "windows"
    }

    async fn start(&self, session: &dyn Session, spec: &ProcessSpec) -> Result<ProcessState> {
        let asked = asked(spec)?;
        let lines: Vec<&[u8]> = asked.iter().map(String::as_bytes).collect();
        let supervise = script::compact(&format!("{}{PLACE}{SUPERVISE}", crate::powershell::COMMON));
        tell(session, &spec.id, START, &[spec.id.as_str(), &supervise], &lines).await
    }

    async fn state(&self, session: &dyn Session, id: &ProcessId) -> Result<ProcessState> {
        tell(session, id, "report ($all + '\\' + $args[0])\n", &[id.as_str()], &[]).await
    }

    async fn follow(
        &self,
        session: Arc<dyn Session>,
        id: &ProcessId,
        from: Option<Offset>,
    ) -> Result<OutputStream> {
        stream::follow(session, Family::Windows, id, from).await
    }

    async fn signal(&self, session: &dyn Session, id: &ProcessId, signal: &str) -> Result<()> {
        say(session, SIGNAL, &[id.as_str(), signal]).await
    }

    async fn limit(&self, _: &dyn Session, _: &ProcessId, limits: &Limits) -> Result<()> {
        check_limits(limits)
    }

    async fn remove(&self, session: &dyn Session, id: &ProcessId) -> Result<()> {
        say(session, &format!("{REMOVE}remove_process ($all + '\\' + $args[0])\n"), &[id.as_str()]).await
    }
}

/// Removes every process. The script that comes first may end it.
pub(crate) async fn remove_all(session: &dyn Session, first: &str, arguments: &[&str]) -> Result<()> {
    say(session, &format!("{first}{REMOVE}remove_all\n"), arguments).await
}

/// The command that follows a process, and what its standard input begins with.
pub(super) fn follower(id: &ProcessId, places: [&str; 2]) -> Result<(Command, Bytes)> {
    piped(&format!("{PLACE}{FOLLOW}"), &[id.as_str(), places[0], places[1]])
}

/// The command whose standard input is that of the process. It is read as it comes, so the script stands in the command line, with
/// the id, which has letters, digits and dashes only.
pub(super) fn stdin(id: &ProcessId) -> Result<Command> {
    Ok(transports::powershell(&format!("$id='{id}'\n{}", script::compact(STDIN)), Stdin::Piped)?)
}

/// The command that ends the standard input of a process.
pub(super) fn end_stdin(id: &ProcessId) -> Result<Command> {
    let end =
        "foreach ($boot in [IO.Directory]::GetDirectories(\"$env:SystemRoot\\Infranetes\\processes\")) {
if ([IO.File]::Exists(\"$boot\\$id\\in\")) { [IO.File]::WriteAllText(\"$boot\\$id\\in.end\", '') }
}
";
    Ok(transports::powershell(&format!("$id='{id}'\n{end}"), Stdin::Closed)?)
}

/// Runs a script and reads what it tells of a process.
async fn tell(
    session: &dyn Session,
    id: &ProcessId,
    text: &str,
    arguments: &[&str],
    rest: &[&[u8]],
) -> Result<ProcessState> {
    let said =
        run(session, &format!("{PLACE}{text}"), arguments, rest, bounds(DEADLINE, ANSWER_BYTES)).await?;
    control::answer(Family::Windows, id, said.bytes())
}

/// Runs a script that tells nothing.
async fn say(session: &dyn Session, text: &str, arguments: &[&str]) -> Result<()> {
    let text = format!("{PLACE}{text}say 'D'\n");
    run(session, &text, arguments, &[], bounds(DEADLINE, ANSWER_BYTES)).await?.done().map(drop)
}

/// What the supervisor reads, a line each: program, arguments, directory, message, input, and the environment after its length.
fn asked(spec: &ProcessSpec) -> Result<Vec<String>> {
    spec.check(Family::Windows)?;
    let ProcessSpec { id, argv, env, working_dir, user, stdin, tty, limits, capabilities, .. } = spec;
    if user.uid.is_some() || user.gid.is_some() || user.name.is_some() || !user.groups.is_empty() {
        return Err(Family::Windows.lacks(
            "runs a process as the user who logs in",
            &format!("leave the user and groups of process {id} out of its securityContext"),
        ));
    }
    if *capabilities != Capabilities::default() {
        return Err(Family::Windows.lacks("has no capabilities", "leave them out of the securityContext"));
    }
    if *tty {
        return Err(Family::Windows.lacks("has no terminals", "leave `tty` out"));
    }
    check_limits(limits)?;
    let stdin = match stdin {
        StdinMode::Closed => "closed",
        StdinMode::Once => "once",
        StdinMode::Kept => "kept",
    };
    let (_, arguments) = quote::windows_command_line(argv)?;
    let directory = working_dir.as_deref().map(path).transpose()?.unwrap_or_else(|| "C:\\".into());
    let message = spec.message_path.as_deref().map(path).transpose()?.unwrap_or_default();
    let head = [argv[0].clone(), arguments, directory, message, stdin.to_owned(), env.len().to_string()];
    let pairs = env.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
    Ok(head.into_iter().chain(pairs).collect())
}

fn check_limits(limits: &Limits) -> Result<()> {
    if *limits == Limits::default() {
        return Ok(());
    }
    Err(Family::Windows.lacks(
        "limits no single process yet",
        "leave the limits of all containers but one out, and size the machine by those of the pod",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::User;

    fn spec() -> ProcessSpec {
        ProcessSpec {
            id: ProcessId::new("a").unwrap(),
            argv: [r"C:\app\run.exe", "a b", r#"say "hi" & exit"#].map(str::to_owned).to_vec(),
            env: vec![("PASSWORD".into(), "x=y".into())],
            working_dir: Some("/srv".into()),
            user: User::default(),
            stdin: StdinMode::Once,
            tty: false,
            limits: Limits::default(),
            capabilities: Capabilities::default(),
            no_new_privileges: true,
            message_path: Some("/dev/termination-log".into()),
            stop_signal: None,
        }
    }

    #[test]
    fn what_is_asked_stands_in_lines() {
        let arguments = r#""a b" "say \"hi\" & exit""#;
        let wanted = [
            r"C:\app\run.exe",
            arguments,
            r"C:\srv",
            r"C:\dev\termination-log",
            "once",
            "1",
            "PASSWORD",
            "x=y",
        ];
        assert_eq!(asked(&spec()).unwrap(), wanted);
    }

    #[test]
    fn what_windows_cannot_do_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut ProcessSpec)| {
            let mut spec = spec();
            change(&mut spec);
            asked(&spec).unwrap_err().to_string()
        };
        assert!(refused(&|spec| spec.user.uid = Some(1000)).contains("as the user who logs in"));
        assert!(refused(&|spec| spec.tty = true).contains("no terminals"));
        assert!(refused(&|spec| spec.capabilities.drop = vec!["ALL".into()]).contains("no capabilities"));
        assert!(refused(&|spec| spec.limits.memory_bytes = Some(1)).contains("size the machine"));
        assert!(refused(&|spec| spec.working_dir = Some("/a|b".into())).contains("no path"));
    }

    #[test]
    fn codes_have_32_bits() {
        let id = ProcessId::new("a").unwrap();
        let read = |text: &str| control::answer(Family::Windows, &id, text.as_bytes());
        let Ok(ProcessState::Exited(exit)) = read("X -1073741510 0 1700000000 2\nby") else {
            panic!("it has ended")
        };
        assert_eq!((exit.code, exit.signal, &exit.message[..]), (-1_073_741_510, None, "by"));
        assert_eq!(read("A\n").unwrap(), ProcessState::Absent);
        for bad in ["X 4294967296 0 1700000000 0\n", "D\n", ""] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
