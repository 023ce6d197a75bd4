//! A call to containerd behind Infranetes, beside the same call to containerd itself.
//!
//! ```text
//!   client -> infranetes -> containerd      and, in turns,      client -> containerd
//! ```
//!
//! Both go to one containerd with the same pods, one after the other, so that whatever else the machine does meets both. What
//! the way through us costs is the middle of the differences of each pair.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use proto::runtime::v1 as cri;
use serde_json::{Value, json};
use tests::{Node, Options};
use tokio::task::block_in_place;

use crate::client::{Client, pod};
use crate::figures::{median, percentile, rounded};
use crate::say;

/// The most pods: each takes containerd a fifth of a second to make and to remove.
const PODS: usize = 200;
/// How many turns of a call on one pod there are for each turn of a list.
const STATUSES: usize = 10;
/// The most that the way through us may take of a call on one pod, in milliseconds.
const GOAL_MS: f64 = 0.2;

/// The figures; none where containerd could not be built.
pub(crate) async fn measure(rounds: usize, pods: usize) -> Result<Option<Value>> {
    let Some(options) = Options::behind_ours()? else {
        say("delegate: left out, there was no Go to build containerd");
        return Ok(None);
    };
    let mut node = block_in_place(|| Node::start(options))?;
    let mut through = Client::connect(&node.socket()).await;
    let mut direct = Client::connect(&node.delegate().socket()).await;
    let mut ids = Vec::new();
    for number in 0..pods.min(PODS) {
        let config = pod(&format!("bench-{number}"), &node.pod_logs());
        ids.push(through.run_pod_by(&config, "").await?);
    }
    let first = ids.first().context("there is no pod")?.clone();
    let mut status = Pairs::default();
    for _ in 0..rounds * STATUSES {
        status.begin();
        direct.pod_status(&first).await?;
        status.turn();
        through.pod_status(&first).await?;
        status.end();
    }
    let mut list = Pairs::default();
    for _ in 0..rounds * STATUSES {
        list.begin();
        let theirs = listed(&mut direct).await?;
        list.turn();
        let all = listed(&mut through).await?;
        list.end();
        ensure!(theirs == ids.len() && all == ids.len(), "not every pod is listed: {theirs}, {all}");
    }
    for id in &ids {
        through.stop_pod(id).await?;
        through.remove_pod(id).await?;
    }
    let mut status = status.told("PodSandboxStatus");
    status["goal_added_ms_at_most"] = GOAL_MS.into();
    let calls = [status, list.told("ListPodSandbox")];
    Ok(Some(json!({ "pods": ids.len(), "calls": calls })))
}

async fn listed(client: &mut Client) -> Result<usize> {
    let answer = client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?;
    Ok(answer.get_ref().items.len())
}

/// Calls in pairs, in milliseconds: direct, and through us.
#[derive(Default)]
struct Pairs {
    marks: Vec<Instant>,
    direct: Vec<f64>,
    through: Vec<f64>,
}

impl Pairs {
    fn begin(&mut self) {
        self.marks = vec![Instant::now()];
    }

    fn turn(&mut self) {
        self.marks.push(Instant::now());
    }

    fn end(&mut self) {
        self.turn();
        let took = |pair: usize| (self.marks[pair + 1] - self.marks[pair]).as_secs_f64() * 1000.0;
        self.direct.push(took(0));
        self.through.push(took(1));
    }

    fn told(&self, call: &str) -> Value {
        let added: Vec<f64> =
            self.direct.iter().zip(&self.through).map(|(direct, through)| through - direct).collect();
        let (direct, through) = (median(&self.direct), median(&self.through));
        let added = median(&added);
        say(&format!("delegate: {call} p50 {through:.2} ms, direct {direct:.2} ms, added {added:.2} ms"));
        json!({
            "call": call,
            "samples": self.direct.len(),
            "direct_p50_ms": rounded(direct),
            "through_p50_ms": rounded(through),
            "direct_p99_ms": rounded(percentile(&self.direct, 0.99)),
            "through_p99_ms": rounded(percentile(&self.through, 0.99)),
            "added_ms": rounded(added),
        })
    }
}
