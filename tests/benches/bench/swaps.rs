//! Changes of a volume on the node, under load, until they are in the guest of a real machine: all of it real but the kubelet.
//!
//! The load: a reader in the guest that never rests, and commands without a pause through the daemon, as probes are.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proto::runtime::v1::{ContainerConfig, Mount};
use serde_json::{Value, json};
use tests::{Node, Options};
use tokio::task::block_in_place;

use crate::client::{Client, container, pod};
use crate::figures::{percentile, rounded};
use crate::say;
use crate::swapping::{READER, Seen, swap, swaps};

/// The most that all but one in a hundred may take, in milliseconds.
const GOAL_MS: f64 = 2000.0;
/// One begins so long after the one before.
const EVERY: Duration = Duration::from_millis(100);
/// How long the last one may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many ask for commands at once.
const ASKERS: usize = 2;

pub(crate) async fn measure(count: usize) -> Result<Value> {
    let mut options = Options::from_env()?;
    "[timeouts]\nstart-wait-seconds = 110\n".clone_into(&mut options.config);
    let node = block_in_place(|| Node::start(options))?;
    let mut client = Client::connect(&node.socket()).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await?;
    let volume = node.kubelet().join("pods/uid-swaps/volumes/kubernetes.io~configmap/swapped");
    swap(&volume, 0);
    let sandbox = client.run_pod(&pod("swaps", &node.pod_logs())).await?;
    let host_path = volume.display().to_string();
    let config = ContainerConfig {
        command: ["sh", "-c", READER].map(str::to_owned).into(),
        mounts: vec![Mount { container_path: "/etc/swapped".into(), host_path, ..Mount::default() }],
        ..container("reader", &image)
    };
    let id = client.create_with(&sandbox, config).await?;
    client.start(&id).await?;
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..ASKERS {
        let (mut client, id) = (client.clone(), id.clone());
        askers.spawn(async move {
            loop {
                // It is load: what it answers is no matter.
                let _ = client.exec(&id, &["true"], 30).await;
            }
        });
    }
    let log = node.pod_logs().join("swaps/reader/0.log");
    let seen = swaps(&volume, &log, count, EVERY, PATIENCE).await;
    askers.shutdown().await;
    let Seen { milliseconds, mixtures } = seen.context("the last swap did not come to the guest")?;
    ensure!(milliseconds.len() == count, "{} of {count} swaps were seen", milliseconds.len());
    let (p50, p99) = (percentile(&milliseconds, 0.5), percentile(&milliseconds, 0.99));
    say(&format!(
        "swaps: {count} in the guest after {p50:.0} ms, p99 {p99:.0} ms; {} mixtures",
        mixtures.len()
    ));
    client.stop_pod(&sandbox).await?;
    client.remove_pod(&sandbox).await?;
    Ok(json!({
        "swaps": count,
        "p50_ms": rounded(p50),
        "p99_ms": rounded(p99),
        "goal_p99_ms_at_most": GOAL_MS,
        "mixtures": mixtures.len(),
    }))
}
