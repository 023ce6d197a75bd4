//! Many commands at once on one guest, under the quotas that Windows has by default.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod windows;

use std::time::{Duration, Instant};

use bytes::Bytes;
use contract::{run, sh};
use futures_util::future::join_all;
use tokio::time::timeout;
use transports::{Command, Exit, Process, Session, Stdin};
use windows::{http, https, options, with};
use winrm_peer::{Limits, Options};

/// How long what is expected may take on a busy machine. Far less than a question for output waits.
const PATIENCE: Duration = Duration::from_secs(10);

const COMMANDS: usize = 50;

/// A command that answers what it is told.
async fn waiting(session: &dyn Session, number: usize) -> Process {
    let script = format!("read -r line; echo \"{number} $line\"; exit {number}");
    let argv = vec!["sh".into(), "-c".into(), script];
    session.exec(Command { argv, stdin: Stdin::Piped }).await.expect("it starts")
}

async fn tell(mut process: Process, number: usize) {
    process.stdin.take().unwrap().send(Bytes::from_static(b"told\n")).await.unwrap();
    let output = process.output.recv().await.expect("an answer");
    assert_eq!(output.data, format!("{number} told\n"));
    assert!(process.output.recv().await.is_none());
    assert_eq!(process.exit.await.unwrap(), Exit::Code(number.try_into().unwrap()));
}

async fn fifty_at_once(windows: windows::Windows) {
    let mut options = windows.options.clone();
    // Nobody could wait for the end of another's question and be in time.
    options.poll_timeout = Duration::from_secs(60);
    let windows = windows::Windows { options, ..windows };
    let session = windows.session().await;
    let session_ref = &*session;
    let all = join_all((0..COMMANDS).map(|number| waiting(session_ref, number)));
    let processes = timeout(3 * PATIENCE, all).await.expect("they all start");
    let server = &windows.server;
    timeout(PATIENCE, server.until(|now| now.receives_waiting == COMMANDS))
        .await
        .expect("all wait for output");

    for (number, process) in processes.into_iter().enumerate() {
        timeout(PATIENCE, tell(process, number)).await.expect("it answers while the others wait");
        if number % 10 == 0 {
            // So do new ones.
            let captured = timeout(PATIENCE, run(session_ref, sh("echo beside"))).await.expect("it runs");
            assert_eq!(captured.stdout, b"beside\n");
        }
    }
    let counters = server.counters();
    assert!(counters.shells_made <= 30, "{counters:?}");
    assert!(counters.runs.values().all(|&runs| runs == 1 || runs == 5), "{:?}", counters.runs);
    assert_eq!(counters.runs.values().sum::<u64>(), 55);

    drop(session);
    timeout(PATIENCE, server.until(|now| now.shells_open == 0 && now.processes == 0))
        .await
        .expect("none is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_over_tls() {
    fifty_at_once(https().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_sealed() {
    fifty_at_once(http().await).await;
}

/// What a busy guest did not look at is sent again, for which it needs a place; what comes after it waits for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_goes_ahead_takes_no_place_of_the_input_before_it() {
    let mut windows = http().await;
    windows.options.poll_timeout = Duration::from_secs(1);
    windows.options.input_connections = 2;
    let session = windows.session().await;
    let all = (0..4).map(|_| {
        let argv = ["sh", "-c", "sleep 3; wc -c"].map(str::to_owned).to_vec();
        run(&*session, Command { argv, stdin: Stdin::Bytes(vec![b'x'; 1_500_000].into()) })
    });
    let all = timeout(4 * PATIENCE, join_all(all)).await.expect("none waits for another");
    for captured in all {
        assert_eq!((captured.exit, captured.stdout.trim_ascii()), (Exit::Code(0), &b"1500000"[..]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_allows_less_than_usual_takes_all_in_turn() {
    let limits = Limits { shells_per_user: 2, processes_per_shell: 3, ..Limits::default() };
    let windows = with(Options { limits, ..options(true) }).await;
    let session = windows.session().await;
    let all = (0..20).map(|number| {
        let session = &session;
        async move {
            let captured = run(&**session, sh(&format!("sleep 0.3; echo {number}"))).await;
            assert_eq!((captured.exit, captured.stdout), (Exit::Code(0), format!("{number}\n").into_bytes()));
        }
    });
    timeout(6 * PATIENCE, join_all(all)).await.expect("they all end");
    drop(session);
    timeout(PATIENCE, windows.server.until(|now| now.shells_open == 0)).await.expect("none is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_others_give_back_are_used() {
    let limits = Limits { shells_per_user: 4, ..Limits::default() };
    let mut windows = with(Options { limits, ..options(true) }).await;
    windows.options.commands_per_shell = 1;
    windows.options.refusal_holds = Duration::from_secs(1);
    windows.options.keepalive_interval = Duration::from_millis(300);
    // Shells that a session before has left, as far as the guest is concerned.
    let before = windows.session().await;
    let mut left = Vec::new();
    for _ in 0..3 {
        left.push(before.exec(sh("sleep 1000")).await.unwrap());
    }
    let session = windows.session().await;
    let _runs = session.exec(sh("sleep 1000")).await.unwrap();
    let all = join_all((0..3).map(|_| session.exec(sh("sleep 1000"))));
    tokio::pin!(all);
    assert!(timeout(Duration::from_secs(2), &mut all).await.is_err(), "there is no place");
    assert_eq!(windows.server.counters().shells_open, 4);
    drop(before);
    let processes = timeout(PATIENCE, all).await.expect("there are places again");
    assert!(processes.iter().all(Result::is_ok));
    assert_eq!(windows.server.counters().shells_open, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_counts_every_command_is_given_new_shells() {
    let limits = Limits { operations_per_user: 7, ..Limits::default() };
    let windows = with(Options { limits, ..options(true) }).await;
    let session = windows.session().await;
    for number in 0..30 {
        assert_eq!(run(&*session, sh(&format!("exit {number}"))).await.exit, Exit::Code(number));
    }
    assert!(windows.server.counters().shells_made >= 4);
    assert!(windows.server.counters().runs.values().all(|&runs| runs == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_guest_says_what_to_do() {
    let windows =
        with(Options { limits: Limits { shells_per_user: 0, ..Limits::default() }, ..options(true) }).await;
    let session = windows.session().await;
    let text = session.exec(sh("true")).await.unwrap_err().to_string();
    assert!(
        text.contains(&windows.server.address().to_string()) && text.contains("MaxShellsPerUser"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_shell_is_deleted_and_the_session_goes_on() {
    let mut windows = http().await;
    windows.options.idle_timeout = Duration::from_millis(500);
    windows.options.keepalive_interval = Duration::from_millis(300);
    let session = windows.session().await;
    for made in 1..=2 {
        let begun = Instant::now();
        run(&*session, sh("true")).await;
        assert_eq!(windows.server.counters().shells_made, made);
        timeout(PATIENCE, windows.server.until(|now| now.shells_open == 0)).await.expect("it is deleted");
        assert!(begun.elapsed() >= windows.options.idle_timeout, "{:?}", begun.elapsed());
    }
}
