//! `StreamImages`: as `ListImages`, in parts.

use futures_util::{Stream, stream};
use proto::runtime::v1::{ListImagesRequest, StreamImagesRequest, StreamImagesResponse};

use crate::convert::parts;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn stream(
    node: &Node,
    request: StreamImagesRequest,
) -> Result<impl Stream<Item = Result<StreamImagesResponse>> + Send + use<>> {
    let StreamImagesRequest { filter } = request;
    let images = super::list::list(node, ListImagesRequest { filter }).await?.images;
    Ok(stream::iter(parts(images).map(|images| Ok(StreamImagesResponse { images }))))
}
