//! A connection that is cut at every message of a command, at three moments each: a clear error, no second run, no shell
//! left.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod windows;

use std::time::Duration;

use contract::{bounds, command};
use tokio::time::timeout;
use transports::{Error, Exit, capture};
#[cfg(feature = "credssp")]
use windows::credssp;
use windows::{Windows, options, with};
use winrm_peer::{Action, Cut, Moment};

/// How long what is expected may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// More messages than a command has.
const MOST: u32 = 60;

/// Runs a command whose `at`th message is cut. False where it has no such message.
async fn cut(windows: &Windows, at: u32, moment: Moment) -> bool {
    let server = &windows.server;
    let session = windows.session().await;
    let before = server.counters();
    server.faults().cut(Cut { at, action: None, moment });
    let mark = format!("{moment:?}-{at}");
    let script = format!("cat; echo {mark}; exit 7");
    let mut command = command(&["sh", "-c", &script]);
    command.stdin = transports::Stdin::Bytes("in\n".into());
    let ended = timeout(PATIENCE, capture(&*session, command, bounds())).await.expect("it ends, some way");
    let runs = server.counters().runs_with(&mark);
    let address = server.address().to_string();
    match &ended {
        Ok(captured) => {
            assert_eq!(runs, 1, "{mark}");
            match &captured.exit {
                Exit::Code(7) => {
                    assert_eq!(captured.stdout.escape_ascii().to_string(), format!("in\\n{mark}\\n"));
                }
                Exit::Lost(why) => assert!(why.contains(&address), "{mark}: {why}"),
                other => panic!("{mark}: {other:?}"),
            }
        }
        Err(error @ (Error::Lost(_) | Error::Unreachable(_))) => {
            assert!(runs <= 1, "{mark}: {runs} runs");
            assert!(error.to_string().contains(&address), "{mark}: {error}");
        }
        Err(other) => panic!("{mark}: {other:?}"),
    }
    let lost = !matches!(&ended, Ok(captured) if captured.exit == Exit::Code(7));
    drop(session);
    let gone = server.until(|now| now.shells_open == 0 && now.processes == 0);
    timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{mark}: a shell is left: {ended:?}"));
    assert_eq!(server.counters().runs_with(&mark), runs, "{mark}: it was run once more");
    assert!(server.counters().requests > before.requests);
    let reached = server.faults().cuts_left() == 0;
    assert!(reached || !lost, "{mark}: lost without a cut: {ended:?}");
    reached
}

/// How the guest is reached.
#[derive(Debug, Clone, Copy)]
enum Way {
    Tls,
    Sealed,
    #[cfg(feature = "credssp")]
    CredSsp,
}

/// A guest that is reached so.
async fn guest(way: Way) -> Windows {
    match way {
        Way::Tls => with(options(true)).await,
        Way::Sealed => with(options(false)).await,
        #[cfg(feature = "credssp")]
        Way::CredSsp => credssp(options(false)).await,
    }
}

async fn every_message(way: Way, moment: Moment) {
    let mut at = 1;
    let mut windows = guest(way).await;
    while cut(&windows, at, moment).await {
        at += 1;
        assert!(at < MOST, "that many messages?");
    }
    // Create, Command, Receive, Send, Signal and Delete at least.
    assert!(at > 6, "only {} messages were cut", at - 1);
    // The cut that was not reached goes with its server; then the same while the session is made.
    for at in 1..=4 {
        windows = guest(way).await;
        windows.server.faults().cut(Cut { at, action: None, moment });
        let made = transports::Transport::connect(&windows.transport(), &windows.target()).await;
        if windows.server.faults().cuts_left() == 0 {
            let error = made.expect_err("its connection was cut");
            assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
            assert!(error.to_string().contains(&windows.server.address().to_string()), "{error}");
        }
        windows.session().await;
    }
}

macro_rules! cuts {
    ($($name:ident: $way:ident, $moment:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            every_message(Way::$way, Moment::$moment).await;
        })*
    };
}

cuts! {
    before_it_is_read_over_tls: Tls, BeforeRead;
    before_the_reply_over_tls: Tls, BeforeReply;
    in_the_reply_over_tls: Tls, InReply;
    before_it_is_read_sealed: Sealed, BeforeRead;
    before_the_reply_sealed: Sealed, BeforeReply;
    in_the_reply_sealed: Sealed, InReply;
}

#[cfg(feature = "credssp")]
cuts! {
    before_it_is_read_sealed_by_credssp: CredSsp, BeforeRead;
    before_the_reply_sealed_by_credssp: CredSsp, BeforeReply;
    in_the_reply_sealed_by_credssp: CredSsp, InReply;
}

/// A long input, whose messages are there but for a byte when their turn comes. One that is cut before was not carried out, so it
/// goes again; one that is cut afterwards leaves no hole: the command does not end well.
async fn long_input(way: Way) {
    const BYTES: usize = 1_500_000;
    let windows = guest(way).await;
    let server = &windows.server;
    server.faults().slow(Action::Send, Duration::from_millis(100));
    let (mut whole, mut lost) = (0, 0);
    for at in 1..MOST {
        let session = windows.session().await;
        server.faults().cut(Cut { at, action: None, moment: Moment::BeforeRead });
        let mut command = command(&["wc", "-c"]);
        command.stdin = transports::Stdin::Bytes(vec![b'x'; BYTES].into());
        let ended =
            timeout(PATIENCE, capture(&*session, command, bounds())).await.expect("it ends, some way");
        match &ended {
            Ok(captured) if captured.exit == Exit::Code(0) => {
                assert_eq!(captured.stdout.trim_ascii(), BYTES.to_string().as_bytes(), "message {at}");
                whole += usize::from(server.faults().cuts_left() == 0);
            }
            Ok(captured) => {
                assert!(matches!(captured.exit, Exit::Lost(_)), "message {at}: {captured:?}");
                lost += 1;
            }
            Err(Error::Lost(_) | Error::Unreachable(_)) => {}
            Err(error) => panic!("message {at}: {error}"),
        }
        if server.faults().cuts_left() > 0 {
            break;
        }
    }
    // How many messages go ahead of their turn is a matter of how busy the machine is.
    assert!(whole > 0 && lost > 0, "{whole} were whole all the same, {lost} were lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_input_has_no_hole_over_tls() {
    long_input(Way::Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_input_has_no_hole_sealed() {
    long_input(Way::Sealed).await;
}

#[cfg(feature = "credssp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_input_has_no_hole_sealed_by_credssp() {
    long_input(Way::CredSsp).await;
}
