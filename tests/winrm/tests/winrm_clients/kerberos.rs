//! The same clients by tickets of a real domain.

use serde_json::json;
use winrm_peer::realm::{self, Realm, Setup};
use winrm_peer::{Options, Scheme};

use super::all_that_is_let_in;
use super::client::{Answer, Client, PASSWORD, USER};

macro_rules! ways {
    ($($name:ident: $client:literal, $auth:literal, $tls:literal, $offered:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let test = concat!("kerberos::", stringify!($name));
            if let Some(client) = start(test, $client, $auth, $tls, $offered).await {
                all_that_is_let_in(client).await;
            }
        })*
    };
}

ways! {
    pypsrp_over_http_by_kerberos: "pypsrp", "kerberos", false, Scheme::Negotiate;
    pypsrp_over_http_by_kerberos_by_its_name: "pypsrp", "kerberos", false, Scheme::Kerberos;
    pypsrp_over_http_by_kerberos_in_spnego: "pypsrp", "negotiate", false, Scheme::Negotiate;
    pypsrp_over_https_by_kerberos: "pypsrp", "kerberos", true, Scheme::Negotiate;
    pywinrm_over_http_by_kerberos: "pywinrm", "kerberos", false, Scheme::Negotiate;
}

/// A client in a domain; `None` where that has passed, or the tests are run without clients.
async fn start(test: &str, name: &'static str, auth: &str, tls: bool, offered: Scheme) -> Option<Client> {
    if std::env::var_os("INFRANETES_WINRM_CLIENTS").is_none() {
        // It says that it is skipped.
        return Client::start(name, auth, tls).await;
    }
    let realm = Realm::around(test, Setup::default()).await?;
    realm.user(USER, PASSWORD, &[]).await;
    realm.user("Somebody", PASSWORD, &[]).await;
    if name == "pywinrm" {
        realm.tickets(USER, PASSWORD).await;
    }
    let options = Options {
        tls,
        principal: Some(format!("{USER}@{}", realm::NAME)),
        schemes: vec![offered],
        // Nobody is let in by a password.
        ..Options::http(USER, "another password")
    };
    let mut client = Client::start_with(name, auth, options).await?;
    client.always("user", &format!("{USER}@{}", realm::NAME));
    client.always("host_name", realm::GUEST);
    Some(client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_of_others_and_for_others_are_refused() {
    let test = "kerberos::tickets_of_others_and_for_others_are_refused";
    let Some(mut client) = start(test, "pypsrp", "kerberos", false, Scheme::Negotiate).await else { return };
    let somebody = format!("Somebody@{}", realm::NAME);
    for job in
        [json!({"argv": ["true"], "user": somebody}), json!({"argv": ["true"], "host_name": realm::OTHER})]
    {
        assert_eq!(client.ask(job).await, Answer::Refused);
    }
    assert_eq!(client.server.counters().shells_made, 0);
    assert_eq!(client.sh("echo in").await, Answer::ran("in\n", "", 0));
}
