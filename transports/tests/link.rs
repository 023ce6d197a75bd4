//! A link over a real OpenSSH server that comes, goes, and comes again.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod servers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use servers::{Server, children, free_address};
use tokio::time::timeout;
use transports::{
    Bounds, Command, Credential, Error, Exit, Identity, Link, LinkState, Ssh, Stdin, Target, capture,
    generate_key,
};

fn in_seconds(seconds: u64) -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(seconds)
}

fn bounds() -> Bounds {
    Bounds { timeout: Some(Duration::from_secs(30)), limit_bytes: 1 << 20 }
}

fn command(argv: &[&str]) -> Command {
    Command { argv: argv.iter().map(|&word| word.to_owned()).collect(), stdin: Stdin::Closed }
}

fn link(target: Target) -> Link {
    Link::open(Arc::new(Ssh::default()), target)
}

#[tokio::test]
async fn says_what_it_saw_and_notices_a_server_that_comes_up() {
    let address = free_address();
    let key = generate_key("x").unwrap();
    let mut target = Target {
        address,
        user: "root".into(),
        host_name: None,
        credentials: vec![Credential::Key(key.private_openssh)],
        identity: Identity::TrustOnFirstUse,
        legacy_algorithms: Vec::new(),
    };
    let early = link(target.clone());
    let error = early.ready(in_seconds(2)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address}: connection refused"));
    assert!(matches!(error, Error::Unreachable(_)));

    let server = Server::openssh_at(address, "");
    let up = Instant::now();
    let error = loop {
        // It comes up and does not know the key.
        let mut state = early.state();
        timeout(Duration::from_secs(30), state.changed()).await.expect("no further attempt").unwrap();
        let error = early.session().unwrap_err();
        if !error.to_string().contains("connection refused") {
            break error;
        }
    };
    assert!(up.elapsed() < Duration::from_secs(15), "noticed only after {:?}", up.elapsed());
    assert_eq!(error.to_string(), format!("{address}: permission denied (tried publickey) for user root"));
    assert_eq!(early.refusal(), Some(error.to_string()));

    // Then the key is placed, as a first boot does.
    target.credentials = server.target().credentials;
    std::fs::write(
        server.folder.path().join("authorized_keys"),
        format!("{}\n{}\n", server.client_key.public_openssh, key.public_openssh),
    )
    .unwrap();
    let session = early.ready(in_seconds(30)).await.unwrap();
    assert_eq!(early.refusal(), None);
    assert_eq!(capture(&*session, command(&["true"]), bounds()).await.unwrap().exit, Exit::Code(0));
}

#[tokio::test]
async fn connects_again_after_a_cut_and_runs_nothing_twice() {
    let server = Server::openssh("");
    let link = link(server.target());
    let session = link.ready(in_seconds(30)).await.unwrap();
    let runs = server.folder.path().join("runs");
    let script = format!("echo run >> {}; echo started; sleep 60", runs.display());
    let mut process = session.exec(command(&["sh", "-c", &script])).await.unwrap();
    timeout(Duration::from_secs(30), process.output.recv()).await.unwrap().expect("it has started");

    server.cut();
    let exit = timeout(Duration::from_secs(10), process.exit).await.unwrap().unwrap();
    assert!(matches!(exit, Exit::Lost(_)), "{exit:?}");
    timeout(Duration::from_secs(10), session.closed()).await.expect("the session is over");

    let mut state = link.state();
    timeout(
        Duration::from_secs(20),
        state.wait_for(|state| matches!(state, LinkState::Ready(new) if !Arc::ptr_eq(new, &session))),
    )
    .await
    .expect("it connects again")
    .unwrap();
    let again = link.session().unwrap();
    assert_eq!(capture(&*again, command(&["true"]), bounds()).await.unwrap().exit, Exit::Code(0));
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n");
}

#[tokio::test]
async fn a_changed_guest_is_not_trusted_again() {
    let server = Server::openssh("");
    let address = server.address;
    let link = link(Target { identity: Identity::TrustOnFirstUse, ..server.target() });
    link.ready(in_seconds(30)).await.unwrap();
    drop(server);
    let _other = Server::openssh_at(address, "");
    let mut state = link.state();
    timeout(Duration::from_secs(20), state.wait_for(|state| matches!(state, LinkState::Failed(_))))
        .await
        .expect("the other guest is refused")
        .unwrap();
    let error = link.session().unwrap_err();
    assert!(matches!(error, Error::WrongIdentity(_)), "{error:?}");
    assert!(error.to_string().contains("nothing secret was sent"), "{error}");
}

#[tokio::test]
async fn the_last_clone_closes_the_session() {
    let server = Server::openssh("");
    let link = link(server.target());
    drop(link.ready(in_seconds(30)).await.unwrap());
    let mut state = link.state();
    let clone = link.clone();
    drop(link);
    clone.session().unwrap();
    // The server may not be through yet with who asked whether it answers.
    let until = Instant::now() + Duration::from_secs(30);
    while children(server.pid()).len() != 1 {
        assert!(Instant::now() < until, "there is not one connection:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(clone);
    timeout(Duration::from_secs(5), state.wait_for(|state| matches!(state, LinkState::Closed)))
        .await
        .unwrap()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while !children(server.pid()).is_empty() {
        assert!(Instant::now() < until, "the connection stays:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn close_ends_it_for_all_clones_and_a_nudge_hurries_it() {
    let server = Server::openssh("");
    let wrong = Target { credentials: vec![Credential::Password("wrong".into())], ..server.target() };
    let link = link(wrong);
    let mut state = link.state();
    let mut refused = 0;
    let began = Instant::now();
    while refused < 8 {
        timeout(Duration::from_secs(20), state.changed()).await.unwrap().unwrap();
        refused += 1;
        link.nudge();
    }
    // Unhurried, eight refusals take more than 30 s.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    link.clone().close();
    timeout(Duration::from_secs(5), state.wait_for(|state| matches!(state, LinkState::Closed)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(link.session().unwrap_err().to_string(), "connection lost: the link was closed");
}
