//! `ImageStatus`: an image that is not there is an empty answer, not an error.

use std::collections::BTreeMap;

use proto::runtime::v1::{ImageStatusRequest, ImageStatusResponse};
use serde_json::json;

use crate::convert::image;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn status(node: &Node, request: ImageStatusRequest) -> Result<ImageStatusResponse> {
    let name = image::name(request.image)?;
    let store = &node.context().images;
    let Some(found) = store.find(&name).await? else { return Ok(ImageStatusResponse::default()) };
    let mut info = BTreeMap::new();
    if request.verbose {
        let told = json!({
            "facts": found.facts.shown(),
            "labels": found.labels,
            "disk": store.base(&found.id).await?,
            "pinned": found.pinned,
        });
        info.insert("info".to_owned(), told.to_string());
    }
    Ok(ImageStatusResponse { image: Some(image::message(&found)), info })
}
