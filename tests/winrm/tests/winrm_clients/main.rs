//! Two clients that people use, pypsrp and pywinrm, prove the server right before anything of ours is held against it.
//!
//! Run by `cargo xtask test --tier contract`, which installs the clients.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod client;
mod cmd;
mod credssp;
mod faults;
#[cfg(feature = "kerberos")]
mod kerberos;

use std::time::{Duration, Instant};

use client::{Answer, Client, PATIENCE};
use serde_json::json;
use tokio::time::timeout;
use winrm_peer::Action;

/// `ERROR_WSMAN_UNEXPECTED_SELECTORS`: there is no such shell, or command.
const NOT_FOUND: Option<u64> = Some(2_150_858_843);

macro_rules! ways {
    ($($name:ident: $client:literal, $auth:literal, $tls:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let Some(client) = Client::start($client, $auth, $tls).await {
                all(client).await;
            }
        })*
    };
}

ways! {
    pypsrp_over_http_by_ntlm: "pypsrp", "ntlm", false;
    pypsrp_over_http_by_negotiate: "pypsrp", "negotiate", false;
    pypsrp_over_https_by_basic: "pypsrp", "basic", true;
    pypsrp_over_https_by_ntlm: "pypsrp", "ntlm", true;
    pypsrp_over_https_by_negotiate: "pypsrp", "negotiate", true;
    pypsrp_over_http_by_credssp: "pypsrp", "credssp", false;
    pypsrp_over_https_by_credssp: "pypsrp", "credssp", true;
    pywinrm_over_http_by_credssp: "pywinrm", "credssp", false;
    pywinrm_over_http_by_ntlm: "pywinrm", "ntlm", false;
    pywinrm_over_https_by_basic: "pywinrm", "basic", true;
    pywinrm_over_https_by_ntlm: "pywinrm", "ntlm", true;
}

/// All that a client does, over one way.
async fn all(mut client: Client) {
    a_wrong_password_is_refused(&mut client).await;
    all_that_is_let_in(client).await;
}

async fn all_that_is_let_in(mut client: Client) {
    both_streams_and_the_exit_code(&mut client).await;
    arguments_environment_and_directory(&mut client).await;
    stdin_reaches_the_process(&mut client).await;
    a_big_output_is_whole(&mut client).await;
    a_poll_times_out_and_goes_on(&mut client).await;
    a_command_is_terminated(&mut client).await;
    what_a_command_leaves_ends_with_it(&mut client).await;
    a_missing_program_is_a_fault(&mut client).await;
    the_quota_of_shells_holds(&mut client).await;
    if client.name == "pypsrp" {
        a_command_is_interrupted(&mut client).await;
    }
    let ended = client.server.until(|counters| counters.processes == 0);
    let counters = timeout(PATIENCE, ended).await.expect("all has ended");
    assert_eq!(counters.shells_open, 0, "{counters:?}");
    assert_eq!(counters.receives_waiting, 0);
    assert!(counters.shells_made > 30, "{counters:?}");
}

async fn both_streams_and_the_exit_code(client: &mut Client) {
    for code in [0, 1, 42, 255] {
        let answer = client.sh(&format!("echo out; echo err >&2; exit {code}")).await;
        assert_eq!(answer, Answer::ran("out\n", "err\n", code));
    }
    assert_eq!(client.server.counters().runs_with("exit 42"), 1);
}

async fn arguments_environment_and_directory(client: &mut Client) {
    let odd = ["a b", "\"", "\\", "a\\\"b", "", "ä€😀", "<&>", "%PATH%", "x\\\\", "\ttab"];
    let mut argv = vec!["printf", "%s|"];
    argv.extend(odd);
    let expected = odd.join("|") + "|";
    assert_eq!(client.ask(json!({"argv": argv})).await, Answer::ran(&expected, "", 0));

    let folder = tempfile::tempdir().unwrap();
    let answer = client.ask(json!({
        "argv": ["sh", "-c", "echo \"$COLOUR\"; pwd"], "environment": {"COLOUR": "rot & <grün>"},
        "directory": folder.path(),
    }));
    let expected = format!("rot & <grün>\n{}\n", folder.path().display());
    assert_eq!(answer.await, Answer::ran(&expected, "", 0));
    let answer = client.ask(json!({"argv": ["true"], "directory": "/no/such/folder"})).await;
    assert_eq!(answer.fault(), Some(0x8007_010B), "{answer:?}");
}

async fn stdin_reaches_the_process(client: &mut Client) {
    let pieces = ["one\n", "two\n", "three"];
    let answer = client.ask(json!({"argv": ["sh", "-c", "cat; echo -end"], "stdin": pieces})).await;
    assert_eq!(answer, Answer::ran("one\ntwo\nthree-end\n", "", 0));
    let much = "0123456789abcdef".repeat(5000);
    let answer = client.ask(json!({"argv": ["wc", "-c"], "stdin": [much, much, much]})).await;
    assert_eq!(answer, Answer::ran("240000\n", "", 0));
}

/// What `seq 1 LAST` prints.
fn numbers(last: u32) -> String {
    let mut text = String::new();
    for number in 1..=last {
        text.push_str(&number.to_string());
        text.push('\n');
    }
    text
}

async fn a_big_output_is_whole(client: &mut Client) {
    let expected = numbers(300_000);
    let answer = client.sh("seq 1 300000 & seq 1 300000 >&2; wait").await;
    assert!(answer == Answer::ran(&expected, &expected, 0), "{} bytes were expected twice", expected.len());
}

async fn a_poll_times_out_and_goes_on(client: &mut Client) {
    let before = client.server.counters().action(Action::Receive);
    let answer = client.ask(json!({"argv": ["sh", "-c", "sleep 4.5; echo late"], "timeout": 1})).await;
    assert_eq!(answer, Answer::ran("late\n", "", 0));
    assert!(client.server.counters().action(Action::Receive) >= before + 3);
}

async fn a_command_is_terminated(client: &mut Client) {
    let script = "sleep 1000 & sleep 1000 & echo ready; wait";
    let answer = client.ask(json!({"argv": ["sh", "-c", script], "signal": "terminate"})).await;
    assert_eq!(answer.fault(), NOT_FOUND, "{answer:?}");
    let ended = client.server.until(|counters| counters.processes == 0 && counters.shells_open == 0);
    timeout(Duration::from_secs(10), ended).await.expect("all of it was killed");
}

async fn a_command_is_interrupted(client: &mut Client) {
    let script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done";
    let answer = client.ask(json!({"argv": ["sh", "-c", script], "signal": "ctrl_c"})).await;
    assert_eq!(answer, Answer::ran("ready\ncaught\n", "", 7));
    let answer =
        client.ask(json!({"argv": ["sh", "-c", "echo ready; exec sleep 1000"], "signal": "ctrl_c"})).await;
    assert_eq!(answer, Answer::ran("ready\n", "", 0xC000_013A));
}

async fn what_a_command_leaves_ends_with_it(client: &mut Client) {
    let answer = client.sh("sleep 1000 >/dev/null 2>&1 & echo $!").await;
    let Answer::Ran { stdout, exit: 0, .. } = &answer else { panic!("{answer:?}") };
    let status = format!("/proc/{}/status", String::from_utf8_lossy(stdout).trim());
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
        assert!(Instant::now() < until, "{status} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_missing_program_is_a_fault(client: &mut Client) {
    let answer = client.ask(json!({"argv": ["no-such-program"]})).await;
    assert_eq!(answer.fault(), Some(0x8007_0002), "{answer:?}");
    let answer = client.ask(json!({"argv": ["echo", "x".repeat(9000)]})).await;
    assert_eq!(answer.fault(), Some(0x8007_00CE), "{answer:?}");
}

async fn a_wrong_password_is_refused(client: &mut Client) {
    let made = client.server.counters().shells_made;
    let refused = client.ask(json!({"argv": ["true"], "password": "Gruesse"})).await;
    assert_eq!(refused, Answer::Refused);
    let refused = client.ask(json!({"argv": ["true"], "user": "Administrators"})).await;
    assert_eq!(refused, Answer::Refused);
    let counters = client.server.counters();
    assert!(counters.shells_made == made && counters.unauthorized > 0, "{counters:?}");
    assert_eq!(client.sh("echo in").await, Answer::ran("in\n", "", 0));
}

async fn the_quota_of_shells_holds(client: &mut Client) {
    assert_eq!(client.ask(json!({"shells": 30})).await, Answer::Done);
    let answer = client.ask(json!({"shells": 31})).await;
    assert_eq!(answer.fault(), Some(2_150_859_173), "{answer:?}");
}
