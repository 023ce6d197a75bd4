//! `StartContainer`: boots the machine and waits for the guest's first answer, up to `start-wait-seconds`.

use proto::runtime::v1::{StartContainerRequest, StartContainerResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn start(node: &Node, request: StartContainerRequest) -> Result<StartContainerResponse> {
    node.pods.start_container(&named(request.container_id, "container_id")?).await?;
    Ok(StartContainerResponse {})
}
