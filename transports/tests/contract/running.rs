//! How commands are started and how they end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::timeout;
use transports::{Bounds, Command, Error, Exit, Process, Stdin, capture};

use super::*;

pub async fn exit_codes_come_through(guest: Guest) {
    let session = guest.session().await;
    for code in [0, 1, 42, 126, 255] {
        assert_eq!(run(&*session, sh(&format!("exit {code}"))).await.exit, Exit::Code(code));
    }
}

pub async fn signals_come_through(guest: Guest) {
    let session = guest.session().await;
    for signal in ["TERM", "KILL", "SEGV"] {
        let exit = run(&*session, sh(&format!("kill -{signal} $$"))).await.exit;
        if guest.has(Ability::Signals, matches!(exit, Exit::Signal(_))) {
            assert_eq!(exit, Exit::Signal(signal.into()));
        } else {
            assert!(matches!(exit, Exit::Code(code) if code != 0), "{exit:?}");
        }
    }
}

pub async fn a_missing_program_is_the_shells_127(guest: Guest) {
    let session = guest.session().await;
    let captured = run(&*session, command(&["/no/such program", "x"])).await;
    assert_eq!(captured.exit, Exit::Code(127));
    assert!(captured.stdout.is_empty());
    let error = capture(&*session, command(&[]), bounds()).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

pub async fn arguments_come_through_as_they_are(guest: Guest) {
    let session = guest.session().await;
    let arguments = [
        "",
        " ",
        "two words",
        "it's",
        "\"",
        "$HOME `id` $(id)",
        "\\",
        "\\n",
        "!!",
        "a\nb\n",
        "\t\r",
        "ü🦀",
        "-n",
        "*",
    ];
    let mut argv = vec!["printf", "%s\\0"];
    argv.extend_from_slice(&arguments);
    let captured = run(&*session, command(&argv)).await;
    let expected: Vec<u8> = arguments.iter().flat_map(|argument| argument.bytes().chain([0])).collect();
    assert_eq!(captured.stdout.escape_ascii().to_string(), expected.escape_ascii().to_string());

    // What a protocol cannot carry it says, instead of changing it.
    match capture(&*session, command(&["printf", "%s", "\u{1}\u{1b}"]), bounds()).await {
        Ok(captured) => assert_eq!(captured.stdout, b"\x01\x1b"),
        Err(error) => assert!(matches!(&error, Error::Invalid(why) if why.contains("'\\u{1}'")), "{error:?}"),
    }
}

/// Starts a command that has a child of its own, and gives both process ids.
async fn parent_and_child(session: &dyn Session) -> (Process, [String; 2]) {
    let mut process = session.exec(sh("sleep 1000 & echo $$ $!; wait")).await.unwrap();
    let line = timeout(PATIENCE, process.output.recv()).await.unwrap().expect("the ids").data;
    let line = String::from_utf8(line.to_vec()).unwrap();
    let (parent, child) = line.trim().split_once(' ').expect("two ids");
    (process, [parent.to_owned(), child.to_owned()])
}

pub async fn a_timeout_kills_the_group(guest: Guest) {
    let session = guest.session().await;
    let bounds = Bounds { timeout: Some(Duration::from_secs(3)), limit_bytes: 1000 };
    let unique = format!("{}.{}", std::process::id(), guest.target.address.port());
    let script = format!("sleep 1{unique} & trap '' TERM; wait");
    // A kill that is not confirmed within five seconds is waited for no longer. A busy machine may cause that, but not
    // each time.
    let mut tries = 0;
    loop {
        let began = Instant::now();
        let error = capture(&*session, sh(&script), bounds).await.unwrap_err();
        let took = began.elapsed();
        assert!(matches!(error, Error::TimedOut(limit) if limit == Duration::from_secs(3)), "{error:?}");
        if took < Duration::from_secs(8) {
            break;
        }
        tries += 1;
        assert!(tries < 3 && took < Duration::from_secs(20), "took {took:?}");
    }
    // The script itself holds the pattern only in brackets, so nothing but the sleep can match.
    let script =
        format!("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[s]leep 1{unique} '");
    // What was killed may take a moment to leave the list of processes.
    let until = Instant::now() + Duration::from_secs(30);
    while run(&*session, sh(&script)).await.stdout != b"0\n" {
        assert!(Instant::now() < until, "the child is still there");
    }
}

pub async fn a_dropped_process_is_killed(guest: Guest) {
    let session = guest.session().await;
    let (process, pids) = parent_and_child(&*session).await;
    assert!(alive(&*session, &pids[0]).await && alive(&*session, &pids[1]).await);
    drop(process);
    for pid in &pids {
        assert_dies(&*session, pid).await;
    }
}

pub async fn a_cancelled_capture_is_killed(guest: Guest) {
    let session = guest.session().await;
    let folder = String::from_utf8(run(&*session, command(&["mktemp", "-d"])).await.stdout).unwrap();
    let file = format!("{}/pid", folder.trim());
    let script = format!("echo $$ > {file}; exec sleep 1000");
    let long = capture(&*session, sh(&script), Bounds { timeout: None, limit_bytes: 1000 });
    assert!(timeout(Duration::from_secs(3), long).await.is_err());
    let pid = String::from_utf8(run(&*session, command(&["cat", &file])).await.stdout).unwrap();
    assert_dies(&*session, pid.trim()).await;
    run(&*session, command(&["rm", "-r", folder.trim()])).await;
}

pub async fn many_commands_run_at_once(guest: Guest) {
    let session = guest.session().await;
    let all = (0..30).map(|number| {
        let session = &session;
        async move {
            let captured = run(&**session, sh(&format!("sleep 1; echo {number}"))).await;
            assert_eq!((captured.exit, captured.stdout), (Exit::Code(0), format!("{number}\n").into_bytes()));
        }
    });
    timeout(Duration::from_secs(60), join_all(all)).await.expect("they run at once, or in turn, but all end");
}

pub async fn a_command_that_ends_harms_no_beginning_one(guest: Guest) {
    let session = guest.session().await;
    let session = &*session;
    let row = |row: i32| async move {
        for number in 0..40 {
            let captured = run(session, sh(&format!("exit {}", (row + number) % 5))).await;
            assert_eq!(captured.exit, Exit::Code((row + number) % 5));
        }
    };
    timeout(Duration::from_secs(100), join_all((0..4).map(row))).await.expect("they all end");
}

pub async fn stdin_comes_through_whole(guest: Guest) {
    let _alone = MEMORY.lock().await;
    let session = guest.session().await;
    let megabyte: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let bytes = Bytes::from(megabyte.repeat(32));
    let captured =
        run(&*session, Command { argv: vec!["cat".into()], stdin: Stdin::Bytes(bytes.clone()) }).await;
    assert_eq!(captured.exit, Exit::Code(0));
    assert!(captured.stdout == bytes, "{} bytes came back, of {}", captured.stdout.len(), bytes.len());
    let captured = run(&*session, Command { argv: vec!["cat".into()], stdin: Stdin::Closed }).await;
    assert_eq!((captured.exit, captured.stdout.len()), (Exit::Code(0), 0));
}

pub async fn stdin_can_end_before_output(guest: Guest) {
    let session = guest.session().await;
    let script = "while read -r line; do echo \"got $line\"; done; echo end";
    let argv = vec!["sh".into(), "-c".into(), script.into()];
    let mut process = session.exec(Command { argv, stdin: Stdin::Piped }).await.unwrap();
    let stdin = process.stdin.take().unwrap();
    let talk = async {
        for word in ["one", "two"] {
            stdin.send(Bytes::from(format!("{word}\n"))).await.unwrap();
            assert_eq!(process.output.recv().await.unwrap().data, format!("got {word}\n"));
        }
        drop(stdin);
        assert_eq!(process.output.recv().await.unwrap().data, "end\n");
        assert!(process.output.recv().await.is_none());
        assert_eq!(process.exit.await.unwrap(), Exit::Code(0));
    };
    timeout(PATIENCE, talk).await.expect("it answers and ends");
}
