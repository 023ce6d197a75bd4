//! `ContainerStats`: one container, measured now as far as that takes no longer than a moment.

use proto::runtime::v1::{ContainerStatsRequest, ContainerStatsResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;
use crate::stats::{containers_place, measured, message};

/// Serves the call.
pub async fn stats(node: &Node, request: ContainerStatsRequest) -> Result<ContainerStatsResponse> {
    let ContainerStatsRequest { container_id } = request;
    let (view, found) = node.pods.container(&named(container_id, "container_id")?)?;
    let is_measured = measured(&view).is_some_and(|owner| owner.record.id == found.record.id);
    if is_measured {
        node.stats.ask_about(&view).await;
    }
    let known = is_measured.then(|| node.stats.known(&view));
    let place = containers_place(&node.context().config);
    Ok(ContainerStatsResponse { stats: Some(message::container(&found.record, known.as_ref(), &place)) })
}
