//! `RemovePodSandbox`: nothing of the pod is left when it answers.

use proto::runtime::v1::{RemovePodSandboxRequest, RemovePodSandboxResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn remove(node: &Node, request: RemovePodSandboxRequest) -> Result<RemovePodSandboxResponse> {
    node.pods.remove(&named(request.pod_sandbox_id, "pod_sandbox_id")?).await?;
    Ok(RemovePodSandboxResponse {})
}
