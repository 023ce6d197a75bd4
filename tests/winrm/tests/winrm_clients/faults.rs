//! What the server can let go wrong, as the clients see it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use winrm_peer::{Action, Cut, Limits, Moment, Options, Scheme, Split};

use super::client::{Answer, Client, PATIENCE};
use super::numbers;

/// `ERROR_WSMAN_QUOTA_MAX_OPERATIONS`.
const OPERATIONS: Option<u64> = Some(2_150_859_174);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_in_pieces_are_read() {
    for name in ["pypsrp", "pywinrm"] {
        let Some(mut client) = Client::start(name, "ntlm", false).await else { return };
        for chunked in [false, true] {
            client.server.faults().split(Some(Split { bytes: 7, chunked }));
            assert_eq!(client.sh("echo out; exit 3").await, Answer::ran("out\n", "", 3));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_taken_over() {
    for seconds in [-100_000, 100_000] {
        for name in ["pypsrp", "pywinrm"] {
            let options = Options { clock_skew_seconds: seconds, ..Options::http("Ä. User", "pässword") };
            let Some(mut client) = Client::start_with(name, "ntlm", options).await else { return };
            let login =
                json!({"argv": ["echo", "in"], "user": "WINRM-PEER\\ä. user", "password": "pässword"});
            assert_eq!(client.ask(login).await, Answer::ran("in\n", "", 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_messages_need_leave() {
    let Some(mut client) = Client::start("pypsrp", "ntlm", false).await else { return };
    let plain = json!({"argv": ["echo", "in"], "encryption": "never"});
    let answer = client.ask(plain.clone()).await;
    assert!(matches!(&answer, Answer::Failed(None, why) if why.contains("500")), "{answer:?}");
    assert_eq!(client.server.counters().actions, [].into());
    let options =
        Options { allow_unencrypted: true, ..Options::http("Administrator", "Grüße & <\"Mond\">") };
    let mut client = Client::start_with("pypsrp", "ntlm", options).await.expect("it was there before");
    assert_eq!(client.ask(plain).await, Answer::ran("in\n", "", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheme_that_is_not_offered_is_refused() {
    let options = Options { schemes: vec![Scheme::Negotiate], ..Options::https("Administrator", "p") };
    let Some(mut client) = Client::start_with("pywinrm", "basic", options).await else { return };
    assert_eq!(client.ask(json!({"argv": ["true"], "password": "p"})).await, Answer::Refused);
    let options = Options { schemes: vec![Scheme::Ntlm], ..Options::https("Administrator", "p") };
    let mut client = Client::start_with("pywinrm", "ntlm", options).await.expect("it was there before");
    let answer = client.ask(json!({"argv": ["echo", "in"], "password": "p"})).await;
    assert_eq!(answer, Answer::ran("in\n", "", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_of_operations_processes_and_envelopes_hold() {
    let limits = Limits { operations_per_user: 0, ..Limits::default() };
    let options = Options { limits, ..Options::http("Administrator", "Grüße & <\"Mond\">") };
    let Some(mut client) = Client::start_with("pywinrm", "ntlm", options.clone()).await else { return };
    let answer = client.sh("echo in").await;
    assert_eq!(answer.fault(), OPERATIONS, "{answer:?}");
    let limits = Limits { processes_per_shell: 0, ..Limits::default() };
    let options = Options { limits, ..options };
    let mut client = Client::start_with("pywinrm", "ntlm", options.clone()).await.expect("a client");
    let answer = client.sh("echo in").await;
    assert_eq!(answer.fault(), Some(0x8007_0718), "{answer:?}");
    let limits = Limits { envelope_bytes: 8192, ..Limits::default() };
    let options = Options { limits, ..options };
    let mut client = Client::start_with("pywinrm", "ntlm", options).await.expect("a client");
    // What is sent must fit, and what comes back is made to.
    let sent = json!({"argv": ["cat"], "stdin": ["x".repeat(6000)]});
    let answer = client.ask(sent).await;
    assert_eq!(answer.fault(), Some(2_150_858_824), "{answer:?}");
    let expected = numbers(5000);
    assert!(client.sh("seq 1 5000").await == Answer::ran(&expected, "", 0));
    assert!(client.server.counters().action(Action::Receive) > 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_runs_nothing_twice() {
    for moment in [Moment::BeforeRead, Moment::BeforeReply, Moment::InReply] {
        let Some(mut client) = Client::start("pypsrp", "ntlm", false).await else { return };
        client.server.faults().cut(Cut { at: 1, action: Some(Action::Command), moment });
        let answer = client.sh("echo ran").await;
        assert!(matches!(answer, Answer::Failed(None, _)), "{answer:?}");
        let runs = u64::from(moment != Moment::BeforeRead);
        assert_eq!(client.server.counters().runs_with("echo ran"), runs, "{moment:?}");
        assert_eq!(client.server.faults().cuts_left(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_shell_is_told_to_who_waits_in_it_and_to_who_comes_back() {
    let Some(mut client) = Client::start("pywinrm", "ntlm", false).await else { return };
    let lost = async |client: &mut Client, script: &str| {
        let job = json!({"argv": ["sh", "-c", script], "timeout": 1});
        let server = Arc::clone(&client.server);
        let (answer, ()) = tokio::join!(client.ask(job), async move {
            let waits = server.until(|counters| counters.receives_waiting == 1);
            timeout(PATIENCE, waits).await.expect("it waits for output");
            server.lose_shells();
        });
        answer.fault()
    };
    // Its own end is the last word of pywinrm: it deletes a shell that is not there.
    assert_eq!(lost(&mut client, "sleep 1000").await, Some(2_150_858_843));
    let ended = client.server.until(|counters| counters.processes == 0);
    let counters = timeout(PATIENCE, ended).await.expect("it was killed");
    assert_eq!((counters.shells_open, counters.runs_with("sleep 1000")), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_that_nobody_uses_ends_and_one_that_waits_does_not() {
    // Longer than a client takes from one request to the next.
    let limits = Limits { idle_timeout: Duration::from_secs(3), ..Limits::default() };
    let options = Options { limits, ..Options::http("Administrator", "Grüße & <\"Mond\">") };
    let Some(mut client) = Client::start_with("pypsrp", "ntlm", options).await else { return };
    let job = json!({"argv": ["sh", "-c", "sleep 7; echo late"], "idle_timeout": null});
    assert_eq!(client.ask(job).await, Answer::ran("late\n", "", 0));
    let job = json!({"argv": ["sh", "-c", "echo left"], "idle_timeout": null, "leave": true});
    assert_eq!(client.ask(job).await, Answer::Done);
    // Only the first one was deleted by its client.
    let counters = client.server.counters();
    assert_eq!((counters.shells_made, counters.action(Action::Delete)), (2, 1));
    let ended = client.server.until(|counters| counters.shells_open == 0);
    timeout(Duration::from_secs(30), ended).await.expect("it ends by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_is_known_on_one_connection_only() {
    let Some(mut client) = Client::start("pywinrm", "ntlm", true).await else { return };
    client.server.faults().close_after_reply(true);
    assert_eq!(client.sh("echo out").await, Answer::ran("out\n", "", 0));
    let counters = client.server.counters();
    let envelopes: u64 = counters.actions.values().sum();
    // Each envelope had a connection, and was not known on it before.
    assert!(counters.connections >= envelopes && counters.unauthorized >= envelopes, "{counters:?}");
}
