//! The CRI's calls at many pods, where no machine and no network takes time: what the daemon itself costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use proto::runtime::v1 as cri;
use serde_json::{Map, Value, json};
use tests::{Node, Options};
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Client, container, pod};
use crate::cost;
use crate::figures::{percentile, rounded};
use crate::say;

/// How often each list is asked for.
const LISTS: usize = 300;
/// How long the daemon is polled as a kubelet does.
const POLLED: Duration = Duration::from_mins(1);
/// The most that the daemon may take of a processor then, in percent.
const GOAL_CORE_PERCENT: f64 = 1.0;
/// The most memory that it may hold, in megabytes: of its own, and for each pod.
const GOAL_MEGABYTES: (f64, f64) = (25.0, 0.03);
/// The most that a call may take at 1000 pods, in milliseconds, all but one in a hundred.
const GOALS: [(&str, f64); 3] = [("RunPodSandbox", 5.0), (BOTH_LISTS, 2.0), ("ListContainerStats", 10.0)];
/// What the kubelet does each second.
const BOTH_LISTS: &str = "both lists";

pub(crate) async fn measure(pods: usize) -> Result<Value> {
    let options = Options { machines: false, ..Options::from_env()? };
    let mut node = block_in_place(|| Node::start(options))?;
    let daemon = node.daemon().id();
    let mut client = Client::connect(&node.socket()).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await?;
    let mut calls = Calls(Map::new());
    let (mut sandboxes, mut containers) = (Vec::new(), Vec::new());
    let mut samples = Vec::new();
    for number in 0..pods {
        let config = pod(&format!("bench-{number}"), &node.pod_logs());
        let began = Instant::now();
        sandboxes.push(client.run_pod(&config).await?);
        samples.push(milliseconds(began));
    }
    calls.add("RunPodSandbox", &samples);
    samples.clear();
    for sandbox in &sandboxes {
        let began = Instant::now();
        containers.push(client.create_with(sandbox, container("machine", &image)).await?);
        samples.push(milliseconds(began));
    }
    calls.add("CreateContainer", &samples);
    samples.clear();
    for _ in 0..LISTS {
        let began = Instant::now();
        let answer = client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?;
        samples.push(milliseconds(began));
        anyhow::ensure!(answer.get_ref().items.len() == pods, "not every pod is listed");
    }
    calls.add("ListPodSandbox", &samples);
    samples.clear();
    for _ in 0..LISTS {
        let began = Instant::now();
        let answer = client.runtime.list_containers(cri::ListContainersRequest::default()).await?;
        samples.push(milliseconds(began));
        anyhow::ensure!(answer.get_ref().containers.len() == pods, "not every container is listed");
    }
    calls.add("ListContainers", &samples);
    samples.clear();
    for _ in 0..LISTS {
        let began = Instant::now();
        relist(&mut client).await?;
        samples.push(milliseconds(began));
    }
    calls.add(BOTH_LISTS, &samples);
    samples.clear();
    for sandbox in &sandboxes {
        let began = Instant::now();
        client.pod_status(sandbox).await?;
        samples.push(milliseconds(began));
    }
    calls.add("PodSandboxStatus", &samples);
    samples.clear();
    for id in &containers {
        let began = Instant::now();
        client.status(id).await?;
        samples.push(milliseconds(began));
    }
    calls.add("ContainerStatus", &samples);
    samples.clear();
    for id in &containers {
        client.start(id).await?;
    }
    for _ in 0..LISTS {
        let began = Instant::now();
        let answer = client.runtime.list_container_stats(cri::ListContainerStatsRequest::default()).await?;
        samples.push(milliseconds(began));
        anyhow::ensure!(answer.get_ref().stats.len() == pods, "not every container has figures");
    }
    calls.add("ListContainerStats", &samples);
    let core_percent = polled(&mut client, daemon).await?;
    #[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
    let (megabytes, count) = (cost::resident(daemon)? as f64 / 1e6, pods as f64);
    let goal_megabytes = GOAL_MEGABYTES.0 + GOAL_MEGABYTES.1 * count;
    say(&format!(
        "list: polled, the daemon takes {core_percent:.2} % of a processor, and holds {megabytes:.1} MB"
    ));
    Ok(json!({
        "pods": pods,
        "calls": calls.0,
        "core_percent": rounded(core_percent),
        "goal_core_percent_at_most": GOAL_CORE_PERCENT,
        "resident_mb": rounded(megabytes),
        "goal_resident_mb_at_most": rounded(goal_megabytes),
    }))
}

/// What the kubelet's relist asks for.
async fn relist(client: &mut Client) -> Result<()> {
    client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?;
    client.runtime.list_containers(cri::ListContainersRequest::default()).await?;
    Ok(())
}

/// The share of a processor that the daemon takes, in percent, while it is polled as one kubelet does: all pods and
/// containers each second, all figures each ten.
async fn polled(client: &mut Client, daemon: u32) -> Result<f64> {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, before) = (Instant::now(), cost::processor_time(daemon)?);
    let mut number = 0;
    while began.elapsed() < POLLED {
        second.tick().await;
        relist(client).await?;
        if number % 10 == 0 {
            client.runtime.list_container_stats(cri::ListContainerStatsRequest::default()).await?;
        }
        number += 1;
    }
    let took = cost::processor_time(daemon)?.saturating_sub(before);
    Ok(100.0 * took.as_secs_f64() / began.elapsed().as_secs_f64())
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

/// What was measured of each call.
struct Calls(Map<String, Value>);

impl Calls {
    fn add(&mut self, name: &str, samples: &[f64]) {
        let (p50, p99) = (percentile(samples, 0.5), percentile(samples, 0.99));
        say(&format!("list: {name} p50 {p50:.2} ms, p99 {p99:.2} ms"));
        let mut figures = json!({ "p50_ms": rounded(p50), "p99_ms": rounded(p99), "calls": samples.len() });
        if let Some((_, goal)) = GOALS.iter().find(|(call, _)| *call == name) {
            figures["goal_p99_ms_at_most"] = (*goal).into();
        }
        self.0.insert(name.to_owned(), figures);
    }
}
