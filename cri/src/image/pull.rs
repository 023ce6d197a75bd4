//! `PullImage`: the manifest is asked for with the caller's own credential each time; blobs are shared.

use proto::runtime::v1::{PullImageRequest, PullImageResponse};

use crate::convert::image;
use crate::error::{Error, Result};
use crate::fleet::{self, Meant};
use crate::node::Node;

/// Serves the call.
pub async fn pull(node: &Node, request: PullImageRequest) -> Result<PullImageResponse> {
    let PullImageRequest {
        image: spec,
        auth,
        sandbox_config: _, // nothing in it decides what is pulled
    } = request;
    let name = image::name(spec)?;
    let auth = image::auth(auth)?;
    let context = node.context();
    match context.meant(&name)? {
        // It is here: it runs already.
        Meant::Machine(_) => {
            let found = context.find_image(&name).await?.ok_or_else(|| Error::not_found("image", name))?;
            return Ok(PullImageResponse { image_ref: found.id });
        }
        Meant::Unknown(machine) => return Err(fleet::unknown(&machine)),
        Meant::Disk => {}
    }
    let pulled = context.images.pull(&name, &auth, &context.config.images.registries()).await?;
    Ok(PullImageResponse { image_ref: pulled.id })
}
