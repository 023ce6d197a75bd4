//! How a `WinRM` guest and its user know each other by the tickets of a real domain.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod windows;

use std::sync::{Arc, Mutex};

use contract::{Changing, Guest, run, sh};
use transports::winrm::Method;
use transports::{Credential, Error, Login, Target, Transport as _};
use windows::{PASSWORD, USER, Windows, with};
use winrm_peer::realm::{self, Realm, Setup};
use winrm_peer::{Options, Scheme};

/// A domain with the usual user; `None` where the test has passed in it.
async fn domain(test: &str, setup: Setup) -> Option<Realm> {
    let realm = Realm::around(test, setup).await?;
    realm.user(USER, PASSWORD, &[]).await;
    Some(realm)
}

/// A guest in the domain, which lets nobody in by a password.
async fn guest(tls: bool, offered: Scheme) -> Windows {
    let principal = Some(format!("{USER}@{}", realm::NAME));
    let options =
        Options { tls, principal, schemes: vec![offered], ..Options::http(USER, "another password") };
    let mut windows = with(options).await;
    windows.options.methods = vec![Method::Kerberos];
    windows.host_name = Some(realm::GUEST.to_owned());
    windows
}

async fn error(windows: &Windows, target: Target) -> Error {
    let error = windows.transport().connect(&target).await.unwrap_err();
    assert_eq!(windows.server.counters().actions.len(), 0, "it was let in");
    error
}

fn with_password(windows: &Windows, password: &str) -> Target {
    Target { credentials: vec![Credential::Password(password.into())], ..windows.target() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_lets_in_however_it_is_offered() {
    let Some(realm) = domain("a_ticket_lets_in_however_it_is_offered", Setup::default()).await else {
        return;
    };
    for (tls, offered) in [
        (true, Scheme::Negotiate),
        (true, Scheme::Kerberos),
        (false, Scheme::Negotiate),
        (false, Scheme::Kerberos),
    ] {
        let windows = guest(tls, offered).await;
        let session = windows.session().await;
        assert_eq!(run(&*session, sh("echo in")).await.stdout, b"in\n", "{tls} {offered:?}");
        let before = realm.given("_REQ");
        // Each message needs a new connection, and a login on it.
        windows.server.faults().close_after_reply(true);
        for number in 0..3 {
            let captured = run(&*session, sh(&format!("echo anew {number}"))).await;
            assert_eq!(captured.stdout, format!("anew {number}\n").as_bytes());
        }
        assert_eq!(realm.given("_REQ"), before, "the domain is asked once for a session");
        let whole = Target { user: format!("{USER}@{}", realm::NAME), ..windows.target() };
        windows.transport().connect(&whole).await.unwrap();
        let wrong = Credential::Password("wrong".into());
        let credentials = vec![wrong, windows.target().credentials.remove(0)];
        windows.transport().connect(&Target { credentials, ..windows.target() }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_where_a_ticket_seals() {
    let Some(_realm) = domain("the_contract_holds_where_a_ticket_seals", Setup::default()).await else {
        return;
    };
    let new = async || -> Guest { guest(false, Scheme::Negotiate).await.guest() };
    contract::exit_codes_come_through(new().await).await;
    contract::both_streams_come_through_whole(new().await).await;
    contract::stdin_comes_through_whole(new().await).await;
    contract::arguments_come_through_as_they_are(new().await).await;
    contract::many_commands_run_at_once(new().await).await;
    contract::a_cut_is_told_and_nothing_runs_twice(new().await).await;
    contract::a_wrong_password_is_refused(new().await).await;
    contract::a_kept_login_is_read_each_time(new().await).await;
    contract::a_dropped_session_ends_its_commands(new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_own_tickets_are_taken_where_there_is_no_password() {
    let test = "the_nodes_own_tickets_are_taken_where_there_is_no_password";
    let Some(realm) = domain(test, Setup::default()).await else { return };
    let windows = guest(false, Scheme::Negotiate).await;
    let target = Target { credentials: vec![Credential::Tickets], ..windows.target() };
    let none = error(&windows, target.clone()).await;
    assert!(
        matches!(&none, Error::Refused(why) if why.contains("no ticket") && why.contains("kinit")),
        "{none:?}"
    );
    realm.tickets(USER, PASSWORD).await;
    let session = windows.transport().connect(&target).await.unwrap();
    assert_eq!(run(&*session, sh("echo in")).await.stdout, b"in\n");
    let other = error_of_other(&guest(false, Scheme::Negotiate).await, &target).await;
    assert!(matches!(&other, Error::Refused(why) if why.contains("no ticket")), "{other:?}");
}

async fn error_of_other(windows: &Windows, target: &Target) -> Error {
    let address = windows.server.address();
    error(windows, Target { user: "Somebody".into(), address, ..target.clone() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keytab_of_the_node_gets_tickets() {
    let Some(realm) = domain("a_keytab_of_the_node_gets_tickets", Setup::default()).await else { return };
    realm.change(&format!("ktadd -k {} {USER}", realm.client_keytab().display())).await;
    let windows = guest(true, Scheme::Negotiate).await;
    let target = Target { credentials: vec![Credential::Tickets], ..windows.target() };
    let session = windows.transport().connect(&target).await.unwrap();
    assert_eq!(run(&*session, sh("echo in")).await.stdout, b"in\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_domain_refuses_is_told() {
    let Some(realm) = domain("what_the_domain_refuses_is_told", Setup::default()).await else { return };
    realm.user("old", PASSWORD, &["-pwexpire", "yesterday"]).await;
    realm.user("gone", PASSWORD, &["-expire", "yesterday"]).await;
    realm.user("careful", PASSWORD, &["+requires_preauth"]).await;
    for tls in [false, true] {
        let windows = guest(tls, Scheme::Negotiate).await;
        for (user, password, said) in [
            (USER, "wrong", "a password that is wrong"),
            ("careful", "wrong", "a password that is wrong"),
            ("nobody", PASSWORD, "no such user"),
            ("old", PASSWORD, "has expired"),
            ("gone", PASSWORD, "expired or locked out"),
        ] {
            let target = Target { user: user.into(), ..with_password(&windows, password) };
            let error = error(&windows, target).await;
            assert!(
                matches!(&error, Error::Refused(why) if why.contains(said) && why.contains(user)),
                "{error:?}"
            );
        }
        // Nothing of it came to the guest but the question what it offers.
        assert_eq!(windows.server.counters().unauthorized, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_kept_is_not_told() {
    let Some(_realm) = domain("a_name_that_is_kept_is_not_told", Setup::default()).await else { return };
    let windows = guest(true, Scheme::Negotiate).await;
    let credentials = vec![Credential::Password(PASSWORD.into())];
    let now = Mutex::new(Ok(Login { user: Some("hidden-name".into()), credentials }));
    let target =
        Target { credentials: vec![Credential::Kept(Arc::new(Changing { now }))], ..windows.target() };
    let error = error(&windows, target).await.to_string();
    assert!(error.contains("no such user") && !error.contains("hidden-name"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_of_another_name_is_told() {
    let Some(realm) = domain("a_guest_of_another_name_is_told", Setup::default()).await else { return };
    realm.user("somebody", PASSWORD, &[]).await;
    for tls in [false, true] {
        let mut windows = guest(tls, Scheme::Negotiate).await;
        let somebody = Target { user: "somebody".into(), ..windows.target() };
        let refused = error(&windows, somebody).await;
        assert!(
            matches!(&refused, Error::Refused(why) if why.contains("does not let the user in")),
            "{refused:?}"
        );
        let down_level = Target { user: format!("LAB\\{USER}"), ..windows.target() };
        let invalid = error(&windows, down_level).await;
        assert!(matches!(&invalid, Error::Invalid(why) if why.contains("name@REALM")), "{invalid:?}");
        for (name, said) in [
            (Some(realm::OTHER), "that is not the guest's name"),
            (Some("nobody.lab.example"), "no such service"),
            (Some("a/b"), "no name of a host"),
            (None, "give it as `host-name`"),
        ] {
            windows.host_name = name.map(str::to_owned);
            let error = error(&windows, windows.target()).await;
            assert!(error.to_string().contains(said) && error.to_string().contains("host-name"), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_knows_outdated_ciphers_only_is_refused() {
    let test = "a_guest_that_knows_outdated_ciphers_only_is_refused";
    let Some(realm) = domain(test, Setup::default()).await else { return };
    let old = "old.lab.example";
    realm.change(&format!("addprinc -randkey HTTP/{old}")).await;
    realm.change(&format!("ktadd -k {} HTTP/{old}", realm.guest_keytab().display())).await;
    realm.change(&format!("setstr HTTP/{old} session_enctypes arcfour-hmac")).await;
    let mut windows = guest(false, Scheme::Negotiate).await;
    windows.host_name = Some(old.to_owned());
    let error = error(&windows, windows.target()).await;
    assert!(error.to_string().contains("AES keys"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_does_not_answer_is_told() {
    let setup = Setup { down: true, ..Setup::default() };
    let Some(_realm) = domain("a_domain_that_does_not_answer_is_told", setup).await else { return };
    let windows = guest(false, Scheme::Negotiate).await;
    let silent = error(&windows, windows.target()).await;
    assert!(
        matches!(&silent, Error::Unreachable(why) if why.contains("no domain controller answers")),
        "{silent:?}"
    );
    let abroad = Target { user: format!("{USER}@ELSEWHERE.EXAMPLE"), ..windows.target() };
    let unknown = error(&windows, abroad).await;
    assert!(matches!(&unknown, Error::Unreachable(why) if why.contains("krb5.conf")), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_are_told() {
    let setup = Setup { clock_ahead: 7200, ..Setup::default() };
    let Some(_realm) = domain("clocks_that_differ_are_told", setup).await else { return };
    let windows = guest(false, Scheme::Negotiate).await;
    let error = error(&windows, windows.target()).await;
    assert!(error.to_string().contains("clocks of this node"), "{error:?}");
}

/// A guest's answer with this number of an error, as Windows gives it: KRB-ERROR in the frame of GSSAPI (RFC 4120, 4121).
macro_rules! krb_error {
    ($number:literal) => {
        &[
            0x60, 0x4d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x03, 0x00, 0x7e,
            0x3e, 0x30, 0x3c, 0xa0, 0x03, 0x02, 0x01, 0x05, 0xa1, 0x03, 0x02, 0x01, 0x1e, 0xa4, 0x11, 0x18,
            0x0f, b'2', b'0', b'2', b'6', b'0', b'1', b'0', b'1', b'0', b'0', b'0', b'0', b'0', b'0', b'Z',
            0xa5, 0x03, 0x02, 0x01, 0x00, 0xa6, 0x03, 0x02, 0x01, $number, 0xa9, 0x03, 0x1b, 0x01, b'L',
            0xaa, 0x0e, 0x30, 0x0c, 0xa0, 0x03, 0x02, 0x01, 0x03, 0xa1, 0x05, 0x30, 0x03, 0x1b, 0x01, b'H',
        ]
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_guest_takes_no_ticket_is_told_where_it_says_so() {
    let test = "why_a_guest_takes_no_ticket_is_told_where_it_says_so";
    let Some(_realm) = domain(test, Setup::default()).await else { return };
    let answers: [(&[u8], _); 4] = [
        (krb_error!(37), "its clock is not the domain's"),
        (krb_error!(41), "the guest has no key for it"),
        (krb_error!(32), "not valid now"),
        (krb_error!(60), "either that is not"),
    ];
    for (answer, said) in answers {
        let windows = guest(false, Scheme::Negotiate).await;
        windows.server.faults().pretend(answer, false);
        let error = error(&windows, windows.target()).await;
        assert!(matches!(&error, Error::Refused(why) if why.contains(said)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_in_the_domain_cannot_answer_for_the_guest() {
    let test = "who_is_not_in_the_domain_cannot_answer_for_the_guest";
    let Some(_realm) = domain(test, Setup::default()).await else { return };
    for answer in [&b""[..], b"no proof"] {
        let windows = guest(false, Scheme::Negotiate).await;
        windows.server.faults().pretend(answer, true);
        let error = error(&windows, windows.target()).await;
        assert!(error.to_string().contains("prove that it is HTTP/win.lab.example"), "{error:?}");
    }
}
