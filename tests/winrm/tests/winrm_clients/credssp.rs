//! What `CredSSP` has beside a right and a wrong password: its versions, what is inside, and somebody between.

use serde_json::json;
use winrm_peer::{Between, CredSsp, Options, Scheme};

use super::client::{Answer, Client, PASSWORD, USER};

/// A server that offers nothing else, and a client for it.
async fn start(credssp: CredSsp) -> Option<Client> {
    let options = Options { schemes: vec![Scheme::CredSsp], credssp, ..Options::http(USER, PASSWORD) };
    Client::start_with("pypsrp", "credssp", options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_is_spoken_with_and_without_spnego_inside() {
    for version in 2..=6 {
        let Some(mut client) = start(CredSsp { version, between: None }).await else { return };
        for mechanism in ["auto", "ntlm"] {
            let answer = client.ask(json!({"argv": ["echo", "in"], "mechanism": mechanism})).await;
            assert_eq!(answer, Answer::ran("in\n", "", 0), "version {version}, {mechanism}");
            let wrong = json!({"argv": ["true"], "mechanism": mechanism, "password": "Gruesse"});
            assert_eq!(client.ask(wrong).await, Answer::Refused, "version {version}, {mechanism}");
        }
        assert_eq!(client.server.counters().passwords_received, 2);
        let newest = json!({"argv": ["echo", "in"], "minimum_version": 5});
        let right = if version < 5 { Answer::Refused } else { Answer::ran("in\n", "", 0) };
        assert_eq!(client.ask(newest).await, right, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_between_gets_no_password() {
    for version in [2, 6] {
        for between in [Between::Refused, Between::Believed] {
            let Some(mut client) = start(CredSsp { version, between: Some(between) }).await else { return };
            let answer = client.sh("echo in").await;
            assert_eq!(answer, Answer::Refused, "version {version}, {between:?}");
            let counters = client.server.counters();
            assert_eq!((counters.passwords_received, counters.actions.len()), (0, 0));
        }
    }
}
