//! How a `WinRM` guest and its user know each other: passwords, certificates, seals.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod windows;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::{Changing, command, run, sh};
use tokio::time::timeout;
use transports::winrm::Method;
use transports::{Command, Credential, Error, Exit, Identity, Login, Stdin, Target, Transport as _};
use windows::{http, https, options, with};
use winrm_peer::{Action, Answered, Instead, Options, Scheme};

/// How long what is expected may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_the_guest_forgot_is_made_anew() {
    for scheme in [Scheme::Negotiate, Scheme::Ntlm] {
        let windows = with(Options { schemes: vec![scheme], ..options(true) }).await;
        let session = windows.session().await;
        run(&*session, sh("true")).await;
        for number in 0..3 {
            let before = windows.server.counters().unauthorized;
            windows.server.forget_logins();
            let script = format!("echo anew {number}");
            assert_eq!(run(&*session, sh(&script)).await.stdout, format!("anew {number}\n").as_bytes());
            let counters = windows.server.counters();
            assert_eq!(counters.runs_with(&script), 1);
            assert!(counters.unauthorized > before, "nobody was asked to log in");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_a_forgotten_login_is_made_anew_before_anything_is_asked() {
    let windows = http().await;
    let session = windows.session().await;
    run(&*session, sh("true")).await;
    windows.server.forget_logins();
    // So long a login is taken to be known; pauses are what this is about.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(run(&*session, sh("echo anew")).await.stdout, b"anew\n");
    assert_eq!(windows.server.counters().runs_with("echo anew"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_a_change_of_its_passwords() {
    let windows = with(options(true)).await;
    let password = windows.target().credentials.remove(0);
    let wrong = |text: &str| Credential::Password(text.into());
    let login = |credentials| Ok(Login { user: None, credentials });
    let now = Mutex::new(login(vec![wrong("old"), wrong("older"), password.clone()]));
    let kept = Arc::new(Changing { now });
    let target = Target { credentials: vec![Credential::Kept(kept.clone())], ..windows.target() };
    let session = windows.transport().connect(&target).await.unwrap();
    for (number, credentials) in
        [vec![password.clone()], vec![wrong("new"), password.clone()], vec![password.clone(), wrong("x")]]
            .into_iter()
            .enumerate()
    {
        *kept.now.lock().unwrap() = login(credentials);
        windows.server.forget_logins();
        let captured = run(&*session, sh(&format!("echo {number}"))).await;
        assert_eq!(captured.stdout, format!("{number}\n").as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_not_made_to_lock_the_user_out() {
    for mut windows in [http().await, https().await] {
        windows.options.poll_timeout = Duration::from_secs(1);
        let login = |credential| Ok(Login { user: None, credentials: vec![credential] });
        let kept = Arc::new(Changing { now: Mutex::new(login(windows.target().credentials.remove(0))) });
        let target = Target { credentials: vec![Credential::Kept(kept.clone())], ..windows.target() };
        let session = windows.transport().connect(&target).await.unwrap();
        // Each message needs a new connection.
        windows.server.faults().close_after_reply(true);
        let mut processes = Vec::new();
        for _ in 0..5 {
            processes.push(session.exec(sh("sleep 1000")).await.unwrap());
        }
        *kept.now.lock().unwrap() = login(Credential::Password("too old".into()));
        let before = windows.server.counters().unauthorized;
        let over = timeout(PATIENCE, session.closed()).await.expect("there is no way in");
        assert!(matches!(&over, Error::Lost(_)), "{over:?}");
        for process in processes {
            let exit = timeout(PATIENCE, process.exit).await.unwrap().unwrap();
            assert!(
                matches!(&exit, Exit::Lost(why) if why.contains("permission denied") || why.contains("refuses")),
                "{exit:?}"
            );
        }
        // One for each that came at the same time and a last one, with their challenges; the ends of commands do not try on.
        let more = windows.server.until(|now| now.unauthorized > before + 16);
        assert!(timeout(Duration::from_secs(6), more).await.is_err(), "it is tried on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_do_no_harm() {
    for clock_skew_seconds in [-400_000_000, 86_400] {
        let windows = with(Options { clock_skew_seconds, ..options(false) }).await;
        run(&*windows.session().await, sh("true")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_log_in_is_taken() {
    for (tls, scheme) in [
        (true, Scheme::Basic),
        (true, Scheme::Negotiate),
        (true, Scheme::Ntlm),
        (false, Scheme::Negotiate),
        (false, Scheme::Ntlm),
    ] {
        let windows = with(Options { schemes: vec![scheme], ..options(tls) }).await;
        let captured = run(&*windows.session().await, sh("echo in")).await;
        assert_eq!(captured.stdout, b"in\n", "{tls} {scheme:?}");
        let domain = Target { user: format!("LAB\\{}", windows.target().user), ..windows.target() };
        if scheme != Scheme::Basic {
            windows.transport().connect(&domain).await.unwrap();
        }
        // The right one is found among several, and a key is no password.
        let password = windows.target().credentials.remove(0);
        let credentials =
            vec![Credential::Key("a key".into()), Credential::Password("wrong".into()), password];
        windows.transport().connect(&Target { credentials, ..windows.target() }).await.unwrap();
        let none = Target { credentials: vec![Credential::Key("a key".into())], ..windows.target() };
        let error = windows.transport().connect(&none).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(why) if why.contains("needs a password")), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_ways_to_log_in_that_may_be_used_are() {
    for (tls, methods, offered, said) in [
        (true, vec![Method::Negotiate, Method::Ntlm], Scheme::Basic, "none of Negotiate, NTLM"),
        (true, vec![Method::Basic], Scheme::Negotiate, "none of Basic"),
        (false, vec![Method::Basic], Scheme::Negotiate, "over HTTPS only"),
    ] {
        let mut windows = with(Options { schemes: vec![offered], ..options(tls) }).await;
        windows.options.methods = methods;
        let error = windows.transport().connect(&windows.target()).await.unwrap_err();
        assert!(matches!(&error, Error::Forbidden(why) if why.contains(said)), "{error:?}");
        assert_eq!(windows.server.counters().actions.len(), 0);
    }
    // The best of what both sides take.
    let mut windows =
        with(Options { schemes: vec![Scheme::Negotiate, Scheme::Basic], ..options(true) }).await;
    windows.options.methods = vec![Method::Basic];
    run(&*windows.session().await, sh("true")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_expected_is_told_to_be_pinned() {
    let windows = https().await;
    let nobodys = Identity::Pinned(vec![format!("SHA256:{}", "0".repeat(64))]);
    let target = Target { identity: nobodys, ..windows.target() };
    let error = windows.transport().connect(&target).await.unwrap_err();
    let Identity::Pinned(pins) = windows.target().identity else { panic!("its certificate is pinned") };
    assert!(matches!(&error, Error::WrongIdentity(why) if why.contains(&pins[0])), "{error:?}");
    assert_eq!(windows.server.counters().requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_never_crosses_plain_http() {
    let windows = with(Options { schemes: vec![Scheme::Basic], ..options(false) }).await;
    let error = windows.transport().connect(&windows.target()).await.unwrap_err();
    assert!(matches!(&error, Error::Forbidden(why) if why.contains("Negotiate")), "{error:?}");
    assert_eq!(windows.server.counters().actions.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_between_cannot_answer_for_the_guest() {
    let mut windows = http().await;
    windows.options.keepalive_interval = Duration::from_millis(500);
    let session = windows.session().await;
    let unsealed = |action, times| Answered { action, times, carried_out: false, with: Instead::Status(200) };
    let argv = ["sh", "-c", "cat; exit 0"].map(str::to_owned).to_vec();
    let mut process = session.exec(Command { argv, stdin: Stdin::Piped }).await.unwrap();
    windows.server.faults().answer(unsealed(Action::Send, 1));
    process.stdin.take().unwrap().send("a line\n".into()).await.unwrap();
    let exit = timeout(PATIENCE, process.exit).await.unwrap().unwrap();
    assert!(matches!(&exit, Exit::Lost(why) if why.contains("not sealed")), "{exit:?}");
    windows.server.faults().answer(unsealed(Action::Identify, usize::MAX));
    let over = timeout(PATIENCE, session.closed()).await.expect("that is no sign of life");
    assert!(matches!(&over, Error::Lost(why) if why.contains("not sealed")), "{over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_between_cannot_have_a_command_run_twice() {
    let windows = http().await;
    let session = windows.session().await;
    run(&*session, sh("true")).await;
    windows.server.faults().answer(Answered {
        action: Action::Command,
        times: 1,
        carried_out: true,
        with: Instead::Status(401),
    });
    let error = session.exec(sh("sleep 1000")).await.unwrap_err();
    assert!(matches!(&error, Error::Lost(why) if why.contains("not sealed")), "{error:?}");
    drop(session);
    timeout(PATIENCE, windows.server.until(|now| now.processes == 0)).await.expect("it is ended");
    assert_eq!(windows.server.counters().runs_with("sleep 1000"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_answer_is_stands_in_what_is_sealed() {
    let windows = http().await;
    let session = windows.session().await;
    let under =
        |action, status| Answered { action, times: 1, carried_out: true, with: Instead::Under(status) };
    windows.server.faults().answer(under(Action::Command, 200));
    assert_eq!(run(&*session, command(&["no-such-program"])).await.exit, Exit::Code(127));
    for action in [Action::Command, Action::Receive] {
        windows.server.faults().answer(under(action, 500));
        assert_eq!(run(&*session, sh("echo on; exit 3")).await.exit, Exit::Code(3), "{action:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_vouches_for_a_name() {
    let windows = https().await;
    let authority = windows.server.certificate_pem().unwrap().to_owned();
    let by = |name: &str| Target {
        identity: Identity::CertifiedBy { authority: authority.clone(), name: name.into() },
        ..windows.target()
    };
    let session = windows.transport().connect(&by("127.0.0.1")).await.unwrap();
    assert_eq!(session.identity(), Some(by("127.0.0.1").identity));
    let error = windows.transport().connect(&by("other.example")).await.unwrap_err();
    assert!(matches!(&error, Error::WrongIdentity(why) if why.contains("nothing secret")), "{error:?}");
    let other = https().await;
    let theirs = Target { address: other.server.address(), ..by("127.0.0.1") };
    let error = windows.transport().connect(&theirs).await.unwrap_err();
    assert!(matches!(error, Error::WrongIdentity(_)), "{error:?}");
    assert_eq!(other.server.counters().requests, 0);
    let pem = Target { identity: Identity::Pinned(vec![authority]), ..windows.target() };
    windows.transport().connect(&pem).await.unwrap();
}
