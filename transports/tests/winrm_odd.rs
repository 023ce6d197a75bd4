//! `WinRM` guests with habits and mishaps of their own.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod windows;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::{bounds, command, held, run, sh};
use tokio::time::timeout;
use transports::{Command, Error, Exit, Link, LinkState, Session, Stdin, Target, Transport as _, capture};
use windows::{http, https, options, with};
use winrm_peer::{Action, Answered, Instead, Limits, Options, Split};

/// How long what is expected may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A megabyte there and back, and a code.
async fn carries(session: &dyn Session) {
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let argv = ["sh", "-c", "cat; echo err >&2; exit 9"].map(str::to_owned).to_vec();
    let stdin = Stdin::Bytes(Bytes::from(bytes.clone()));
    let captured = timeout(PATIENCE, run(session, Command { argv, stdin })).await.expect("in time");
    assert_eq!((captured.exit, &captured.stderr[..]), (Exit::Code(9), &b"err\n"[..]));
    assert!(captured.stdout == bytes, "{} bytes came back", captured.stdout.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_shell_is_told_and_nothing_is_run_again() {
    let windows = http().await;
    let session = windows.session().await;
    let mut process = session.exec(sh("echo started; sleep 1000")).await.unwrap();
    timeout(PATIENCE, process.output.recv()).await.unwrap().expect("it has started");
    windows.server.lose_shells();
    let exit = timeout(PATIENCE, process.exit).await.unwrap().unwrap();
    assert!(
        matches!(&exit, Exit::Lost(why) if why.contains(&windows.server.address().to_string())),
        "{exit:?}"
    );
    // The guest is there as before.
    assert_eq!(run(&*session, sh("echo on")).await.stdout, b"on\n");
    assert!(timeout(Duration::from_millis(100), session.closed()).await.is_err(), "the session goes on");
    assert_eq!(windows.server.counters().runs_with("sleep 1000"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_may_pause_for_longer_than_a_shell_may_be_idle() {
    let mut windows = http().await;
    // A busy machine is late by seconds.
    windows.options.abandoned_timeout = Duration::from_secs(6);
    let session = windows.session().await;
    let mut process = session.exec(sh("head -c 3000000 /dev/zero; echo end; exit 3")).await.unwrap();
    let full = windows.server.until(|now| now.action(Action::Receive) > 1 && now.receives_waiting == 0);
    timeout(PATIENCE, full).await.expect("it is asked for output");
    // Pauses are what this is about.
    tokio::time::sleep(2 * windows.options.abandoned_timeout).await;
    assert!(process.exit.try_recv().is_err(), "its end is told after its output");
    let mut bytes = 0;
    while let Some(output) = timeout(PATIENCE, process.output.recv()).await.expect("it goes on") {
        bytes += output.data.len();
    }
    let exit = timeout(PATIENCE, process.exit).await.unwrap().unwrap();
    assert_eq!((exit, bytes), (Exit::Code(3), 3_000_004));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_takes_its_time_gets_all_of_its_input_and_none_of_it_twice() {
    let mut windows = http().await;
    windows.options.poll_timeout = Duration::from_secs(1);
    let session = windows.session().await;
    let lines = (0..200_000).map(|n| format!("{n}\n")).collect::<Vec<_>>().concat();
    let argv = ["sh", "-c", "sleep 3; cat"].map(str::to_owned).to_vec();
    let stdin = Stdin::Bytes(Bytes::from(lines.clone()));
    let captured = timeout(PATIENCE, run(&*session, Command { argv, stdin })).await.expect("in time");
    assert_eq!(captured.exit, Exit::Code(0));
    assert!(captured.stdout == lines.as_bytes(), "{} bytes came back", captured.stdout.len());
    // The first one was not taken in time, and until it was the next one was refused.
    let pieces = lines.len().div_ceil(windows.options.envelope_bytes * 3 / 4);
    let sent = windows.server.counters().action(Action::Send);
    assert!(sent > u64::try_from(pieces).unwrap() + 1, "{sent} messages for {pieces} pieces");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_in_small_parts_goes_together() {
    let windows = http().await;
    let session = windows.session().await;
    let argv = ["sh", "-c", "cat"].map(str::to_owned).to_vec();
    let mut process = session.exec(Command { argv, stdin: Stdin::Piped }).await.unwrap();
    let stdin = process.stdin.take().unwrap();
    let typed = async move {
        for number in 0..2_000 {
            stdin.send(format!("{number}\n").into()).await.unwrap();
        }
    };
    let read = async {
        let mut bytes = Vec::new();
        while let Some(output) = process.output.recv().await {
            bytes.extend_from_slice(&output.data);
        }
        bytes
    };
    let ((), bytes) = timeout(PATIENCE, async { tokio::join!(typed, read) }).await.expect("in time");
    let lines = (0..2_000).map(|n| format!("{n}\n")).collect::<Vec<_>>().concat();
    assert!(bytes == lines.as_bytes(), "{} bytes came back", bytes.len());
    let sent = windows.server.counters().action(Action::Send);
    assert!(sent < 1_000, "{sent} messages for 2000 parts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_that_was_lost_meanwhile_costs_no_command() {
    let windows = http().await;
    let session = windows.session().await;
    run(&*session, sh("true")).await;
    windows.server.lose_shells();
    assert_eq!(run(&*session, sh("echo once")).await.stdout, b"once\n");
    assert_eq!(windows.server.counters().runs_with("echo once"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_to_be_had_for_a_moment_costs_no_command() {
    for mut windows in [http().await, https().await] {
        windows.options.poll_timeout = Duration::from_secs(1);
        let session = windows.session().await;
        let faults = windows.server.faults();
        // Each message needs a new connection.
        faults.close_after_reply(true);
        let argv = ["sh", "-c", "read -r line; sleep 2; echo \"$line\"; exit 5"].map(str::to_owned).to_vec();
        let mut process = session.exec(Command { argv, stdin: Stdin::Piped }).await.unwrap();
        for action in [Action::Receive, Action::Send] {
            let asked = windows.server.counters().action(action);
            faults.refuse_connections(2);
            if action == Action::Send {
                process.stdin.take().unwrap().send("told\n".into()).await.unwrap();
            }
            let again = windows.server.until(|now| faults.refusals_left() == 0 && now.action(action) > asked);
            timeout(PATIENCE, again).await.expect("it is tried on");
        }
        let output = timeout(PATIENCE, process.output.recv()).await.unwrap();
        assert_eq!(output.expect("it goes on").data, "told\n");
        assert_eq!(timeout(PATIENCE, process.exit).await.unwrap().unwrap(), Exit::Code(5));
        assert!(timeout(Duration::from_millis(100), session.closed()).await.is_err(), "the session goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_run_or_be_there_for_all_the_guest_says_is_ended() {
    let windows = http().await;
    let (server, session) = (&windows.server, windows.session().await);
    // The fault of a slow guest, which says nothing of what became of the request.
    let late = |action| Answered {
        action,
        times: 1,
        carried_out: true,
        with: Instead::Fault("w:TimedOut", 2_150_858_793),
    };
    server.faults().answer(late(Action::Create));
    let error = session.exec(sh("true")).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable(_)), "{error:?}");
    timeout(PATIENCE, server.until(|now| now.shells_open == 0)).await.expect("the shell is deleted");
    server.faults().answer(late(Action::Command));
    let error = session.exec(sh("sleep 1000")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable(why) if why.contains("does not tell whether it runs")),
        "{error:?}"
    );
    assert_eq!(server.counters().runs_with("sleep 1000"), 1);
    timeout(PATIENCE, server.until(|now| now.processes == 0)).await.expect("the command is ended");
    assert_eq!(run(&*session, sh("echo on")).await.stdout, b"on\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_the_guest_refuses_for_a_moment_is_asked_for_again() {
    let windows = http().await;
    let (server, session) = (&windows.server, windows.session().await);
    let full = |action| Answered {
        action,
        times: 2,
        carried_out: false,
        with: Instead::Fault("w:QuotaLimit", 2_150_859_174),
    };
    let process = session.exec(sh("sleep 1000")).await.unwrap();
    server.faults().answer(full(Action::Signal));
    server.faults().answer(full(Action::Delete));
    drop(process);
    timeout(PATIENCE, server.until(|now| now.processes == 0)).await.expect("the command is ended");
    assert_eq!(server.counters().shells_open, 1);
    drop(session);
    timeout(PATIENCE, server.until(|now| now.shells_open == 0)).await.expect("the shell is deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_the_guest_ends_cost_nothing() {
    let windows = http().await;
    let session = windows.session().await;
    run(&*session, sh("true")).await;
    let before = windows.server.counters().connections;
    windows.server.cut_connections();
    let looked_after = windows.server.until(|now| {
        // All that are open are new.
        let new = now.connections - before;
        new > 0 && u64::try_from(now.connections_open).unwrap() <= new
    });
    timeout(PATIENCE, looked_after).await.expect("it is looked after");
    assert_eq!(run(&*session, sh("echo on")).await.stdout, b"on\n");
    assert!(timeout(Duration::from_millis(100), session.closed()).await.is_err(), "the session goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_connects_again_and_runs_nothing_twice() {
    let windows = http().await;
    let server = &windows.server;
    let link = Link::open(Arc::new(windows.transport()), windows.target());
    let ready = async |other: Option<&Arc<dyn Session>>| {
        let is = |state: &LinkState| match state {
            LinkState::Ready(session) => other.is_none_or(|other| !Arc::ptr_eq(session, other)),
            _ => false,
        };
        timeout(PATIENCE, link.state().wait_for(is)).await.expect("it connects").unwrap();
        link.session().unwrap()
    };
    let session = ready(None).await;
    let mut process = session.exec(held("echo started; sleep 1000")).await.unwrap();
    timeout(PATIENCE, process.output.recv()).await.unwrap().expect("it has started");
    // Else the next question would just go over another connection.
    timeout(PATIENCE, server.until(|now| now.receives_waiting == 1)).await.expect("it waits for output");
    server.cut_connections();
    assert!(matches!(timeout(PATIENCE, process.exit).await.unwrap().unwrap(), Exit::Lost(_)));
    let again = ready(Some(&session)).await;
    assert_eq!(run(&*again, sh("echo on")).await.stdout, b"on\n");
    drop((session, again, link));
    let gone = server.until(|now| now.shells_open == 0 && now.processes == 0);
    timeout(PATIENCE, gone).await.expect("nothing is left");
    assert_eq!(server.counters().runs_with("sleep 1000"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_went_away_is_noticed_without_a_request() {
    let mut windows = http().await;
    windows.options.keepalive_interval = Duration::from_millis(500);
    let session = windows.session().await;
    drop(windows);
    let over = timeout(PATIENCE, session.closed()).await.expect("it is noticed");
    assert!(matches!(over, Error::Lost(_)), "{over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_falls_silent_is_given_up() {
    let mut windows = http().await;
    windows.options.answer_timeout = Duration::from_secs(1);
    windows.options.keepalive_interval = Duration::from_millis(500);
    let session = windows.session().await;
    windows.server.faults().delay(Duration::from_secs(60));
    let over = timeout(PATIENCE, session.closed()).await.expect("it is noticed");
    assert!(matches!(&over, Error::Unreachable(why) if why.contains("no sign of life")), "{over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_takes_its_time_for_a_shell_is_let_have_it() {
    let mut windows = http().await;
    windows.options.answer_timeout = Duration::from_millis(500);
    let session = windows.session().await;
    windows.server.faults().slow(Action::Create, Duration::from_secs(2));
    assert_eq!(run(&*session, sh("echo at last")).await.stdout, b"at last\n");
    assert_eq!(windows.server.counters().shells_made, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_command_is_asked_for_now_and_then() {
    let mut windows = http().await;
    windows.options.poll_timeout = Duration::from_secs(1);
    let session = windows.session().await;
    let captured = run(&*session, sh("sleep 4; echo done")).await;
    assert_eq!((captured.exit, &captured.stdout[..]), (Exit::Code(0), &b"done\n"[..]));
    let asked = windows.server.counters().action(Action::Receive);
    assert!((2..=8).contains(&asked), "asked {asked} times in 4 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_answers_nothing_at_once_is_asked_slowly() {
    let windows = http().await;
    let session = windows.session().await;
    windows.server.faults().answer(Answered {
        action: Action::Receive,
        times: usize::MAX,
        carried_out: false,
        with: Instead::Body(
            "<rsp:ReceiveResponse><rsp:CommandState State=\"http://x/CommandState/Running\"/></rsp:ReceiveResponse>",
        ),
    });
    let process = session.exec(sh("sleep 1000")).await.unwrap();
    assert!(timeout(Duration::from_secs(3), session.closed()).await.is_err());
    let asked = windows.server.counters().action(Action::Receive);
    assert!((3..30).contains(&asked), "asked {asked} times in 3 s");
    drop(process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_in_pieces_come_through() {
    let windows = http().await;
    let session = windows.session().await;
    for (bytes, chunked) in [(1000, true), (1000, false), (100_000, true)] {
        windows.server.faults().split(Some(Split { bytes, chunked }));
        carries(&*session).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_keep_alive_is_served() {
    for windows in [http().await, https().await] {
        windows.server.faults().close_after_reply(true);
        // Sealed messages need a connection that outlives the login.
        match windows.transport().connect(&windows.target()).await {
            Ok(session) => carries(&*session).await,
            Err(error) => panic!("{error}"),
        }
        // Nor is it asked without end who is there.
        let session = windows.session().await;
        let before = windows.server.counters().requests;
        assert!(timeout(Duration::from_secs(2), session.closed()).await.is_err());
        let asked = windows.server.counters().requests - before;
        assert!(asked < 20, "{asked} requests in 2 s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_envelopes_are_kept_to() {
    for tls in [false, true] {
        let limits = Limits { envelope_bytes: 40 * 1024, ..Limits::default() };
        let windows = with(Options { limits, ..options(tls) }).await;
        carries(&*windows.session().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_winrm_is_told() {
    let windows = http().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = Target { address: nobody, ..windows.target() };
    let error = windows.transport().connect(&target).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{nobody}: connection refused"));
    // HTTPS where HTTP is spoken, and the other way round.
    let plain = Target { address: windows.server.address(), ..https().await.target() };
    let error = https().await.transport().connect(&plain).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable(why) if why.contains("TLS")), "{error:?}");
    let tls = https().await;
    let target = Target { address: tls.server.address(), ..windows.target() };
    let error = windows.transport().connect(&target).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_have_32_bits() {
    let windows = http().await;
    let exit = run(&*windows.session().await, sh("kill -INT $$")).await.exit;
    assert_eq!(exit, Exit::Code(0xc000_013a_u32.cast_signed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_powershell_writes_becomes_text() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("powershell");
    let script = "#!/bin/sh\nprintf '#< CLIXML\\r\\n<Objs xmlns=\"x\"><S S=\"Error\">no such thing_x000D__x000A_</S>' >&2\n\
                  sleep 0.2; printf '</Objs>' >&2; echo '#< CLIXML'\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let windows = http().await;
    let captured = run(&*windows.session().await, command(&[program.to_str().unwrap()])).await;
    assert_eq!(captured.stderr.escape_ascii().to_string(), "no such thing\\r\\n");
    assert_eq!(captured.stdout, b"#< CLIXML\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_that_is_too_long_says_what_to_do() {
    let windows = http().await;
    let session = windows.session().await;
    let long = "x".repeat(8100);
    let captured = run(&*session, command(&["echo", &long])).await;
    assert_eq!(captured.stdout.len(), 8101);
    let longer = "x".repeat(9000);
    let error = capture(&*session, command(&["echo", &longer]), bounds()).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(why) if why.contains("standard input")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_session_leaves_nothing() {
    let windows = https().await;
    let session = windows.session().await;
    let mut processes = Vec::new();
    for _ in 0..12 {
        processes.push(session.exec(sh("sleep 1000 & sleep 1000")).await.unwrap());
    }
    drop(session);
    let gone = windows.server.until(|now| now.shells_open == 0 && now.processes == 0);
    timeout(PATIENCE, gone).await.expect("nothing is left");
    for process in processes {
        assert!(matches!(timeout(PATIENCE, process.exit).await.unwrap().unwrap(), Exit::Lost(_)));
    }
}
