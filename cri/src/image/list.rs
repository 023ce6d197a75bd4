//! `ListImages`.

use proto::runtime::v1::{ListImagesRequest, ListImagesResponse};

use crate::convert::image;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn list(node: &Node, request: ListImagesRequest) -> Result<ListImagesResponse> {
    let wanted = request.filter.and_then(|filter| filter.image).map(|spec| spec.image);
    let store = &node.context().images;
    let found = match wanted.filter(|name| !name.is_empty()) {
        Some(name) => store.find(&name).await?.into_iter().collect(),
        None => store.list().await?,
    };
    Ok(ListImagesResponse { images: found.iter().map(image::message).collect() })
}
