//! SSH to a guest with Windows: a real OpenSSH server, and what stands for `cmd` as its user's login shell.
//!
//! ```text
//!   sshd -> cmd/login.pl -c LINE -> programs of this machine     the contract, as far as Windows has what it asks for
//!   sshd -> wine's cmd /c "LINE"                                 what only a cmd can tell
//!   a server of our own (cmd/mod.rs)                             what a server of this machine cannot do
//! ```
//!
//! Not in the contract here: lines with a break, which no cmd can be handed; the code of a program that is not there, which is
//! cmd's own; jobs in groups of their own, which Windows' job takes along and this machine's server does not.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod cmd;
mod contract;
mod servers;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cmd::Old;
use contract::{Guest, command, run};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use servers::Server;
use servers::user::{User, open_server};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;
use transports::{
    Command, Error, Exit, Identity, Interpreter, Session, Ssh, SshOptions, Stdin, Transport as _,
    generate_key,
};

const LOGIN: &str = include_str!("cmd/login.pl");

/// How long wine may take to start.
const WINE: Duration = Duration::from_secs(120);

fn ssh() -> Ssh {
    Ssh::new(SshOptions { interpreter: Interpreter::Cmd, ..SshOptions::default() })
}

fn program(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A user whose login shell is `cmd` by its rules, with the folder of it.
fn user() -> (User, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let shell = program(folder.path(), "cmd", LOGIN);
    (User::new(shell.to_str().unwrap(), "x"), folder)
}

async fn guest() -> Guest {
    let (server, (user, folder)) = (open_server(""), user());
    Guest {
        transport: Arc::new(ssh()),
        target: user.target(&server),
        other: Identity::Pinned(vec![generate_key("other").unwrap().public_openssh]),
        lacks: &[],
        cut: Box::new(move || {
            let _as_long_as_the_server = (&user, &folder);
            server.cut();
        }),
    }
}

contract!(guest:
    exit_codes_come_through, signals_come_through, both_streams_come_through_whole, output_beyond_the_bound_is_counted,
    stdin_comes_through_whole, stdin_can_end_before_output, a_timeout_kills_the_group, a_dropped_process_is_killed,
    a_cancelled_capture_is_killed, many_commands_run_at_once, a_command_that_ends_harms_no_beginning_one,
    a_cut_is_told_and_nothing_runs_twice, another_identity_gets_nothing, a_wrong_password_is_refused,
    a_kept_login_is_read_each_time, an_unread_command_harms_no_other, an_unread_stream_loses_nothing,
    a_dropped_session_ends_its_commands, a_terminal_has_its_size_and_one_stream, a_terminal_is_resized,
    ctrl_c_reaches_the_foreground, a_raw_terminal_carries_every_byte, a_terminal_without_input_goes_on,
    a_forward_carries_both_ways_and_closes_by_halves, a_forward_to_nothing_says_so, an_unread_forward_harms_no_other,
);

#[tokio::test]
async fn another_login_shell_is_refused_with_the_remedy() {
    let server = open_server("");
    let user = User::new("/bin/sh", "x");
    let error = ssh().connect(&user.target(&server)).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(why) if why.contains("remove `DefaultShell`")), "{error:?}");
}

#[tokio::test]
async fn what_powershell_complains_of_is_text() {
    let (server, (user, folder)) = (open_server(""), user());
    let record = r#"<Objs Version="1.1.0.1" xmlns="x"><S S="Error">oh_x000D__x000A_</S></Objs>"#;
    let said = format!("#!/bin/sh\nprintf '%s\\r\\n' '#< CLIXML' >&2\nprintf '%s' '{record}' >&2\nexit 3\n");
    program(folder.path(), "powershell.exe", &said);
    let session = ssh().connect(&user.target(&server)).await.unwrap();
    let captured = run(&*session, transports::powershell("x", Stdin::Closed).unwrap()).await;
    assert_eq!((captured.exit, &captured.stderr[..]), (Exit::Code(3), &b"oh\r\n"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_has_32_bits_and_a_server_may_know_no_signals() {
    let mut server = Old::start().await;
    let session = ssh().connect(&server.target).await.unwrap();
    assert_eq!(run(&*session, command(&["crash"])).await.exit, Exit::Code(0xC000_0005_u32.cast_signed()));
    let process = session.exec(command(&["forever"])).await.unwrap();
    while server.events.try_recv().is_ok() {}
    drop(process);
    let mut event = async || timeout(Duration::from_secs(30), server.events.recv()).await.unwrap();
    assert_eq!((event().await, event().await), (Some("signalled"), Some("closed")));
    assert_eq!(run(&*session, command(&["crash"])).await.stdout, b"", "the session goes on");
}

/// A guest whose `cmd` is wine's, which also finds this machine's `printf`.
struct Wine {
    session: Box<dyn Session>,
    /// Whose services would else be started by each command, and hold its output.
    _idle: tokio::process::Child,
    _server: Server,
    _folder: TempDir,
}

async fn wine() -> Option<Wine> {
    let Some(prefix) = std::env::var_os("INFRANETES_WINE_PREFIX").map(PathBuf::from) else {
        // Straight to the standard output: this is not for a reader of a failure.
        let _ = writeln!(std::io::stdout(), "skipped: run by cargo xtask test, which makes a wine prefix");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    symlink("/usr/bin/printf", folder.path().join("printf.exe")).unwrap();
    // The server has another home folder over root's, which the prefix may lie in.
    let seen = format!("/proc/{}/root{}", std::process::id(), prefix.display());
    let variables = [
        ("WINEPREFIX", seen),
        ("WINEPATH", format!("Z:{}", folder.path().display()).replace('/', "\\")),
        ("WINEDEBUG", "-all".into()),
        ("WINEDLLOVERRIDES", "mscoree,mshtml=".into()),
        ("LC_ALL", "C.UTF-8".into()),
    ];
    let exports: String = variables
        .iter()
        .fold(String::new(), |text, (name, value)| text + &format!("export {name}='{value}'\n"));
    // As Windows' own server has it: the line in quotation marks, whatever it holds. It reaches wine's cmd in a variable that is
    // expanded when another one has taken its own line apart.
    let text = format!(
        "#!/bin/sh\n{exports}export LINE=\"\\\"$SSH_ORIGINAL_COMMAND\\\"\"\nexec wine cmd.exe /v:on /c 'cmd /v:off /c !LINE!'\n"
    );
    let login = program(folder.path(), "login", &text);
    let mut idle = tokio::process::Command::new("wine")
        .args(["cmd.exe", "/c", "echo ready& pause"])
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(idle.stdout.as_mut().unwrap());
    let said = timeout(WINE, stdout.lines().next_line()).await.expect("wine starts").unwrap();
    assert_eq!(said.as_deref(), Some("ready"));
    // The prefix is root's, who has to be who logs in.
    let server = Server::openssh(&format!("ForceCommand {}", login.display()));
    let session = ssh().connect(&server.target()).await.unwrap();
    Some(Wine { session, _idle: idle, _server: server, _folder: folder })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cmd_tells_codes_and_both_streams() {
    let Some(Wine { session, .. }) = &wine().await else { return };
    // What this machine's own server carries of a code.
    for code in [0, 1, 42, 255] {
        let line = format!("exit {code}");
        assert_eq!(run(&**session, command(&["cmd.exe", "/d", "/c", &line])).await.exit, Exit::Code(code));
    }
    let captured = run(&**session, command(&["cmd.exe", "/d", "/c", "echo out& echo err>&2& exit 3"])).await;
    let said = (&captured.stdout[..], &captured.stderr[..]);
    assert_eq!((said, captured.exit), ((&b"out\r\n"[..], &b"err\r\n"[..]), Exit::Code(3)));
    let captured = run(&**session, command(&["no such program"])).await;
    assert!(matches!(captured.exit, Exit::Code(code) if code != 0), "{captured:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cmd_hands_on_every_argument_and_all_input() {
    let Some(Wine { session, .. }) = &wine().await else { return };
    let mut random = StdRng::seed_from_u64(rand::rng().random());
    for _ in 0..20 {
        let mut argv = vec!["printf".to_owned(), "%s\\0".to_owned()];
        argv.extend((0..30).map(|_| {
            (0..random.random_range(0..12))
                .map(|_| match random.random_range(0..4) {
                    0 => ['"', '\\', ' ', '^', ':', '=', '~', '@'][random.random_range(0..8)],
                    1 => ['&', '|', '<', '>', '(', ')', '!', '\t', '\'', ';'][random.random_range(0..10)],
                    2 => random.random_range('\u{a1}'..='\u{7ff}'),
                    _ => char::from(random.random_range(b'a'..=b'c')),
                })
                .collect::<String>()
        }));
        let expected = argv[2..].iter().fold(String::new(), |text, word| text + word + "\0");
        let captured = run(&**session, Command { argv, stdin: Stdin::Closed }).await;
        assert_eq!(String::from_utf8_lossy(&captured.stdout), expected);
    }
    // A program of Windows, for whose end cmd waits.
    let text = (0..70_000).fold(String::new(), |text, number| text + &format!("this is line {number}\r\n"));
    let stdin = Stdin::Bytes(Bytes::from(text.clone()));
    let argv = vec!["find.exe".into(), "line".into()];
    let captured = run(&**session, Command { argv, stdin }).await;
    assert!(
        captured.stdout == text.as_bytes(),
        "{} bytes came back, of {}",
        captured.stdout.len(),
        text.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cmd_runs_many_lines_at_once() {
    let Some(Wine { session, .. }) = &wine().await else { return };
    join_all((0..8).map(|number| async move {
        let line = format!("echo {number}");
        let captured = run(&**session, command(&["cmd.exe", "/d", "/c", &line])).await;
        assert_eq!(captured.stdout, format!("{number}\r\n").into_bytes());
    }))
    .await;
}
