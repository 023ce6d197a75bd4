//! `ListContainerStats`, which `kubectl top` and the autoscaler live on: from memory, whatever the guests do.

use proto::runtime::v1::{
    ContainerStats, ContainerStatsFilter, ListContainerStatsRequest, ListContainerStatsResponse,
};

use crate::convert::selects;
use crate::error::Result;
use crate::node::Node;
use crate::stats::{containers_place, message};

/// Serves the call.
pub async fn list_stats(
    node: &Node,
    request: ListContainerStatsRequest,
) -> Result<ListContainerStatsResponse> {
    let ListContainerStatsRequest { filter } = request;
    Ok(ListContainerStatsResponse { stats: select(node, filter).await })
}

/// The figures of the running containers that match.
pub async fn select(node: &Node, filter: Option<ContainerStatsFilter>) -> Vec<ContainerStats> {
    let ContainerStatsFilter { id, pod_sandbox_id, label_selector } = filter.unwrap_or_default();
    node.stats.ask().await;
    let place = containers_place(&node.context().config);
    let views = node.pods.views();
    let matching = views.iter().filter(|view| view.pod.id.starts_with(&pod_sandbox_id));
    let stats = matching.flat_map(|view| message::containers(view, &node.stats.known(view), &place));
    let wanted = |stats: &ContainerStats| {
        stats
            .attributes
            .as_ref()
            .is_some_and(|about| about.id.starts_with(&id) && selects(&label_selector, &about.labels))
    };
    stats.filter(wanted).collect()
}
