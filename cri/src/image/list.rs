//! `ListImages`.

use proto::runtime::v1::{ListImagesRequest, ListImagesResponse};

use crate::convert::image;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn list(node: &Node, request: ListImagesRequest) -> Result<ListImagesResponse> {
    let wanted = request.filter.and_then(|filter| filter.image).map(|spec| spec.image);
    let context = node.context();
    let found: Vec<_> = match wanted.filter(|name| !name.is_empty()) {
        Some(name) => context.find_image(&name).await?.into_iter().collect(),
        None => context.images.list().await?.into_iter().chain(context.fleet_images()).collect(),
    };
    Ok(ListImagesResponse { images: found.iter().map(image::message).collect() })
}
