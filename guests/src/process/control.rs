//! The scripts that start, ask and end a process, and their answers.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use transports::{Bounds, Command, Exit, Session, Stdin, capture, quote};

use super::spec::{Limits, ProcessId, ProcessSpec, StdinMode};
use super::{Identity, MAX_MESSAGE_BYTES, ProcessExit, ProcessState, launch};
use crate::script::Guard;
use crate::{Error, Family, Result, script};

/// How long a script may take: to see that something does not end takes a minute.
const DEADLINE: Duration = Duration::from_secs(100);
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 16 * 1024;
/// The latest time that is taken from a guest, in seconds since 1970.
const MAX_SECONDS: u64 = 1 << 40;

/// Finds the private directory.
pub(super) const PLACE: &str = include_str!("sh/place.sh");
const FUNCTIONS: &str = include_str!("sh/functions.sh");
const CLAIM: &str = include_str!("sh/claim.sh");
const FENCE: &str = include_str!("sh/fence.sh");
const SUPERVISE: &str = include_str!("sh/supervise.sh");
const LAUNCH: &str = include_str!("sh/launch.sh");
const START: &str = include_str!("sh/start.sh");
const STATE: &str = include_str!("sh/state.sh");
const SIGNAL: &str = include_str!("sh/signal.sh");
const LIMIT: &str = include_str!("sh/limit.sh");
const REMOVE: &str = include_str!("sh/remove.sh");
const LIST: &str = include_str!("sh/list.sh");

/// The command that runs `script` in the private directory's terms with the id and `arguments`.
pub(super) fn command(text: &str, id: &ProcessId, arguments: &[&str], stdin: Stdin) -> Command {
    let arguments = [&[id.as_str()], arguments].concat();
    script::privileged(&format!("{PLACE}{text}"), &arguments, stdin)
}

/// Runs a script to its end.
async fn run(session: &dyn Session, command: Command) -> Result<Vec<u8>> {
    let bounds = Bounds { timeout: Some(DEADLINE), limit_bytes: ANSWER_BYTES };
    let captured = capture(session, command, bounds).await?;
    let said = String::from_utf8_lossy(&captured.stderr).trim().replace(|c: char| c.is_control(), " ");
    match captured.exit {
        Exit::Code(0) => Ok(captured.stdout),
        Exit::Lost(why) => Err(transports::Error::Lost(why).into()),
        Exit::Code(code) => Err(Error::Ended(format!("the guest's shell ended with code {code}: {said}"))),
        Exit::Signal(signal) => {
            Err(Error::Ended(format!("the guest's shell was ended by signal {signal}: {said}")))
        }
    }
}

/// What the script on the standard input of one command holds.
fn start_script(spec: &ProcessSpec, family: &str) -> String {
    let stdin = match spec.stdin {
        StdinMode::Closed => "closed",
        StdinMode::Once => "once",
        StdinMode::Kept => "kept",
    };
    let launch = launch::render(spec, &script::compact(LAUNCH));
    let [cpu, memory, pids] = words(&spec.limits);
    let parts = [
        ("claim", script::compact(CLAIM)),
        ("functions", script::compact(FUNCTIONS)),
        ("fence", script::compact(FENCE)),
        ("supervise", script::compact(SUPERVISE)),
        ("launch", launch),
        ("stdin", stdin.into()),
        ("cpu", cpu),
        ("memory", memory),
        ("pids", pids),
        ("family", family.into()),
        ("tty", if spec.tty { "tty".into() } else { String::new() }),
    ];
    // As a whole or not at all: a shell runs nothing of a group whose end it did not see.
    let mut text = String::from("{\n");
    for (name, value) in parts {
        text.push_str(name);
        text.push('=');
        text.push_str(&quote::posix(&[value]));
        text.push('\n');
    }
    text.push_str(PLACE);
    text.push_str(START);
    text.push_str("exit\n}\n");
    text
}

/// Limits as the scripts take them.
fn words(limits: &Limits) -> [String; 3] {
    let Limits { milli_cpus, memory_bytes, pids } = limits;
    [milli_cpus, memory_bytes, pids].map(|limit| limit.map(|limit| limit.to_string()).unwrap_or_default())
}

/// Starts a process.
pub(super) async fn start(session: &dyn Session, spec: &ProcessSpec, family: &str) -> Result<ProcessState> {
    spec.check(Family::Unix)?;
    let stdin = Stdin::Bytes(Bytes::from(start_script(spec, family)));
    let command = script::privileged("exec sh -s \"$@\"", &[spec.id.as_str()], stdin);
    answer(Family::Unix, &spec.id, &run(session, command).await?)
}

/// The name of the guest's family, else what it lacks.
pub(super) async fn family(session: &dyn Session) -> Result<String> {
    let said = run(session, script::privileged(include_str!("sh/family.sh"), &[], Stdin::Closed)).await?;
    let said = String::from_utf8_lossy(&said);
    Ok(said.trim().chars().filter(|c| !c.is_control()).take(200).collect())
}

/// What became of a process.
pub(super) async fn state(session: &dyn Session, id: &ProcessId) -> Result<ProcessState> {
    answer(Family::Unix, id, &run(session, command(STATE, id, &[], Stdin::Closed)).await?)
}

/// Sends a signal.
pub(super) async fn signal(session: &dyn Session, id: &ProcessId, signal: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-');
    if signal.is_empty() || signal.len() > 16 || signal.starts_with('-') || !signal.bytes().all(plain) {
        return Err(Error::Unsupported(format!("signal {signal:?} is no signal's name")));
    }
    run(session, command(SIGNAL, id, &[signal], Stdin::Closed)).await.map(drop)
}

/// Sets the limits of a process.
pub(super) async fn limit(session: &dyn Session, id: &ProcessId, limits: &Limits) -> Result<()> {
    let [cpu, memory, pids] = words(limits);
    let said = run(session, command(LIMIT, id, &[&cpu, &memory, &pids], Stdin::Closed)).await?;
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default();
    match (line, line.strip_prefix("U ")) {
        ("L", _) => Ok(()),
        ("A", _) => Err(Error::Ended(format!("process {id} does not run in the guest"))),
        (_, Some(why)) => Err(unsupported(why)),
        _ => Err(malformed(id, line)),
    }
}

/// Removes a process.
pub(super) async fn remove(session: &dyn Session, id: &ProcessId) -> Result<()> {
    run(session, command(REMOVE, id, &[], Stdin::Closed)).await.map(drop)
}

/// Removes every process of this boot, whoever started it.
pub(super) async fn remove_all(session: &dyn Session, guard: Guard<'_>) -> Result<()> {
    let list = || run(session, guard.privileged(LIST, &[], Stdin::Closed));
    let said = list().await?;
    let mut done = Ok(());
    for id in String::from_utf8_lossy(&said).lines().filter_map(|line| ProcessId::new(line).ok()) {
        done = done.and(run(session, guarded_removal(guard, &id)).await.map(drop));
    }
    done?;
    // What they all lay in goes, too.
    list().await.map(drop)
}

fn guarded_removal(guard: Guard<'_>, id: &ProcessId) -> Command {
    guard.privileged(&format!("{PLACE}{REMOVE}"), &[id.as_str()], Stdin::Closed)
}

fn unsupported(why: &str) -> Error {
    Error::Unsupported(why.chars().filter(|c| !c.is_control()).take(400).collect())
}

fn malformed(id: &ProcessId, line: &str) -> Error {
    Error::Malformed(format!("of process {id} it said {:?}", line.chars().take(80).collect::<String>()))
}

/// Reads what a script told of a process.
pub(super) fn answer(family: Family, id: &ProcessId, said: &[u8]) -> Result<ProcessState> {
    let end = said.iter().position(|byte| *byte == b'\n').unwrap_or(said.len());
    let line = String::from_utf8_lossy(&said[..end]).into_owned();
    let malformed = || malformed(id, &line);
    if line.is_empty() {
        return Err(Error::Ended(format!("the guest did not say what became of process {id}")));
    }
    if let Some(why) = line.strip_prefix("U ") {
        return Err(unsupported(why));
    }
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["A"] => Ok(ProcessState::Absent),
        ["R", pid, at, ref who @ ..] => Ok(ProcessState::Running {
            pid: pid.parse().map_err(|_| malformed())?,
            started_at: time(at).ok_or_else(malformed)?,
            identity: match who {
                // Started by an earlier version of this program.
                [] | [""] => None,
                told => Some(identity(told).ok_or_else(malformed)?),
            },
        }),
        ["X", ..] => {
            let (exit, length) = exit(family, &words[1..]).ok_or_else(malformed)?;
            let message = said.get(end + 1..).unwrap_or_default();
            Ok(ProcessState::Exited(with_message(exit, &message[..message.len().min(length)])))
        }
        _ => Err(malformed()),
    }
}

/// Whom it runs as in `UID GID GROUP,GROUP,...`.
fn identity(words: &[&str]) -> Option<Identity> {
    let [uid, gid, groups] = words else { return None };
    let groups = groups.split(',').map(|group| group.parse().ok()).collect::<Option<_>>()?;
    Some(Identity { uid: uid.parse().ok()?, gid: gid.parse().ok()?, groups })
}

/// A time in seconds since 1970.
fn time(text: &str) -> Option<SystemTime> {
    let seconds = text.parse().ok().filter(|seconds| *seconds < MAX_SECONDS)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The exit in `CODE OOM TIME LENGTH`, and the length of the message that follows. Codes of Windows have 32 bits, and tell no signal.
pub(super) fn exit(family: Family, words: &[&str]) -> Option<(ProcessExit, usize)> {
    let [code, oom, at, length] = words else { return None };
    let code: i32 = code.parse().ok()?;
    let signal = match family {
        Family::Unix if !(0..=255).contains(&code) => return None,
        Family::Unix => u32::try_from(code - 128).ok().filter(|signal| (1..=64).contains(signal)),
        Family::Windows => None,
    };
    let length = length.parse().ok().filter(|length| *length <= MAX_MESSAGE_BYTES)?;
    Some((ProcessExit { code, signal, oom: *oom == "1", at: time(at)?, message: String::new() }, length))
}

/// The exit with its message, cut to its bound.
pub(super) fn with_message(mut exit: ProcessExit, message: &[u8]) -> ProcessExit {
    exit.message = String::from_utf8_lossy(message).into_owned();
    // What is no UTF-8 grows when it is replaced.
    while exit.message.len() > MAX_MESSAGE_BYTES {
        exit.message.pop();
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ProcessId {
        ProcessId::new("x".repeat(63)).unwrap()
    }

    #[test]
    fn a_small_server_takes_every_command() {
        let follow = include_str!("sh/follow.sh");
        let inside = include_str!("sh/inside.sh");
        let place = "999999999999999";
        for (text, arguments) in [
            (follow, &[place, place][..]),
            (STATE, &[]),
            (SIGNAL, &["RTMAX-14"]),
            (LIMIT, &[place, place, place]),
            (REMOVE, &[]),
            (inside, &["sh"]),
        ] {
            let command = command(text, &id(), arguments, Stdin::Closed);
            // As it travels before anything is known of the login shell; dropbear takes 9000 bytes.
            let line = quote::command_line(&"x".repeat(400), &command.argv).unwrap();
            assert!(line.len() < 9000, "{} bytes: {text:.40}", line.len());
        }
    }

    #[test]
    fn answers_are_read_and_others_refused() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let read = |text: &str| answer(Family::Unix, &id(), text.as_bytes());
        assert_eq!(read("A\n").unwrap(), ProcessState::Absent);
        assert_eq!(
            read("R 77 1700000000\n").unwrap(),
            ProcessState::Running { pid: 77, started_at: at, identity: None }
        );
        let identity = Some(Identity { uid: 1, gid: 2, groups: vec![2, 3] });
        let state = ProcessState::Running { pid: 77, started_at: at, identity };
        assert_eq!(read("R 77 1700000000 1 2 2,3\n").unwrap(), state);
        let exit = ProcessExit { code: 137, signal: Some(9), oom: true, at, message: "by\ne".into() };
        assert_eq!(read("X 137 1 1700000000 4\nby\nexit").unwrap(), ProcessState::Exited(exit));
        assert!(
            matches!(read("U no program setsid\n"), Err(Error::Unsupported(why)) if why == "no program setsid")
        );
        assert!(matches!(read(""), Err(Error::Ended(_))));
        let long = format!("{}\n", "ü".repeat(500));
        for bad in [
            "B\n",
            "R\n",
            "R 1 1 0\n",
            "R 1 1 0 0 x\n",
            "R x 1\n",
            "R 1 -1\n",
            "R 1 99999999999999999\n",
            "X 256 0 1 0\n",
            "X 0 0 1 4097\n",
            &long,
        ] {
            assert!(matches!(read(bad), Err(Error::Malformed(_))), "{bad}");
        }
    }
}
