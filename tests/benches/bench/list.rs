//! The CRI's calls at many pods, where no machine and no network takes time: what the daemon itself costs.

use std::time::Instant;

use anyhow::Result;
use proto::runtime::v1 as cri;
use serde_json::{Map, Value, json};
use tests::{Node, Options};
use tokio::task::block_in_place;

use crate::client::{Client, container, pod};
use crate::figures::{percentile, rounded};
use crate::say;

/// How often each list is asked for.
const LISTS: usize = 300;

pub(crate) async fn measure(pods: usize) -> Result<Value> {
    let options = Options { machines: false, ..Options::from_env()? };
    let node = block_in_place(|| Node::start(options))?;
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
    Ok(json!({ "pods": pods, "calls": calls.0 }))
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
        let figures = json!({ "p50_ms": rounded(p50), "p99_ms": rounded(p99), "calls": samples.len() });
        self.0.insert(name.to_owned(), figures);
    }
}
