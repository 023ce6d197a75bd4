//! `StreamContainerStats`: as `ListContainerStats`, in parts.

use futures_util::{Stream, stream};
use proto::runtime::v1::{StreamContainerStatsRequest, StreamContainerStatsResponse};

use crate::convert::parts;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn stream(
    node: &Node,
    request: StreamContainerStatsRequest,
) -> Result<impl Stream<Item = Result<StreamContainerStatsResponse>> + Send + use<>> {
    let StreamContainerStatsRequest { filter } = request;
    let stats = super::list_stats::select(node, filter).await;
    Ok(stream::iter(parts(stats).map(|container_stats| Ok(StreamContainerStatsResponse { container_stats }))))
}
