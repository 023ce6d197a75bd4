//! `ListPodSandboxMetrics`: from memory, whatever the guests do.

use proto::runtime::v1::{ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse, PodSandboxMetrics};

use crate::error::Result;
use crate::node::Node;
use crate::stats::{is_counted, metrics};

/// Serves the call.
pub async fn list_metrics(
    node: &Node,
    request: ListPodSandboxMetricsRequest,
) -> Result<ListPodSandboxMetricsResponse> {
    let ListPodSandboxMetricsRequest {} = request;
    Ok(ListPodSandboxMetricsResponse { pod_metrics: all(node).await })
}

/// The metrics of every ready pod.
pub async fn all(node: &Node) -> Vec<PodSandboxMetrics> {
    node.stats.ask().await;
    let views = node.pods.views();
    let ready = views.iter().filter(|view| is_counted(view));
    ready.map(|view| metrics::pod(view, &node.stats.known(view))).collect()
}
