//! The daemon's own metrics and its health.

use std::process::Output;

use tests::Node;
use tonic::Code;

use crate::client::pod;

const METRICS: &str = "[metrics]\naddress = \"127.0.0.1:9464\"";

/// What a client of the node reads.
fn get(node: &Node, path: &str) -> Output {
    let address = format!("http://127.0.0.1:9464{path}");
    node.namespace().command("busybox").args(["wget", "-qO-", &address]).output().unwrap()
}

fn metrics(node: &Node) -> String {
    let answer = get(node, "/metrics");
    assert!(answer.status.success(), "{answer:?}");
    String::from_utf8(answer.stdout).unwrap()
}

/// The value of a series; nothing where there is none.
fn value<'a>(text: &'a str, series: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_pods_are_counted() {
    let (node, mut client) = crate::bare_node_with(METRICS).await;
    let before = metrics(&node);
    assert!(before.ends_with("# EOF\n"), "{before}");
    assert_eq!(value(&before, "infranetes_pods{phase=\"ready\"}"), Some("0"), "{before}");
    let ready = client.run_pod(&pod("one", &node.pod_logs())).await.unwrap();
    client.run_pod(&pod("two", &node.pod_logs())).await.unwrap();
    client.stop_pod(&ready).await.unwrap();
    let error = client.start("nobody").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let after = metrics(&node);
    let count = |method: &str, code: &str| {
        let series = format!("infranetes_rpc_duration_seconds_count{{method=\"{method}\",code=\"{code}\"}}");
        value(&after, &series)
    };
    assert_eq!(count("RunPodSandbox", "OK"), Some("2"), "{after}");
    assert_eq!(count("StartContainer", "NotFound"), Some("1"), "{after}");
    for (phase, count) in [("ready", "1"), ("stopped", "1"), ("creating", "0")] {
        assert_eq!(value(&after, &format!("infranetes_pods{{phase=\"{phase}\"}}")), Some(count), "{after}");
    }
    let health = get(&node, "/healthz");
    assert!(health.status.success() && health.stdout == b"ok\n", "{health:?}");
    let nothing = get(&node, "/");
    assert!(!nothing.status.success(), "{nothing:?}");
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("404"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_a_file_has_no_colours() {
    let (mut node, mut client) = crate::bare_node().await;
    // It serves only once it has said so.
    client.runtime.version(proto::runtime::v1::VersionRequest::default()).await.unwrap();
    let log = node.daemon().printed();
    assert!(log.contains(" INFO ") && !log.contains('\x1b'), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn boots_and_sessions_are_counted_and_a_sick_node_says_why() {
    crate::within(360, boots()).await;
}

async fn boots() {
    // No CNI configuration is there, which is told; a pod could not be wired.
    let (node, _client) =
        crate::bare_node_with(&format!("{METRICS}\n[network]\nmode = \"cni\"\nconf-dir = \"/nowhere\""))
            .await;
    let sick = get(&node, "/healthz");
    assert!(!sick.status.success() && String::from_utf8_lossy(&sick.stderr).contains("503"), "{sick:?}");
    drop(node);

    let (mut node, mut client) = crate::node_with(METRICS).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("booted", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    client.start(&id).await.unwrap();
    client.output(&id, &["true"]).await;
    let text = metrics(&node);
    assert_eq!(value(&text, "infranetes_boot_duration_seconds_count"), Some("1"));
    let took = value(&text, "infranetes_boot_duration_seconds_sum").and_then(|sum| sum.parse::<f64>().ok());
    assert!(took.is_some_and(|took| took > 0.5), "{text}");
    assert_eq!(value(&text, "infranetes_guests_with_session"), Some("1"));
    assert_eq!(value(&text, "infranetes_sessions_reopened_total"), Some("0"));

    // The next daemon opens a session again, and this is no boot.
    tokio::task::block_in_place(|| node.kill_and_restart_daemon()).unwrap();
    client.output(&id, &["true"]).await;
    let text = metrics(&node);
    assert_eq!(value(&text, "infranetes_boot_duration_seconds_count"), Some("0"));
    assert_eq!(value(&text, "infranetes_sessions_reopened_total"), Some("1"));
}
