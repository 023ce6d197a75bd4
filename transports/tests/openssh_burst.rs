//! Commands in a burst on OpenSSH, whose shells are started ahead.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod servers;

use std::process::Command as Host;
use std::time::Duration;

use contract::{assert_dies, command, run, sh};
use servers::user::{User, open_server};
use tokio::time::{sleep, timeout};
use transports::{Bounds, Error, Exit, Session, Ssh, Transport as _, capture};

/// How long what is expected may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user's shells that wait for their line.
fn waiting(user: &User) -> Vec<String> {
    let output =
        Host::new("pgrep").args(["-u", &user.name, "-f", "^.*sh -c IFS= read -r _i1"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Runs commands until a shell waits for the next one.
async fn burst(session: &dyn Session, user: &User) -> String {
    let pid = async {
        loop {
            run(session, command(&["true"])).await;
            for _ in 0..5 {
                if let [pid] = &waiting(user)[..] {
                    return pid.clone();
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    timeout(PATIENCE, pid).await.expect("a burst makes a shell wait")
}

async fn gone(user: &User) {
    let none = async {
        while !waiting(user).is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, none).await.expect("the shell that waited is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_is_run_once_with_its_own_words() {
    let server = open_server("");
    for shell in ["/bin/sh", "/bin/bash"] {
        let user = User::new(shell, "x");
        let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
        burst(&*session, &user).await;
        for number in 0..100 {
            let long = "x".repeat(2000);
            let words = ["", " it's ", "$HOME \\ *", "a\nb", "ü", &long][number % 6];
            let script =
                format!("cat; echo {number} >>ran; printf %s \"$1\"; echo on two >&2; exit {number}");
            let mut command = command(&["sh", "-c", &script, "sh", words]);
            command.stdin = transports::Stdin::Bytes("in\n".into());
            let captured = run(&*session, command).await;
            assert_eq!(captured.stdout, format!("in\n{words}").as_bytes(), "{shell}: {number}");
            assert_eq!(captured.stderr, b"on two\n".as_slice(), "{shell}: {number}");
            assert_eq!(captured.exit, Exit::Code(number.try_into().unwrap()), "{shell}");
        }
        let ran = std::fs::read_to_string(user.home.path().join("ran")).unwrap();
        let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(ran.lines().collect::<Vec<_>>(), expected, "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_was_killed_costs_no_command() {
    let (server, user) = (open_server(""), User::new("/bin/sh", "x"));
    let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
    for _ in 0..5 {
        let pid = burst(&*session, &user).await;
        Host::new("kill").args(["-KILL", &pid]).status().unwrap();
        let captured = run(&*session, sh("echo here; exit 7")).await;
        assert_eq!((captured.exit, &captured.stdout[..]), (Exit::Code(7), b"here\n".as_slice()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_kills_what_a_waiting_shell_began() {
    let (server, user) = (open_server(""), User::new("/bin/sh", "x"));
    let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
    let bounds = Bounds { timeout: Some(Duration::from_secs(10)), limit_bytes: 100 };
    // A shell is seen a moment before the session has it to give; a command that comes between has one of its own.
    let mut tries = 0;
    loop {
        let pid = burst(&*session, &user).await;
        let error = capture(&*session, sh("sleep 1000 & echo $$ $! >pids; wait"), bounds).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(_)), "{error:?}");
        let pids = std::fs::read_to_string(user.home.path().join("pids")).unwrap();
        let (parent, child) = pids.trim().split_once(' ').unwrap();
        assert_dies(&*session, parent).await;
        assert_dies(&*session, child).await;
        if parent == pid {
            break;
        }
        tries += 1;
        assert!(tries < 3, "process {parent} ran it, and not {pid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_shell_waits_for_long_or_after_its_session() {
    let (server, user) = (open_server(""), User::new("/bin/sh", "x"));
    let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
    burst(&*session, &user).await;
    gone(&user).await;
    // Its place is free again, and so is the way to the next one.
    burst(&*session, &user).await;
    drop(session);
    gone(&user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_few_sessions_still_takes_its_commands() {
    let (server, user) = (open_server("MaxSessions 2"), User::new("/bin/sh", "x"));
    let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
    burst(&*session, &user).await;
    let several = (0..12).map(|number| run(&*session, sh_number(number)));
    for (number, captured) in futures_util::future::join_all(several).await.into_iter().enumerate() {
        assert_eq!(captured.stdout, format!("{number}\n").as_bytes());
    }
}

fn sh_number(number: usize) -> transports::Command {
    sh(&format!("sleep 0.2; echo {number}"))
}
