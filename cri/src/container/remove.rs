//! `RemoveContainer`: the machine and its disk are gone when it answers.

use proto::runtime::v1::{RemoveContainerRequest, RemoveContainerResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn remove(node: &Node, request: RemoveContainerRequest) -> Result<RemoveContainerResponse> {
    node.pods.remove_container(&named(request.container_id, "container_id")?).await?;
    Ok(RemoveContainerResponse {})
}
