//! `RemoveImage`: one that is not there is a success; one that a machine is based on is refused.

use proto::runtime::v1::{RemoveImageRequest, RemoveImageResponse};

use crate::convert::image;
use crate::error::{Error, Result};
use crate::fleet::Meant;
use crate::node::Node;

/// Serves the call.
pub async fn remove(node: &Node, request: RemoveImageRequest) -> Result<RemoveImageResponse> {
    let (context, name) = (node.context(), image::name(request.image)?);
    if let Meant::Machine(found) = context.meant(&name)? {
        return Err(Error::Conflict(format!(
            "image {name} is the machine {:?} of an inventory, which is there as long as its entry is; remove that",
            found.entry.name
        )));
    }
    context.images.remove(&name).await?;
    Ok(RemoveImageResponse {})
}
