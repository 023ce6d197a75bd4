//! How a session is made, and how it ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;
use transports::{Credential, Error, Exit, Identity, Login, Logins, Secret, Target};

use super::*;

pub async fn a_cut_is_told_and_nothing_runs_twice(guest: Guest) {
    let session = guest.session().await;
    let folder = String::from_utf8(run(&*session, command(&["mktemp", "-d"])).await.stdout).unwrap();
    let runs = format!("{}/runs", folder.trim());
    let script = format!("echo run >> {runs}; echo started; sleep 1000");
    let mut process = session.exec(held(&script)).await.unwrap();
    timeout(PATIENCE, process.output.recv()).await.unwrap().expect("it has started");
    (guest.cut)();
    let exit = timeout(Duration::from_secs(20), process.exit).await.expect("the loss is noticed").unwrap();
    assert!(matches!(exit, Exit::Lost(_)), "{exit:?}");
    let error = timeout(Duration::from_secs(20), session.closed()).await;
    let error = error.unwrap_or_else(|_| panic!("the session goes on after {exit:?}"));
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
    let error = session.exec(command(&["true"])).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error:?}");

    let again = guest.session().await;
    assert_eq!(run(&*again, command(&["cat", &runs])).await.stdout, b"run\n");
    run(&*again, command(&["rm", "-r", folder.trim()])).await;
}

pub async fn another_identity_gets_nothing(guest: Guest) {
    let target = Target { identity: guest.other.clone(), ..guest.target.clone() };
    let error = guest.transport.connect(&target).await.unwrap_err();
    assert!(!error.retryable());
    let target = Target { identity: Identity::TrustOnFirstUse, ..guest.target.clone() };
    let session = guest.transport.connect(&target).await.unwrap();
    let identity = session.identity();
    if guest.has(Ability::Identity, identity.is_some()) {
        assert!(matches!(error, Error::WrongIdentity(_)), "{error:?}");
        assert_eq!(identity, Some(guest.target.identity.clone()));
    } else {
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}

pub async fn a_wrong_password_is_refused(guest: Guest) {
    let secret = "correct horse battery staple";
    let target =
        Target { credentials: vec![Credential::Password(Secret::new(secret))], ..guest.target.clone() };
    let error = guest.transport.connect(&target).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    let text = format!("{error} {error:?}");
    let whom = format!("for user {}", guest.target.user);
    assert!(text.contains(&whom) && text.contains("password"), "{text}");
    assert!(!text.contains(secret), "{text}");
}

/// A login that somebody may change.
#[derive(Debug)]
pub struct Changing {
    pub now: Mutex<Result<Login, Error>>,
}

#[async_trait::async_trait]
impl Logins for Changing {
    async fn now(&self) -> Result<Login, Error> {
        self.now.lock().unwrap().clone()
    }
}

pub async fn a_kept_login_is_read_each_time(guest: Guest) {
    let Target { credentials, user, .. } = guest.target.clone();
    let missing = Error::Refused("the login is gone".into());
    let kept = Arc::new(Changing { now: Mutex::new(Err(missing)) });
    let target = Target {
        user: "nobody-of-that-name".into(),
        credentials: vec![Credential::Kept(kept.clone())],
        ..guest.target.clone()
    };
    let error = guest.transport.connect(&target).await.unwrap_err();
    assert!(error.retryable() && error.to_string() == "the login is gone", "{error:?}");
    *kept.now.lock().unwrap() = Ok(Login { user: Some(user), credentials });
    let session = guest.transport.connect(&target).await.unwrap();
    assert_eq!(run(&*session, command(&["echo", "in"])).await.stdout, b"in\n");
}

pub async fn a_dropped_session_ends_its_commands(guest: Guest) {
    let session = guest.session().await;
    let process = session.exec(command(&["sleep", "1000"])).await.unwrap();
    drop(session);
    let exit = timeout(Duration::from_secs(10), process.exit).await.expect("it ends").unwrap();
    assert!(matches!(exit, Exit::Lost(_)), "{exit:?}");
}
