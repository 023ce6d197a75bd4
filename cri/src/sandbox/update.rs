//! `UpdatePodSandboxResources`: what all of a pod may use from now on. It is the machine's size where no container says
//! one for itself.

use proto::runtime::v1::{UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse};

use crate::convert::{named, resources};
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn update(
    node: &Node,
    request: UpdatePodSandboxResourcesRequest,
) -> Result<UpdatePodSandboxResourcesResponse> {
    let UpdatePodSandboxResourcesRequest {
        pod_sandbox_id,
        overhead: _, // pays for QEMU itself, and is in the cgroup's limits already
        resources: asked,
    } = request;
    let change = asked.as_ref().map(resources::change).unwrap_or_default();
    node.pods.update(&named(pod_sandbox_id, "pod_sandbox_id")?, change).await?;
    Ok(UpdatePodSandboxResourcesResponse {})
}
