//! `ImageStatus`: an image that is not there is an empty answer, not an error.

use std::collections::BTreeMap;

use proto::runtime::v1::{ImageStatusRequest, ImageStatusResponse};
use serde_json::json;

use crate::convert::image;
use crate::error::Result;
use crate::fleet::Meant;
use crate::node::Node;

/// Serves the call.
pub async fn status(node: &Node, request: ImageStatusRequest) -> Result<ImageStatusResponse> {
    let name = image::name(request.image)?;
    let context = node.context();
    let Some(found) = context.find_image(&name).await? else { return Ok(ImageStatusResponse::default()) };
    let mut info = BTreeMap::new();
    if request.verbose {
        let mut told = json!({
            "facts": found.facts.shown(),
            "labels": found.labels,
            "pinned": found.pinned,
        });
        match context.meant(&name)? {
            Meant::Machine(machine) => {
                told["machine"] = json!({
                    "provider": machine.provider,
                    "name": machine.entry.name,
                    "address": machine.entry.address(),
                    "power-off": machine.entry.power_off,
                });
            }
            _ => told["disk"] = json!(context.images.base(&found.id).await?),
        }
        info.insert("info".to_owned(), told.to_string());
    }
    Ok(ImageStatusResponse { image: Some(image::message(&found)), info })
}
