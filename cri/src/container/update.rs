//! `UpdateContainerResources`: what a container may use from now on.
//!
//! The kubelet calls it for each running container of a pod that is resized in place. What a request does not name stays
//! as it is, so one that changes nothing which is kept here (a set of processors, say) succeeds.

use proto::runtime::v1::{UpdateContainerResourcesRequest, UpdateContainerResourcesResponse};

use crate::convert::{named, resources};
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn update(
    node: &Node,
    request: UpdateContainerResourcesRequest,
) -> Result<UpdateContainerResourcesResponse> {
    let UpdateContainerResourcesRequest {
        container_id,
        linux,
        windows: _,     // a Linux kubelet sets it for no pod that it admits
        annotations: _, // says nothing of a size
    } = request;
    let change = linux.as_ref().map(resources::change).unwrap_or_default();
    node.pods.update_container(&named(container_id, "container_id")?, change).await?;
    Ok(UpdateContainerResourcesResponse {})
}
