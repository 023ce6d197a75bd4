//! `CredSSP`: a login that hands the password over, and to whom it does not.

#![cfg(feature = "credssp")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod windows;

use std::time::Duration;

use contract::{Guest, command, run, sh};
use tokio::time::timeout;
use transports::winrm::Method;
use transports::{Command, Credential, Error, Exit, Stdin, Target, Transport as _};
use windows::{Windows, credssp, options, with};
use winrm_peer::{Action, Answered, Between, CredSsp, Cut, Instead, Moment, Options, Scheme};

/// How long what is expected may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests of a login.
const REQUESTS: u32 = 6;

/// Over HTTP, where the TLS session of the login seals each message.
mod with_seals {
    async fn guest() -> super::Guest {
        super::credssp(super::options(false)).await.guest()
    }

    crate::contract!(guest);
}

/// A guest that speaks it in this way, over HTTP.
async fn speaking(version: u32, between: Option<Between>) -> Windows {
    credssp(Options { credssp: CredSsp { version, between }, ..options(false) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_handed_over_and_messages_of_any_length_are_sealed() {
    for tls in [false, true] {
        let windows = credssp(options(tls)).await;
        let session = windows.session().await;
        let text = "0123456789abcdef".repeat(60_000);
        let argv = ["sh", "-c", "cat; exit 3"].map(str::to_owned).to_vec();
        let captured = run(&*session, Command { argv, stdin: Stdin::Bytes(text.clone().into()) }).await;
        assert!(captured.stdout == text.as_bytes(), "{} bytes came back", captured.stdout.len());
        assert_eq!(captured.exit, Exit::Code(3));
        assert_eq!(run(&*session, command(&["no-such-program"])).await.exit, Exit::Code(127));
        let counters = windows.server.counters();
        assert!(counters.passwords_received > 0 && counters.passwords_received == counters.connections);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_and_not_handed_over() {
    for version in [5, 6] {
        let windows = speaking(version, None).await;
        let with = |credentials| Target { credentials, ..windows.target() };
        let wrong = || Credential::Password("wrong".into());
        let error = windows.transport().connect(&with(vec![wrong()])).await.unwrap_err();
        // The fifth version has no word for it.
        let word = if version == 5 { "by CredSSP)" } else { "is wrong (0xc000006d)" };
        assert!(matches!(&error, Error::Refused(why) if why.contains(word)), "{error:?}");
        assert_eq!(windows.server.counters().passwords_received, 0);
        let right = windows.target().credentials.remove(0);
        windows.transport().connect(&with(vec![wrong(), right])).await.unwrap();
        assert_eq!(windows.server.counters().passwords_received, 1);
        let domain = Target { user: format!("LAB\\{}", windows.target().user), ..windows.target() };
        windows.transport().connect(&domain).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_between_gets_the_password() {
    for version in [5, 6] {
        let windows = speaking(version, Some(Between::Refused)).await;
        let error = windows.transport().connect(&windows.target()).await.unwrap_err();
        let word = if version == 5 { "by CredSSP)" } else { "is somebody between?" };
        assert!(matches!(&error, Error::Refused(why) if why.contains(word)), "{error:?}");
        assert_eq!(windows.server.counters().passwords_received, 0);

        let windows = speaking(version, Some(Between::Believed)).await;
        let error = windows.transport().connect(&windows.target()).await.unwrap_err();
        assert!(
            matches!(&error, Error::WrongIdentity(why) if why.contains("password was not sent")),
            "{error:?}"
        );
        let counters = windows.server.counters();
        assert_eq!((counters.passwords_received, counters.actions.len()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_version_is_refused_with_the_remedy() {
    for version in 2..5 {
        let windows = speaking(version, None).await;
        let error = windows.transport().connect(&windows.target()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Forbidden(why) if why.contains("CVE-2018-0886") && why.contains("negotiate")),
            "{error:?}"
        );
        assert_eq!(windows.server.counters().passwords_received, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_chosen_only_where_it_is_asked_for_and_offered() {
    for tls in [false, true] {
        let only = with(Options { schemes: vec![Scheme::CredSsp], ..options(tls) }).await;
        let error = only.transport().connect(&only.target()).await.unwrap_err();
        assert!(matches!(&error, Error::Forbidden(why) if why.contains("only CredSSP")), "{error:?}");
        let both = with(Options { schemes: vec![Scheme::CredSsp, Scheme::Negotiate], ..options(tls) }).await;
        both.session().await;
        for guest in [only, both] {
            assert_eq!(guest.server.counters().passwords_received, 0);
        }
        let mut without = with(options(tls)).await;
        without.options.methods = vec![Method::CredSsp];
        let error = without.transport().connect(&without.target()).await.unwrap_err();
        assert!(matches!(&error, Error::Forbidden(why) if why.contains("none of CredSSP")), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_cut_in_any_step_is_told_and_made_anew() {
    let windows = speaking(6, None).await;
    for moment in [Moment::BeforeRead, Moment::BeforeReply, Moment::InReply] {
        // The offers are asked for first, and once a login is known, whether it carries a request.
        for at in 1..=1 + REQUESTS {
            windows.server.faults().cut(Cut { at, action: None, moment });
            let error = windows.transport().connect(&windows.target()).await.unwrap_err();
            assert_eq!(windows.server.faults().cuts_left(), 0, "{moment:?} at {at}");
            assert!(matches!(&error, Error::Unreachable(_)), "{moment:?} at {at}: {error:?}");
            assert!(error.to_string().contains(&windows.server.address().to_string()), "{error}");
        }
        run(&*windows.session().await, sh("true")).await;
        let gone = windows.server.until(|now| now.shells_open == 0 && now.connections_open == 0);
        timeout(PATIENCE, gone).await.expect("nothing is left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_between_cannot_answer_for_the_guest() {
    let windows = speaking(6, None).await;
    let session = windows.session().await;
    run(&*session, sh("true")).await;
    let with = Instead::Status(200);
    windows.server.faults().answer(Answered { action: Action::Command, times: 1, carried_out: true, with });
    let error = session.exec(sh("sleep 1000")).await.unwrap_err();
    assert!(matches!(&error, Error::Lost(why) if why.contains("not sealed")), "{error:?}");
    drop(session);
    timeout(PATIENCE, windows.server.until(|now| now.processes == 0)).await.expect("it is ended");
    assert_eq!(windows.server.counters().runs_with("sleep 1000"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_the_guest_forgot_is_made_anew() {
    let windows = speaking(6, None).await;
    let session = windows.session().await;
    run(&*session, sh("true")).await;
    windows.server.forget_logins();
    // So long a login is taken to be known; pauses are what this is about.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(run(&*session, sh("echo anew")).await.stdout, b"anew\n");
    assert_eq!(windows.server.counters().runs_with("echo anew"), 1);
}
