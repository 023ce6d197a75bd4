//! `PodSandboxStats`: one pod, measured now as far as that takes no longer than a moment.

use proto::runtime::v1::{PodSandboxStatsRequest, PodSandboxStatsResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;
use crate::stats::{containers_place, message};

/// Serves the call.
pub async fn stats(node: &Node, request: PodSandboxStatsRequest) -> Result<PodSandboxStatsResponse> {
    let PodSandboxStatsRequest { pod_sandbox_id } = request;
    let view = node.pods.view(&named(pod_sandbox_id, "pod_sandbox_id")?)?;
    node.stats.ask_about(&view).await;
    let place = containers_place(&node.context().config);
    Ok(PodSandboxStatsResponse { stats: Some(message::pod(&view, &node.stats.known(&view), &place)) })
}
