//! `ListPodSandboxStats`: from memory, whatever the guests do.

use proto::runtime::v1::{
    ListPodSandboxStatsRequest, ListPodSandboxStatsResponse, PodSandboxStats, PodSandboxStatsFilter,
};

use crate::convert::selects;
use crate::error::Result;
use crate::node::Node;
use crate::stats::{containers_place, is_counted, message};

/// Serves the call.
pub async fn list_stats(
    node: &Node,
    request: ListPodSandboxStatsRequest,
) -> Result<ListPodSandboxStatsResponse> {
    let ListPodSandboxStatsRequest { filter } = request;
    Ok(ListPodSandboxStatsResponse { stats: select(node, filter).await })
}

/// The figures of the ready pods that match.
pub async fn select(node: &Node, filter: Option<PodSandboxStatsFilter>) -> Vec<PodSandboxStats> {
    let PodSandboxStatsFilter { id, label_selector } = filter.unwrap_or_default();
    node.stats.ask().await;
    let place = containers_place(&node.context().config);
    let views = node.pods.views();
    let matching = views.iter().filter(|view| {
        is_counted(view) && view.pod.id.starts_with(&id) && selects(&label_selector, &view.pod.labels)
    });
    matching.map(|view| message::pod(view, &node.stats.known(view), &place)).collect()
}
