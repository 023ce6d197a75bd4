//! The daemon ends and comes back under a running machine, which never notices.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proto::runtime::v1::{ContainerState, ReopenContainerLogRequest};

use crate::client::{Client, pod};

/// Where Linux tells the id of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_goes_on_where_it_was() {
    crate::within(360, restart()).await;
}

async fn restart() {
    let (mut node, mut client) = crate::node().await;
    let before = node.inventory().unwrap();
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let config = pod("kept", &node.pod_logs());
    let pod_id = client.run_pod(&config).await.unwrap();
    let address = client.pod_status(&pod_id).await.unwrap().network.unwrap().ip;
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    client.start(&id).await.unwrap();
    let boot = client.output(&id, &["cat", BOOT_ID]).await;
    let log = node.pod_logs().join("kept/machine/0.log");
    lines(&mut client, &id, &log, 3).await;

    let mode = std::fs::metadata(node.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only root reaches the daemon");
    let refusal = tokio::task::block_in_place(|| node.start_second_daemon()).unwrap();
    assert!(refusal.contains("state-dir"), "a second daemon on the same state is told the remedy: {refusal}");
    assert!(node.daemon().runs());
    client.status(&id).await.unwrap();

    // kill -9.
    tokio::task::block_in_place(|| node.kill_and_restart_daemon()).unwrap();
    client = Client::connect(&node.socket()).await;
    let status = client.status(&id).await.unwrap();
    assert_eq!(status.state, i32::from(ContainerState::ContainerRunning));
    assert_eq!(client.output(&id, &["cat", BOOT_ID]).await, boot, "the guest never noticed");
    assert_eq!(client.pod_status(&pod_id).await.unwrap().network.unwrap().ip, address);
    assert_eq!(client.run_pod(&config).await.unwrap(), pod_id, "it remembers what it has made");
    let seen = numbers(&log).len();
    lines(&mut client, &id, &log, seen + 3).await;

    // The kubelet rotates the log.
    let rotated = log.with_extension("log.1");
    std::fs::rename(&log, &rotated).unwrap();
    let reopen = ReopenContainerLogRequest { container_id: id.clone() };
    client.runtime.reopen_container_log(reopen).await.unwrap();
    lines(&mut client, &id, &log, 3).await;

    // SIGTERM.
    tokio::task::block_in_place(|| node.daemon().terminate()).unwrap();
    assert!(!node.socket().exists(), "a daemon that ends in good order leaves no socket");
    tokio::task::block_in_place(|| node.start_daemon()).unwrap();
    client = Client::connect(&node.socket()).await;
    assert_eq!(client.output(&id, &["cat", BOOT_ID]).await, boot, "the guest never noticed");
    let seen = numbers(&log).len();
    lines(&mut client, &id, &log, seen + 3).await;

    // What the guest wrote is what was logged, every line once.
    let written = client.output(&id, &["cat", "/var/log/app.log"]).await;
    let last = number(written.lines().last().unwrap()).unwrap();
    let all = || (numbers(&rotated).len() + numbers(&log).len()) as u64;
    client.wait_for(&id, 120, |_| all() >= last).await;
    let mut logged = numbers(&rotated);
    logged.extend(numbers(&log));
    let expected: Vec<u64> = (1..=*logged.last().unwrap()).collect();
    assert_eq!(logged, expected, "every line exactly once, in order, over two restarts and a rotation");

    client.stop(&id, 0).await.unwrap();
    client.remove(&id).await.unwrap();
    client.stop_pod(&pod_id).await.unwrap();
    client.remove_pod(&pod_id).await.unwrap();
    assert_eq!(node.inventory().unwrap().beyond(&before), Vec::<String>::new());
}

/// Waits until the log has so many of the application's lines.
async fn lines(client: &mut Client, id: &str, log: &Path, wanted: usize) {
    client.wait_for(id, 120, |_| numbers(log).len() >= wanted).await;
}

/// The numbers of the application's lines in a log, in their order.
fn numbers(log: &Path) -> Vec<u64> {
    std::fs::read_to_string(log).unwrap_or_default().lines().filter_map(number).collect()
}

fn number(line: &str) -> Option<u64> {
    line.split_once("app: line ")?.1.trim().parse().ok()
}
