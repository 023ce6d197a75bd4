//! `StopPodSandbox`: nothing runs and no address is held when it answers.

use proto::runtime::v1::{StopPodSandboxRequest, StopPodSandboxResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn stop(node: &Node, request: StopPodSandboxRequest) -> Result<StopPodSandboxResponse> {
    node.pods.stop(&named(request.pod_sandbox_id, "pod_sandbox_id")?).await?;
    Ok(StopPodSandboxResponse {})
}
