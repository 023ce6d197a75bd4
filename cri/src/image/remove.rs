//! `RemoveImage`: one that is not there is a success; one that a machine is based on is refused.

use proto::runtime::v1::{RemoveImageRequest, RemoveImageResponse};

use crate::convert::image;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn remove(node: &Node, request: RemoveImageRequest) -> Result<RemoveImageResponse> {
    node.context().images.remove(&image::name(request.image)?).await?;
    Ok(RemoveImageResponse {})
}
